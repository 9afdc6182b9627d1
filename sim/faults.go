package sim

import (
	"slices"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// Faults come in episodes, because most bugs need two or three of them at once: a partition while
// a member restarts, a slow disk across an election. An episode has a moment, and its faults begin
// near it. Which kinds take part at all is drawn per seed (a swarm): a run in which everything
// happens reaches fewer states than many runs that each leave something out.
//
// Members whose stored bytes are damaged, or whose disk lies, may be lost for good, so most plans
// choose at most a minority for that (budget.go). Everything else may hit all members at once.

// faultWeights is how often each kind is drawn where a seed allows it.
var faultWeights = [numFaultKinds]uint16{
	FaultPartition: 10, FaultLoss: 3, FaultDuplicate: 2, FaultDelay: 3, FaultHold: 6,
	FaultCrash: 6, FaultPower: 8, FaultPause: 5, FaultClock: 2, FaultSlowDisk: 4, FaultStall: 3,
	FaultSyncError: 2, FaultRot: 4, FaultTransfer: 3, FaultDecay: 4, FaultFull: 3,
	FaultWriteError: 2, FaultReadError: 2, FaultLie: 3, FaultLostWrite: 2,
	FaultReset: 4, FaultAlter: 2, FaultBurst: 3, FaultWipe: 1, FaultOldImage: 1, FaultSuspicion: 2,
}

// generateFaults fills in the plan's faults, sorted by time.
func generateFaults(p *Plan) {
	d := newDie(p.Seed, entityFaults, 0)
	weights := faultWeights
	for k := range weights {
		if d.chance(300_000) {
			weights[k] = 0
		}
	}
	_, unruly := electionsFail(p)
	if p.Members > p.Founders || unruly {
		for k := range weights {
			if FaultKind(k).damages() {
				weights[k] = 0 // which members are a minority changes, or all that can are away
			}
		}
	}
	if !slices.ContainsFunc(weights[:], func(w uint16) bool { return w > 0 }) {
		weights[FaultPower] = 1
	}
	rotten, absent := lostMembers(p, &d)
	rotten, p.Absent = overdraw(p, &weights, rotten, absent)
	for episode := range d.within(4, 24) {
		e := newDie(p.Seed, entityEpisode, uint64(episode))
		center := e.within(3*second, p.Chaos-2*second)
		width := e.spread(10, 3000) * millisecond
		ended := int64(0) // when the episode's latest fault ends
		for range e.within(1, 4) {
			kind := FaultKind(e.weighted(weights[:]))
			f := generateFault(p, &e, kind)
			f.At = center + e.within(0, width)
			if ended > 0 && e.chance(350_000) {
				// What ends and what begins at that very moment: a heal and a crash, a restart
				// and a partition.
				f.At = ended + e.within(-50, 200)*millisecond
			}
			f.At = min(f.At, p.Chaos-second)
			ended = f.At + f.For
			if kind.damages() {
				if len(rotten) == 0 {
					continue
				}
				f.Target, f.Member = TargetMember, rotten[0]
				rotten = rotten[1:]
			}
			p.Faults = append(p.Faults, f)
			if kind == FaultLie && weights[FaultPower] > 0 {
				p.Faults = append(p.Faults, exposure(p, &e, &f))
			}
		}
	}
	if kind := oneOf(&d, FaultRot, FaultDecay); len(rotten) > 0 && weights[kind] > 0 {
		f := generateFault(p, &d, kind)
		f.Target, f.Member, f.At = TargetMember, rotten[0], d.within(3*second, p.Chaos-second)
		p.Faults = append(p.Faults, f)
	}
	p.Faults = append(p.Faults, generateCourses(p, &weights)...)
	slices.SortStableFunc(p.Faults, func(a, b Fault) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	for i := range p.Faults {
		p.Faults[i].ID = uint32(i + 1)
	}
}

// exposure is the loss of power that shows what a disk has lied about.
func exposure(p *Plan, d *die, lie *Fault) Fault {
	f := generateFault(p, d, FaultPower)
	f.Target, f.Member, f.When = TargetMember, lie.Member, AtOnce
	f.At = min(lie.At+d.below(lie.For), p.Chaos-second)
	return f
}

// damages says whether a fault may cost a member for good.
func (k FaultKind) damages() bool {
	switch k {
	case FaultRot, FaultDecay, FaultReadError, FaultLie, FaultLostWrite, FaultWipe, FaultOldImage:
		return true
	}
	return false
}

// lostMembers draws the members that may be lost: fewer than half. The media of some may be
// damaged; others, in a part of the plans, stay away while the rest has to recover.
func lostMembers(p *Plan, d *die) (rotten []int, absent netsim.Set) {
	all := make([]int, p.Members)
	d.rand.Perm(all)
	rotten = all[:(p.Members-1)/2]
	if p.Members > p.Founders {
		return rotten, 0 // which members are a minority changes
	}
	if _, unruly := electionsFail(p); len(rotten) > 0 && (unruly || d.chance(350_000)) {
		away := int64(len(rotten))
		if !unruly {
			away = d.within(1, away)
		}
		for _, m := range rotten[:away] {
			absent |= netsim.Of(netsim.Endpoint(m))
		}
		rotten = rotten[away:]
	}
	return rotten, absent
}

func generateFault(p *Plan, d *die, kind FaultKind) Fault {
	f := Fault{
		Kind:   kind,
		Member: int(d.below(int64(p.Members))),
		Target: oneOf(d, TargetMember, TargetMember, TargetLeader, TargetLeader, TargetFollower),
		For:    d.spread(50, 8000) * millisecond,
	}
	if d.chance(400_000) { // of the length of an election
		f.For = d.within(p.ElectionNanos()/2, 4*p.ElectionNanos())
	}
	if d.chance(120_000) { // long enough to be left behind by a log that is cut
		f.For = d.within(4, 16) * second
	}
	members := netsim.Set(1)<<p.Members - 1
	everyone := netsim.Set(1)<<(p.Members+len(p.Scripts)) - 1
	everyone |= (netsim.Set(1)<<len(p.Watchers) - 1) << (p.Members + len(p.Scripts) + 2)
	switch kind {
	case FaultPartition:
		f.Shape = oneOf(d, netsim.Split, netsim.Split, netsim.SplitOneWay, netsim.Bridge,
			netsim.Ring, netsim.Isolate, netsim.Isolate, netsim.Isolate, netsim.IsolateIn,
			netsim.IsolateOut)
		f.Side = netsim.Set(d.rand.Uint64()) & everyone
		f.Concerned = oneOf(d, members, members|netsim.Set(d.rand.Uint64())&everyone, everyone)
	case FaultLoss:
		f.PPM = uint32(d.spread(1000, 900_000))
		if d.chance(300_000) {
			f.PPM, f.Classes, f.Aim = million, holdClasses(d), oneOf(d, AimTo, AimFrom)
		}
	case FaultReset:
		f.For = d.spread(1, 300) * millisecond
	case FaultAlter:
		f.PPM = uint32(d.spread(100, 200_000))
	case FaultDuplicate:
		f.PPM = uint32(d.spread(1000, 500_000))
		f.Amount = d.spread(1, 10_000) * millisecond
		if d.chance(400_000) {
			f.Classes = holdClasses(d)
		}
	case FaultDelay:
		f.Amount = d.spread(1, 1000) * millisecond
	case FaultHold:
		f.PPM = uint32(d.spread(2000, million))
		f.Amount = d.spread(100, 10_000) * millisecond
		if d.chance(600_000) {
			f.Classes = holdClasses(d)
		}
	case FaultCrash, FaultPower:
		generateCrash(p, d, &f)
	case FaultBurst:
		f.Ops, f.Amount = int(d.below(int64(len(p.Scripts)))), d.spread(4, 64)
	case FaultPause:
		f.For = d.spread(p.TickNanos, 10*p.ElectionNanos())
	case FaultClock:
		f.Amount = d.spread(1, 4*3600*1000) * millisecond * oneOf(d, int64(1), -1)
	default:
		generateDiskFault(d, &f)
	}
	if f.Target == TargetLeader && d.chance(300_000) {
		// The moments right after an election are when a leader knows least.
		f.When, f.Lag = OnElection, d.below(p.ElectionNanos())
	}
	switch kind {
	case FaultLoss, FaultDuplicate, FaultDelay, FaultHold, FaultReset, FaultAlter:
		f.Side, f.Concerned = linkEnds(d, members, everyone)
	}
	return f
}

// generateDiskFault draws what a fault of a disk needs.
func generateDiskFault(d *die, f *Fault) {
	switch f.Kind {
	case FaultSlowDisk:
		f.Amount = d.spread(2, 200)
	case FaultStall:
		f.Amount = oneOf(d, stallEverything, stallEverything, stallLane(diskio.LaneLog),
			stallLane(diskio.LaneLog), stallLane(diskio.LaneEngine), stallLane(diskio.LaneBulk))
	case FaultFull:
		f.Amount, f.PPM = d.spread(1, 256<<10), uint32(oneOf(d, aloud, silent))
	case FaultReadError:
		f.PPM = uint32(d.spread(100, million))
	case FaultLie:
		f.PPM = uint32(d.spread(10_000, million))
	case FaultLostWrite:
		f.PPM = uint32(d.spread(1000, 200_000))
	case FaultSyncError, FaultWriteError:
		f.Amount = d.below(int64(len(syncScopes)))
	case FaultRot, FaultDecay:
		f.For = d.spread(50, 1000) * millisecond
		f.Amount = d.within(1, 8)
	}
}

// linkEnds draws which links a network fault concerns: from which endpoints, to which.
func linkEnds(d *die, members, everyone netsim.Set) (from, to netsim.Set) {
	if d.chance(300_000) {
		return members, members
	}
	from = netsim.Set(d.rand.Uint64()) & everyone
	to = oneOf(d, everyone, members, netsim.Set(d.rand.Uint64())&everyone)
	return from, to
}

// snapshotClasses are the messages of a transfer.
const snapshotClasses = 1<<raft.MsgSnapshotOffer | 1<<raft.MsgSnapshotChunk |
	1<<raft.MsgSnapshotAck

// holdClasses draws one kind of message, or one kind and what answers it, or a whole transfer.
func holdClasses(d *die) uint32 {
	if d.chance(150_000) {
		return snapshotClasses
	}
	first := d.within(int64(raft.MsgPreVote), int64(raft.NumMessageTypes)-1)
	return 1<<first | 1<<d.within(first, min(first+1, int64(raft.NumMessageTypes)-1))
}

func generateCrash(p *Plan, d *die, f *Fault) {
	f.Ops = int(d.spread(1, 40))
	f.Moment = oneOf(d, Before, Inside, After)
	f.For = d.spread(1, 6000) * millisecond
	if d.chance(250_000) { // at a step of the protocol
		f.Classes, f.Ops = holdClasses(d), int(d.spread(1, 8))
		f.Moment = oneOf(d, Before, After)
	}
	switch d.below(4) {
	case 0: // many at once, as when a rack loses power
		f.Target = TargetSet
		f.Side = netsim.Set(d.rand.Uint64())
		if d.chance(500_000) {
			f.Side = ^netsim.Set(0)
		}
		f.Side &= netsim.Set(1)<<p.Members - 1
	case 1: // back within the same term
		f.For = d.spread(1, 50) * millisecond
	}
}
