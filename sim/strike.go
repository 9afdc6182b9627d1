package sim

import (
	"slices"

	"github.com/detcd/detcd/diskio/keyed"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/netsim"
)

// faultState is what became of a planned fault. A fault is felt when it changed something that a
// member or a client could notice; one that is never felt has tested nothing.
type faultState struct {
	injected, felt uint64
	members        netsim.Set // those it hit, resolved when it began
	active         activity
	held           holding // it waits, or waited, for what its When says
	// before counts what like faults of the disk had done when it began.
	before uint64
	// image is the disk as it was then, and imageRun the process that used it.
	image    *simdisk.Disk
	imageRun uint32
}

// activity says whether a fault is in force.
type activity uint8

const (
	idle activity = iota
	active
)

// beginFault makes a planned fault happen.
func (w *world) beginFault(i int) {
	f, s := &w.plan.Faults[i], &w.faults[i]
	if w.heal.phase != chaos {
		return
	}
	if f.When != AtOnce && s.held == flowing {
		s.held = held
		w.waiting = append(w.waiting, i)
		return
	}
	s.injected++
	s.active = active
	w.trouble(f)
	s.members = w.resolve(f)
	w.trace.add(uint64(s.members))
	if w.record != nil {
		w.record.faultBegan(i, s)
	}
	switch f.Kind {
	case FaultPartition, FaultLoss, FaultDuplicate, FaultDelay, FaultHold, FaultAlter:
		w.disturb(f, s)
	case FaultReset:
		w.reset(f, s)
	case FaultBurst:
		w.burst(f, s)
	case FaultSuspicion:
		w.suspect(s)
		return
	case FaultTransfer:
		w.admin().transfer(s.members)
		s.felt++
		return
	default:
		for m := range w.members {
			if s.members.Has(netsim.Endpoint(m)) {
				w.members[m].strike(i, f, s)
			}
		}
	}
	w.schedule(event{at: w.now + f.For, kind: eventFaultEnd, slot: uint32(i)})
}

// happened begins what waits for something.
func (w *world) happened(what When) {
	w.waiting = slices.DeleteFunc(w.waiting, func(i int) bool {
		if w.plan.Faults[i].When != what {
			return false
		}
		w.schedule(event{at: w.now + w.plan.Faults[i].Lag, kind: eventFault, slot: uint32(i)})
		return true
	})
}

// halfApplied begins what waits for a member that is in the middle of an entry.
func (w *world) halfApplied(m *member) {
	w.waiting = slices.DeleteFunc(w.waiting, func(i int) bool {
		f := &w.plan.Faults[i]
		if f.When != OnParts || !w.resolve(f).Has(netsim.Endpoint(m.index)) {
			return false
		}
		w.schedule(event{at: w.now + f.Lag, kind: eventFault, slot: uint32(i)})
		return true
	})
}

// resolve says whom a fault hits, now that roles are known.
func (w *world) resolve(f *Fault) netsim.Set {
	leader := w.oracle.leader()
	switch f.Target {
	case TargetSet:
		return f.Side
	case TargetLeader:
		if leader >= 0 {
			return netsim.Of(netsim.Endpoint(leader))
		}
	case TargetFollower:
		if f.Member == leader {
			return netsim.Of(netsim.Endpoint((f.Member + 1) % w.plan.Members))
		}
	}
	return netsim.Of(netsim.Endpoint(f.Member))
}

