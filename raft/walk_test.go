package raft

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Random walks: every source of trouble at once, judged by the oracle at every step, then a heal
// and a demand for progress. A walk is a sequence of small draws, from rapid (few steps, failures
// shrink) or from a seeded generator (many steps, fast).

// chooser draws a number in [0, n).
type chooser func(n int) int

type walker struct {
	t      require.TestingT
	c      *testCluster
	o      *oracle
	pick   chooser
	cut    map[[2]MemberID]bool
	reads  ReadID
	faults bool
	calm   calm
}

func newWalker(t require.TestingT, pick chooser) *walker {
	members, config := drawCluster(pick)
	c := &testCluster{t: t}
	w := &walker{t: t, c: c, o: newOracle(t, c), pick: pick,
		cut: map[[2]MemberID]bool{}, faults: true, calm: drawCalm(pick)}
	for id := MemberID(1); id <= members; id++ {
		set := testSettings(id)
		set.Seed = uint64(pick(1 << 16))
		set.ElectionTicks = 3 + pick(4)
		set.HeartbeatTicks = 1
		set.MaxMessageBytes = 100 + pick(400)
		set.MaxInflightMessages = 1 + pick(4)
		set.MaxInflightBytes = 100 + pick(1000)
		set.MaxLogBytes = 100 + pick(1500)
		set.MaxUncommittedBytes = 500 + pick(2000)
		set.MaxPendingReads = 1 + pick(3)
		initial := config
		if !config.Contains(id) {
			initial = Config{}
		}
		c.addNode(set, initial)
	}
	return w
}

func drawCluster(pick chooser) (members MemberID, config Config) {
	members = MemberID(1 + pick(5))
	v := MemberID(1 + pick(int(members)))
	for id := MemberID(1); id <= v; id++ {
		config.Voters = append(config.Voters, id)
	}
	if v < members && pick(2) == 0 {
		config.Learners = []MemberID{v + 1}
	}
	return members, config
}

func (w *walker) some() *testNode { return w.c.nodes[w.pick(len(w.c.nodes))] }

// take collects and judges the output of n.
func (w *walker) take(n *testNode) {
	w.c.take(n)
	w.o.outputs(n, &n.out)
	w.o.step(n)
}

func (w *walker) deliver() {
	if len(w.c.net) == 0 {
		return
	}
	k := 0
	if w.pick(3) == 0 {
		k = w.pick(len(w.c.net))
	}
	m := w.c.net[k]
	fate := 99
	if w.faults {
		fate = w.pick(100)
	}
	if fate >= 3 {
		w.c.net = slices.Delete(w.c.net, k, k+1)
	} else {
		w.o.reached["duplicate"]++
	}
	if (fate >= 3 && fate < 3+w.calm.drop) || w.cut[[2]MemberID{m.From, m.To}] {
		return
	}
	w.c.deliver(m)
	w.o.step(w.c.node(m.To))
}

func (w *walker) sync(n *testNode) {
	if n.up && len(n.writing) > 0 {
		w.c.sync(n, 1+w.pick(len(n.writing)))
		w.o.step(n)
	}
}

func (w *walker) apply(n *testNode) {
	if !n.up {
		return
	}
	before := n.r.applied
	was := len(n.applied)
	w.c.apply(n, 1+w.pick(400))
	w.o.applied(n, before, n.applied[was:])
	w.o.step(n)
}

func (w *walker) fetch(n *testNode) {
	if n.up && len(n.fetches) > 0 {
		w.o.reached["fetch"]++
		w.c.fetch(n)
		w.o.step(n)
	}
}

func (w *walker) tick(n *testNode) {
	if n.up {
		w.c.now++
		n.r.Tick(w.c.now)
		w.o.step(n)
	}
}

func (w *walker) propose(n *testNode) {
	if n.up {
		data := make([]string, 1+w.pick(3))
		for i := range data {
			data[i] = fmt.Sprintf("%0*d", 1+w.pick(60), w.c.sequence)
		}
		w.c.propose(n, data...)
		w.o.step(n)
	}
}

