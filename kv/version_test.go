package kv

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/raft"
)

// exchange starts a member again with another version of the program.
func (w *world) exchange(i int, version string) {
	w.stop(i)
	w.cfgs[i].Version = version
	w.start(i)
	w.leader()
	w.run(20)
}

func (w *world) versions() (cluster, storage []string) {
	for _, m := range w.members {
		s := m.driver.Node.State()
		cluster, storage = append(cluster, s.Version), append(storage, s.Storage)
	}
	return cluster, storage
}

func (w *world) enableDowngrade(version string) Code {
	var res pb.DowngradeResponse
	return w.ask(0, MethodDowngrade, &pb.DowngradeRequest{
		Action: pb.DowngradeRequest_ENABLE, Version: version}, &res)
}

// An upgrade can be taken back until the last member has made it, and by a downgrade afterwards.
func TestMembersGoUpAndDownOneByOne(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.leader()
	w.run(20)
	all := func(version string) []string { return []string{version, version, version} }
	check := func(version string) {
		t.Helper()
		cluster, storage := w.versions()
		require.Equal(t, all(version), cluster)
		require.Equal(t, all(version), storage)
		w.put(1, "k", version)
		w.agree()
	}
	check("3.7.0")
	w.exchange(0, "3.8.2")
	w.exchange(1, "3.8.2")
	check("3.7.0")
	w.exchange(1, "3.7.1") // taken back
	check("3.7.0")
	w.exchange(2, "3.8.2")
	w.exchange(1, "3.8.2")
	check("3.8.0")

	w.stop(1)
	w.cfgs[1].Version = "3.7.1"
	_, err := Open(w.cfgs[1], w.members[1].disk)
	require.ErrorContains(t, err, "lower than determined cluster version")
	w.exchange(1, "3.8.2")

	require.Equal(t, ErrInvalidVersion, w.enableDowngrade("3.6"))
	require.Equal(t, OK, w.enableDowngrade("3.7"))
	w.run(60)
	check("3.7.0")
	w.exchange(2, "3.7.1")
	w.exchange(0, "3.7.1")
	check("3.7.0")
	require.NotEmpty(t, w.members[0].driver.Node.state.downgrade, "one of them is still up there")
	w.exchange(1, "3.7.1")
	check("3.7.0")
	require.Empty(t, w.members[0].driver.Node.state.downgrade)
}

// A program that the cluster leaves behind while it runs stops; nothing of a later release that it
// may not know reaches it.
func TestAMemberLeftBehindStops(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.leader()
	w.run(20)
	w.exchange(0, "3.8.0")
	lead := w.leader()
	w.members[lead].driver.Node.propose(0, entryVersion, []byte("3.8.0"))
	w.run(100) // one may stop before it has told the other
	require.Empty(t, w.members[0].halted)
	require.Contains(t, w.members[1].halted, "lower than determined cluster version")
	require.Contains(t, w.members[2].halted, "lower than determined cluster version")
}

// What a leader of long ago proposed does not take the version back.
func TestALateVersionChangesNothing(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.exchange(0, "3.8.0")
	n := w.members[0].driver.Node
	require.Equal(t, "3.8.0", n.state.version)
	n.propose(0, entryVersion, []byte("3.7.0"))
	n.propose(0, entryDowngraded, []byte("3.7.0"))
	w.run(5)
	require.Equal(t, "3.8.0", n.state.version)
	require.Equal(t, OK, w.enableDowngrade("3.7"))
	w.run(60)
	n.propose(0, entryVersion, []byte("3.8.0"))
	n.propose(0, entryVersion, []byte("3.6.0"))
	w.run(5)
	require.Equal(t, "3.7.0", n.state.version)
	for _, version := range []string{"", "3", "x.y", "3.7.0.1"} {
		require.False(t, n.validEntry(&raft.Entry{Type: entryVersion, Data: []byte(version)}))
	}
}

// A member's record of before releases were in it is read.
func TestRecordsWithoutAReleaseAreRead(t *testing.T) {
	m := Member{ID: 9, Name: "n", PeerURLs: []string{"p"}, ClientURLs: []string{"c"}}
	raw := encodeMember(&m)
	got, err := decodeMember(raw[:len(raw)-4])
	require.NoError(t, err)
	require.Equal(t, m, got)
	m.Release = "3.8.0"
	got, err = decodeMember(encodeMember(&m))
	require.NoError(t, err)
	require.Equal(t, m, got)
	_, err = decodeMember(append(encodeMember(&m), 0))
	require.ErrorIs(t, err, errTrailing)
}
