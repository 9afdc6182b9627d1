package raft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThreeMembersElectReplicateCommit(t *testing.T) {
	c := newCluster(t, voters(1, 2, 3), 1, 2, 3)
	c.tick(40)
	l := c.leader()
	require.NotNil(t, l)
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprint(i))
		c.propose(l, fmt.Sprint(i))
		c.settle()
	}
	f := c.nodes[0]
	if f == l {
		f = c.nodes[1]
	}
	c.propose(f, "forwarded")
	c.settle()
	want = append(want, "forwarded")
	for _, n := range c.nodes {
		require.Equal(t, want, n.data())
		require.Equal(t, l.id, n.r.Status().Leader)
	}
	l.r.ReadIndex(5)
	f.r.ReadIndex(6)
	c.settle()
	require.Equal(t, []ReadReady{{5, l.r.commit}}, l.reads)
	require.Equal(t, []ReadReady{{6, l.r.commit}}, f.reads)
}

func TestSingleVoter(t *testing.T) {
	c := newCluster(t, voters(1), 1)
	c.tick(25)
	l := c.leader()
	require.NotNil(t, l)
	c.propose(l, "a", "b")
	l.r.ReadIndex(1)
	c.take(l)
	require.Equal(t, Index(1), l.r.commit, "nothing is committed before it is durable")
	require.Equal(t, []ReadReady{{1, 1}}, l.reads)
	c.settle()
	require.Equal(t, []string{"a", "b"}, l.data())
}

func BenchmarkPropose100(b *testing.B) {
	c := newCluster(b, voters(1, 2, 3), 1, 2, 3)
	c.tick(40)
	l := c.leader()
	entries := make([]Entry, 100)
	for i := range entries {
		entries[i] = c.entry(l, "0123456789abcdef0123456789abcdef")
	}
	for _, n := range c.nodes {
		n.r.set.MaxMessageBytes = 1 << 20
		n.r.set.MaxLogBytes = 1 << 20
	}
	b.ReportAllocs()
	var out Output
	for b.Loop() {
		l.r.Propose(entries)
		for busy := true; busy; {
			busy = false
			for _, n := range c.nodes {
				n.r.Take(&out)
				for i := range out.Appends {
					n.r.Synced(out.Appends[i].Ticket)
					busy = true
				}
				for i := range out.Messages {
					c.node(out.Messages[i].To).r.Receive(out.Messages[i])
					busy = true
				}
				for e := n.r.NextCommitted(1 << 20); len(e) > 0; e = n.r.NextCommitted(1 << 20) {
					n.r.Applied(e[len(e)-1].Index)
				}
			}
		}
	}
	if l.r.applied < Index(b.N) {
		b.Fatal("nothing happened")
	}
}
