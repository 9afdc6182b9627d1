package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// Durations in nanoseconds; the package knows no time.Duration, which would invite the clock.
const (
	microsecond int64 = 1000
	millisecond       = 1000 * microsecond
	second            = 1000 * millisecond
)

// Plan is everything that a seed decides before the run: plain data, printable, and the only thing
// besides the code that a run depends on. Draws that remain during the run are keyed by (seed,
// entity, number), so a plan with one fault taken out runs as before wherever that fault did not
// reach.
type Plan struct {
	Seed    uint64
	Members int // machines, 1 to 8
	// Founders is how many of them, from the first on, are the initial members; 0 is all.
	Founders   int
	Strictness kv.Strictness
	Chaos      int64
	// Cluster-wide settings of the nodes.
	TickNanos      int64
	HeartbeatTicks int
	ElectionTicks  int
	LeaseNanos     int64 // how much of a lease passes before that is written down; 0: never is
	Limits         kv.Limits
	// The undisturbed world.
	Peers, Clients netsim.Quality
	WirePPM        uint32 // messages that pass through their wire form
	TurnDelay      int64  // longest time that a loop lets its inbox fill
	ReadDelay      int64  // longest time between a read's hand-over and its evaluation
	Machines       []Machine
	Scripts        []Script
	Watchers       []WatchScript
	NotifyNanos    int64 // time between progress notices of watches
	Faults         []Fault
	// Absent are members that stay down from the end of the chaos until the second settling: the
	// others owe progress without them. Together with those that damage may take they are fewer
	// than half.
	Absent netsim.Set
	// Overdrawn says that damage which shows may hit every member.
	Overdrawn bool
	Ending    Ending
	Auth      AuthPlan
	Reshapes  []Reshape // what the operator does, by time
	Fork      Fork
}

// Ending says how the first reading ends.
type Ending uint8

// The choices.
const (
	PlainEnding Ending = iota
	// EmptyEnding deletes everything, compacts at that revision and waits for the checkpoints: the
	// newest record of what the next start finds is one that a compaction was about.
	EmptyEnding
)

// Machine is what one member runs on.
type Machine struct {
	DriftPPM   int64 // its clock runs this much too fast
	WallOffset int64 // its wall clock is off by this at the start
	SyncDelay  int64 // typical duration of a sync; other operations take a fraction of it
	// CheckpointCount and CatchUpEntries, if not 0, are the member's own limits instead of the
	// plan's: logs of different lengths, so that one leader has what another one has to ship.
	CheckpointCount, CatchUpEntries int64
}

// Script is how one client behaves. What it asks for is drawn when it asks, from what it has seen.
type Script struct {
	Home    int    // the member that it talks to first
	RoamPPM uint32 // chance to change the member before a request
	Start   int64
	Think   int64 // typical pause between an answer and the next request
	Timeout int64
	Mix     Mix
	Keys    int // size of the hot key space
	// Sends, if not empty, are the acts that it goes through with, by their number from 1 on; it
	// lets pass all others. Silent is a client that never begins.
	Sends  []Span
	Silent bool
}

// Span is the numbers from First to Last, both included.
type Span struct{ First, Last uint64 }

// sends says whether a client goes through with one of its acts.
func (s *Script) sends(act uint64) bool {
	return len(s.Sends) == 0 || slices.ContainsFunc(s.Sends, func(x Span) bool {
		return x.First <= act && act <= x.Last
	})
}

// Mix weighs the kinds of request of one client.
type Mix [numShapes]uint16

// FaultKind is the closed set of what the plan can do to the world.
type FaultKind uint8

