package simdisk

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
)

// What oracles ask a disk, and what the disk demands of itself.

// Durable says whether length bytes at off of a live file survive every power loss that could come
// now, as far as the media stays undamaged: the name, the size and every sector are synced, the
// sync was honest, and nothing in flight touches them.
func (d *Disk) Durable(file string, off, length int64) bool {
	n := d.live.reach(file)
	if n == nil || n.isDir || d.durable.reach(file) != n || off < 0 || length < 0 {
		return false
	}
	for i := range d.pending {
		// A change of a directory on the way cannot be pending: reach found it durable.
		if d.pending[i].node == n || d.pending[i].to == file || d.pending[i].name == file {
			return false
		}
	}
	if off+length > n.low || d.endangered(n, file, off, off+length) {
		return false
	}
	for at := off; at < off+length; {
		i, lo := int(at/pageSize), int(at%pageSize)
		hi := int(min(off+length-int64(i)*pageSize, pageSize))
		if s := &n.slots[i]; (s.dirty|s.forgotten)&d.sectorsOf(lo, hi) != 0 {
			return false
		}
		at = int64(i+1) * pageSize
	}
	return true
}

// endangered says whether an operation in flight may change bytes from off to end of n, or its
// name.
func (d *Disk) endangered(n *inode, file string, off, end int64) bool {
	for _, f := range d.inFlight {
		if !f.busy || f.op.File != file && f.op.To != file {
			continue
		}
		from, to := int64(0), int64(maxFile)
		switch f.op.Kind {
		case diskio.Write:
			from, to = f.op.Offset, f.op.Offset+int64(len(f.op.Data))
		case diskio.Allocate:
			// The new part is written, or what is cut off is lost.
			from, to = min(f.op.Length, n.size), max(f.op.Length, n.size)
		case diskio.Truncate:
			from, to = min(f.op.Length, n.size), n.size
		case diskio.Rename, diskio.Remove:
		default:
			continue
		}
		// A sector is in danger as a whole.
		sector := int64(d.opt.Sector)
		first, last := from/sector*sector, (to+sector-1)/sector*sector
		if from < to && first < end && off < last {
			return true
		}
	}
	return false
}

// Check verifies the disk's invariants; it costs time proportional to all files.
func (d *Disk) Check() error {
	var used int64
	seen := make(map[*inode]bool)
	for i, name := range d.live.names {
		n := d.live.get(name)
		if n == nil || i > 0 && d.live.names[i-1] >= name || !d.live.hasDir(parent(name)) {
			return fmt.Errorf("simdisk: name table is broken at %q", name)
		}
		if seen[n] {
			continue
		}
		seen[n] = true
		used += n.size
		if err := d.check(name, n); err != nil {
			return err
		}
	}
	if len(d.live.nodes) != len(d.live.names) || used != d.used {
		return fmt.Errorf("simdisk: %d names for %d nodes, %d bytes used, %d counted",
			len(d.live.names), len(d.live.nodes), used, d.used)
	}
	return nil
}

// check verifies the invariants of one file.
func (d *Disk) check(name string, n *inode) error {
	if n.low > n.size || n.low > n.mediaSize {
		return fmt.Errorf("simdisk: %s: low %d, size %d, media %d",
			name, n.low, n.size, n.mediaSize)
	}
	if len(n.slots) < pages(n.size) {
		return fmt.Errorf("simdisk: %s: %d pages for %d bytes", name, len(n.slots), n.size)
	}
	for i := range n.slots {
		s := &n.slots[i]
		cache, media := contents(s.cache), contents(s.media)
		from := int64(i) * pageSize
		for at := max(n.mediaSize-from, 0); at < pageSize; at++ {
			if media[at] != 0 {
				return fmt.Errorf("simdisk: %s: byte %d of the media lies beyond %d",
					name, from+at, n.mediaSize)
			}
		}
		clear(media[min(max(n.low-from, 0), pageSize):])
		for sector := range d.perPage {
			lo, hi := sector*d.opt.Sector, (sector+1)*d.opt.Sector
			clean := (s.dirty|s.forgotten)&(1<<sector) == 0
			if clean && string(cache[lo:hi]) != string(media[lo:hi]) {
				return fmt.Errorf("simdisk: %s: clean sector %d of page %d differs",
					name, sector, i)
			}
		}
		for at := max(n.size-from, 0); at < pageSize; at++ {
			if cache[at] != 0 {
				return fmt.Errorf("simdisk: %s: byte %d lies beyond %d", name, from+at, n.size)
			}
		}
	}
	return nil
}
