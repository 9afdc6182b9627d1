package simdisk

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/detcd/detcd/diskio/keyed"
)

// Damage of the media never touches the pristine bytes. It is an overlay that reads go through, so
// that an oracle can list what is damaged, a shrinker can switch one damage off and attribute a
// failure to it, and a fault budget can be counted. Writing a sector to the media heals it. Sectors
// that the cache holds and the media does not yet (dirty or forgotten) are read past the overlay;
// clean ones are read through it, as if the cache had been evicted.

// OverlayID names one overlay of a disk, counting from 1 in the order of injection.
type OverlayID uint64

// Overlay is the damage of one sector.
type Overlay struct {
	ID     OverlayID
	Kind   FaultKind
	File   string // the file's name: at present in what Overlays returns
	Sector int64  // index of the sector in the file
	// Source is, for the sector that a Misdirected write overwrote, the sector it was meant for;
	// for the sector that it was meant for, which keeps its old content, it equals Sector.
	Source   int64
	Disabled bool   // switched off: reads see the pristine bytes
	Felt     uint64 // reads that returned something else because of it

	node  *inode
	key   uint64
	bytes []byte // LostWrite, Misdirected: what the sector holds; never modified
}

// String describes o in one line.
func (o Overlay) String() string {
	return fmt.Sprintf("#%d %v in %s sector %d", o.ID, o.Kind, o.File, o.Sector)
}

// Overlays lists the damage of all files that have a name, in the order of injection.
func (d *Disk) Overlays() []Overlay {
	var listed []Overlay
	for _, o := range d.overlays {
		for _, name := range d.live.names {
			if d.live.get(name) == o.node {
				copied := *o
				copied.File, copied.node = name, nil
				listed = append(listed, copied)
				break
			}
		}
	}
	return listed
}

// Disable switches an overlay off, so that reads see the pristine bytes. It returns false when the
// overlay does not exist, or no longer, because its sector was rewritten.
func (d *Disk) Disable(id OverlayID) bool {
	o := d.overlay(id)
	if o != nil {
		o.Disabled = true
	}
	return o != nil
}

// Enable switches an overlay on again; see Disable.
func (d *Disk) Enable(id OverlayID) bool {
	o := d.overlay(id)
	if o != nil {
		o.Disabled = false
	}
	return o != nil
}

func (d *Disk) overlay(id OverlayID) *Overlay {
	for _, o := range d.overlays {
		if o.ID == id {
			return o
		}
	}
	return nil
}

// Strike damages one sector now, chosen by key among all sectors on the media of the files that
// within names (as in Arm). It returns false when there is no sector to damage. LostWrite needs a
// write to lose, so it can only be armed or given a rate.
func (d *Disk) Strike(k FaultKind, within string, key uint64) (OverlayID, bool) {
	var sectors uint64
	for _, name := range d.live.names {
		if covers(within, name) {
			sectors += uint64(d.mediaSectors(d.live.get(name)))
		}
	}
	if sectors == 0 {
		return 0, false
	}
	pick := int64(keyed.Hash(key, d.opt.Seed, uint64(k)) % sectors)
	for _, name := range d.live.names {
		if !covers(within, name) {
			continue
		}
		if n := d.mediaSectors(d.live.get(name)); pick >= n {
			pick -= n
			continue
		}
		return d.StrikeSector(k, name, pick, key)
	}
	panic("simdisk: a sector was picked beyond all sectors")
}

// StrikeSector damages the given sector of a file's media now; see Strike. It returns false when
// the media does not hold the sector, or when no such damage is possible there.
func (d *Disk) StrikeSector(k FaultKind, file string, sector int64, key uint64) (OverlayID, bool) {
	n := d.live.get(file)
	if n == nil || sector < 0 || sector >= d.mediaSectors(n) {
		return 0, false
	}
	o := Overlay{Kind: k, File: file, Sector: sector, Source: sector, key: key}
	switch k {
	case LatentSector, BitRot, ZeroedSector:
	case Misdirected:
		source, ok := d.otherSector(n, sector, key)
		if !ok {
			return 0, false
		}
		o.Source, o.bytes = source, d.mediaSector(n, source)
	default:
		panic(fmt.Sprintf("simdisk: strike with %v", k))
	}
	return d.lay(n, o), true
}

// lay puts o over the media of n.
func (d *Disk) lay(n *inode, o Overlay) OverlayID {
	d.lastID++
	o.ID, o.node = d.lastID, n
	laid := &o
	n.overlays = append(n.overlays, laid)
	d.overlays = append(d.overlays, laid)
	d.counts.Injected[o.Kind]++
	return o.ID
}