func (w *walker) change(n *testNode) {
	if !n.up {
		return
	}
	var list []Change
	for range 1 + w.pick(3)*w.pick(2) {
		kind := []ChangeKind{AddVoter, AddLearner, RemoveMember, AddVoter, UpdateMember}[w.pick(5)]
		list = append(list, Change{Kind: kind, Member: w.some().id})
	}
	w.c.proposeChange(n, list...)
	w.o.step(n)
}

func (w *walker) read(n *testNode) {
	if n.up {
		w.reads++
		w.o.asked(n, w.reads)
		n.r.ReadIndex(w.reads)
		w.o.step(n)
	}
}

func (w *walker) crash(n *testNode) {
	if n.up {
		w.o.forget(n)
		w.c.crash(n, w.pick(len(n.writing)+1))
		w.o.reached["crash"]++
	}
}

func (w *walker) restart(n *testNode) {
	if !n.up {
		n.set.Incarnation++
		n.r = New(n.set, n.disk.restored(w.pick(len(n.disk.log)+1)))
		n.up = true
		w.o.step(n)
	}
}

func (w *walker) ship() {
	if len(w.c.shipments) == 0 {
		return
	}
	k := w.pick(len(w.c.shipments))
	s := w.c.shipments[k]
	w.c.shipments = slices.Delete(w.c.shipments, k, k+1)
	if !w.faults || w.pick(10) > 0 {
		w.o.reached["snapshot"]++
	}
	w.c.ship(s, !w.faults || w.pick(4) > 0)
	w.o.step(w.c.node(s.to))
	w.o.step(w.c.node(s.from))
}

// checkpoint makes the state machine durable, and sometimes compacts the log behind it.
func (w *walker) checkpoint(n *testNode) {
	if !n.up {
		return
	}
	n.disk.sm = max(n.disk.sm, min(n.r.applied, n.r.disk.durable, n.disk.last()))
	if i := n.disk.sm; w.pick(2) == 0 && i > n.disk.snap.Index && i <= n.r.disk.durable {
		c := n.r.configs.at(i).config
		n.r.Compact(i)
		n.disk.compact(i, c)
		w.o.reached["compaction"]++
	}
	w.o.step(n)
}

// partition changes who can talk to whom: everyone, all but one (the leader, often), or all but
// some single directions.
func (w *walker) partition() {
	clear(w.cut)
	switch w.pick(5) {
	case 0, 1:
		alone := w.some()
		if l := w.c.leader(); l != nil && w.pick(3) > 0 {
			alone = l
		}
		for _, o := range w.c.nodes {
			w.cut[[2]MemberID{alone.id, o.id}] = true
			w.cut[[2]MemberID{o.id, alone.id}] = true
		}
	case 2:
		for _, a := range w.c.nodes {
			for _, b := range w.c.nodes {
				if a != b && w.pick(4) == 0 {
					w.cut[[2]MemberID{a.id, b.id}] = true
				}
			}
		}
	}
}

// calm makes trouble rarer in some walks, so that long stories happen in others than short ones.
type calm struct{ crash, partition, drop, snapshot, change, fetch int }

func drawCalm(pick chooser) calm {
	c := calm{
		crash: 1 + pick(6), partition: 1 + pick(8), drop: pick(8), snapshot: 1 + pick(20),
		change: 1 + pick(15), fetch: 5 + pick(30),
	}
	if pick(3) == 0 {
		c.change = 0
	}
	return c
}

// step does one random thing.
func (w *walker) step() {
	x := w.pick(1000)
	if x < 400 {
		w.deliver()
		if len(w.c.net) > 40 {
			w.deliver()
			w.deliver()
		}
		return
	}
	n := w.some()
	rare := [...]struct {
		weight int
		do     func()
	}{
		{180, func() {
			if n.up {
				w.take(n)
			}
		}},
		{100, func() { w.sync(n) }},
		{50, func() {
			for _, o := range w.c.nodes {
				if w.pick(5) > 0 {
					w.tick(o)
				}
			}
		}},
		{80, func() { w.apply(n) }},
		{40, func() { w.propose(n) }},
		{40, func() { w.read(n) }},
		{w.calm.fetch, func() { w.fetch(n) }},
		{w.calm.snapshot, w.ship},
		{10, func() { w.checkpoint(n) }},
		{w.calm.change, func() { w.change(n) }},
		{4, func() {
			if n.up {
				n.r.Transfer(w.some().id)
			}
		}},
		{w.calm.crash, func() { w.crash(n) }},
		{15, func() { w.restart(n) }},
		{w.calm.partition, w.partition},
	}
	x -= 400
	for _, r := range rare {
		if x -= r.weight; x < 0 {
			r.do()
			return
		}
	}
	w.deliver()
}

