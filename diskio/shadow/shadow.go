// Package shadow is a disk that reads files as they are and keeps every change to itself.
//
// It lets a node start on a data directory that must not be touched: an operator looks at a member
// that is down, takes a backup of it, and finds every byte as it was. Changed files are held in
// memory, in pages, so what is claimed in advance costs nothing; a change of a gigabyte costs a
// gigabyte. Nothing is durable, so Sync has nothing to do.
package shadow

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/detcd/detcd/diskio"
)

const pageBytes = 16 << 10

// Disk is a disk over another one's files. It performs at once, on the caller's goroutine.
type Disk struct {
	under diskio.Reader
	done  func(diskio.Completion)

	mu sync.RWMutex
	// files are those that differ from what lies under them; a nil one is gone.
	files map[string]*file
	dirs  map[string]bool // made here
}

// file is a changed file. Its content is its pages, and below them the file that it was.
type file struct {
	size  int64
	pages map[int64][]byte
	base  string // "": nothing lies under it
	// solid is where the file under it ends, or was cut: behind it are zeros.
	solid int64
}

var _ diskio.Disk = (*Disk)(nil)

// New covers the files of under. Completions are handed to done during Submit.
func New(under diskio.Reader, done func(diskio.Completion)) *Disk {
	return &Disk{under: under, done: done, files: map[string]*file{}, dirs: map[string]bool{}}
}

// SectorSize is that of the files' disk.
func (d *Disk) SectorSize() int { return d.under.SectorSize() }

// Size returns a file's length.
func (d *Disk) Size(name string) (int64, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.size(name)
}

func (d *Disk) size(name string) (int64, error) {
	if d.dirs[name] {
		return 0, fmt.Errorf("shadow: %s is a directory: %w", name, diskio.ErrFailed)
	}
	if f, changed := d.files[name]; changed {
		if f == nil {
			return 0, fmt.Errorf("shadow: %s: %w", name, diskio.ErrNotFound)
		}
		return f.size, nil
	}
	if d.isDir(name) {
		return 0, fmt.Errorf("shadow: %s is a directory: %w", name, diskio.ErrFailed)
	}
	for dir := path.Dir(name); dir != "." && diskio.ValidFile(name); dir = path.Dir(dir) {
		if d.files[dir] != nil {
			return 0, fmt.Errorf("shadow: %s is no directory: %w", dir, diskio.ErrFailed)
		}
	}
	return d.under.Size(name)
}

// isDir says whether a valid name is a directory. Those under the shadow show by being no file:
// only a directory fails to tell its size.
func (d *Disk) isDir(name string) bool {
	name = strings.TrimPrefix(name, "./")
	if name == "" || name == "." || d.dirs[name] {
		return true
	}
	if _, changed := d.files[name]; changed {
		return false
	}
	_, err := d.under.Size(name)
	return err != nil && !errors.Is(err, diskio.ErrNotFound) && diskio.ValidFile(name)
}

// ReadAt reads from a file.
func (d *Disk) ReadAt(name string, p []byte, off int64) (int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if _, err := d.size(name); err != nil {
		return 0, err
	}
	f, changed := d.files[name]
	switch {
	case !changed:
		return d.under.ReadAt(name, p, off)
	case off < 0:
		return 0, fmt.Errorf("shadow: read %s at %d: %w", name, off, diskio.ErrFailed)
	}
	return f.readAt(d.under, p, off)
}

func (f *file) readAt(under diskio.Reader, p []byte, off int64) (n int, err error) {
	for n < len(p) && off < f.size {
		at := off % pageBytes
		part := p[n:min(int64(len(p)), int64(n)+min(pageBytes-at, f.size-off))]
		if page, ok := f.pages[off/pageBytes]; ok {
			copy(part, page[at:])
		} else if err := f.readUnder(under, part, off); err != nil {
			return n, err
		}
		n, off = n+len(part), off+int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readUnder reads what was there before the changes.
func (f *file) readUnder(under diskio.Reader, p []byte, off int64) error {
	clear(p)
	if f.base == "" || off >= f.solid {
		return nil
	}
	part := p[:min(int64(len(p)), f.solid-off)]
	n, err := under.ReadAt(f.base, part, off)
	if n == len(part) {
		return nil
	}
	return fmt.Errorf("shadow: read %s at %d: %d of %d bytes: %w", f.base, off, n, len(part), err)
}

// List returns the files of a directory.
func (d *Disk) List(dir string) ([]diskio.FileInfo, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !diskio.ValidDir(dir) || !d.isDir(dir) && d.exists(dir) {
		return nil, fmt.Errorf("shadow: list %s: %w", dir, diskio.ErrFailed)
	}
	clean := path.Clean(dir)
	var listed []diskio.FileInfo
	if !d.dirs[clean] {
		under, err := d.under.List(dir)
		if err != nil {
			return nil, err
		}
		for _, info := range under {
			if _, changed := d.files[path.Join(clean, info.Name)]; !changed {
				listed = append(listed, info)
			}
		}
	}
	for name, f := range d.files {
		if f != nil && path.Dir(name) == clean {
			listed = append(listed, diskio.FileInfo{Name: path.Base(name), Size: f.size})
		}
	}
	slices.SortFunc(listed, func(a, b diskio.FileInfo) int { return cmp.Compare(a.Name, b.Name) })
	return listed, nil
}

func (d *Disk) exists(name string) bool {
	_, err := d.size(name)
	return err == nil
}

// Submit performs an operation and hands its completion to done.
func (d *Disk) Submit(op diskio.Op) {
	d.mu.Lock()
	data, err := d.perform(op)
	d.mu.Unlock()
	c := diskio.Completion{Ticket: op.Ticket, Lane: op.Lane, Kind: op.Kind, File: op.File,
		Data: data}
	if err != nil {
		c.Status, c.Detail = diskio.Failed, err.Error()
		if errors.Is(err, diskio.ErrNotFound) {
			c.Status = diskio.NotFound
		}
	}
	d.done(c)
}

func (d *Disk) perform(op diskio.Op) ([]byte, error) {
	if err := d.check(&op); err != nil {
		return nil, err
	}
	switch op.Kind {
	case diskio.Write:
		return nil, d.write(op)
	case diskio.Sync:
		_, err := d.size(op.File)
		return nil, err
	case diskio.Allocate:
		return nil, d.resize(op, creates)
	case diskio.Truncate:
		return nil, d.resize(op, refuses)
	case diskio.Rename:
		return nil, d.rename(op)
	case diskio.Remove:
		if _, err := d.size(op.File); errors.Is(err, diskio.ErrNotFound) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		d.files[op.File] = nil
		return nil, nil
	case diskio.SyncDir:
		return nil, d.syncDir(op.File)
	case diskio.MakeDir:
		return nil, d.makeDir(op.File)
	case diskio.Read:
		return d.read(op)
	}
	return nil, fmt.Errorf("shadow: %v: %w", op, diskio.ErrFailed)
}

// check refuses names and numbers that mean nothing.
func (d *Disk) check(op *diskio.Op) error {
	valid := diskio.ValidFile(op.File)
	switch op.Kind {
	case diskio.SyncDir:
		valid = diskio.ValidDir(op.File)
	case diskio.Rename:
		valid = valid && diskio.ValidFile(op.To)
	}
	if !valid || op.Offset < 0 || op.Length < 0 {
		return fmt.Errorf("shadow: %v: invalid: %w", *op, diskio.ErrFailed)
	}
	return nil
}
