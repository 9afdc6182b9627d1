package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/netsim"
)

// After the chaos every fault ends, and the cluster owes progress within a bound: one leader that
// all live members know, every request answered, every live member caught up. Then the world
// writes and reads through every member and compares what they hold. Then the power of all
// machines fails at once, and the same is demanded of what comes back, because a promise that is
// kept in memory only shows here at the latest.

// phase is how far a run has come.
type phase uint8

const (
	chaos phase = iota
	settling
	reading
	settlingAgain
	readingAgain
)

// healing is the state of the time after the chaos.
type healing struct {
	phase    phase
	since    int64 // when the present phase began
	deadline int64
	steps    []finalStep
	asked    finalStep // the latest one
	hashes   map[hashKey]hashSeen
}

// finalStep is one of the world's own requests after the chaos.
type finalStep struct {
	member  int
	request request // without a method: a compaction at the revision that the store has by then
}

// hashKey is what makes two answers to HashKV comparable.
type hashKey struct {
	revision, compacted int64
}

type hashSeen struct {
	hash   uint32
	member int
}

// bound is how long the cluster may take to recover.
func (w *world) bound() int64 { return 20*second + 30*w.plan.ElectionNanos() }

// nextPhase ends the chaos.
func (w *world) nextPhase() {
	w.heal.phase, w.heal.since, w.heal.deadline = settling, w.now, w.now+w.bound()
	calm := netsim.Quality{
		MinDelay: 100 * microsecond, MeanDelay: 100 * microsecond, TailDelay: millisecond,
		Capacity: 1 << 16,
	}
	for i := range w.faults {
		w.net.Remove(w.plan.Faults[i].ID)
		w.faults[i].active = idle
		if w.record != nil {
			w.record.faultEnded(i)
		}
	}
	w.net.SetQuality(calm, calm)
	for i, m := range w.members {
		if m.absent = w.plan.Absent.Has(netsim.Endpoint(i)); m.absent {
			m.leave()
		}
		m.calm()
	}
	w.schedule(event{at: w.now + 50*millisecond, kind: eventProbe})
}

// calm takes every fault off one machine and starts its process if it is down. One whose stored
// bytes are damaged starts anew: it reads all that counts then, and is whole or refuses.
func (m *member) calm() {
	m.disk.Quiet()
	m.disk.slow, m.disk.stalls = 0, [len(m.disk.stalls)]int{}
	m.disk.fill(plenty, aloud)
	m.crash = armedCrash{}
	if !m.disk.failureSeen {
		m.failing = 0
	}
	m.disk.unstall()
	m.pauses = 0
	m.resume()
	if m.damaged && m.life == up {
		m.stop(powerStays)
	}
	if m.life == down && !m.absent {
		m.downUntil = m.world.now
		m.scheduleRestart(m.world.now)
	}
}

// leave takes a member away until it is let back.
func (m *member) leave() {
	if m.life == up {
		m.stop(powerStays)
	}
	m.downUntil = math.MaxInt64
}

// probe looks whether the cluster has recovered.
func (w *world) probe() {
	again := event{at: w.now + 50*millisecond, kind: eventProbe}
	if !w.quorumLeft() {
		if w.now-w.heal.since >= excusedAfter {
			w.excuse()
			return
		}
		w.schedule(again)
		return
	}
	if w.heal.phase == reading || w.heal.phase == readingAgain {
		if w.now > w.heal.deadline {
			w.fail(OracleLive, "the final requests are not answered: %s", w.situation())
		}
		w.schedule(again)
		return
	}
	missing := w.missing()
	switch {
	case missing == "":
		w.counts.Recovery = max(w.counts.Recovery, w.now-w.heal.since)
		w.beginReading()
	case w.now > w.heal.deadline:
		lag, about := w.watchLag()
		if lag != missing {
			about = Subject{}
		}
		w.failAbout(about, OracleLive, "no recovery within %s: %s: %s", clockTime(w.bound()),
			missing, w.situation())
		return
	}
	w.schedule(again)
}

