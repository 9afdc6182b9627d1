package sim

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// Courses are episodes whose faults follow from each other, because what they reach is hardly ever
// reached by faults drawn one by one: a member must be left behind before it can be sent a state,
// and only then can anything happen to the transfer; an election must be won before its winner can
// be cut off.

// generateCourses draws a few courses from the kinds that the seed allows.
func generateCourses(p *Plan, weights *[numFaultKinds]uint16) (all []Fault) {
	add := func(course []Fault) {
		for _, f := range course {
			if weights[f.Kind] > 0 && f.At < p.Chaos {
				all = append(all, f)
			}
		}
	}
	for n := range uint64(6) {
		d := newDie(p.Seed, entityEpisode, 1000+n)
		switch {
		case !d.chance(250_000):
		case d.chance(400_000):
			add(successions(p, &d))
		default:
			add(laggard(p, &d))
		}
	}
	if d, drawn := electionsFail(p); drawn {
		add(failedElections(p, &d))
	}
	if d := newDie(p.Seed, entityEpisode, 2001); d.chance(150_000) {
		add(swizzle(p, &d))
	}
	for n := range uint64(2) {
		if d := newDie(p.Seed, entityEpisode, 2002+n); d.chance(350_000) {
			all = append(all, usurper(p, &d)...) // whatever kinds the seed leaves out
		}
	}
	if d := newDie(p.Seed, entityEpisode, 2010); p.Founders > 2 && d.chance(100_000) {
		all = append(all, straggler(p, &d)...)
	}
	if d := newDie(p.Seed, entityEpisode, 2011); p.Founders > 2 && d.chance(100_000) {
		courses := []func(*Plan, *die) []Fault{overtaken, echo, glut, rump}
		if p.Founders < 4 {
			courses = courses[:3]
		}
		all = append(all, oneOf(&d, courses...)(p, &d)...)
	}
	if d := newDie(p.Seed, entityEpisode, 2012); p.Founders > 2 && d.chance(100_000) {
		all = append(all, revenant(p, &d)...)
	}
	if d := newDie(p.Seed, entityEpisode, 2013); d.chance(60_000) {
		all = append(all, trance(p, &d))
	}
	for i := range p.Reshapes {
		d := newDie(p.Seed, entityEpisode, 3000+uint64(i))
		switch {
		case i > 0 && p.Reshapes[i].joins(&p.Reshapes[i-1]) && d.chance(600_000):
			f := interrupted(p, &d, &p.Reshapes[i])
			f.When, f.Lag = OnJoint, d.spread(1, 100_000)*microsecond
			add([]Fault{f})
		case d.chance(150_000):
			add([]Fault{interrupted(p, &d, &p.Reshapes[i])})
		}
	}
	return all
}

// interrupted takes the leader away while it changes the membership.
func interrupted(p *Plan, d *die, r *Reshape) Fault {
	f := generateFault(p, d, oneOf(d, FaultCrash, FaultPower, FaultPartition))
	f.Target, f.When, f.For = TargetLeader, AtOnce, d.within(1, 4)*p.ElectionNanos()
	f.At = r.At + d.spread(1, 1000)*millisecond
	if d.chance(500_000) {
		f.At, f.When, f.Lag = r.At, OnChange, d.spread(1, 100_000)*microsecond
	}
	if f.Kind == FaultPartition {
		f.Shape, f.Concerned = netsim.Isolate, netsim.Set(1)<<p.Members-1
	}
	return f
}

// laggard cuts one member off until the log no longer reaches back to it, and then disturbs the
// transfer that brings it up to date.
func laggard(p *Plan, d *die) []Fault {
	victim := int(d.below(int64(p.Members)))
	cut := Fault{
		Kind: FaultPartition, Member: victim, Shape: netsim.Isolate, For: d.within(3, 15) * second,
		Concerned: netsim.Set(1)<<p.Members - 1,
	}
	cut.At = d.within(3*second, p.Chaos-20*second)
	course := []Fault{cut}
	back := cut.At + cut.For
	for range d.within(1, 3) {
		kind := oneOf(d, FaultFull, FaultCrash, FaultPower, FaultHold, FaultHold, FaultDuplicate,
			FaultDuplicate, FaultTransfer, FaultSlowDisk, FaultLoss)
		f := generateFault(p, d, kind)
		f.At = back + d.spread(1, 1000)*millisecond*oneOf(d, int64(1), -1)
		f.When, f.Target, f.Member = AtOnce, TargetMember, victim
		switch kind {
		case FaultFull:
			f.Amount, f.PPM = d.spread(1, 16<<10), uint32(silent)
		case FaultHold, FaultDuplicate, FaultLoss:
			f.Classes = snapshotClasses
			f.PPM = uint32(oneOf(d, million, d.spread(100_000, million)))
			f.For = max(f.For, 2*second)
			f.Side, f.Concerned = cut.Concerned, cut.Concerned
		case FaultCrash, FaultPower:
			if d.chance(300_000) {
				f.Target = TargetLeader
			}
		}
		course = append(course, f)
	}
	return course
}

