package simdisk

import (
	"math/bits"
	"slices"

	"github.com/detcd/detcd/diskio"
)

// FileImage describes one file or directory in both layers, for people: what the running system
// sees, and what a loss of power at this moment is sure to leave.
type FileImage struct {
	Name string
	Dir  bool
	// Size and MediaSize are bytes in the cache and on the media; from Low on the media is void.
	Size, MediaSize, Low int64
	Naming               Naming
	// Dirty counts the sectors that were written and not synced, Forgotten those that a failed sync
	// dropped, Lied those of Dirty that a sync reported as durable.
	Dirty, Forgotten, Lied int
	// Volatile lists the runs of dirty and forgotten sectors, in bytes.
	Volatile []Extent
	Damage   []Overlay
}

// Extent is a part of a file in bytes: From up to and without To.
type Extent struct{ From, To int64 }

// Naming says in which layers a name exists.
type Naming uint8

// The layers of a name.
const (
	Durable  Naming = iota // in both, and it means the same file
	Volatile               // only the running system knows it
	Doomed                 // removed or replaced, but the media still has the old file
)

// String says it in a word.
func (n Naming) String() string { return [...]string{"durable", "volatile", "doomed"}[n] }

// Image describes all files, sorted by name; one that was removed and is still on the media comes
// behind what has its name now.
func (d *Disk) Image() []FileImage {
	var all []FileImage
	names := slices.Concat(d.live.names, d.durable.names)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		seen, kept := d.live.get(name), d.durable.get(name)
		if seen != nil {
			f := d.image(name, seen)
			if kept != seen {
				f.Naming = Volatile
			}
			all = append(all, f)
		}
		if kept != nil && kept != seen {
			f := d.image(name, kept)
			f.Naming = Doomed
			all = append(all, f)
		}
	}
	return all
}

func (d *Disk) image(name string, n *inode) FileImage {
	f := FileImage{Name: name, Dir: n.isDir, Size: n.size, MediaSize: n.mediaSize, Low: n.low}
	for _, o := range n.overlays {
		copied := *o
		copied.File, copied.node = name, nil
		f.Damage = append(f.Damage, copied)
	}
	sector := int64(d.opt.Sector)
	for i := range n.slots {
		s := &n.slots[i]
		f.Dirty += bits.OnesCount8(uint8(s.dirty))
		f.Forgotten += bits.OnesCount8(uint8(s.forgotten))
		f.Lied += bits.OnesCount8(uint8(s.lied))
		for k := range d.perPage {
			if (s.dirty|s.forgotten)>>k&1 == 0 {
				continue
			}
			from := int64(i)*pageSize + int64(k)*sector
			if last := len(f.Volatile) - 1; last >= 0 && f.Volatile[last].To == from {
				f.Volatile[last].To = from + sector
			} else {
				f.Volatile = append(f.Volatile, Extent{from, from + sector})
			}
		}
	}
	return f
}

// Waiting lists the operations of a lane that are not finished, the one in flight first.
func (d *Disk) Waiting(lane diskio.Lane) []diskio.Op {
	var all []diskio.Op
	if f := &d.inFlight[lane]; f.busy {
		all = append(all, f.op)
	}
	return append(all, d.queue[lane]...)
}

// Reseed lets all later draws of the disk come from another seed.
func (d *Disk) Reseed(seed uint64) { d.opt.Seed = seed }