// missing says what recovery still lacks; empty when there is nothing.
func (w *world) missing() string {
	for _, c := range w.clients {
		if c.pending != nil {
			return fmt.Sprintf("call %d of client %d is neither answered nor timed out",
				c.pending.number, c.index)
		}
	}
	leader := w.oracle.leader()
	if leader < 0 {
		return "no leader"
	}
	now := w.oracle.membership.now()
	for _, m := range w.members {
		if m.forlorn() {
			m.stop(powerStays)
			m.life = gone
		}
		switch {
		case m.absent:
			continue
		case m.life == down:
			return fmt.Sprintf("member %d is down", m.index)
		case m.life == gone:
			continue
		}
		s := m.driver.Node.State()
		switch {
		case now.wasRemoved(m.id):
			return fmt.Sprintf("member %d was removed and still runs", m.index)
		case s.Raft.Leader != w.members[leader].id:
			return fmt.Sprintf("member %d does not follow member %d", m.index, leader)
		case !s.Ready:
			return fmt.Sprintf("member %d is not ready", m.index)
		case m.driver.Node.LowOnSpace():
			return fmt.Sprintf("member %d is low on space", m.index)
		case s.Pending > 0:
			return fmt.Sprintf("member %d has %d requests without an answer", m.index, s.Pending)
		case s.Applied < w.oracle.commit.last():
			return fmt.Sprintf("member %d has applied %d of %d", m.index, s.Applied,
				w.oracle.commit.last())
		}
	}
	if lingering := w.lingering(); lingering != "" {
		return lingering
	}
	lag, _ := w.watchLag()
	return lag
}

// situation describes every member, for a failure's message.
func (w *world) situation() string {
	var b strings.Builder
	for _, m := range w.members {
		fmt.Fprintf(&b, "[%d %s", m.index, [...]string{"down", "up", "gone"}[m.life])
		if m.life == up {
			s := m.driver.Node.State()
			fmt.Fprintf(&b,
				" %s term %d leader %d commit %d applied %d last %d durable %d pending %d "+
					"ready %v", s.Raft.Role, s.Raft.Term, w.machineOf(s.Raft.Leader), s.Raft.Commit,
				s.Applied,
				s.Raft.Last, s.Raft.Durable, s.Pending, s.Ready)
		} else if m.life == gone {
			fmt.Fprintf(&b, " %s", m.haltReason)
		}
		b.WriteString("] ")
	}
	return b.String()
}

// beginReading plans the final requests: one write through every live member, then everything read
// from each, then the hash and a backup of each.
func (w *world) beginReading() {
	h := &w.heal
	h.since, h.deadline = w.now, w.now+w.bound()
	if h.phase == settling {
		h.phase = reading
	} else {
		h.phase = readingAgain
	}
	if w.oracle.auth.rights.Enabled {
		h.steps = append(h.steps, finalStep{member: w.someMember(), request: w.rootLogin()})
	}
	w.disarmAll()
	for _, m := range w.members {
		if m.life != up {
			continue
		}
		if err := m.driver.Node.Check(); err != nil {
			w.fail(OracleCheck, "member %d: %v", m.index, err)
			return
		}
		if w.learns(m) {
			continue
		}
		value := fmt.Appendf(nil, "final-%d-%d", h.phase, m.index)
		h.steps = append(h.steps, finalStep{member: m.index, request: marshalled(request{
			modelled: linearizability.Request{Put: &pb.PutRequest{Key: []byte("final"),
				Value: value}},
		})})
	}
	everything := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	for _, m := range w.members {
		if m.life == up && !w.learns(m) {
			h.steps = append(h.steps, finalStep{member: m.index, request: marshalled(request{
				modelled: linearizability.Request{Range: everything},
			})})
		}
	}
	raw, err := marshal(&pb.HashKVRequest{})
	if err != nil {
		panic(err)
	}
	for _, m := range w.members {
		if m.life == up && !w.learns(m) {
			h.steps = append(h.steps, finalStep{member: m.index,
				request: request{method: kv.MethodHashKV, raw: raw}},
				finalStep{member: m.index, request: request{method: kv.MethodSnapshot}})
		}
	}
	if h.phase == reading && w.plan.Ending == EmptyEnding {
		w.emptyAll()
	}
	w.nextStep()
}

// emptyAll plans an ending that deletes everything, compacts at that revision, and has every live
// member make its checkpoints.
func (w *world) emptyAll() {
	h := &w.heal
	asked := h.steps[0].member
	h.steps = append(h.steps, deleteAll(asked), finalStep{member: asked})
	for _, m := range w.members {
		if m.life == up && !w.learns(m) {
			h.steps = append(h.steps, finalStep{member: m.index,
				request: request{method: kv.MethodDefragment}})
		}
	}
}