// electionsFail says whether a plan ends in elections that fail.
func electionsFail(p *Plan) (die, bool) {
	d := newDie(p.Seed, entityEpisode, 2000)
	drawn := d.chance(200_000)
	return d, drawn
}

// failedElections cuts the leader off, with what its clients still give it, and loses the votes of
// the others, until the chaos ends: then logs and terms are ahead of each other. As many members as
// can be spared stay away from then on, so that those who are left need one another's votes.
func failedElections(p *Plan, d *die) []Fault {
	members := netsim.Set(1)<<p.Members - 1
	lasts := d.within(4, 12) * p.ElectionNanos()
	cut := Fault{
		Kind: FaultPartition, Target: TargetLeader, Shape: netsim.Isolate, Concerned: members,
		At: p.Chaos - lasts, For: lasts + second,
	}
	lost := Fault{
		Kind: FaultLoss, Side: members, Concerned: members, PPM: million,
		Classes: 1<<raft.MsgVote | 1<<raft.MsgVoteResp,
		At:      cut.At - d.below(second), For: lasts + 2*second,
	}
	return []Fault{cut, lost}
}

// usurper cuts a leader off together with a client whose writes fill its log, lets the others
// elect a new one, and brings the old one back at the moment when the new one falls: a log that is
// longer and ends in an older term asks for votes. Then, in part of the cases, all lose power, with
// logs whose ends were overwritten by shorter ones.
func usurper(p *Plan, d *die) []Fault {
	members := netsim.Set(1)<<p.Members - 1
	cut := Fault{
		Kind: FaultPartition, Target: TargetLeader, Shape: netsim.Isolate, Concerned: members,
		At:  d.within(3*second, p.Chaos-20*second),
		For: d.within(2*p.ElectionNanos(), 4*p.ElectionNanos()),
	}
	burst := generateFault(p, d, FaultBurst)
	burst.Target, burst.When, burst.Amount = TargetLeader, AtOnce, d.within(20, 128)
	burst.At = cut.At + d.below(p.ElectionNanos()/2)
	fall := generateFault(p, d, oneOf(d, FaultCrash, FaultPause, FaultPartition))
	fall.Target, fall.When, fall.Classes, fall.Ops = TargetLeader, AtOnce, 0, 1
	if fall.Kind == FaultPartition {
		fall.Shape, fall.Concerned = netsim.Isolate, members
	}
	fall.At = cut.At + cut.For - d.spread(1, 100)*millisecond
	fall.For = d.within(2, 6) * p.ElectionNanos()
	course := []Fault{cut, burst, fall}
	if d.chance(500_000) {
		dark := generateFault(p, d, FaultPower)
		dark.Target, dark.Side, dark.When, dark.Ops = TargetSet, members, AtOnce, 1
		dark.At = cut.At + cut.For + d.spread(1, 4*p.ElectionNanos()/millisecond)*millisecond
		course = append(course, dark)
	}
	return course
}

// straggler lets writes that a member forwarded arrive when it has started anew and has written
// again: they are held back on their way to the leader, who gives leadership away, hears nothing of
// the member for a while, and leads again when they come.
func straggler(p *Plan, d *die) []Fault {
	order := make([]int, p.Founders)
	d.rand.Perm(order)
	at := d.within(3*second, p.Chaos-15*second)
	from, leader := netsim.Of(netsim.Endpoint(order[0])), netsim.Of(netsim.Endpoint(order[1]))
	lead := func(member int, after int64) Fault {
		return Fault{Kind: FaultTransfer, Member: member, At: at + after}
	}
	burst := func(after int64) Fault {
		f := generateFault(p, d, FaultBurst)
		f.Target, f.Member, f.When, f.At = TargetMember, order[0], AtOnce, at+after
		return f
	}
	hold := Fault{Kind: FaultHold, At: at, For: second, Side: from, Concerned: leader, PPM: million,
		Classes: 1 << raft.MsgPropose, Amount: d.within(4000, 9000) * millisecond}
	crash := generateFault(p, d, FaultCrash)
	crash.Target, crash.Member, crash.When, crash.At = TargetMember, order[0], AtOnce, at+second
	crash.Classes, crash.Ops, crash.For = 0, 1, d.spread(1, 500)*millisecond
	deaf := Fault{Kind: FaultLoss, At: at + 900*millisecond, For: 10 * second, PPM: million,
		Side: from, Concerned: leader}
	mute := deaf
	mute.Side, mute.Concerned = leader, from
	back := d.within(2, 4) * second
	return []Fault{
		lead(order[1], -2*second), lead(order[1], -second), hold, burst(100 * millisecond),
		lead(order[2], 500*millisecond), deaf, mute, crash, burst(1800 * millisecond),
		lead(order[1], back), lead(order[1], back+second),
	}
}

