package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/detcd/detcd/sim"
)

// verdict is how the run ended, for people.
type verdict struct {
	Failed   bool   `json:"failed"`
	Sentence string `json:"sentence"`
	Oracle   string `json:"oracle"`
	Message  string `json:"message"`
	At       int64  `json:"at"`
	Event    uint64 `json:"event"`
}

// accusations say in plain words what each oracle objects to.
var accusations = map[sim.Oracle]string{
	sim.OracleRaft:      "a rule of the consensus protocol was broken",
	sim.OracleDurable:   "a promise was made that a loss of power could undo",
	sim.OracleHash:      "members with equal logs hold different states",
	sim.OracleModel:     "a request did something else than it should have",
	sim.OracleLin:       "the clients saw answers that no single store could have given",
	sim.OracleLive:      "the cluster did not make the progress that it owed",
	sim.OraclePanic:     "a member stopped without a fault that explains it",
	sim.OracleHalt:      "a member went on where it had to stop",
	sim.OracleCodec:     "something encoded does not say what was meant",
	sim.OracleCheck:     "a member's own invariants do not hold",
	sim.OracleBound:     "a member held more in memory than its limits allow",
	sim.OracleWatch:     "a watcher did not see what it should have seen",
	sim.OracleUndecided: "the history could not be judged in the time allowed",
}

func verdictOf(r *sim.Result) verdict {
	f := r.Failure
	if f == nil {
		return verdict{Sentence: fmt.Sprintf("This run passed: no oracle objected, and its faults "+
			"stayed %s.", r.Verdict)}
	}
	return verdict{Failed: true, Oracle: string(f.Oracle), Message: f.Message, At: f.At,
		Event: f.Event}
}

// sentence says how the run failed and where that shows first.
func (t *teller) sentence() string {
	f := t.failure
	where := fmt.Sprintf("at %s, event %d", seconds(f.At), f.Event)
	switch {
	case f.About.Call > 0:
		where = fmt.Sprintf("in the answer to call %d at %s, judged after the run", f.About.Call,
			seconds(t.at))
	case f.About.Stream > 0:
		where = fmt.Sprintf("for watcher %d of stream %d, which lacks something from %s on",
			f.About.Watch, f.About.Stream, seconds(t.at))
	}
	return fmt.Sprintf("This run failed: %s, %s (oracle %s).", accusations[f.Oracle], where,
		f.Oracle)
}

// seconds prints virtual nanoseconds.
func seconds(at int64) string {
	return fmt.Sprintf("%d.%06d s", at/1_000_000_000, at%1_000_000_000/1000)
}

// line is one sentence of the story, with the thing that it is about.
type line struct {
	At   int64  `json:"at"`
	Text string `json:"text"`
	Kind string `json:"kind"` // the thing's table
	Item int    `json:"item"` // and its row
	Key  bool   `json:"key"`  // what the failure rests on
}

// focus is the part of the diagram that the page opens with.
type focus struct {
	From    int64 `json:"from"`
	To      int64 `json:"to"`
	Members []int `json:"members"`
}

// teller gathers the story of a failure.
type teller struct {
	failure *sim.Failure
	record  *sim.Record
	limit   int // of bytes on a watch stream that are not read
	members []int
	at      int64 // the moment that it is about
	from    int64 // the earliest moment that matters
	lines   []line
}

// storyLines is the number of lines that a reader reads.
const storyLines = 28