// mediaSectors is the number of sectors that the media holds of n.
func (d *Disk) mediaSectors(n *inode) int64 {
	return (n.mediaSize + int64(d.opt.Sector) - 1) / int64(d.opt.Sector)
}

// mediaSector returns a copy of a sector's pristine bytes.
func (d *Disk) mediaSector(n *inode, sector int64) []byte {
	copied := make([]byte, d.opt.Sector)
	if i := int(sector) / d.perPage; i < len(n.slots) && n.slots[i].media != nil {
		copy(copied, n.slots[i].media[int(sector)%d.perPage*d.opt.Sector:])
	}
	return copied
}

// otherSector picks a sector of n's media that is not the given one.
func (d *Disk) otherSector(n *inode, sector int64, key uint64) (int64, bool) {
	all := d.mediaSectors(n)
	if all < 2 {
		return 0, false
	}
	other := int64(keyed.Hash(key, uint64(sector)) % uint64(all-1))
	if other >= sector {
		other++
	}
	return other, true
}

// planDamage decides which sectors of the sync that is about to happen come to harm. It runs before
// the sync, while the media still has what a lost write leaves there.
func (d *Disk) planDamage(n *inode, file string) []Overlay {
	var planned []Overlay
	for k := LatentSector; k < NumFaults; k++ {
		rate := uint64(d.rates[k])
		if rate == 0 && len(d.armed) == 0 {
			continue
		}
		sectors := d.dirtySectors(n)
		if len(sectors) == 0 {
			return nil
		}
		for _, sector := range sectors {
			h := keyed.Hash(d.opt.Seed, uint64(k), n.key, uint64(sector), n.syncs)
			if keyed.Chance(h, rate, Million) {
				planned = d.planSector(planned, n, k, file, sector, h)
			}
		}
		if d.takeArmed(k, file) {
			h := keyed.Hash(d.opt.Seed, uint64(k), n.key, n.syncs)
			sector := sectors[h%uint64(len(sectors))]
			planned = d.planSector(planned, n, k, file, sector, h)
		}
	}
	return planned
}

func (d *Disk) planSector(planned []Overlay, n *inode, k FaultKind, file string, sector int64,
	h uint64,
) []Overlay {
	o := Overlay{Kind: k, File: file, Sector: sector, Source: sector, key: h}
	if k == LostWrite || k == Misdirected {
		o.bytes = d.mediaSector(n, sector)
		if from := n.low - sector*int64(d.opt.Sector); from < int64(d.opt.Sector) {
			clear(o.bytes[max(from, 0):])
		}
	}
	if k == Misdirected {
		last := max((n.size-1)/int64(d.opt.Sector), 0)
		if last == 0 {
			return planned
		}
		target := int64(keyed.Hash(h, 1) % uint64(last))
		if target >= sector {
			target++
		}
		landed := o
		landed.Sector, landed.bytes = target, make([]byte, d.opt.Sector)
		if s := &n.slots[int(sector)/d.perPage]; s.cache != nil {
			copy(landed.bytes, s.cache[int(sector)%d.perPage*d.opt.Sector:])
		}
		planned = append(planned, landed)
	}
	return append(planned, o)
}

// dirtySectors lists the sectors that a sync of n would write, in order.
func (d *Disk) dirtySectors(n *inode) []int64 {
	var sectors []int64
	for _, i := range n.written {
		if int(i) >= len(n.slots) {
			continue
		}
		for m := n.slots[i].dirty; m != 0; m &= m - 1 {
			bit := bits.TrailingZeros8(uint8(m))
			sectors = append(sectors, int64(i)*int64(d.perPage)+int64(bit))
		}
	}
	slices.Sort(sectors)
	return slices.Compact(sectors)
}

// heal drops the overlays of sectors that are being rewritten; first is the index of the page's
// first sector.
func (n *inode) heal(d *Disk, first int64, sectors sectorMask) {
	if len(n.overlays) == 0 {
		return
	}
	d.dropOverlays(n, func(o *Overlay) bool {
		at := o.Sector - first
		return at >= 0 && at < int64(d.perPage) && sectors&(1<<at) != 0
	})
}

// healFrom drops the overlays of sectors that lie wholly at or beyond size.
func (n *inode) healFrom(d *Disk, size int64) {
	if len(n.overlays) == 0 {
		return
	}
	d.dropOverlays(n, func(o *Overlay) bool {
		return o.Sector*int64(d.opt.Sector) >= size
	})
}

func (d *Disk) dropOverlays(n *inode, drop func(*Overlay) bool) {
	d.overlays = slices.DeleteFunc(d.overlays, func(o *Overlay) bool {
		return o.node == n && drop(o)
	})
	n.overlays = slices.DeleteFunc(n.overlays, drop)
}