// disturb adds a network fault's rules.
func (w *world) disturb(f *Fault, s *faultState) {
	if f.Kind == FaultPartition {
		target := netsim.Endpoint(f.Member)
		for e := range w.members {
			if s.members.Has(netsim.Endpoint(e)) {
				target = netsim.Endpoint(e)
			}
		}
		for _, r := range netsim.Cuts(f.Shape, f.ID, w.plan.Members, f.Concerned, f.Side, target) {
			w.net.Add(r)
		}
		return
	}
	r := netsim.Rule{Fault: f.ID, From: f.Side, To: f.Concerned, Classes: f.Classes}
	members := netsim.Set(1)<<w.plan.Members - 1
	switch f.Aim {
	case AimTo:
		r.From, r.To = members, s.members
	case AimFrom:
		r.From, r.To = s.members, members
	}
	switch f.Kind {
	case FaultLoss:
		r.LossPPM = f.PPM
	case FaultDuplicate:
		r.DuplicatePPM, r.From, r.To = f.PPM, r.From&members, r.To&members
		r.EchoDelay = f.Amount
	case FaultDelay:
		r.Delay = f.Amount
	case FaultHold:
		r.HoldPPM, r.HoldDelay = f.PPM, f.Amount
	case FaultAlter:
		r.AlterPPM, r.From, r.To = f.PPM, r.From&members, r.To&members
	}
	w.net.Add(r)
}

// syncScopes says in which files a sync or a write fails, by Fault.Amount. A failed sync of a
// directory (only the first scope has any) is followed by a reboot: file systems stop at it, so
// that no process ever goes on with names that the media does not know.
var syncScopes = [...]string{"", "log/", "data/"}

// strike lets a fault hit one member.
func (m *member) strike(i int, f *Fault, s *faultState) {
	if m.life == gone {
		return
	}
	switch f.Kind {
	case FaultCrash, FaultPower:
		if m.life == up {
			m.crash = armedCrash{fault: i + 1, after: f.Ops, moment: f.Moment, classes: f.Classes}
		}
	case FaultPause:
		m.pauses++
		s.felt++
	case FaultClock:
		m.clock.offset += f.Amount
		s.felt++
	case FaultSlowDisk:
		m.disk.slow += f.Amount
		s.felt++
	case FaultStall:
		m.disk.stall(f.Amount, 1)
		s.felt++
	case FaultFull:
		m.disk.fill(f.Amount, voice(f.PPM))
		s.felt++
	case FaultSyncError:
		m.disk.Arm(simdisk.SyncFails, syncScopes[f.Amount])
		m.failing++
		m.failedBy = i
		m.reboots = m.reboots || f.Amount == 0
	case FaultRot:
		if m.life == up {
			m.stop(powerStays)
		}
		m.spoil(i, f, s)
		m.scheduleRestart(m.world.now + f.For)
	case FaultDecay:
		m.spoil(i, f, s)
	case FaultWipe:
		m.replaceDisk(simdisk.New(m.diskOptions()), s)
		m.scheduleRestart(m.world.now + f.For)
	case FaultOldImage:
		s.image, s.imageRun = m.disk.Disk.Clone(), m.run
	case FaultWriteError:
		m.disk.Arm(simdisk.WriteFails, syncScopes[f.Amount])
		m.failing++
		m.failedBy = i
	case FaultReadError, FaultLie, FaultLostWrite:
		m.disk.SetRate(unreliable[f.Kind], f.PPM)
		s.before = m.disk.Counts().Felt[unreliable[f.Kind]]
		m.damaged = true
		m.liar = m.liar || f.Kind != FaultReadError
	}
}

// unreliable is what faults that last make a disk do.
var unreliable = [numFaultKinds]simdisk.FaultKind{FaultReadError: simdisk.ReadFails,
	FaultLie: simdisk.SyncLies, FaultLostWrite: simdisk.LostWrite}

// endFault takes back what a fault did, unless healing has done so already.
func (w *world) endFault(i int) {
	f, s := &w.plan.Faults[i], &w.faults[i]
	if s.active == idle {
		return
	}
	s.active = idle
	if w.record != nil {
		w.record.faultEnded(i)
	}
	w.net.Remove(f.ID)
	for k, m := range w.members {
		if s.members.Has(netsim.Endpoint(k)) {
			m.relieve(i, f)
		}
	}
}

// relieve ends a fault's hold on one member.
func (m *member) relieve(i int, f *Fault) {
	switch f.Kind {
	case FaultCrash, FaultPower:
		// The member came to no further disk operation: it dies between two of them.
		if m.crash.fault == i+1 && m.life == up {
			m.die()
		}
	case FaultPause:
		m.pauses--
		m.resume()
	case FaultSlowDisk:
		m.disk.slow -= f.Amount
	case FaultStall:
		m.disk.stall(f.Amount, -1)
	case FaultFull:
		m.disk.fill(plenty, aloud)
	case FaultReadError, FaultLie, FaultLostWrite:
		m.disk.SetRate(unreliable[f.Kind], 0)
	case FaultOldImage:
		m.restore(&m.world.faults[i])
	}
}

