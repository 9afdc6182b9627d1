// Package simdisk is the simulated disk: a machine's page cache over durable media, as plain data.
//
// Storage bugs live in what a file system does not promise: unsynced sectors survive a power loss
// in any mixture, names vanish until their directory is synced, a failed fsync forgets what it
// failed to write, drives lie, and sectors rot. This disk does all of that on demand, and nothing
// else: it owns no goroutine, clock or randomness. The simulated world moves operations from their
// queue to the device (Begin) and from the device to their effect (Finish), at times of its own
// choosing, and may Crash between any two of these. Every draw is a hash of the disk's seed, the
// file and that file's own count of such events, so an operation more on one file leaves the
// faults of all other files alone.
//
// The layers, from the top:
//
//	queue       submitted, not begun; lost by any crash
//	in flight   begun, not finished; a crash finds it done, not done or torn
//	cache       what reads see; a process crash keeps it, a power loss does not
//	media       what every power loss keeps: the pristine bytes
//	overlays    damage laid over the pristine bytes; can be listed and switched off
//
// Not modelled: several power losses per write of one sector (wear), hard links, renaming or
// removing a directory, file permissions, and the time that operations take, which is the world's.
package simdisk

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
)

// maxFile is the longest file in bytes. A longer one in a simulation is a mistake of its user, and
// must not take the simulator's memory.
const maxFile = 1 << 30

// Options are the fixed parameters of a disk.
type Options struct {
	// Seed keys every draw of this disk; two disks of one world must have different seeds.
	Seed uint64
	// Sector is what the device writes as a whole at best, in bytes: 512 or 4096.
	Sector int
	// Capacity is the sum of all file sizes that the disk can hold, in bytes; 0 means no limit.
	Capacity int64
}

// Disk is one simulated disk. It is not safe for concurrent use. The zero value is not usable.
type Disk struct {
	opt      Options
	capacity int64
	perPage  int    // sectors of a page
	epoch    uint32 // pages tagged with it belong to this Disk alone and may be written in place

	queue    [diskio.NumLanes][]diskio.Op
	inFlight [diskio.NumLanes]flight

	live    table // the names as the running system sees them
	durable table // the names on the media
	pending []nameChange
	root    inode             // the data directory itself, for its own draws
	births  map[uint64]uint64 // by key of a name: files created under it; never ranged over
	used    int64             // bytes: sum of the sizes of live's files

	rates    [NumFaults]uint32
	armed    []arming
	overlays []*Overlay // in the order of their IDs
	lastID   OverlayID
	counts   Counts

	free []*page // pages that nothing refers to any more
}

// flight is what a lane's device is working on.
type flight struct {
	op   diskio.Op
	busy bool
}

var _ diskio.Disk = (*Disk)(nil)

// New returns an empty disk.
func New(opt Options) *Disk {
	if opt.Sector != 512 && opt.Sector != pageSize {
		panic(fmt.Sprintf("simdisk: sector size %d is neither 512 nor %d", opt.Sector, pageSize))
	}
	return &Disk{
		opt:      opt,
		capacity: opt.Capacity,
		perPage:  pageSize / opt.Sector,
		epoch:    1,
		live:     newTable(),
		durable:  newTable(),
		births:   make(map[uint64]uint64),
	}
}

// Submit puts op at the end of its lane's queue.
func (d *Disk) Submit(op diskio.Op) {
	if op.Lane >= diskio.NumLanes {
		panic(fmt.Sprintf("simdisk: submit of %v in unknown lane %d", op, op.Lane))
	}
	d.queue[op.Lane] = append(d.queue[op.Lane], op)
}

// Queued is the number of operations in lane that were submitted and not begun.
func (d *Disk) Queued(lane diskio.Lane) int {
	return len(d.queue[lane])
}

// InFlight returns the operation that lane's device is working on, if any.
func (d *Disk) InFlight(lane diskio.Lane) (diskio.Op, bool) {
	return d.inFlight[lane].op, d.inFlight[lane].busy
}

// Begin hands the next operation of lane to the device and returns it. It returns false when the
// lane is empty or its device is still busy. The operation has no effect that a reader could see
// before Finish, but a crash may find it done in part or in whole.
func (d *Disk) Begin(lane diskio.Lane) (diskio.Op, bool) {
	if d.inFlight[lane].busy || len(d.queue[lane]) == 0 {
		return diskio.Op{}, false
	}
	op := d.queue[lane][0]
	rest := d.queue[lane][1:]
	if len(rest) == 0 {
		rest = d.queue[lane][:0]
	}
	d.queue[lane] = rest
	d.inFlight[lane] = flight{op: op, busy: true}
	return op, true
}

// Finish performs the operation that lane's device is working on and returns its completion, which
// the world delivers when it likes, or drops to crash between effect and completion.
func (d *Disk) Finish(lane diskio.Lane) diskio.Completion {
	f := &d.inFlight[lane]
	if !f.busy {
		panic(fmt.Sprintf("simdisk: finish in lane %d, which has nothing in flight", lane))
	}
	op := f.op
	*f = flight{}
	r := d.perform(op)
	return diskio.Completion{
		Ticket: op.Ticket, Lane: op.Lane, Kind: op.Kind, File: op.File,
		Status: r.status, Detail: r.detail, Data: r.data,
	}
}

// SetCapacity changes the number of bytes that the disk can hold; 0 means no limit. Files that are
// there stay, whatever the limit.
func (d *Disk) SetCapacity(bytes int64) {
	d.capacity = bytes
}

// Used is the sum of the sizes of all files, in bytes.
func (d *Disk) Used() int64 {
	return d.used
}

// Clone returns an independent copy: queues, files, faults and counts. The copy shares pages with
// the original until either writes them, so it costs little.
func (d *Disk) Clone() *Disk {
	// Raising the epoch disowns every page on both sides: the next write copies it.
	d.epoch++
	c := *d
	c.free = nil
	for lane := range d.queue {
		c.queue[lane] = append([]diskio.Op(nil), d.queue[lane]...)
	}
	copies := newCopies(len(d.overlays))
	c.live = copies.table(d.live)
	c.durable = copies.table(d.durable)
	c.pending = append([]nameChange(nil), d.pending...)
	for i := range c.pending {
		c.pending[i].node = copies.inode(c.pending[i].node)
	}
	c.births = make(map[uint64]uint64, len(d.births))
	for key, n := range d.births { //detcd:allow maprange: a map is copied into a map
		c.births[key] = n
	}
	c.armed = append([]arming(nil), d.armed...)
	c.overlays = make([]*Overlay, len(d.overlays))
	for i, o := range d.overlays {
		c.overlays[i] = copies.overlay(o)
	}
	return &c
}