// deleteAll empties the store.
func deleteAll(member int) finalStep {
	return finalStep{member: member, request: marshalled(request{
		modelled: linearizability.Request{DeleteRange: &pb.DeleteRangeRequest{Key: []byte{0},
			RangeEnd: []byte{0}}},
	})}
}

// compactAll asks for a compaction at the newest revision.
func (w *world) compactAll() request {
	return marshalled(request{modelled: linearizability.Request{Compact: &pb.CompactionRequest{
		Revision: w.oracle.commit.state.Revision(), Physical: true}}})
}

// someMember is the first one that runs and serves everything.
func (w *world) someMember() int {
	for _, m := range w.members {
		if m.life == up && !w.learns(m) {
			return m.index
		}
	}
	return 0
}

// learns says whether a member only learns, and so refuses nearly every request.
func (w *world) learns(m *member) bool {
	return slices.ContainsFunc(w.oracle.membership.now().members, func(f fellow) bool {
		return f.id == m.id && f.learner
	})
}

// nextStep sends the next final request, or ends the phase when there is none.
func (w *world) nextStep() {
	h := &w.heal
	if len(h.steps) > 0 {
		s := h.steps[0]
		h.asked, h.steps = s, h.steps[1:]
		if s.request.method == 0 {
			s.request = w.compactAll()
		}
		w.admin().ask(s.request, s.member, finalTimeout)
		return
	}
	if h.phase == readingAgain {
		w.compareStates()
		w.done = true
		return
	}
	h.phase, h.since, h.deadline = settlingAgain, w.now, w.now+w.bound()
	for _, m := range w.members {
		switch {
		case m.life == up:
			m.stop(powerLost)
			m.scheduleRestart(w.now + 10*millisecond)
		case m.absent:
			m.absent, m.downUntil = false, w.now
			m.scheduleRestart(w.now + 10*millisecond)
		}
	}
}

// adminDone judges the end of one of the world's own requests.
func (w *world) adminDone(k *call) {
	if w.heal.phase == chaos || w.heal.phase == settling || w.heal.phase == settlingAgain {
		return
	}
	if !w.quorumLeft() {
		return
	}
	if w.fullAgain(k) {
		return
	}
	if k.end != callAnswered || k.code != kv.OK {
		w.fail(OracleLive, "a request to member %d after all faults have ended fails (%s): %s: %s",
			k.member, k.code.Text(), k.describe(), w.situation())
		return
	}
	w.nextStep()
}

// fullAgain goes on when a quota stands in the way of the final requests: everything is deleted. A
// compaction that was made already needs no other one, and a member that still counts what is
// compacted refuses for a while.
func (w *world) fullAgain(k *call) bool {
	h := &w.heal
	switch {
	case w.plan.Limits.QuotaBytes < 0 || k.end != callAnswered:
		return false
	case k.code == kv.ErrCompacted:
		w.nextStep()
		return true
	case k.code != kv.ErrNoSpace:
		return false
	}
	rest := append([]finalStep{h.asked}, h.steps...)
	h.steps = nil
	w.disarmAll()
	h.steps = append(h.steps, deleteAll(h.asked.member), finalStep{member: h.asked.member})
	h.steps = append(h.steps, rest...)
	w.nextStep()
	return true
}

// compareStates demands that all live members hold the same at the end.
func (w *world) compareStates() {
	for _, m := range w.members {
		if m.life != up {
			continue
		}
		s := m.driver.Node.State()
		w.oracle.commit.stateAt(w, m, &s)
	}
}

// hashed compares an answer to HashKV with all others of the same revisions.
func (w *world) hashed(member int, body []byte) error {
	var res pb.HashKVResponse
	if err := unmarshal(body, &res); err != nil {
		return err
	}
	if w.heal.hashes == nil {
		w.heal.hashes = make(map[hashKey]hashSeen)
	}
	key := hashKey{revision: res.HashRevision, compacted: res.CompactRevision}
	seen, known := w.heal.hashes[key]
	if known && seen.hash != res.Hash {
		w.fail(OracleHash, "members %d and %d hash revision %d (compacted %d) to %x and %x",
			seen.member,
			member, key.revision, key.compacted, seen.hash, res.Hash)
	}
	w.heal.hashes[key] = hashSeen{hash: res.Hash, member: member}
	return nil
}
