package kv

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// spoil flips a byte in the middle of every data segment of member i.
func (w *world) spoil(i int) {
	for name, b := range w.members[i].disk.files {
		if path.Dir(name) == dataDir && strings.HasSuffix(name, ".seg") {
			b[len(b)/2] ^= 0x40
		}
	}
}

// Damage that a view meets becomes an answer without data, and the end of the node, in words that
// say where.
func TestDamageThatAViewMeetsStopsTheNode(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) { l.DataSegmentBytes, l.CacheBytes = 8<<10, 0 })
	w.leader()
	for i := range 200 {
		w.put(0, fmt.Sprintf("k%03d", i), strings.Repeat("v", 200))
	}
	w.spoil(0)
	var res pb.RangeResponse
	all := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	require.Equal(t, ErrDamaged, w.ask(0, MethodRange, all, &res))
	w.settle()
	require.Contains(t, w.members[0].halted, "damaged data file data/")
	require.Contains(t, w.members[0].halted, ".seg at offset")
}

// Apply waits for an engine whose disk stands still; then requests are refused, and what is held
// stays within its bounds. When the disk goes on, so does everything.
func TestApplyDoesNotOutrunTheDisk(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) {
		l.UnwrittenBytes, l.ChunkBytes, l.MaxBacklog, l.MaxPending = 64<<10, 4<<10, 30, 100
		l.StepUnits = 100
	})
	w.leader()
	w.put(0, "a", "1")
	m := w.members[0]
	m.disk.still[diskio.LaneEngine] = true
	raw, err := proto.Marshal(&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 4<<10)})
	require.NoError(t, err)
	codes := map[Code]int{}
	for range 400 {
		w.token++
		m.inbox = append(m.inbox, Input{Kind: InputRequest, Request: &Request{Token: w.token,
			Method: MethodPut, Raw: raw}})
		w.settle()
		require.NoError(t, m.driver.Node.Held().Check(&w.cfgs[0].Limits))
		codes[w.answers[w.token].Code]++
	}
	require.Greater(t, codes[ErrTooManyRequests], 100)
	require.Greater(t, m.driver.Node.Held().Unwritten, int64(64<<10))
	var res pb.RangeResponse
	require.Equal(t, OK, w.ask(0, MethodRange, &pb.RangeRequest{Key: []byte("a"),
		Serializable: true}, &res))
	require.Len(t, res.Kvs, 1)
	m.disk.goOn()
	w.run(5)
	require.Empty(t, m.halted)
	require.Zero(t, m.driver.Node.Held().Pending)
	w.put(0, "b", "2")
	w.agree()
}

// A leader whose log stands still while the others commit gives way to one of them.
func TestLeadershipLeavesAStalledDisk(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	w.run(20)
	m := w.members[lead]
	m.disk.still[diskio.LaneLog] = true
	other := (lead + 1) % 3
	for range 25 {
		w.put(other, "k", "v")
		w.run(1)
	}
	require.NotEqual(t, raft.Leader, m.driver.Node.role)
	require.NotEqual(t, lead, w.leader())
	w.put(other, "k", "w")
	m.disk.goOn()
	w.agree()
}

// Reclaim gives way while the log's syncs are slow, but not for ever.
func TestReclaimGivesWayToTheLog(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.leader()
	w.put(0, "a", "1")
	m := w.members[0]
	n := m.driver.Node
	m.disk.still[diskio.LaneLog] = true
	n.propose(0, entryPublish, encodeMember(n.state.member(n.cfg.Member)))
	paused, went := 0, 0
	for range 10 * n.cfg.ElectionTicks {
		w.run(1)
		if n.store.Paused() {
			paused++
		} else {
			went++
		}
	}
	require.Greater(t, paused, 4*n.cfg.ElectionTicks)
	require.Greater(t, went, 4*n.cfg.ElectionTicks)
	m.disk.goOn()
	w.run(1)
	require.False(t, n.store.Paused())
	w.agree()
}

