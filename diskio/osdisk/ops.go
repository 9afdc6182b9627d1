package osdisk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/detcd/detcd/diskio"
)

const (
	gatherOps   = 256     // operations gathered into one call at most; systems take 1024 buffers
	gatherBytes = 4 << 20 // bytes gathered at most, so that a completion does not wait for long
	zeroChunk   = 1 << 20 // bytes of zeros written at once by Allocate
)

var zeros [zeroChunk]byte

// gather returns how many of ops, from the first on, one system call can do: writes of one file
// that continue each other. Other operations stand alone.
func gather(ops []diskio.Op) int {
	first := ops[0]
	if first.Kind != diskio.Write {
		return 1
	}
	end, size := first.Offset+int64(len(first.Data)), len(first.Data)
	for i := 1; i < len(ops); i++ {
		op := &ops[i]
		size += len(op.Data)
		if op.Kind != diskio.Write || op.File != first.File || op.Offset != end ||
			i == gatherOps || size > gatherBytes {
			return i
		}
		end += int64(len(op.Data))
	}
	return len(ops)
}

// performWrites does writes that continue each other. After an error, those that are not wholly
// written fail with it: nothing of them may be assumed.
func (d *Disk) performWrites(l *lane, ops []diskio.Op) {
	started := time.Now()
	size := 0
	buffers := make([][]byte, 0, 8)
	for i := range ops {
		if len(ops[i].Data) > 0 {
			buffers = append(buffers, ops[i].Data)
			size += len(ops[i].Data)
		}
	}
	written, err := d.writeFile(ops[0].File, buffers, ops[0].Offset)
	l.writes.Add(uint64(len(ops)))
	l.writeCalls.Add(1)
	l.writeBytes.Add(uint64(written))
	d.observe(l, &ops[0], started, size, len(ops))
	for i := range ops {
		written -= len(ops[i].Data)
		if err != nil && written < 0 || err != nil && len(ops[i].Data) == 0 {
			d.complete(l, ops[i], nil, err)
		} else {
			d.complete(l, ops[i], nil, nil)
		}
	}
}

// writeFile writes the buffers at off and returns how many bytes it wrote.
func (d *Disk) writeFile(name string, buffers [][]byte, off int64) (written int, err error) {
	x, err := d.acquire(name, creates)
	if err != nil {
		return 0, err
	}
	defer d.releaseInto(x, &err)
	if off < 0 {
		return 0, fmt.Errorf("write %s at %d: %w", name, off, syscall.EINVAL)
	}
	if len(buffers) == 0 {
		return 0, nil
	}
	d.files.soil(x)
	written, err = writeAll(x.file, buffers, off)
	if err != nil {
		err = fmt.Errorf("write %s at %d: %w", name, off+int64(written), err)
	}
	return written, err
}

// acquire opens the file of that name; see handles.acquire.
func (d *Disk) acquire(name string, missing whenMissing) (*handle, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	return d.files.acquire(path, missing)
}

// releaseInto ends a use of x; a failure to close the file joins *err.
func (d *Disk) releaseInto(x *handle, err *error) {
	if closing := d.files.release(x); closing != nil {
		*err = errors.Join(*err, closing)
	}
}

// performOne does any operation but a Write.
func (d *Disk) performOne(op diskio.Op) ([]byte, error) {
	switch op.Kind {
	case diskio.Sync:
		return nil, d.syncFile(op.File)
	case diskio.Allocate:
		return nil, d.setLength(op.File, op.Length, creates)
	case diskio.Truncate:
		return nil, d.setLength(op.File, op.Length, fails)
	case diskio.Rename:
		return nil, d.rename(op.File, op.To)
	case diskio.Remove:
		path, err := d.path(op.File)
		if err != nil {
			return nil, err
		}
		return nil, d.files.remove(path)
	case diskio.SyncDir:
		return nil, d.syncDir(op.File)
	case diskio.MakeDir:
		return nil, d.makeDir(op.File)
	case diskio.Read:
		return d.readFile(op)
	}
	return nil, fmt.Errorf("operation %v: %w", op, syscall.EINVAL)
}

func (d *Disk) syncFile(name string) (err error) {
	x, err := d.acquire(name, fails)
	if err != nil {
		return err
	}
	defer d.releaseInto(x, &err)
	covered := d.files.begun(x)
	if err := syncData(x.file); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	d.files.clean(x, covered)
	return nil
}