// tell finds what led to a failure: who is concerned, and what happened to them shortly before.
func tell(plan *sim.Plan, result *sim.Result, record *sim.Record) (verdict, []line, focus) {
	v := verdictOf(result)
	if result.Failure == nil {
		return v, []line{}, focus{From: 0, To: result.Counts.Virtual, Members: []int{}}
	}
	t := &teller{failure: result.Failure, record: record, at: result.Failure.At,
		limit: plan.Limits.WatchBytes}
	t.members = t.concerned()
	switch about := t.failure.About; {
	case about.Call > 0:
		t.tellCall(about.Call)
	case about.Stream > 0:
		t.tellWatch(about.Stream, about.Watch)
	default:
		t.tellMoment()
	}
	if t.failure.Oracle == sim.OracleLive && t.failure.About == (sim.Subject{}) {
		t.from = max(1, t.at-3_000_000_000)
	}
	if t.from == 0 || t.from > t.at {
		t.from = max(0, t.at-50_000_000)
	}
	t.tellBackground()
	slices.SortStableFunc(t.lines, func(a, b line) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	width := max(t.at-t.from, 2_000_000)
	v.At, v.Sentence = t.at, t.sentence()
	return v, t.lines, focus{From: max(0, t.from-width/8), To: t.at + width/8, Members: t.members}
}

// concerned lists the members that the failure names.
func (t *teller) concerned() []int {
	found := []int{}
	words := regexp.MustCompile(`members? (\d+)(?: and (\d+))?`)
	for _, groups := range words.FindAllStringSubmatch(t.failure.Message, -1) {
		for _, text := range groups[1:] {
			m, err := strconv.Atoi(text)
			if err == nil && m < t.record.Members && !slices.Contains(found, m) {
				found = append(found, m)
			}
		}
	}
	if len(found) == 0 {
		for i := len(t.record.States) - 1; i >= 0; i-- {
			if s := &t.record.States[i]; s.Event == t.failure.Event {
				found = append(found, s.Member)
				break
			}
		}
	}
	return found
}

func (t *teller) concerns(member int) bool { return slices.Contains(t.members, member) }

// say adds a line; key ones are what the failure rests on.
func (t *teller) say(at int64, kind string, item int, format string, args ...any) {
	t.lines = append(t.lines, line{At: at, Kind: kind, Item: item, Text: fmt.Sprintf(format,
		args...)})
}

// stress adds a line that the failure rests on.
func (t *teller) stress(at int64, kind string, item int, format string, args ...any) {
	t.say(at, kind, item, format, args...)
	t.lines[len(t.lines)-1].Key = true
	if t.from == 0 || at < t.from {
		t.from = at
	}
}

// tellMoment tells what the members concerned were doing at the event that failed.
func (t *teller) tellMoment() {
	f := t.failure
	t.tellDisk()
	for i := range t.record.Messages {
		if m := &t.record.Messages[i]; m.Event == f.Event {
			t.stress(m.Sent, "messages", i, "%s sends %s to %s.%s", t.lane(int(m.From)),
				describe(m), t.lane(int(m.To)), t.hollow(m))
		}
	}
	t.tellArrivals()
	t.tellState()
}

// hollow says that a message promises what the sender's disk has not synced yet; empty if it does
// not.
func (t *teller) hollow(m *sim.MessageRecord) string {
	name := m.Kind.String()
	if m.Rejects || name != "append-resp" && name != "vote-resp" {
		return ""
	}
	for i := range t.record.Disk {
		d := &t.record.Disk[i]
		if d.Member != int(m.From) || d.Lane != 0 || d.Ended >= 0 || d.Fate != sim.Pending {
			continue
		}
		switch {
		case name == "append-resp" && d.First > 0 && d.First <= m.Index:
			return fmt.Sprintf(" It acknowledges index %d before its disk has synced entries %d "+
				"to %d.", m.Index, d.First, d.Last)
		case name == "vote-resp" && d.Term >= m.Term && d.Vote != 0:
			return fmt.Sprintf(" It grants its vote of term %d before its disk has synced that "+
				"vote.", m.Term)
		}
	}
	return ""
}

// tellDisk tells of the operations of the log that were not finished at the moment.
func (t *teller) tellDisk() {
	for i := range t.record.Disk {
		d := &t.record.Disk[i]
		if !t.concerns(d.Member) || d.Lane != 0 || d.Submitted > t.at {
			continue
		}
		switch {
		case d.Ended < 0 && d.Fate == sim.Pending:
			t.stress(d.Submitted, "disk", i, "%s gives its disk %s, which is not finished at the "+
				"failure %s later.", t.lane(d.Member), describeOp(d), duration(t.at-d.Submitted))
		case d.Fate == sim.Lied && d.Ended > t.at-1_000_000_000:
			t.stress(d.Ended, "disk", i, "the disk of %s reports %s as done and keeps nothing.",
				t.lane(d.Member), describeOp(d))
		}
	}
}

// tellArrivals tells of the last messages with entries, votes or snapshots that came in.
func (t *teller) tellArrivals() {
	told := 0
	for i := len(t.record.Messages) - 1; i >= 0 && told < 4; i-- {
		m := &t.record.Messages[i]
		if int(m.To) >= t.record.Members || !t.concerns(int(m.To)) || m.Kind >= sim.KindRequest ||
			len(m.Copies) == 0 || m.Copies[0].Outcome != sim.Delivered {
			continue
		}
		if name := m.Kind.String(); m.First == 0 && name != "vote" && name != "snapshot-chunk" {
			continue
		}
		told++
		t.stress(m.Copies[0].At, "messages", i, "%s gets %s from %s.", t.lane(int(m.To)),
			describe(m), t.lane(int(m.From)))
	}
}

// tellState tells where the members concerned stood.
func (t *teller) tellState() {
	for _, member := range t.members {
		for i := len(t.record.States) - 1; i >= 0; i-- {
			s := &t.record.States[i]
			if s.Member != member || s.At > t.at {
				continue
			}
			t.say(s.At, "states", i, "%s is %s in term %d: commit %d, applied %d, its log ends at "+
				"%d and is durable up to %d.", t.lane(member), s.Raft.Role, s.Raft.Term,
				s.Raft.Commit, s.Applied, s.Raft.Last, s.Raft.Durable)
			break
		}
	}
}

// tellBackground adds faults, crashes and changes of leadership around the moment, as far as there
// is room for them, the latest first.
func (t *teller) tellBackground() {
	since := t.from - 1_000_000_000
	for i := range t.record.Faults {
		f := &t.record.Faults[i]
		if f.From <= t.at && (f.To < 0 || f.To >= t.from) && len(t.lines) < storyLines {
			t.say(f.From, "faults", i, "%s", f.Text)
		}
	}
	for i := len(t.record.Lives) - 1; i >= 0 && len(t.lines) < storyLines; i-- {
		if l := &t.record.Lives[i]; l.At <= t.at && l.At >= since {
			t.say(l.At, "lives", i, "%s %s. %s", t.lane(l.Member), l.Life, l.Reason)
		}
	}
	for i := len(t.record.States) - 1; i >= 0 && len(t.lines) < storyLines; i-- {
		s := &t.record.States[i]
		if s.At > t.at || s.At < since {
			continue
		}
		if before := t.before(i); before == nil || before.Raft.Role != s.Raft.Role ||
			before.Raft.Term != s.Raft.Term {
			t.say(s.At, "states", i, "%s is %s in term %d.", t.lane(s.Member), s.Raft.Role,
				s.Raft.Term)
		}
	}
}

// before is the state of the same member before the i-th one, nil if there is none.
func (t *teller) before(i int) *sim.StateRecord {
	for k := i - 1; k >= 0; k-- {
		if t.record.States[k].Member == t.record.States[i].Member {
			return &t.record.States[k]
		}
	}
	return nil
}

func (t *teller) lane(i int) string { return t.record.Endpoints[i] }

// duration prints a span of virtual time.
func duration(d int64) string {
	switch {
	case d < 1_000_000:
		return fmt.Sprintf("%d µs", d/1000)
	case d < 10_000_000_000:
		return fmt.Sprintf("%d.%d ms", d/1_000_000, d/100_000%10)
	}
	return seconds(d)
}
