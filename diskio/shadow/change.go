package shadow

// The operations that change something.

import (
	"fmt"
	"path"

	"github.com/detcd/detcd/diskio"
)

// missing says what an operation does with a file that does not exist.
type missing uint8

const (
	creates missing = iota
	refuses
)

// change returns a file to be changed.
func (d *Disk) change(name string, absent missing) (*file, error) {
	if f := d.files[name]; f != nil {
		return f, nil
	}
	if d.isDir(name) {
		return nil, fmt.Errorf("shadow: %s is a directory: %w", name, diskio.ErrFailed)
	}
	f := &file{pages: map[int64][]byte{}}
	if size, err := d.size(name); err == nil {
		f.size, f.solid, f.base = size, size, name
	} else if absent == refuses {
		return nil, err
	} else if err := d.parent(name); err != nil {
		return nil, err
	}
	d.files[name] = f
	return f, nil
}

// parent demands that a new name's directory exists.
func (d *Disk) parent(name string) error {
	dir := path.Dir(name)
	switch {
	case d.isDir(dir):
		return nil
	case d.exists(dir):
		return fmt.Errorf("shadow: %s is no directory: %w", dir, diskio.ErrFailed)
	}
	return fmt.Errorf("shadow: directory %s: %w", dir, diskio.ErrNotFound)
}

func (d *Disk) write(op diskio.Op) error {
	f, err := d.change(op.File, creates)
	if err != nil {
		return err
	}
	for off, rest := op.Offset, op.Data; len(rest) > 0; {
		page, err := f.page(d.under, off/pageBytes)
		if err != nil {
			return err
		}
		n := copy(page[off%pageBytes:], rest)
		off, rest = off+int64(n), rest[n:]
	}
	if len(op.Data) > 0 {
		f.size = max(f.size, op.Offset+int64(len(op.Data)))
	}
	return nil
}

// page returns a page of the file to be changed. Who reads it holds the lock, too.
func (f *file) page(under diskio.Reader, number int64) ([]byte, error) {
	page, ok := f.pages[number]
	if !ok {
		page = make([]byte, pageBytes)
		if err := f.readUnder(under, page, number*pageBytes); err != nil {
			return nil, err
		}
		f.pages[number] = page
	}
	return page, nil
}

// resize makes a file as long as said.
func (d *Disk) resize(op diskio.Op, absent missing) error {
	f, err := d.change(op.File, absent)
	if err != nil {
		return err
	}
	f.size, f.solid = op.Length, min(f.solid, op.Length)
	for number, page := range f.pages {
		switch start := number * pageBytes; {
		case start >= f.size:
			delete(f.pages, number)
		case start+pageBytes > f.size:
			clear(page[f.size-start:])
		}
	}
	return nil
}

func (d *Disk) rename(op diskio.Op) error {
	f, err := d.change(op.File, refuses)
	if err != nil {
		return err
	}
	if d.isDir(op.To) {
		return fmt.Errorf("shadow: %v: a directory: %w", op, diskio.ErrFailed)
	}
	if err := d.parent(op.To); err != nil {
		return err
	}
	d.files[op.File] = nil
	d.files[op.To] = f
	return nil
}

func (d *Disk) syncDir(dir string) error {
	if d.isDir(dir) {
		return nil
	}
	if _, err := d.size(dir); err != nil {
		return err
	}
	return fmt.Errorf("shadow: %s is no directory: %w", dir, diskio.ErrFailed)
}

func (d *Disk) makeDir(dir string) error {
	if d.isDir(dir) {
		return nil
	}
	if d.exists(dir) {
		return fmt.Errorf("shadow: %s is a file: %w", dir, diskio.ErrFailed)
	}
	if err := d.parent(dir); err != nil {
		return err
	}
	d.dirs[dir] = true
	return nil
}

func (d *Disk) read(op diskio.Op) ([]byte, error) {
	size, err := d.size(op.File)
	if err != nil {
		return nil, err
	}
	b := make([]byte, max(0, min(op.Length, size-op.Offset)))
	f, changed := d.files[op.File]
	n := 0
	if changed {
		n, err = f.readAt(d.under, b, op.Offset)
	} else {
		n, err = d.under.ReadAt(op.File, b, op.Offset)
	}
	if n < len(b) {
		return nil, fmt.Errorf("shadow: %v: %w", op, err)
	}
	return b, nil
}