// setLength does Allocate (creates) and Truncate (fails). Only an Allocate that makes the file
// longer writes; a Truncate beyond the end leaves a hole.
func (d *Disk) setLength(name string, length int64, missing whenMissing) (err error) {
	if length < 0 {
		return fmt.Errorf("set length of %s to %d: %w", name, length, syscall.EINVAL)
	}
	x, err := d.acquire(name, missing)
	if err != nil {
		return err
	}
	defer d.releaseInto(x, &err)
	info, err := x.file.Stat()
	if err != nil {
		return err
	}
	d.files.soil(x)
	if missing == fails || length <= info.Size() {
		return x.file.Truncate(length)
	}
	if err := fillZeros(x.file, info.Size(), length); err != nil {
		// What was added is of no use to anyone, least of all on a full disk.
		return errors.Join(fmt.Errorf("allocate %s to %d: %w", name, length, err),
			x.file.Truncate(info.Size()))
	}
	return nil
}

// fillZeros makes the bytes from one offset to another exist and read as zeros. Where the file
// system can reserve space, nothing is written: the first pass over a log segment then pays for
// marking extents as written (about 0.2 ms a sync here), and recycled segments never again, while
// writing zeros would double the bytes that a young log writes.
func fillZeros(file *os.File, from, to int64) error {
	if done, err := reserve(file, from, to-from); done || err != nil {
		return err
	}
	for from < to {
		n, err := file.WriteAt(zeros[:min(to-from, zeroChunk)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

func (d *Disk) rename(name, to string) error {
	from, err := d.path(name)
	if err != nil {
		return err
	}
	target, err := d.path(to)
	if err != nil {
		return err
	}
	return d.files.rename(from, target)
}

func (d *Disk) syncDir(name string) error {
	path, err := d.dirPath(name)
	if err != nil {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := dir.Stat()
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("sync directory %s: %w", name, syscall.ENOTDIR)
	}
	if err == nil {
		err = syncNames(dir)
	}
	return errors.Join(err, dir.Close())
}

func (d *Disk) makeDir(name string) error {
	path, err := d.dirPath(name)
	if err != nil {
		return err
	}
	err = os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
			return nil
		}
	}
	return err
}

// readFile does a Read. The buffer is bounded by the file, whatever the operation asks for.
func (d *Disk) readFile(op diskio.Op) (data []byte, err error) {
	x, err := d.acquire(op.File, fails)
	if err != nil {
		return nil, err
	}
	defer d.releaseInto(x, &err)
	if op.Offset < 0 || op.Length < 0 {
		return nil, fmt.Errorf("read %s at %d: %w", op.File, op.Offset, syscall.EINVAL)
	}
	info, err := x.file.Stat()
	if err != nil {
		return nil, err
	}
	data = make([]byte, max(min(op.Length, info.Size()-op.Offset), 0))
	n, err := x.file.ReadAt(data, op.Offset)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return data[:n], nil
}

// wrap turns an error of the operating system into one that matches the door's errors.
func wrap(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("%w: %w", statusOf(err).Err(), err)
}

// ReadAt implements diskio.Reader.
func (d *Disk) ReadAt(file string, p []byte, off int64) (n int, err error) {
	x, err := d.acquire(file, fails)
	if err != nil {
		return 0, wrap(err)
	}
	n, err = x.file.ReadAt(p, off)
	if closing := d.files.release(x); closing != nil {
		err = errors.Join(err, closing)
	}
	return n, wrap(err)
}

// Size implements diskio.Reader.
func (d *Disk) Size(file string) (int64, error) {
	path, err := d.path(file)
	if err != nil {
		return 0, wrap(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, wrap(err)
	}
	if !info.Mode().IsRegular() {
		return 0, wrap(fmt.Errorf("size of %s: %w", file, syscall.EISDIR))
	}
	return info.Size(), nil
}

// List implements diskio.Reader.
func (d *Disk) List(dir string) ([]diskio.FileInfo, error) {
	path, err := d.dirPath(dir)
	if err != nil {
		return nil, wrap(err)
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(err)
	}
	var infos []diskio.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // removed since the directory was read
		case err != nil:
			return nil, wrap(err)
		case info.Mode().IsRegular():
			infos = append(infos, diskio.FileInfo{Name: info.Name(), Size: info.Size()})
		}
	}
	slices.SortFunc(infos, func(a, b diskio.FileInfo) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return infos, nil
}

// SectorSize implements diskio.Reader.
func (d *Disk) SectorSize() int {
	return sectorSize
}
