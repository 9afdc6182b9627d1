package main

// Many watchers of one prefix and one writer, while members die. The watchers share a few clients
// of etcd's library and some streams of each, and leave it to the library to resume what broke: a
// watch channel that ends is a failure. None may miss, repeat or reorder an event.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	// crowdClients hold all watches: the last three ask one member each, and have to wait for it
	// when it is dead; the others go to whichever lives.
	crowdClients = 8
	// crowdStreams is the number of streams of each client. The library resumes the watches of a
	// stream one after the other, each with a round trip.
	crowdStreams = 12
	// crowdLimit is how long all watchers may take to have everything, on a busy machine, too.
	crowdLimit = 5 * time.Minute
	// crowdNotices is how often each stream is asked for its progress, from which the library
	// resumes, too.
	crowdNotices = 2 * time.Second
	crowdLinger  = 2 * time.Second // what comes after the last event is too much
)

// crowdRotation orders the rounds of a crowd.
var crowdRotation = [...]fault{killLeader, restartLeader, killFollower, killLeader}

// crowdFlags let members send notices of progress to whoever asks for them.
var crowdFlags = []string{"--watch-progress-notify-interval", "1s"}

// follower is one watcher.
type follower struct {
	at       atomic.Int64 // how many events of the chronicle it has
	promised int64        // a notice said that it has everything up to this revision
	newest   int64        // the revision of its last event
	trail    [4]string    // what its last responses were, for the report of a failure
	got      []*clientv3.Event
	keeps    bool // whether got is filled
}

// crowd is all watchers.
type crowd struct {
	chronicle chronicle
	followers []*follower
	clients   []*clientv3.Client
	opened    atomic.Int64 // streams
	stop      context.CancelFunc
	done      sync.WaitGroup

	mu       sync.Mutex
	failures []error // the first few
}

// startCrowd returns when every watcher exists. What it returns has to be ended, even with an
// error.
func startCrowd(c *cluster, size int) (*crowd, error) {
	ctx, stop := context.WithCancel(context.Background())
	w := &crowd{stop: stop}
	for i := range size {
		w.followers = append(w.followers, &follower{keeps: i == size/2})
	}
	var opening sync.WaitGroup
	for i := range crowdClients {
		endpoints := c.endpoints()
		if pinned := i - (crowdClients - len(endpoints)); pinned >= 0 {
			endpoints = endpoints[pinned:][:1]
		}
		client, err := w.dial(endpoints)
		if err != nil {
			return w, err
		}
		w.clients = append(w.clients, client)
		for k := range crowdStreams {
			// Metadata of its own gives a stream of its own.
			number := i*crowdStreams + k
			streamed := metadata.AppendToOutgoingContext(ctx, "stream", fmt.Sprint(number))
			opening.Go(func() { w.open(streamed, client, number) })
		}
	}
	opening.Wait()
	return w, w.err()
}

// dial makes a client that counts its streams.
func (w *crowd) dial(endpoints []string) (*clientv3.Client, error) {
	count := func(
		ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
		open grpc.Streamer, options ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		stream, err := open(ctx, desc, conn, method, options...)
		if err == nil {
			w.opened.Add(1)
		}
		return stream, err
	}
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 2 * time.Second, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithChainStreamInterceptor(count)},
	})
}

// open makes the watchers of one stream, one after the other as the library does. Nothing is
// written yet, so that all begin alike, whether they ask for the first revision or the next one.
func (w *crowd) open(ctx context.Context, client *clientv3.Client, stream int) {
	for i := stream; i < len(w.followers); i += crowdClients * crowdStreams {
		f := w.followers[i]
		options := []clientv3.OpOption{clientv3.WithPrefix()}
		if i%2 == 0 {
			options = append(options, clientv3.WithRev(1))
		}
		if i%3 == 0 {
			options = append(options, clientv3.WithProgressNotify())
		}
		if i%5 == 0 {
			options = append(options, clientv3.WithPrevKV())
		}
		events := client.Watch(ctx, crowdPrefix, options...)
		w.done.Go(func() {
			if err := f.follow(&w.chronicle, events); err != nil && ctx.Err() == nil {
				w.fail(fmt.Errorf("watcher %d (stream %d): %w", i, stream, err))
			}
		})
	}
	w.done.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(crowdNotices):
			}
			_ = client.RequestProgress(ctx) // a broken stream is asked again later
		}
	})
}

// follow compares what one watcher gets with what others got, until its channel ends.
func (f *follower) follow(c *chronicle, events clientv3.WatchChan) error {
	for r := range events {
		if err := r.Err(); err != nil {
			return fmt.Errorf("its watch ended: %w", err)
		}
		if err := f.take(c, &r); err != nil {
			return fmt.Errorf("%w; before: %v", err, strings.Join(f.trail[:], ", "))
		}
	}
	return errors.New("its watch channel was closed")
}

func (f *follower) take(c *chronicle, r *clientv3.WatchResponse) error {
	at := int(f.at.Load())
	if len(r.Events) == 0 {
		f.note("a notice of revision %d by %x", r.Header.Revision, r.Header.MemberId)
		if c.owes(at, r.Header.Revision) {
			return fmt.Errorf("the last response says that it has everything, and it has %d "+
				"events, up to revision %d", at, f.newest)
		}
		f.promised = max(f.promised, r.Header.Revision)
		return nil
	}
	first, last := r.Events[0].Kv.ModRevision, r.Events[len(r.Events)-1].Kv.ModRevision
	if first <= max(f.promised, f.newest) {
		return fmt.Errorf("revision %d comes from %x, after an event of revision %d and a notice "+
			"of revision %d", first, r.Header.MemberId, f.newest, f.promised)
	}
	f.note("revisions %d to %d by %x", first, last, r.Header.MemberId)
	at, err := c.take(at, r.Events)
	if err != nil {
		return err
	}
	f.newest = last
	f.at.Store(int64(at))
	if f.keeps {
		f.got = append(f.got, r.Events...)
	}
	return nil
}

