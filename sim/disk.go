package sim

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/keyed"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/kv"
)

// disk is a member's door to its simulated disk: it says when operations begin and end, counts them
// for planned crashes, and shows every operation to the ledger of what is durable.
type disk struct {
	*simdisk.Disk
	member *member
	done   uint64 // operations finished, keys their durations
	slow   int64  // active slow-downs multiply durations; 0 is none
	// stalls counts the active stalls of each lane; nothing ends in one while above 0.
	stalls [diskio.NumLanes]int
	// limit is the capacity that a full disk has, 0 for an endless one; told is the limit that the
	// process knows of.
	limit, told int64
	voice       voice
	// held says which lanes had an operation end during a stall.
	held [diskio.NumLanes]holding
	// failureSeen says that the process has been told of a failed sync.
	failureSeen bool
	operations  uint64 // submitted
	// recent are the latest writes to the log, by their number modulo the length.
	recent [16]extent
	logged uint64 // writes to the log so far
}

// extent is where a write went.
type extent struct {
	file           string
	offset, length int64
}

// holding says whether a lane waits for the end of a stall.
type holding uint8

const (
	flowing holding = iota
	held
)

// stallEverything and stallLane are what a stall's Amount says.
const stallEverything int64 = 0

func stallLane(lane diskio.Lane) int64 { return int64(lane) + 1 }

// stall begins (by 1) or ends (by -1) a stall, and lets go on what it held back.
func (d *disk) stall(what int64, by int) {
	for lane := range d.stalls {
		if what == stallEverything || what == stallLane(diskio.Lane(lane)) {
			d.stalls[lane] += by
		}
	}
	d.unstall()
}

// plenty is the room that an endless disk reports.
const plenty = 1 << 50

// voice says whether the process is told how much room there is, or has to find out.
type voice uint32

const (
	aloud voice = iota
	silent
)

// fill leaves so much room on the disk; plenty makes it endless again.
func (d *disk) fill(room int64, v voice) {
	d.limit, d.voice = 0, v
	if room < plenty {
		d.limit = d.Used() + max(room, 1)
	}
	d.SetCapacity(d.limit)
}

// report tells the process how much room there is, as long as that is worth a word.
func (d *disk) report() {
	if d.voice == silent || d.limit == 0 && d.told == 0 {
		return
	}
	d.told = d.limit
	room := int64(plenty)
	if d.limit > 0 {
		room = max(d.limit-d.Used(), 0)
	}
	d.member.input(kv.Input{Kind: kv.InputSpace, Free: room})
}

// armedCrash is a crash that waits for a certain operation, or a certain message.
type armedCrash struct {
	fault   int // index of the fault plus one; 0 is none
	after   int // operations or messages to go
	moment  Moment
	classes uint32 // of messages that count; 0: operations do
	// fatal is the ticket and lane of the operation after which the process dies.
	fatalSet bool
	fatal    diskio.Ticket
	lane     diskio.Lane
}

func newDisk(m *member) disk { return disk{Disk: simdisk.New(m.diskOptions()), member: m} }

func (m *member) diskOptions() simdisk.Options {
	seed := keyed.Hash(m.world.plan.Seed, 0xd15c, uint64(m.index))
	return simdisk.Options{Seed: seed, Sector: m.sector()}
}

// sector is the size of a sector of the member's disk.
func (m *member) sector() int {
	if m.index%3 == 2 {
		return 4096
	}
	return 512
}

// strikeRecent damages what one of the latest writes to the log has left, which checkpoints do not
// cover yet: there the difference between damage and a torn end decides.
func (d *disk) strikeRecent(kind simdisk.FaultKind, draw *die) bool {
	e := d.recent[draw.below(int64(min(d.logged, uint64(len(d.recent)))))]
	at := e.offset + draw.below(e.length)
	_, ok := d.StrikeSector(kind, e.file, at/int64(d.member.sector()), draw.rand.Uint64())
	return ok
}