// overtaken lets a member's log catch up with a state that is on its way to it: the member is cut
// off until the leader's log no longer reaches back to it; what it has of the state waits behind a
// checkpoint, for its disk stands still; and meanwhile leadership moves to a member whose log does.
func overtaken(p *Plan, d *die) []Fault {
	victim, members := unequalLogs(p, d)
	p.Machines[victim].CheckpointCount = 4 // one is always under way
	cut := Fault{
		Kind: FaultPartition, Member: victim, Shape: netsim.Isolate, Concerned: members,
		At: d.within(3*second, p.Chaos-25*second), For: d.within(2, 6) * second,
	}
	back := cut.At + cut.For
	stall := Fault{
		Kind: FaultStall, Member: victim, Amount: stallLane(diskio.LaneEngine),
		At: cut.At - d.spread(1, 500)*millisecond,
	}
	stall.For = back + d.spread(500, 6000)*millisecond - stall.At
	course := []Fault{stall, cut}
	for range 3 {
		course = append(course, Fault{Kind: FaultTransfer, Member: (victim + 1) % p.Founders,
			At: back - second, When: OnState, Lag: d.within(50, 1500) * millisecond})
	}
	return course
}

// echo brings a member a state and then, when it has moved on, the same messages again.
func echo(p *Plan, d *die) []Fault {
	victim, members := unequalLogs(p, d)
	p.Limits.ChunkBytes = 64 << 10
	cut := Fault{
		Kind: FaultPartition, Member: victim, Shape: netsim.Isolate, Concerned: members,
		At: d.within(3*second, p.Chaos-25*second), For: d.within(2, 6) * second,
	}
	again := Fault{
		Kind: FaultDuplicate, At: cut.At + cut.For - second, For: d.within(2, 6) * second,
		Side: members, Concerned: netsim.Of(netsim.Endpoint(victim)), PPM: uint32(million),
		Classes: 1<<raft.MsgSnapshotOffer | 1<<raft.MsgSnapshotChunk,
		Amount:  d.spread(200, 8000) * millisecond,
	}
	return []Fault{cut, again}
}

// glut fills a member whose log stands still with more entries than it may hold in memory: each new
// leader sends it as many as may be unacknowledged.
func glut(p *Plan, d *die) []Fault {
	p.Limits.InflightBytes, p.Limits.LogMemoryBytes = 1<<10, 1<<10
	victim := int(d.below(int64(p.Founders)))
	stall := Fault{
		Kind: FaultStall, Member: victim, Amount: stallLane(diskio.LaneLog),
		At: d.within(3*second, p.Chaos-15*second), For: d.within(5, 9) * second,
	}
	course := []Fault{stall}
	gap := d.spread(200, 1000) * millisecond
	for i := range int(stall.For / gap) {
		course = append(course, Fault{Kind: FaultTransfer,
			Member: (victim + 1 + i%2) % p.Founders, At: stall.At + int64(i)*gap})
	}
	return course
}

// rump cuts a leader off together with one follower that it can hardly keep up to date, so that it
// reads for it what will be overwritten; and lets that come when it has been.
func rump(p *Plan, d *die) []Fault {
	order := make([]int, p.Founders)
	d.rand.Perm(order)
	leader := order[0]
	p.Limits.LogMemoryBytes, p.Limits.InflightMessages = 1<<10, 1
	p.Limits.InflightBytes, p.Limits.MessageBytes = 64<<10, int(d.spread(128, 1024))
	split := Fault{
		Kind: FaultPartition, Shape: netsim.Split,
		Side:      netsim.Of(netsim.Endpoint(leader)) | netsim.Of(netsim.Endpoint(order[1])),
		Concerned: netsim.Set(1)<<p.Members - 1,
		At:        d.within(5*second, p.Chaos-20*second),
		For:       d.within(2*p.ElectionNanos(), 4*p.ElectionNanos()),
	}
	burst := generateFault(p, d, FaultBurst)
	burst.Target, burst.Member, burst.When = TargetMember, leader, AtOnce
	burst.At, burst.Amount = split.At+d.below(100)*millisecond, d.within(20, 128)
	stall := Fault{
		Kind: FaultStall, Member: leader, Amount: stallLane(diskio.LaneBulk),
		At: burst.At + d.spread(2, 200)*millisecond, For: split.For + 2*p.ElectionNanos(),
	}
	lead := Fault{Kind: FaultTransfer, Member: leader, At: split.At - 2*second}
	again := lead
	again.At += second
	return []Fault{lead, again, burst, split, stall}
}