// The kinds of fault.
const (
	FaultPartition  FaultKind = iota + 1
	FaultLoss                 // messages are lost
	FaultDuplicate            // messages arrive twice, the second much later
	FaultDelay                // links become slow
	FaultHold                 // some messages are held back for seconds
	FaultCrash                // a process dies; what the file system was given survives
	FaultPower                // a machine loses power; unsynced data may be lost or torn
	FaultPause                // a process is frozen while the world goes on
	FaultClock                // a wall clock jumps
	FaultSlowDisk             // operations take much longer
	FaultStall                // the disk does nothing for a while
	FaultSyncError            // a sync reports an error and drops what it should have kept
	FaultRot                  // stored bytes change while the member is down
	FaultTransfer             // a client asks for a leadership transfer
	FaultDecay                // stored bytes change while the member runs
	FaultFull                 // the disk has hardly any room left
	FaultWriteError           // a write reports an error
	FaultReadError            // reads report errors
	FaultLie                  // syncs report success and keep nothing
	FaultLostWrite            // sectors that were synced go on showing their old content
	FaultReset                // connections break; what was under way on them is lost
	FaultAlter                // bits of messages change on their way
	FaultBurst                // a client sends many writes at once
	FaultWipe                 // the disk is replaced by an empty one
	FaultOldImage             // the disk becomes again what it was a while ago
	FaultSuspicion            // the operator raises the alarm that stops all writes
	numFaultKinds
)

// String names the kind.
func (k FaultKind) String() string {
	names := [...]string{"?", "partition", "loss", "duplicate", "delay", "hold", "crash", "power",
		"pause", "clock", "slow-disk", "stall", "sync-error", "rot", "transfer", "decay",
		"full-disk", "write-error", "read-error", "lie", "lost-write", "reset", "alter",
		"burst", "wipe", "old-image",
		"suspicion"}
	if int(k) < len(names) {
		return names[k]
	}
	return "fault(?)"
}

// Target says whom a fault hits. Roles are resolved when the fault begins, because nobody knows
// earlier who leads.
type Target uint8

// The targets.
const (
	TargetMember   Target = iota // Fault.Member
	TargetLeader                 // the leader of the highest term, Fault.Member if there is none
	TargetFollower               // the next member after Fault.Member that does not lead
	TargetSet                    // all members of Fault.Side
)

// String names the target.
func (t Target) String() string {
	return [...]string{"member", "leader", "follower", "set"}[t]
}

// When says what a fault waits for.
type When uint8

// The choices.
const (
	AtOnce     When = iota
	OnElection      // until the next leader shows itself
	OnChange        // until a change of the membership is in a log
	OnJoint         // until one of several voters is
	OnState         // until the content of a state sets out for a member
	OnParts         // until its member has half applied an entry that a client waits for
	numWhens
)

// String names the choice.
func (w When) String() string {
	return [...]string{"nothing", "an election", "a change", "a joint change", "a state",
		"parts"}[w]
}

// Moment says where in a disk operation a crash falls.
type Moment uint8

// The moments.
const (
	Before Moment = iota // the operation is never given to the disk
	Inside               // it is under way: a write may be torn
	After                // it is done, but its completion is never delivered
	NumMoments
)

// String names the moment.
func (m Moment) String() string { return [...]string{"before", "inside", "after"}[m] }

// Aim turns a disturbance of links into one of a member's conversations, whoever that member is by
// then: every append response to the leader of this term, every vote that a follower asks for.
type Aim uint8

// The choices.
const (
	AimNone Aim = iota
	AimTo
	AimFrom
)

// Fault is one planned disturbance. Which fields mean something depends on Kind.
type Fault struct {
	ID     uint32 // from 1, fixed for the life of the plan
	Kind   FaultKind
	At     int64
	For    int64 // how long it lasts; for crashes, how long the member stays down
	Target Target
	Member int
	// When says what the fault waits for from At on; Lag is the time from there to its beginning.
	When When
	Lag  int64
	// Partition and network faults: the shape, one side, the endpoints concerned, and the classes
	// of message (0: all). An aimed fault concerns what goes to, or comes from, its target only.
	// Crashes with classes count messages of these that leave, instead of disk operations.
	Shape     netsim.Shape
	Side      netsim.Set
	Concerned netsim.Set
	Classes   uint32
	Aim       Aim
	PPM       uint32 // chance of what happens; of a full disk, whether anybody is told
	// Amount is a delay, a clock's jump, a slow-down, what of the disk stalls, the bytes that are
	// left on it, or a number of sectors or of requests.
	Amount int64
	// Crashes: the member dies at its Ops-th disk operation (or message) after At, at the given
	// moment. Bursts: the number of the client.
	Ops    int
	Moment Moment
}

