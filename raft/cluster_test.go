package raft

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
)

// A cluster inside a test: members with a disk image each, and a bag of messages under way. Nothing
// happens by itself; a test, a script or a random walk says what is delivered, synced, applied.

// diskImage is what a member's disk would show after a loss of power.
type diskImage struct {
	hard HardState
	snap Snapshot
	log  []Entry // after snap.Index
	sm   Index   // the state machine's durable applied index
	// installed is the newest state received from a leader, durable at once.
	installed Snapshot
}

func (d *diskImage) last() Index { return d.snap.Index + Index(len(d.log)) }

// write performs an Append.
func (d *diskImage) write(a *Append) {
	d.hard = a.Hard
	if a.Snapshot.Index != 0 {
		d.snap, d.log = a.Snapshot, nil
	}
	if len(a.Entries) > 0 {
		keep := int(a.Entries[0].Index - d.snap.Index - 1)
		d.log = append(slices.Clone(d.log[:keep]), a.Entries...)
	}
}

// compact drops the log up to i.
func (d *diskImage) compact(i Index, c Config) {
	if i <= d.snap.Index || i > d.last() {
		return
	}
	t := d.log[i-d.snap.Index-1].Term
	d.log = slices.Clone(d.log[i-d.snap.Index:])
	d.snap = Snapshot{Index: i, Term: t, Config: c.Clone()}
}

func (d *diskImage) restored(keep int) Restored {
	st := Restored{Hard: d.hard, Snapshot: d.snap, Applied: d.sm, Last: d.last()}
	for _, e := range d.log {
		if n := len(st.Runs); n == 0 || st.Runs[n-1].Term != e.Term {
			st.Runs = append(st.Runs, TermRun{First: e.Index, Term: e.Term})
		}
		if e.Type == EntryConfig {
			st.Configs = append(st.Configs, e)
		}
	}
	from := max(0, len(d.log)-keep)
	st.Entries = slices.Clone(d.log[from:])
	return st
}

// shipment is a state transfer under way.
type shipment struct {
	from, to MemberID
	snap     Snapshot
}

type testNode struct {
	id      MemberID
	set     Settings
	r       *Raft
	up      bool
	disk    diskImage
	writing []Append // handed out, not synced
	fetches []Fetch
	applied []Entry // what this start applied, in order
	reads   []ReadReady
	dropped []Entry
	out     Output
}

type testCluster struct {
	t         require.TestingT
	nodes     []*testNode
	net       []Message
	shipments []shipment
	now       int64
	sequence  Sequence
}

func testSettings(id MemberID) Settings {
	return Settings{
		ID: id, Incarnation: 1, Seed: 7, HeartbeatTicks: 2, ElectionTicks: 10,
		MaxMessageBytes: 4096, MaxInflightBytes: 1 << 16, MaxInflightMessages: 8,
		MaxLogBytes: 1 << 20, MaxUncommittedBytes: 1 << 16, MaxPendingReads: 4,
	}
}

// newCluster starts the members, all knowing config.
func newCluster(t require.TestingT, config Config, members ...MemberID) *testCluster {
	c := &testCluster{t: t}
	for _, id := range members {
		c.addNode(testSettings(id), config)
	}
	return c
}

func (c *testCluster) addNode(set Settings, config Config) *testNode {
	n := &testNode{id: set.ID, set: set, disk: diskImage{snap: Snapshot{Config: config}}}
	c.nodes = append(c.nodes, n)
	n.start()
	return n
}

func (n *testNode) start() {
	n.r = New(n.set, n.disk.restored(len(n.disk.log)))
	n.up = true
}

func (c *testCluster) node(id MemberID) *testNode {
	for _, n := range c.nodes {
		if n.id == id {
			return n
		}
	}
	panic(fmt.Sprintf("no member %v", id))
}

// take collects what n wants done.
func (c *testCluster) take(n *testNode) {
	n.r.Take(&n.out)
	c.net = append(c.net, n.out.Messages...)
	n.writing = append(n.writing, n.out.Appends...)
	n.fetches = append(n.fetches, n.out.Fetches...)
	n.reads = append(n.reads, n.out.Reads...)
	n.dropped = append(n.dropped, n.out.Dropped...)
	for _, to := range n.out.Snapshots {
		at := n.r.applied
		t, ok := n.r.log.term(at)
		require.True(c.t, ok)
		c.shipments = append(c.shipments, shipment{from: n.id, to: to, snap: Snapshot{
			Index: at, Term: t, Config: n.r.configs.at(at).config.Clone(),
		}})
	}
	require.NoError(c.t, n.r.Check())
}

// sync completes the first k writes of n.
func (c *testCluster) sync(n *testNode, k int) {
	if k == 0 {
		return
	}
	for i := range n.writing[:k] {
		n.disk.write(&n.writing[i])
	}
	t := n.writing[k-1].Ticket
	n.writing = slices.Clone(n.writing[k:])
	n.r.Synced(t)
}

// apply lets the state machine of n apply what is committed, up to maxBytes.
func (c *testCluster) apply(n *testNode, maxBytes int) int {
	entries := slices.Clone(n.r.NextCommitted(maxBytes))
	if len(entries) == 0 {
		return 0
	}
	n.applied = append(n.applied, entries...)
	n.r.Applied(entries[len(entries)-1].Index)
	return len(entries)
}

