package mvcc_test

// A disk in memory for tests of the engine. It performs operations in order, one at a time, when it
// is told to, and loses nothing but what was not performed: what a crash does to unsynced data is
// judged where the segments are written.

import (
	"io"
	"path"
	"sort"

	"github.com/detcd/detcd/diskio"
)

type memDisk struct {
	files map[string][]byte
	queue []diskio.Op
}

func (d *memDisk) ReadAt(file string, p []byte, off int64) (int, error) {
	data, ok := d.files[file]
	if !ok {
		return 0, diskio.ErrNotFound
	}
	n := copy(p, data[min(off, int64(len(data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *memDisk) Size(file string) (int64, error) {
	data, ok := d.files[file]
	if !ok {
		return 0, diskio.ErrNotFound
	}
	return int64(len(data)), nil
}

func (d *memDisk) List(dir string) (infos []diskio.FileInfo, err error) {
	for name, data := range d.files {
		if path.Dir(name) == dir {
			infos = append(infos, diskio.FileInfo{Name: path.Base(name), Size: int64(len(data))})
		}
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name < infos[j].Name })
	return infos, nil
}

func (d *memDisk) SectorSize() int { return 512 }

// step performs the oldest operation.
func (d *memDisk) step() diskio.Completion {
	op := d.queue[0]
	d.queue = d.queue[1:]
	c := diskio.Completion{Ticket: op.Ticket, Lane: op.Lane, Kind: op.Kind, File: op.File}
	data := d.files[op.File]
	switch op.Kind {
	case diskio.Write:
		if end := int(op.Offset) + len(op.Data); end > len(data) {
			data = append(data, make([]byte, end-len(data))...)
		}
		copy(data[op.Offset:], op.Data)
		d.files[op.File] = data
	case diskio.Truncate:
		d.files[op.File] = data[:op.Length]
	case diskio.Rename:
		d.files[op.To] = data
		delete(d.files, op.File)
	case diskio.Remove:
		delete(d.files, op.File)
	case diskio.Read:
		end := min(op.Offset+op.Length, int64(len(data)))
		c.Data = append([]byte(nil), data[min(op.Offset, end):end]...)
	}
	return c
}