// unequalLogs gives all members short logs, except the one after the victim that it draws.
func unequalLogs(p *Plan, d *die) (victim int, members netsim.Set) {
	victim = int(d.below(int64(p.Founders)))
	for i := range p.Machines {
		p.Machines[i].CheckpointCount, p.Machines[i].CatchUpEntries = d.spread(4, 50), 1
	}
	p.Machines[(victim+1)%p.Founders].CatchUpEntries = 3000
	return victim, netsim.Set(1)<<p.Members - 1
}

// revenant brings back what a leader replaced: a leader is cut off with a tail of its log that
// nobody else has; its successor is cut off as soon as it is elected, with an entry that nobody
// else has; the first one leads again and falls while it hands on its tail, in many small messages;
// then the second one returns, whose log ends in a later term than that tail (Ongaro's thesis,
// figure 3.7).
func revenant(p *Plan, d *die) []Fault {
	p.Limits.MessageBytes = int(d.spread(128, 1024))
	p.Limits.InflightMessages = int(d.within(1, 3))
	members := netsim.Set(1)<<p.Members - 1
	election := p.ElectionNanos()
	first := Fault{
		Kind: FaultPartition, Target: TargetLeader, Shape: netsim.Isolate, Concerned: members,
		At: d.within(3*second, p.Chaos-20*second), For: d.within(3*election, 5*election),
	}
	burst := generateFault(p, d, FaultBurst)
	burst.Target, burst.When, burst.Amount = TargetLeader, AtOnce, d.within(10, 64)
	burst.At = first.At + d.below(election/2)
	next := Fault{
		Kind: FaultPartition, Target: TargetLeader, Shape: netsim.Isolate, Concerned: members,
		When: OnElection, At: first.At + millisecond, For: d.within(6*election, 10*election),
	}
	fall := generateFault(p, d, oneOf(d, FaultCrash, FaultCrash, FaultPower))
	fall.Target, fall.When, fall.Lag = TargetLeader, OnElection, 0
	fall.At, fall.For = first.At+first.For-election/2, d.within(10*election, 20*election)
	fall.Classes, fall.Ops, fall.Moment = 1<<raft.MsgAppend, int(d.spread(2, 30)), Before
	return []Fault{first, burst, next, fall}
}

// trance freezes a member in the middle of an entry, until the time of the client that waits for it
// is over.
func trance(p *Plan, d *die) Fault {
	p.Limits.StepUnits = int(d.within(4, 20))
	f := generateFault(p, d, FaultPause)
	f.Target, f.When, f.Lag = TargetMember, OnParts, 0
	f.At = d.within(3*second, p.Chaos-10*second)
	f.For = 5*second + 2*p.ElectionNanos() + d.spread(1, 2000)*millisecond
	return f
}

// swizzle cuts members off one by one, at least half of them, and lets them back in another order:
// each return finds a different majority.
func swizzle(p *Plan, d *die) (course []Fault) {
	out, back := make([]int, p.Members), make([]int, p.Members)
	d.rand.Perm(out)
	d.rand.Perm(back)
	at := d.within(3*second, p.Chaos-20*second)
	gap := d.within(p.ElectionNanos()/4, 3*p.ElectionNanos())
	left := at + int64(p.Members)*gap
	for i, member := range out[:d.within(int64(p.Members+1)/2, int64(p.Members))] {
		f := Fault{
			Kind: FaultPartition, Member: member, Shape: oneOf(d, netsim.Isolate, netsim.Isolate,
				netsim.IsolateIn, netsim.IsolateOut),
			Concerned: netsim.Set(1)<<p.Members - 1, At: at + int64(i)*gap,
		}
		f.For = left + int64(back[member])*gap - f.At
		course = append(course, f)
	}
	return course
}

// successions lets one leader after the other fall soon after its election, each with something in
// its log that few others have.
func successions(p *Plan, d *die) (course []Fault) {
	at := d.within(3*second, p.Chaos-10*second)
	for range d.within(3, 7) {
		kind := oneOf(d, FaultPartition, FaultPartition, FaultCrash, FaultPower, FaultPause)
		f := generateFault(p, d, kind)
		f.At, f.Target = at, TargetLeader
		f.When, f.Lag = OnElection, d.spread(millisecond, p.ElectionNanos())
		f.For = d.within(p.ElectionNanos()/2, 4*p.ElectionNanos())
		if kind == FaultPartition {
			f.Shape = oneOf(d, netsim.Isolate, netsim.IsolateIn, netsim.Split)
			f.Concerned = netsim.Set(1)<<p.Members - 1
		}
		course = append(course, f)
		at += d.within(0, 2*p.ElectionNanos())
	}
	return course
}