// fetch answers the oldest Fetch of n from its disk.
func (c *testCluster) fetch(n *testNode) {
	f := n.fetches[0]
	n.fetches = slices.Clone(n.fetches[1:])
	var entries []Entry
	bytes := 0
	for i := f.Lo; i <= min(f.Hi, n.disk.last()) && i > n.disk.snap.Index; i++ {
		e := n.disk.log[i-n.disk.snap.Index-1]
		if bytes += e.Size(); bytes > f.MaxBytes && len(entries) > 0 {
			break
		}
		entries = append(entries, e)
	}
	n.r.Fetched(f.ID, entries)
}

// deliver hands message m to its receiver, by way of its wire form.
func (c *testCluster) deliver(m Message) {
	buf := EncodeMessage(nil, &m)
	require.Len(c.t, buf, MessageSize(&m))
	got, err := DecodeMessage(buf)
	require.NoError(c.t, err)
	for _, n := range c.nodes {
		if n.id == m.To && n.up {
			n.r.Receive(got)
		}
	}
}

// ship ends a state transfer.
func (c *testCluster) ship(s shipment, arrives bool) {
	var installed Index
	if to := c.node(s.to); arrives && to.up && to.r.WantsSnapshot(s.snap.Index, s.snap.Term) {
		to.disk.sm, to.disk.installed = s.snap.Index, s.snap
		to.applied = nil
		to.r.Restore(s.snap)
		installed = s.snap.Index
	}
	if from := c.node(s.from); from.up {
		from.r.SnapshotSent(s.to, installed)
	}
}

// settle takes, delivers, syncs, fetches and applies until nothing is left to do.
func (c *testCluster) settle() {
	for range 10000 {
		busy := false
		for _, n := range c.nodes {
			if !n.up {
				continue
			}
			for c.apply(n, 1<<20) > 0 {
				busy = true
			}
			c.take(n)
			if len(n.writing) > 0 {
				busy = true
				c.sync(n, len(n.writing))
			}
			for len(n.fetches) > 0 {
				busy = true
				c.fetch(n)
			}
		}
		net := c.net
		c.net = nil
		for _, m := range net {
			c.deliver(m)
		}
		ships := c.shipments
		c.shipments = nil
		for _, s := range ships {
			c.ship(s, true)
		}
		if !busy && len(net) == 0 && len(ships) == 0 {
			return
		}
	}
	panic("the cluster does not come to rest")
}

// tick lets time pass for everyone who is up.
func (c *testCluster) tick(k int) {
	for range k {
		c.now += 1000
		for _, n := range c.nodes {
			if n.up {
				n.r.Tick(c.now)
			}
		}
		c.settle()
	}
}

func (c *testCluster) leader() *testNode {
	var best *testNode
	for _, n := range c.nodes {
		if n.up && n.r.role == Leader && (best == nil || n.r.term > best.r.term) {
			best = n
		}
	}
	return best
}

// elect makes id the leader by letting only its clock run.
func (c *testCluster) elect(id MemberID) *testNode {
	n := c.node(id)
	for range 3 * n.set.ElectionTicks {
		for _, o := range c.nodes {
			if o.id != id && o.up && o.r.leader != 0 {
				o.r.sinceLeader = o.set.ElectionTicks
			}
		}
		n.r.Tick(c.now)
		c.settle()
		if n.r.role == Leader {
			return n
		}
	}
	panic(fmt.Sprintf("member %v does not win", id))
}

func (c *testCluster) entry(n *testNode, data string) Entry {
	c.sequence++
	return Entry{
		Type: EntryNormal, Proposer: n.id, Incarnation: n.set.Incarnation,
		Sequence: c.sequence, Data: []byte(data),
	}
}

func (c *testCluster) propose(n *testNode, data ...string) {
	var entries []Entry
	for _, d := range data {
		entries = append(entries, c.entry(n, d))
	}
	n.r.Propose(entries)
}

func (c *testCluster) proposeChange(n *testNode, changes ...Change) {
	e := c.entry(n, "")
	e.Type, e.Data = EntryConfig, EncodeChange(nil, ConfigChange{Changes: changes})
	n.r.Propose([]Entry{e})
}

// crash loses what is not synced but for the first survive writes, and the memory.
func (c *testCluster) crash(n *testNode, survive int) {
	for i := range n.writing[:survive] {
		n.disk.write(&n.writing[i])
	}
	n.disk.sm = max(n.disk.sm, n.disk.snap.Index)
	if s := n.disk.installed; !n.disk.holds(s.Index, s.Term) {
		// The installed state is ahead of the log, or the log took another way: the state wins.
		n.disk.snap, n.disk.log = s, nil
	}
	*n = testNode{id: n.id, set: n.set, disk: n.disk}
}

// holds says whether the image has the entry at (i, t), or is past it.
func (d *diskImage) holds(i Index, t Term) bool {
	switch {
	case i <= d.snap.Index:
		return true
	case i > d.last():
		return false
	}
	return d.log[i-d.snap.Index-1].Term == t
}

func (c *testCluster) restart(n *testNode) {
	n.set.Incarnation++
	n.start()
}

// data lists what n applied, without empty and configuration entries.
func (n *testNode) data() (all []string) {
	for i := range n.applied {
		if n.applied[i].Type == EntryNormal {
			all = append(all, string(n.applied[i].Data))
		}
	}
	return all
}

func voters(ids ...MemberID) Config { return Config{Voters: ids} }