// round lets everything that waits happen, without faults.
func (w *walker) round() {
	for _, n := range w.c.nodes {
		w.take(n)
	}
	for len(w.c.net) > 0 {
		w.deliver()
	}
	for len(w.c.shipments) > 0 {
		w.ship()
	}
	for _, n := range w.c.nodes {
		for len(n.writing) > 0 {
			w.sync(n)
		}
		for len(n.fetches) > 0 {
			w.fetch(n)
		}
		w.apply(n)
	}
}

// caughtUp says whether every member of l's configuration has applied all of l's log. With one
// small message under way at a time, a long log takes its time.
func (w *walker) caughtUp(l *testNode) bool {
	for _, m := range l.r.configs.current().config.Members() {
		if w.c.node(m).r.applied < l.r.log.last {
			return false
		}
	}
	return true
}

// heal ends all faults and demands a leader, a new commit, everyone caught up, reads answered.
func (w *walker) heal() {
	w.faults = false
	clear(w.cut)
	for _, n := range w.c.nodes {
		w.restart(n)
	}
	for range 120 {
		for _, n := range w.c.nodes {
			w.tick(n)
		}
		for range 4 {
			w.round()
		}
	}
	l := w.c.leader()
	require.NotNil(w.t, l, "no leader after the heal")
	w.c.propose(l, "after the heal")
	w.read(l)
	for k := 0; k < 30 || (k < 1000 && !w.caughtUp(l)); k++ {
		for _, n := range w.c.nodes {
			w.tick(n)
		}
		for range 4 {
			w.round()
		}
	}
	require.Equal(w.t, Leader, l.r.role, "leadership is not stable after the heal")
	require.Equal(w.t, l.r.log.last, l.r.commit, "the tail does not commit")
	for _, m := range l.r.configs.current().config.Members() {
		n := w.c.node(m)
		require.Equal(w.t, l.r.log.last, n.r.log.last, "member %v does not catch up", m)
		require.Equal(w.t, l.r.commit, n.r.applied, "member %v does not apply", m)
		require.Zero(w.t, len(n.r.reads.waiting)+len(n.r.reads.rounds))
	}
	for key := range w.o.reads {
		// Only reads that a message loss swallowed may be without an answer, at followers.
		require.NotEqual(w.t, l.id, key.member, "the leader owes read %d", key.id)
	}
}

func TestRandomWalksKeepTheFiveProperties(t *testing.T) {
	reached := map[string]int{}
	for seed := *walkFirst; seed < *walkFirst+*walkSeeds; seed++ {
		func() {
			defer func() {
				if e := recover(); e != nil {
					t.Fatalf("seed %d: %v", seed, e)
				}
			}()
			rng := rand.New(rand.NewPCG(seed, 1))
			w := newWalker(walkT{t, seed}, rng.IntN)
			for range walkSteps {
				w.step()
			}
			w.heal()
			for k, v := range w.o.reached {
				reached[k] += v
			}
		}()
	}
	t.Log(sortedCounts(reached))
	for _, what := range []string{
		"leader elected", "commit", "read served", "duplicate", "crash", "snapshot", "compaction",
		"fetch", "change unsettled", "joint commit",
	} {
		require.Positive(t, reached[what], what)
	}
}

const walkSteps = 6000

// More walks than a test run needs: go test -run RandomWalks -walk.first 1000 -walk.seeds 5000.
var (
	walkFirst = flag.Uint64("walk.first", 0, "seed of the first random walk")
	walkSeeds = flag.Uint64("walk.seeds", 120, "number of random walks")
)

// walkT names the seed with each failure.
type walkT struct {
	t    *testing.T
	seed uint64
}

func (w walkT) Errorf(format string, args ...any) {
	w.t.Errorf("seed %d: "+format, append([]any{w.seed}, args...)...)
}
func (w walkT) FailNow() { w.t.FailNow() }

func TestShortWalksShrink(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "") }
		w := newWalker(rt, pick)
		for range pick(300) {
			w.step()
		}
	})
}
