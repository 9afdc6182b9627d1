package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/raft"
)

// forced starts member i as the only one of its cluster, as an operator would.
func (w *world) forced(i int) {
	w.cfgs[i].Start = Seclude
	w.start(i)
	w.cfgs[i].Start = Found
	w.run(30)
}

func TestTheSurvivorOfALostQuorumKeepsEverything(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	for i := range 50 {
		w.put(i%3, fmt.Sprint("k", i), fmt.Sprint(i))
	}
	survivor := (w.leader() + 1) % 3
	// What was acknowledged last is not yet known to be committed on the survivor's disk.
	w.put(w.leader(), "last", "acknowledged")
	for i := range 3 {
		w.stop(i)
	}
	w.forced(survivor)
	require.Len(t, w.list(survivor), 1)
	require.Len(t, w.get(survivor, "last").Kvs, 1)
	for i := range 50 {
		require.Equal(t, fmt.Sprint(i), string(w.get(survivor, fmt.Sprint("k", i)).Kvs[0].Value))
	}
	w.put(survivor, "alone", "v")
	w.stop(survivor) // an ordinary start finds it alone, too
	w.start(survivor)
	w.healthy()
	require.Equal(t, "m"+fmt.Sprint(survivor), w.list(survivor)[0].Name)

	for k := range 2 {
		added, code := w.add(survivor, fmt.Sprintf("http://127.0.0.1:%d", 9000+k), false)
		require.Equal(t, OK, code)
		w.join(added.Member.ID)
		w.healthy()
	}
	require.Len(t, w.list(4), 3)
	require.Len(t, w.get(4, "last").Kvs, 1)
	w.stop(survivor)
	w.put(3, "without the survivor", "v")
	w.start(survivor)
	w.agree()
}

// A member that was believed lost is told that the cluster has gone on without it.
func TestAMemberThatReturnsAfterTheSeclusionStops(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	w.put(0, "k", "v")
	w.agree()
	for i := range 3 {
		w.stop(i)
	}
	w.forced(0)
	w.put(0, "k", "w")
	w.start(1)
	w.run(60)
	require.Equal(t, Removed, w.members[1].halted)
	require.Equal(t, "w", string(w.get(0, "k").Kvs[0].Value))
	_, code := w.add(0, "http://127.0.0.1:2381", false)
	require.Equal(t, OK, code, "its machine may come back under another id")
}

func TestWhoHasNoStateCannotBeSecluded(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.healthy()
	cfg := w.cfgs[0]
	cfg.Start, cfg.Member = Seclude, 9
	_, err := Open(cfg, &memDisk{files: map[string][]byte{}})
	require.ErrorContains(t, err, "nothing could be kept of it")
	n := w.members[0].driver.Node
	n.secluded = n.applied
	n.state.setMember(Member{ID: 77})
	require.Panics(t, func() { n.checkSeclusion(n.applied) })
}

// A second start with the demand changes nothing when the first one did all.
func TestSeclusionTwiceIsOnce(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	w.put(0, "k", "v")
	for i := range 3 {
		w.stop(i)
	}
	w.forced(2)
	before := w.members[2].driver.Node.raft.Status()
	w.stop(2)
	w.forced(2)
	after := w.members[2].driver.Node.raft.Status()
	require.Equal(t, before.ConfigIndex, after.ConfigIndex)
	require.Equal(t, []raft.MemberID{3}, after.Config.Voters)
	require.Len(t, w.list(2), 1)
}

// A member that joined, and has its first state as a snapshot, survives like any other.
func TestAMemberThatJoinedCanBeTheSurvivor(t *testing.T) {
	w := newWorld(t, 2, nil)
	w.healthy()
	for i := range 20 {
		w.put(0, fmt.Sprint("k", i), "v")
	}
	added, code := w.add(0, "http://127.0.0.1:9000", false)
	require.Equal(t, OK, code)
	w.join(added.Member.ID)
	w.healthy()
	w.put(2, "last", "v")
	for i := range 3 {
		w.stop(i)
	}
	w.forced(2)
	require.Len(t, w.list(2), 1)
	require.Len(t, w.get(2, "last").Kvs, 1)
	w.put(2, "alone", "v")
}
