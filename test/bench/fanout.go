package main

// Fan-out: one key, many watchers, one writer. An operation is a put and everything until the last
// watcher has its event, so the cost of an event is the server's CPU time by what was delivered.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	methodWatch    = "/etcdserverpb.Watch/Watch"
	fanoutWatchers = 500
	fanoutKey      = "fanout"
	// fanoutConnections carry the streams: some tens of clients, each with some watches.
	fanoutConnections = 50
)

func rowFanout() string {
	return fmt.Sprintf("fan-out of one key to %d watchers", fanoutWatchers)
}

// audience is the watchers, each with a stream of its own.
type audience struct {
	got  atomic.Int64
	turn chan struct{} // gets a value when goal events have come
	goal atomic.Int64
	fail chan error
}

// watch opens one stream and waits until its watcher exists.
func (a *audience) watch(ctx context.Context, cl *client, i int, group *sync.WaitGroup) error {
	stream, err := cl.conns[i%len(cl.conns)].NewStream(ctx,
		&grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, methodWatch)
	if err != nil {
		return err
	}
	create := encode(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: &pb.WatchCreateRequest{Key: []byte(fanoutKey)}}})
	if err := stream.SendMsg(create); err != nil {
		return err
	}
	var response []byte
	if err := stream.RecvMsg(&response); err != nil {
		return err
	}
	group.Add(1)
	go func() {
		defer group.Done()
		for {
			var response []byte
			if err := stream.RecvMsg(&response); err != nil {
				if ctx.Err() == nil {
					a.fail <- err
				}
				return
			}
			if a.got.Add(countEvents(response)) == a.goal.Load() {
				a.turn <- struct{}{}
			}
		}
	}()
	return nil
}

// countEvents counts the events of a WatchResponse, its field 11.
func countEvents(data []byte) (n int64) {
	for len(data) > 0 {
		num, typ, size := protowire.ConsumeTag(data)
		if size < 0 {
			return n
		}
		if num == 11 {
			n++
		}
		value := protowire.ConsumeFieldValue(num, typ, data[size:])
		if value < 0 {
			return n
		}
		data = data[size+value:]
	}
	return n
}

func (b *bench) fanout(ctx context.Context, c *cluster, s *session) error {
	cl, err := dial(c.addresses(), fanoutConnections)
	if err != nil {
		return err
	}
	defer cl.close()
	streams, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	a := &audience{turn: make(chan struct{}, 1), fail: make(chan error, fanoutWatchers)}
	for i := range fanoutWatchers {
		if err := a.watch(streams, cl, i, &group); err != nil {
			return fmt.Errorf("%s: %w", rowFanout(), err)
		}
	}
	put := encodePut(fanoutKey, value(smallValue))
	l, err := run(ctx, c, 1, b.opt.period(),
		func(ctx context.Context, caller int, _ *rand.Rand) error {
			a.goal.Add(fanoutWatchers)
			if _, err := cl.call(ctx, caller, methodPut, put); err != nil {
				return err
			}
			select {
			case <-a.turn:
				return nil
			case err := <-a.fail:
				return err
			case <-ctx.Done():
				return fmt.Errorf("%d of %d events came: %w", a.got.Load(), a.goal.Load(), ctx.Err())
			}
		})
	if err != nil {
		return fmt.Errorf("%s: %w", rowFanout(), err)
	}
	s.add(rowFanout(), "events delivered", "1/s", l.perSecond()*fanoutWatchers)
	s.add(rowFanout(), "server CPU per event", "us", l.cpuMicros()/fanoutWatchers)
	s.add(rowFanout(), "until the last one, median", "ms", l.quantile(0.5))
	s.add(rowFanout(), "until the last one, 99th percentile", "ms", l.quantile(0.99))
	return nil
}