// anyFile draws one of the data's files, however small: by bytes alone damage would hardly meet a
// manifest or a state.
func (d *disk) anyFile(draw *die) string {
	files, err := d.List("data")
	if err != nil || len(files) == 0 {
		return "data/"
	}
	return "data/" + files[draw.below(int64(len(files)))].Name
}

// Submit implements diskio.Disk. A planned crash may fall on the operation.
func (d *disk) Submit(op diskio.Op) {
	m := d.member
	if m.dying {
		return
	}
	d.operations++
	if c := &m.crash; c.fault > 0 && c.classes == 0 && !c.fatalSet {
		if c.after--; c.after <= 0 {
			switch c.moment {
			case Before:
				m.dying = true
				return
			case Inside:
				m.dying = true
			case After:
				c.fatalSet, c.fatal, c.lane = true, op.Ticket, op.Lane
			}
		}
	}
	m.world.oracle.ledger.submitted(m, &op)
	if op.Kind == diskio.Write && op.Offset > 0 && isLogFile(op.File) {
		d.recent[d.logged%uint64(len(d.recent))] = extent{op.File, op.Offset, int64(len(op.Data))}
		d.logged++
	}
	if m.world.record != nil {
		m.world.record.submitted(m, &op)
	}
	d.Disk.Submit(op)
	d.begin(op.Lane)
}

// begin gives the next operation of a lane to the device, if that is idle.
func (d *disk) begin(lane diskio.Lane) {
	op, ok := d.Begin(lane)
	if !ok {
		return
	}
	w := d.member.world
	if w.record != nil {
		w.record.begun(d.member, lane)
	}
	w.schedule(event{at: w.now + d.duration(&op), kind: eventDisk, node: uint8(d.member.index),
		slot: d.member.run, arg: uint64(lane)})
}

// duration draws how long an operation takes: syncs are what costs.
func (d *disk) duration(op *diskio.Op) int64 {
	d.done++
	p := d.member.world.plan
	r := keyed.New(p.Seed, 0xd15d, uint64(d.member.index), d.done)
	typical := p.Machines[d.member.index].SyncDelay
	switch op.Kind {
	case diskio.Sync, diskio.SyncDir:
	default:
		typical = typical/32 + 2*microsecond
	}
	t := typical/2 + int64(r.Exp(uint64(typical/2)))
	if r.Chance(2, 1000) {
		t += int64(r.Tail(uint64(typical), uint64(50*typical)))
	}
	if d.slow > 0 {
		t = min(t*d.slow, 2*second)
	}
	return t
}

// event ends the operation that a lane's device works on.
func (d *disk) event(e *event) {
	m := d.member
	lane := diskio.Lane(e.arg)
	if e.slot != m.run || m.life != up {
		return
	}
	if d.stalls[lane] > 0 {
		d.held[lane] = held
		return
	}
	w := m.world
	op, _ := d.InFlight(lane)
	lies := d.Counts().Felt[simdisk.SyncLies]
	c := d.Finish(lane)
	if w.record != nil {
		fate := Finished
		if d.Counts().Felt[simdisk.SyncLies] > lies {
			fate = Lied
		}
		w.record.finished(m, lane, c.Status, fate)
	}
	w.trace.add(uint64(c.Ticket) ^ uint64(c.Status)<<56 ^ uint64(c.Kind)<<48)
	w.counts.DiskOps++
	w.oracle.ledger.performed(m, &op, c.Status)
	w.probes.performed(m, &op, c.Status)
	if c.Status == diskio.Failed {
		d.failureSeen = true
	}
	if a := &m.crash; a.fatalSet && a.fatal == c.Ticket && a.lane == lane {
		m.die()
		return
	}
	m.input(kv.Input{Kind: kv.InputDisk, Done: &c})
	d.begin(lane)
}

// unstall lets go on what is held back and not stalled any more.
func (d *disk) unstall() {
	m := d.member
	for lane := range d.held {
		if d.held[lane] == held && d.stalls[lane] == 0 {
			d.held[lane] = flowing
			m.world.schedule(event{at: m.world.now, kind: eventDisk, node: uint8(m.index),
				slot: m.run, arg: uint64(lane)})
		}
	}
}
