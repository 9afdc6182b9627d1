package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv/watch"
)

// nullDisk forgets what it is told, so that the node's own cost remains.
type nullDisk struct{ memDisk }

func (d *nullDisk) Submit(op diskio.Op) {
	d.done = append(d.done, diskio.Completion{Ticket: op.Ticket, Lane: op.Lane, Kind: op.Kind,
		File: op.File})
}

// nullEdge counts answers.
type nullEdge struct {
	*member
	answers int
	bad     Code
}

func (e *nullEdge) Answer(a Answer) {
	e.answers++
	e.bad = max(e.bad, a.Code)
}

// benchmarkTurns measures the node alone: turns of the given number of requests at one member.
func benchmarkTurns(b *testing.B, batch int, make func(i int) *Request) {
	w := newWorld(&testing.T{}, 1, nil)
	w.cfgs[0].Limits, w.cfgs[0].Observed = DefaultLimits(), Unobserved
	m := w.members[0]
	disk := &nullDisk{memDisk{files: map[string][]byte{}}}
	node, err := Open(w.cfgs[0], disk)
	require.NoError(b, err)
	edge := &nullEdge{member: m}
	d := Driver{Node: node, Disk: disk, Network: m, Edge: edge}
	turn := func(in []Input) {
		for i := range disk.done {
			in = append(in, Input{Kind: InputDisk, Done: &disk.done[i]})
		}
		disk.done = nil
		_, halted := d.Turn(in)
		require.False(b, halted)
	}
	for i := range 100 {
		turn([]Input{{Kind: InputTick, Mono: int64(i) * 100e6}})
	}
	require.True(b, node.State().Ready)
	edge.answers = 0
	b.ReportAllocs()
	b.ResetTimer()
	var in []Input
	for i := 0; i < b.N; {
		in = in[:0]
		for k := 0; k < batch && i < b.N; k++ {
			in = append(in, Input{Kind: InputRequest, Request: make(i)})
			i++
		}
		turn(in)
		turn(in[:0])
	}
	for edge.answers < b.N {
		turn(nil)
	}
	require.Equal(b, OK, edge.bad)
}

func BenchmarkPut(b *testing.B) {
	value := make([]byte, 256)
	benchmarkTurns(b, 100, func(i int) *Request {
		raw, _ := proto.Marshal(&pb.PutRequest{Key: fmt.Appendf(nil, "key-%08d", i*7919%100_000),
			Value: value})
		return &Request{Token: Token(i + 1), Method: MethodPut, Raw: raw}
	})
}

func BenchmarkGet(b *testing.B) {
	benchmarkTurns(b, 100, func(i int) *Request {
		raw, _ := proto.Marshal(&pb.RangeRequest{Key: []byte("key")})
		return &Request{Token: Token(i + 1), Method: MethodRange, Raw: raw}
	})
}

// BenchmarkWatchCatchUp measures one watcher that starts b.N revisions back, until it is live.
func BenchmarkWatchCatchUp(b *testing.B) {
	w := newWorld(&testing.T{}, 1, func(l *Limits) { *l = DefaultLimits() })
	w.leader()
	value := make([]byte, 256)
	store := w.members[0].driver.Node.store
	for i := range b.N {
		tx := store.Begin()
		require.NoError(b, tx.Put(fmt.Appendf(nil, "key-%08d", i%100_000), value, 0))
		tx.Commit()
	}
	n := w.members[0].driver.Node
	_ = n.watching.hub.Advance(watch.Env{Store: store, Out: &[]watch.Delivery{}},
		store.Revision(), -1)
	raw, err := proto.Marshal(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: &pb.WatchCreateRequest{Key: []byte("key"), RangeEnd: []byte("kez"),
			StartRevision: 2}}})
	require.NoError(b, err)
	var out Effects
	in := []Input{{Kind: InputWatch, Watch: &WatchInput{Stream: 1, Event: WatchAsked, Raw: raw}}}
	b.ReportAllocs()
	b.ResetTimer()
	for events := 0; n.watching.hub.Behind() > 0 || events == 0; {
		n.Step(in, &out)
		in = in[:0]
		events++
		for i := range out.Watch {
			in = append(in, Input{Kind: InputWatch, Watch: &WatchInput{Stream: 1,
				Event: WatchConsumed, Consumed: out.Watch[i].Charge}})
		}
	}
}