// A full disk stops nobody: puts are refused before the reserve is touched, deletes and reads go
// on, and so does everything when there is room again.
func TestAFullDiskIsSurvived(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) {
		l.DataSegmentBytes, l.ChunkBytes, l.UnwrittenBytes = 16<<10, 1<<10, 32<<10
		l.MaxRequestBytes, l.CheckpointCount = 8<<10, 100
	})
	w.leader()
	m := w.members[0]
	n := m.driver.Node
	for i := range 20 {
		w.put(0, fmt.Sprintf("k%03d", i), strings.Repeat("v", 1000))
	}
	w.run(3)
	require.Equal(t, reserveHeld, n.space.reserve)
	m.disk.capacity = m.disk.used() + 40<<10
	space := func() {
		m.inbox = append(m.inbox, Input{Kind: InputSpace,
			Free: int64(m.disk.capacity - m.disk.used())})
		w.settle()
	}
	space()
	var put pb.PutResponse
	big := &pb.PutRequest{Key: []byte("x"), Value: make([]byte, 4<<10)}
	require.Equal(t, ErrNoSpace, w.ask(0, MethodPut, big, &put))
	require.Equal(t, reserveHeld, n.space.reserve, "refused before the reserve is touched")

	// Somebody else takes the rest.
	m.disk.capacity = m.disk.used()
	for i := range 20 {
		var del pb.DeleteRangeResponse
		require.Equal(t, OK, w.ask(0, MethodDeleteRange, &pb.DeleteRangeRequest{
			Key: fmt.Appendf(nil, "k%03d", i)}, &del))
		require.EqualValues(t, 1, del.Deleted)
		w.run(1)
		space()
		require.Empty(t, m.halted)
	}
	var compacted pb.CompactionResponse
	require.Equal(t, OK, w.ask(0, MethodCompact, &pb.CompactionRequest{
		Revision: int64(n.store.Revision()), Physical: true}, &compacted))
	require.Empty(t, w.get(0, "k003").Kvs)

	m.disk.capacity = 0
	m.inbox = append(m.inbox, Input{Kind: InputSpace, Free: 1 << 40})
	w.run(3 * retryTicks)
	require.Equal(t, reserveHeld, n.space.reserve)
	require.Equal(t, ErrNoSpace, w.ask(0, MethodPut, big, &put), "the alarm stays")
	require.Len(t, w.alarm(0, pb.AlarmRequest_DEACTIVATE, 1, pb.AlarmType_NOSPACE), 1)
	require.Equal(t, OK, w.ask(0, MethodPut, big, &put))
	w.agree()
}

// When even the reserve is used up, the node waits: nothing is lost, reads go on.
func TestADiskWithoutAnyRoomIsWaitedFor(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) {
		l.DataSegmentBytes, l.ChunkBytes, l.UnwrittenBytes = 16<<10, 1<<10, 32<<10
		l.LogSegmentBytes, l.MaxRequestBytes = 32<<10, 8<<10
	})
	w.leader()
	m := w.members[0]
	w.put(0, "a", "1")
	w.run(3)
	raw, err := proto.Marshal(&pb.DeleteRangeRequest{Key: make([]byte, 4000)})
	require.NoError(t, err)
	refuse := func() { // not even the reserve's room is left
		m.disk.capacity = 0
		m.disk.capacity = m.disk.used()
	}
	for range 100 {
		refuse()
		w.token++
		m.inbox = append(m.inbox, Input{Kind: InputRequest, Request: &Request{Token: w.token,
			Method: MethodDeleteRange, Raw: raw}})
		w.settle()
	}
	refuse()
	w.run(3)
	require.Empty(t, m.halted)
	require.True(t, m.driver.Node.log.Starved())
	require.Less(t, m.driver.Node.raft.Durable(), m.driver.Node.raft.Status().Last)
	var res pb.RangeResponse
	require.Equal(t, OK, w.ask(0, MethodRange, &pb.RangeRequest{Key: []byte("a"),
		Serializable: true}, &res))
	require.Len(t, res.Kvs, 1)
	m.disk.capacity = 0
	w.run(3 * retryTicks)
	require.Equal(t, m.driver.Node.raft.Durable(), m.driver.Node.raft.Status().Last)
	require.Len(t, w.alarm(0, pb.AlarmRequest_DEACTIVATE, 1, pb.AlarmType_NOSPACE), 1)
	w.put(0, "b", "2")
	w.agree()
}

// A log that does not reach its own checkpoint has lost entries, also when the disk has damaged the
// manifest before that one: a damaged manifest does not make the newest one look installed.
func TestADamagedOlderManifestExcusesNoShortLog(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) { l.CheckpointCount, l.CatchUpEntries = 20, 1 })
	w.leader()
	keep := map[string][]byte{}
	for i := range 100 {
		w.put(0, "k", fmt.Sprint(i))
		if i == 60 {
			for name, b := range w.members[0].disk.files {
				if path.Dir(name) == logDir {
					keep[name] = append([]byte(nil), b...)
				}
			}
		}
	}
	w.run(5)
	newest, older := w.members[0].driver.Node.store.Durable()
	require.NotZero(t, older)
	short := func() *memDisk {
		d := &memDisk{files: map[string][]byte{}}
		for name, b := range w.members[0].disk.files {
			if path.Dir(name) != logDir {
				d.files[name] = append([]byte(nil), b...)
			}
		}
		for name, b := range keep {
			d.files[name] = b
		}
		return d
	}
	_, err := Open(w.cfgs[0], short())
	require.ErrorContains(t, err, fmt.Sprintf("checkpointed at index %d", newest))
	d := short()
	var manifests []string
	for name := range d.files {
		if strings.HasSuffix(name, ".manifest") {
			manifests = append(manifests, name)
		}
	}
	require.Len(t, manifests, 2)
	d.files[min(manifests[0], manifests[1])][80] ^= 1
	_, err = Open(w.cfgs[0], d)
	require.ErrorContains(t, err, fmt.Sprintf("checkpointed at index %d", newest))
}