// String is the fault as one line of a plan.
func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fault %d at %s for %s: %s", f.ID, clockTime(f.At), clockTime(f.For), f.Kind)
	switch f.Kind {
	case FaultPartition:
		fmt.Fprintf(&b, " %s side %b concerned %b", f.Shape, f.Side, f.Concerned)
	case FaultLoss, FaultDuplicate, FaultDelay, FaultHold, FaultReset, FaultAlter:
		fmt.Fprintf(&b, " from %b to %b aim %d classes %b ppm %d by %s",
			f.Side, f.Concerned, f.Aim, f.Classes, f.PPM, clockTime(f.Amount))
	case FaultCrash, FaultPower:
		if f.Classes > 0 {
			fmt.Fprintf(&b, " %s message %d of classes %b", f.Moment, f.Ops, f.Classes)
			break
		}
		fmt.Fprintf(&b, " %s operation %d", f.Moment, f.Ops)
	case FaultBurst:
		fmt.Fprintf(&b, " of %d by client %d", f.Amount, f.Ops)
	case FaultClock, FaultSlowDisk, FaultStall, FaultFull:
		fmt.Fprintf(&b, " by %d", f.Amount)
	}
	if f.When != AtOnce {
		fmt.Fprintf(&b, " %s after %s", clockTime(f.Lag), f.When)
	}
	switch f.Target {
	case TargetMember:
		fmt.Fprintf(&b, " member %d", f.Member)
	case TargetSet:
		fmt.Fprintf(&b, " members %b", f.Side)
	default:
		fmt.Fprintf(&b, " %s (else %d)", f.Target, f.Member)
	}
	return b.String()
}

// String is the whole plan, one line for each part.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d members %d founders %d strictness %d\n", p.Seed, p.Members,
		p.Founders, p.Strictness)
	fmt.Fprintf(&b, "chaos %s tick %dus heartbeat %d election %d\n", clockTime(p.Chaos),
		p.TickNanos/microsecond, p.HeartbeatTicks, p.ElectionTicks)
	fmt.Fprintf(&b, "limits %+v, leases written down after %s\n", p.Limits,
		clockTime(p.LeaseNanos))
	fmt.Fprintf(&b, "peers %+v\nclients %+v\n", p.Peers, p.Clients)
	fmt.Fprintf(&b, "wire %d ppm, turn %d, read %d, notify %s\n", p.WirePPM, p.TurnDelay,
		p.ReadDelay, clockTime(p.NotifyNanos))
	fmt.Fprintf(&b, "absent %b, overdrawn %v, ending %d\n", p.Absent, p.Overdrawn, p.Ending)
	for i, m := range p.Machines {
		fmt.Fprintf(&b, "machine %d %+v\n", i, m)
	}
	for i, s := range p.Scripts {
		fmt.Fprintf(&b, "client %d %+v\n", i, s)
	}
	for i, s := range p.Watchers {
		fmt.Fprintf(&b, "watcher %d %+v\n", i, s)
	}
	for _, f := range p.Faults {
		fmt.Fprintln(&b, f)
	}
	if p.Auth.on() {
		fmt.Fprintf(&b, "users %+v\n", p.Auth)
	}
	for _, r := range p.Reshapes {
		fmt.Fprintln(&b, r)
	}
	if p.Fork.Seed != 0 {
		fmt.Fprintf(&b, "from event %d on, draws of seed %d\n", p.Fork.Event, p.Fork.Seed)
	}
	return b.String()
}

// memberID is the identity of member i of the simulated cluster.
func memberID(i int) raft.MemberID { return raft.MemberID(0x1000 + uint64(i)*0x111) }

// ElectionNanos is the shortest election timeout.
func (p *Plan) ElectionNanos() int64 { return p.TickNanos * int64(p.ElectionTicks) }