// resume lets a frozen process go on with all that has piled up.
func (m *member) resume() {
	if m.pauses > 0 || m.life != up {
		return
	}
	if len(m.inbox) > 0 || m.again {
		m.wake()
	}
	for _, slot := range m.heldReads {
		m.world.schedule(event{at: m.world.now, kind: eventRead, node: uint8(m.index), slot: slot})
	}
	m.heldReads = m.heldReads[:0]
}

// power says what a stopping process takes with it.
type power uint8

const (
	powerStays power = iota // the page cache survives
	powerLost
)

// die ends the process as its armed crash says.
func (m *member) die() {
	w := m.world
	f := &w.plan.Faults[m.crash.fault-1]
	w.faults[m.crash.fault-1].felt++
	p := powerStays
	if f.Kind == FaultPower {
		p = powerLost
	}
	m.stop(p)
	m.scheduleRestart(w.now + f.For)
}

// stop ends the process. Its connections break, which its clients notice.
func (m *member) stop(p power) {
	w := m.world
	m.lastPower = p
	kind := simdisk.ProcessCrash
	if p == powerLost {
		kind = simdisk.PowerLoss
		w.counts.PowerLosses++
	}
	w.counts.Crashes++
	w.probes.stopping(m)
	lies := m.disk.Counts().Felt[simdisk.SyncLies]
	report := m.disk.Crash(kind, keyed.Hash(w.plan.Seed, 0xc4a5, uint64(m.index), uint64(m.run)))
	w.counts.TornSectors += uint64(report.Garbled + report.Older + report.Torn)
	w.counts.LostSectors += uint64(report.Dropped)
	w.counts.LostNames += uint64(report.NamesLost)
	w.probes.stopped(m, p, &report, lies)
	w.oracle.ledger.crashed(m)
	m.breakStreams()
	m.life, m.driver = down, nil
	m.dying, m.again, m.turnDue, m.tickDue = false, false, false, false
	m.crash = armedCrash{}
	m.disk.failureSeen, m.metDamage = false, false
	m.disk.told = 0
	m.disk.held = [len(m.disk.held)]holding{}
	clear(m.inbox)
	m.inbox = m.inbox[:0]
	for _, slot := range m.heldReads {
		w.reads.take(slot)
	}
	m.heldReads = m.heldReads[:0]
	for _, o := range m.waiting {
		w.respond(m, o, &reply{broken: broken, member: m.index})
	}
	m.waiting = m.waiting[:0]
	m.resuming = nil
}

// scheduleRestart lets the process start at a time, or later if it has to stay down longer anyway.
func (m *member) scheduleRestart(at int64) {
	m.downUntil = max(m.downUntil, at)
	m.world.schedule(event{at: m.downUntil, kind: eventRestart, node: uint8(m.index)})
}

func (m *member) restart(e *event) {
	if m.life != down || e.at < m.downUntil {
		return
	}
	m.start()
}

// spoil damages what the member has stored.
func (m *member) spoil(i int, f *Fault, s *faultState) {
	d := newDie(m.world.plan.Seed, entityCrash, uint64(f.ID))
	within := oneOf(&d, "log/", "log/", "data/", "")
	kind := oneOf(&d, simdisk.BitRot, simdisk.BitRot, simdisk.LatentSector, simdisk.ZeroedSector,
		simdisk.Misdirected)
	if d.chance(400_000) && m.disk.strikeRecent(kind, &d) {
		m.damaged = true
		s.felt++
		return
	}
	byFile := d.chance(300_000)
	for range f.Amount {
		if byFile {
			within = m.disk.anyFile(&d)
		}
		if _, ok := m.disk.Strike(kind, within, d.rand.Uint64()); ok {
			m.damaged = true
			s.felt++
		}
	}
}
