package simdisk

import (
	"fmt"
	"strings"

	"github.com/detcd/detcd/diskio/keyed"
)

// Faults come in two ways. A rate makes each occasion strike with a probability, drawn by a hash of
// the disk's seed, the file and the file's own count of such occasions. An armed fault strikes the
// next fitting occasion, for a plan that wants one fault at one time. Both end when switched off.

// FaultKind is a kind of misbehaviour of the device.
type FaultKind uint8

// The kinds of fault. Those from LatentSector on leave an overlay over the media.
const (
	// SyncFails: a Sync or SyncDir reports Failed; what it did not write is forgotten: clean in the
	// cache, not on the media, and no later sync repairs that.
	SyncFails FaultKind = iota
	// SyncLies: a Sync or SyncDir reports OK and leaves everything volatile; a later honest one
	// makes it durable.
	SyncLies
	// WriteFails: a Write, Allocate or Truncate reports Failed; a prefix may have happened.
	WriteFails
	// ReadFails: a read reports Failed once.
	ReadFails
	// DiskFull: growing a file reports NoSpace, although the capacity is not reached or is.
	DiskFull
	// LatentSector: a sector that was written cannot be read.
	LatentSector
	// BitRot: some bits of a sector flip.
	BitRot
	// ZeroedSector: a sector reads as zeros.
	ZeroedSector
	// LostWrite: the device reported a sector written, and goes on returning its old content.
	LostWrite
	// Misdirected: a sector's write went to another sector of its file.
	Misdirected
	// NumFaults is the number of kinds.
	NumFaults
)

// String returns the words for k.
func (k FaultKind) String() string {
	names := [...]string{"sync fails", "sync lies", "write fails", "read fails", "disk full",
		"latent sector", "bit rot", "zeroed sector", "lost write", "misdirected write"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("fault(%d)", uint8(k))
}

// Million is the unit of a rate: a rate of Million strikes always.
const Million = 1_000_000

// Counts says how often each kind of fault was injected, and how often it was felt: its effect
// reached a completion, a reader or a crash image. A fault that nobody felt has tested nothing.
type Counts struct {
	Injected, Felt [NumFaults]uint64
}

// Counts returns the counts since the disk was made. Crashes do not reset them.
func (d *Disk) Counts() Counts {
	return d.counts
}

// SetRate makes each later occasion for k strike with a probability of perMillion. For a fault of
// the media an occasion is one sector written by a sync; otherwise it is one operation.
func (d *Disk) SetRate(k FaultKind, perMillion uint32) {
	if k >= NumFaults || perMillion > Million {
		panic(fmt.Sprintf("simdisk: rate %d for %v", perMillion, k))
	}
	d.rates[k] = perMillion
}

// arming is a fault that waits for its occasion.
type arming struct {
	kind   FaultKind
	within string
}

// Arm makes the next occasion for k strike in a file that within names: one file, or with a
// trailing slash all files below a directory, or with an empty name any file.
func (d *Disk) Arm(k FaultKind, within string) {
	if k >= NumFaults {
		panic(fmt.Sprintf("simdisk: arm %v", k))
	}
	d.armed = append(d.armed, arming{kind: k, within: within})
}

// Quiet switches every rate off and disarms every fault. Overlays stay; see Disable.
func (d *Disk) Quiet() {
	d.rates = [NumFaults]uint32{}
	d.armed = nil
}

func covers(within, file string) bool {
	return within == "" || within == file ||
		strings.HasSuffix(within, "/") && strings.HasPrefix(file, within)
}

// takeArmed says whether a fault was waiting for this occasion, and uses it up.
func (d *Disk) takeArmed(k FaultKind, file string) bool {
	for i, a := range d.armed {
		if a.kind == k && covers(a.within, file) {
			d.armed = append(d.armed[:i], d.armed[i+1:]...)
			return true
		}
	}
	return false
}

// draw returns a number that depends on the disk, the purpose, the file and the file's occasion.
func (d *Disk) draw(k FaultKind, n *inode, purpose uint64) uint64 {
	return keyed.Hash(d.opt.Seed, uint64(k), n.key, n.events[k], purpose)
}

// strikes says whether k happens to this operation on n, and counts it.
func (d *Disk) strikes(k FaultKind, n *inode, file string) bool {
	n.events[k]++
	hit := d.rates[k] > 0 && keyed.Chance(d.draw(k, n, 0), uint64(d.rates[k]), Million)
	if len(d.armed) > 0 && d.takeArmed(k, file) {
		hit = true
	}
	if hit {
		d.counts.Injected[k]++
	}
	return hit
}

// keepsMiddle decides whether an overwrite of unsynced data leaves the data overwritten as a
// possible outcome of a power loss: the kernel may have written it back in between.
func (d *Disk) keepsMiddle(n *inode) bool {
	n.rewrites++
	return keyed.Chance(keyed.Hash(d.opt.Seed, uint64(NumFaults), n.key, n.rewrites), 1, 4)
}

// forget is what a failed sync does to a file's dirty pages: some of it was written before the
// error, and the rest is marked clean as if it had been.
func (d *Disk) forget(n *inode) {
	if n.low < n.mediaSize {
		// The truncation is in the journal ahead of the failed data.
		d.cutMedia(n, n.low)
		n.mediaSize = n.low
	}
	for _, i := range n.written {
		if int(i) >= len(n.slots) || n.slots[i].dirty == 0 {
			continue
		}
		s := &n.slots[i]
		var kept sectorMask
		for sector := range d.perPage {
			place := uint64(i)*uint64(d.perPage) + uint64(sector)
			bit := sectorMask(1) << sector
			// What lies beyond the size on the media is in no extent that a restart would find.
			inside := int64(place+1)*int64(d.opt.Sector) <= n.mediaSize
			if s.dirty&bit != 0 && inside &&
				keyed.Chance(d.draw(SyncFails, n, 1+place), 1, 4) {
				kept |= bit
			}
		}
		if kept != 0 {
			n.heal(d, int64(i)*int64(d.perPage), kept)
			d.copySectors(s, s.cache, kept)
		}
		s.forgotten |= s.dirty &^ kept
		s.dirty, s.lied, s.middle = 0, 0, nil
	}
	n.written = n.written[:0]
}

// lie marks what a sync claims to have made durable.
func (n *inode) lie() {
	for _, i := range n.written {
		if int(i) < len(n.slots) {
			s := &n.slots[i]
			s.lied |= s.dirty
		}
	}
}
