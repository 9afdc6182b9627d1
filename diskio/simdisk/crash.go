package simdisk

import (
	"math/bits"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/keyed"
)

// CrashKind says what a crash takes away.
type CrashKind uint8

// The kinds of crash.
const (
	// ProcessCrash loses the queues; what is in flight happened, did not, or a prefix of it did.
	ProcessCrash CrashKind = iota
	// PowerLoss loses the cache as well: every name, size and sector that is not synced is lost or
	// kept on its own, and an unsynced sector may be garbage.
	PowerLoss
)

// CrashReport counts what a crash did. A power loss that dropped nothing has tested nothing.
type CrashReport struct {
	Lost      int // operations that were queued
	InFlight  int // operations caught in flight
	Torn      int // of those, writes of which a prefix happened (process crash only)
	Kept      int // unsynced sectors that survived
	Dropped   int // unsynced sectors that are as at their last sync
	Older     int // unsynced sectors that have an earlier unsynced content
	Garbled   int // unsynced sectors that are garbage
	Forgotten int // sectors that a failed sync forgot, now gone
	SizesLost int // files whose unsynced size did not survive
	NamesKept int // unsynced changes of names that survived
	NamesLost int
}

// Crash ends everything in flight, as kind says and as drawn by seed, and leaves the disk as the
// next start finds it.
func (d *Disk) Crash(kind CrashKind, seed uint64) CrashReport {
	var report CrashReport
	for lane := range d.queue {
		report.Lost += len(d.queue[lane])
		d.queue[lane] = nil
		f := d.inFlight[lane]
		d.inFlight[lane] = flight{}
		if !f.busy {
			continue
		}
		report.InFlight++
		h := keyed.Hash(seed, uint64(lane), keyed.String(f.op.File))
		if kind == PowerLoss {
			d.settle(f.op, h)
		} else if d.interrupt(f.op, h) {
			report.Torn++
		}
	}
	if kind == PowerLoss {
		d.lose(&chooser{seed: seed}, &report)
	}
	return report
}

// settle prepares an operation in flight for a power loss: a change goes to the cache, where the
// loss decides about each of its parts; a sync may have come to its end.
func (d *Disk) settle(op diskio.Op, h uint64) {
	switch op.Kind {
	case diskio.Read:
	case diskio.Sync, diskio.SyncDir:
		if keyed.Chance(h, 1, 3) {
			d.effect(op)
		}
	default:
		d.effect(op)
	}
}

// interrupt ends an operation whose process dies; it returns whether it tore a write.
func (d *Disk) interrupt(op diskio.Op, h uint64) bool {
	if op.Kind == diskio.Read {
		return false
	}
	r := keyed.New(h)
	switch r.IntN(3) {
	case 0:
		return false
	case 1:
		d.effect(op)
		return false
	}
	// The kernel copies a write page by page, and that is where the process may leave it.
	first := pageSize - int(op.Offset%pageSize)
	if op.Kind != diskio.Write || op.Offset < 0 || len(op.Data) <= first {
		return false
	}
	whole := 1 + (len(op.Data)-first-1)/pageSize
	op.Data = op.Data[:first+r.IntN(whole)*pageSize]
	d.effect(op)
	return true
}

// lose is a power loss with nothing in flight.
func (d *Disk) lose(c *chooser, report *CrashReport) {
	for i := range d.pending {
		change := d.pending[i]
		if c.keepsName(i, change) {
			report.NamesKept++
			d.durable.apply(change)
			continue
		}
		report.NamesLost++
		if change.lied {
			d.counts.Felt[SyncLies]++
		}
	}
	d.pending = nil
	d.durable.prune()
	d.live = d.durable.clone()
	d.used = 0
	seen := make(map[*inode]bool, len(d.live.names))
	for _, name := range d.live.names {
		n := d.live.get(name)
		if seen[n] {
			continue
		}
		seen[n] = true
		if !n.isDir {
			d.loseFile(c, n, report)
		}
		d.used += n.size
	}
}

// loseFile decides what is left of one file.
func (d *Disk) loseFile(c *chooser, n *inode, report *CrashReport) {
	end := c.size(d, n)
	if end.cut {
		d.cutMedia(n, n.low)
	}
	if end.size != n.size {
		report.SizesLost++
	}
	liedAndLost := false
	for i := range n.slots {
		s := &n.slots[i]
		report.Forgotten += bits.OnesCount8(uint8(s.forgotten))
		for m := s.dirty; m != 0; m &= m - 1 {
			bit := bits.TrailingZeros8(uint8(m))
			outcome := c.sector(d, n, i, bit)
			d.settleSector(c, n, i, bit, outcome, report)
			if outcome != newer && s.lied&(1<<bit) != 0 {
				liedAndLost = true
			}
		}
	}
	if liedAndLost {
		d.counts.Felt[SyncLies]++
	}
	d.cutMedia(n, end.size)
	n.grow(end.size)
	n.slots = n.slots[:pages(end.size)]
	n.mediaSize = end.size
	n.reload()
}

// settleSector puts the outcome for one unsynced sector on the media.
func (d *Disk) settleSector(c *chooser, n *inode, i, bit int, what outcome, report *CrashReport) {
	s := &n.slots[i]
	mask := sectorMask(1) << bit
	if what == older {
		report.Dropped++
		return
	}
	n.heal(d, int64(i)*int64(d.perPage), mask)
	switch what {
	case newer:
		report.Kept++
		d.copySectors(s, s.cache, mask)
	case middle:
		report.Older++
		d.copySectors(s, s.middle, mask)
	case garbage:
		report.Garbled++
		d.garble(s, bit, keyed.New(c.seed, n.key, uint64(i), uint64(bit), 1))
	}
}

// garble leaves the sector as a write that was cut off in its middle might: random, zeros, part new
// and part old, or new with a few bits wrong.
func (d *Disk) garble(s *slot, bit int, r keyed.Rand) {
	lo := bit * d.opt.Sector
	media := d.ownMedia(s)[lo : lo+d.opt.Sector]
	cache := contents(s.cache)
	fresh := cache[lo : lo+d.opt.Sector]
	switch r.IntN(4) {
	case 0:
		r.Fill(media)
	case 1:
		clear(media)
	case 2:
		at := r.IntN(d.opt.Sector)
		if r.Chance(1, 2) {
			copy(media[:at], fresh)
		} else {
			copy(media[at:], fresh[at:])
		}
	case 3:
		copy(media, fresh)
		for range 1 + r.IntN(8) {
			media[r.IntN(d.opt.Sector)] ^= 1 << r.IntN(8)
		}
	}
}

// Evict drops the clean pages of a file from the cache. It can be seen only where a failed sync
// forgot pages: reads then find what the media has.
func (d *Disk) Evict(file string) {
	n := d.live.reach(file)
	if n == nil || n.isDir {
		return
	}
	for i := range n.slots {
		s := &n.slots[i]
		if s.forgotten == 0 {
			continue
		}
		media := contents(s.media)
		clear(media[min(max(n.low-int64(i)*pageSize, 0), pageSize):])
		cache := d.ownCache(s)
		for m := s.forgotten; m != 0; m &= m - 1 {
			lo := bits.TrailingZeros8(uint8(m)) * d.opt.Sector
			copy(cache[lo:lo+d.opt.Sector], media[lo:])
		}
		s.forgotten = 0
	}
}
