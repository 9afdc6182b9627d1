package revlog

// A small disk for tests: it performs queued operations one at a time, and can lose power between
// any two of them. At a loss of power each unsynced sector becomes old, new or garbage, and each
// unsynced change of a name happens or does not, independently of all others.

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"sort"
	"strings"

	"github.com/detcd/detcd/diskio"
)

const testSector = 512

type inode struct{ data, synced []byte }

type testDisk struct {
	names, durable map[string]*inode
	queue          []diskio.Op
	done           []string // performed operations, if recording
	record         bool
	fail           diskio.Kind // operations of this kind fail
}

func newTestDisk() *testDisk {
	return &testDisk{names: map[string]*inode{}, durable: map[string]*inode{}}
}

func (d *testDisk) ReadAt(file string, p []byte, off int64) (int, error) {
	f := d.names[file]
	if f == nil {
		return 0, diskio.ErrNotFound
	}
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *testDisk) Size(file string) (int64, error) {
	if f := d.names[file]; f != nil {
		return int64(len(f.data)), nil
	}
	return 0, diskio.ErrNotFound
}

func (d *testDisk) List(dir string) (infos []diskio.FileInfo, err error) {
	for _, name := range sortedNames(d.names) {
		if path.Dir(name) == dir {
			infos = append(infos, diskio.FileInfo{Name: path.Base(name),
				Size: int64(len(d.names[name].data))})
		}
	}
	return infos, nil
}

func (d *testDisk) SectorSize() int { return testSector }

func (d *testDisk) Submit(op diskio.Op) { d.queue = append(d.queue, op) }

// step performs the first queued operation.
func (d *testDisk) step() diskio.Completion {
	op := d.queue[0]
	d.queue = d.queue[1:]
	if d.record {
		d.done = append(d.done, op.String())
	}
	c := diskio.Completion{Ticket: op.Ticket, Lane: op.Lane, Kind: op.Kind, File: op.File}
	if op.Kind == d.fail {
		c.Status = diskio.Failed
		return c
	}
	f := d.names[op.File]
	switch op.Kind {
	case diskio.Write:
		if f == nil {
			f = &inode{}
			d.names[op.File] = f
		}
		end := int(op.Offset) + len(op.Data)
		if end > len(f.data) {
			f.data = append(f.data, make([]byte, end-len(f.data))...)
		}
		copy(f.data[op.Offset:], op.Data)
	case diskio.Sync:
		f.synced = append([]byte(nil), f.data...)
	case diskio.Rename:
		d.names[op.To] = f
		delete(d.names, op.File)
	case diskio.Remove:
		delete(d.names, op.File)
	case diskio.SyncDir:
		for _, name := range sortedNames(d.names, d.durable) {
			if path.Dir(name) == op.File {
				setName(d.durable, name, d.names[name])
			}
		}
	case diskio.MakeDir:
	case diskio.Read:
		c.Data = append([]byte(nil), f.data[op.Offset:op.Offset+op.Length]...)
	default:
		panic(op.String())
	}
	return c
}

func setName(names map[string]*inode, name string, f *inode) {
	if f == nil {
		delete(names, name)
	} else {
		names[name] = f
	}
}

func sortedNames(maps ...map[string]*inode) (names []string) {
	seen := map[string]bool{}
	for _, m := range maps {
		for name := range m {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	sort.Strings(names)
	return names
}

// crash loses power and returns the disk that the next start sees.
func (d *testDisk) crash(seed uint64) *testDisk {
	rng := rand.New(rand.NewPCG(seed, 1))
	next := newTestDisk()
	copies := map[*inode]*inode{}
	for _, name := range sortedNames(d.names, d.durable) {
		f := d.names[name]
		if f != d.durable[name] && rng.IntN(2) == 0 {
			f = d.durable[name]
		}
		if f == nil {
			continue
		}
		if copies[f] == nil {
			data := tear(f, rng)
			copies[f] = &inode{data, append([]byte(nil), data...)}
		}
		next.names[name], next.durable[name] = copies[f], copies[f]
	}
	return next
}

// tear returns what is left of a file after a loss of power.
func tear(f *inode, rng *rand.Rand) []byte {
	if string(f.data) == string(f.synced) {
		return append([]byte(nil), f.synced...)
	}
	out := append([]byte(nil), f.synced...)
	if grown := len(f.data) - len(out); grown > 0 {
		out = append(out, make([]byte, rng.IntN(grown+1))...)
	}
	for off := 0; off < len(out); off += testSector {
		end := min(off+testSector, len(out))
		if off < len(f.synced) && end <= len(f.synced) && end <= len(f.data) &&
			string(f.synced[off:end]) == string(f.data[off:end]) {
			continue
		}
		switch rng.IntN(3) {
		case 0:
			copy(out[off:end], f.data[min(off, len(f.data)):])
		case 1:
			for i := off; i < end; i++ {
				out[i] = byte(rng.Uint32())
			}
		}
	}
	return out
}

func (d *testDisk) find(suffix string) (names []string) {
	for _, name := range sortedNames(d.names) {
		if strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
	}
	return names
}

func (d *testDisk) clone() *testDisk {
	next := newTestDisk()
	for _, name := range sortedNames(d.names) {
		data := append([]byte(nil), d.names[name].data...)
		f := &inode{data, append([]byte(nil), data...)}
		next.names[name], next.durable[name] = f, f
	}
	return next
}

func (d *testDisk) String() string { return fmt.Sprint(sortedNames(d.names)) }