func (f *follower) note(format string, args ...any) {
	copy(f.trail[:], f.trail[1:])
	f.trail[len(f.trail)-1] = fmt.Sprintf(format, args...)
}

// fail keeps the first few failures.
func (w *crowd) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) < 5 {
		w.failures = append(w.failures, err)
	}
}

func (w *crowd) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.failures...)
}

func (w *crowd) end() {
	w.stop()
	for _, client := range w.clients {
		_ = client.Close() // nothing is lost with a connection
	}
	w.done.Wait()
}

// slowest is the position of the watcher that is farthest behind.
func (w *crowd) slowest() int {
	slowest := w.followers[0].at.Load()
	for _, f := range w.followers {
		slowest = min(slowest, f.at.Load())
	}
	return int(slowest)
}

// await waits until every watcher has so many events.
func (w *crowd) await(ctx context.Context, events int) error {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		slowest := w.slowest()
		switch {
		case w.err() != nil:
			return w.err()
		case slowest >= events:
			return nil
		case ctx.Err() != nil || time.Since(began) > crowdLimit:
			return fmt.Errorf("a watcher has %d events, %v after others had %d; watchers behind "+
				"by stream: %v", slowest, time.Since(began).Round(time.Second), events,
				w.behind(events))
		}
	}
}

// behind counts the watchers that have fewer events, by stream.
func (w *crowd) behind(events int) map[int]int {
	count := map[int]int{}
	for i, f := range w.followers {
		if int(f.at.Load()) < events {
			count[i%(crowdClients*crowdStreams)]++
		}
	}
	return count
}

// crowded is the run with a crowd: the faults, and then the judgement.
func crowded(ctx context.Context, o *options, c *cluster) error {
	began := time.Now()
	w, err := startCrowd(c, o.watchers)
	defer w.end()
	if err != nil {
		return err
	}
	streams := w.opened.Load()
	fmt.Printf("seed %d: %d watchers on %d streams of %d clients after %v\n", o.seed, o.watchers,
		streams, crowdClients, time.Since(began).Round(time.Millisecond))
	pace := max(pace, time.Duration(o.watchers)*10*time.Microsecond)
	s, err := startScribe(c, o.seed, pace)
	if err != nil {
		return err
	}
	defer s.finish()
	kills, others, err := w.strike(ctx, o, c)
	if err != nil {
		return err
	}
	s.finish()
	if err := w.conclude(ctx, c, s); err != nil {
		return err
	}
	again := w.opened.Load() - streams
	if again < int64(kills) {
		return fmt.Errorf("only %d streams were opened again", again)
	}
	fmt.Printf("%d watchers got all of %d events once and in order through %d leader kills and "+
		"%d kills of others; %d streams were opened again\n", o.watchers, w.chronicle.len(), kills,
		others, again)
	return nil
}

// strike kills members, until so many leaders have been. After most rounds every watcher has to
// catch up; after each third one the next fault comes while they do.
func (w *crowd) strike(
	ctx context.Context, o *options, c *cluster,
) (leaders, others int, err error) {
	for i := 0; leaders < o.kills; i++ {
		before := w.chronicle.len()
		killed, text, err := c.round(ctx, crowdRotation[i%len(crowdRotation)])
		if err != nil {
			return 0, 0, fmt.Errorf("round %d: %w", i+1, err)
		}
		if killed {
			leaders++
		} else {
			others++
		}
		now, slowest, waiting := w.chronicle.len(), w.slowest(), time.Now()
		if now == before {
			return 0, 0, fmt.Errorf("round %d: no watcher got anything", i+1)
		}
		if i%3 != 2 {
			err = w.await(ctx, now)
		}
		fmt.Printf("round %2d: %s; %d events, the last watcher had %d", i+1, text, now, slowest)
		fmt.Printf(", all had them after %v; %d streams so far, %d MB here\n",
			time.Since(waiting).Round(time.Millisecond), w.opened.Load(), heapMegabytes())
		if err == nil {
			err = w.err()
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return leaders, others, nil
}

func heapMegabytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

// conclude compares everything with the store's history.
func (w *crowd) conclude(ctx context.Context, c *cluster, s *scribe) error {
	dump, err := takeDump(ctx, c.members[0].client)
	if err != nil {
		return err
	}
	truth, err := historyOf(dump, crowdPrefix, s.requests)
	if err != nil {
		return err
	}
	fmt.Printf("judging %d events in %d revisions; %d requests, %d of their answers lost\n",
		len(truth), len(dump), len(s.requests), s.lost.Load())
	if err := errors.Join(s.check(dump), w.await(ctx, len(truth))); err != nil {
		return err
	}
	time.Sleep(crowdLinger)
	w.end()
	positions := make([]int, len(w.followers))
	for i, f := range w.followers {
		positions[i] = int(f.at.Load())
	}
	if err := errors.Join(w.err(), w.chronicle.settle(truth, positions)); err != nil {
		return err
	}
	if err := crowdCanary(truth, w.followers[len(w.followers)/2].got); err != nil {
		return err
	}
	return compareHashes(ctx, c, int64(len(dump)))
}
