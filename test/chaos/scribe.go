package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/linearizability"
)

const (
	crowdPrefix = "crowd/"
	crowdKeys   = 40
	otherPrefix = "other/" // what nobody watches
	burst       = 20       // requests without a pause, one time in burstEvery
	burstEvery  = 25
)

// scribe is the one writer. Every value begins with the number of the request that put it, so that
// the store's history tells which request made a revision. A request whose answer is lost is not
// repeated: whether it took effect is for the history to say.
type scribe struct {
	client   *clientv3.Client
	random   *rand.Rand
	pace     time.Duration
	stop     context.CancelFunc
	done     sync.WaitGroup
	requests []scribed
	lost     atomic.Int64
}

// scribed is a request that was sent.
type scribed struct {
	ops      []clientv3.Op
	keys     []string // that it names, in order
	puts     bool
	revision int64 // of its answer, 0 if that was lost
}

func startScribe(c *cluster, seed uint64, pace time.Duration) (*scribe, error) {
	client, err := dial(c.endpoints()...)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &scribe{client: client, random: rand.New(rand.NewPCG(seed, 3)), pace: pace, stop: stop}
	s.done.Go(func() { s.run(ctx) })
	return s, nil
}

// finish ends the writing. It may be called again.
func (s *scribe) finish() {
	s.stop()
	s.done.Wait()
	_ = s.client.Close() // nothing is lost with it
}

func (s *scribe) run(ctx context.Context) {
	for hurry := 0; ctx.Err() == nil; hurry-- {
		s.send(s.request())
		if s.random.IntN(burstEvery) == 0 {
			hurry = burst
		}
		if hurry > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(s.pace):
		}
	}
}

// request draws what to ask next. The keys of a transaction differ, so that its revision has one
// event of each.
func (s *scribe) request() (r scribed) {
	put := func(key string) {
		if slices.Contains(r.keys, key) {
			return
		}
		value := fmt.Sprintf("%d-%s", len(s.requests), strings.Repeat("v", s.random.IntN(100)))
		r.keys, r.puts = append(r.keys, key), true
		r.ops = append(r.ops, clientv3.OpPut(key, value))
	}
	remove := func(key string, options ...clientv3.OpOption) {
		if slices.Contains(r.keys, key) {
			return
		}
		r.keys = append(r.keys, key)
		r.ops = append(r.ops, clientv3.OpDelete(key, options...))
	}
	switch kind := s.random.IntN(100); {
	case kind < 60:
		put(s.key())
	case kind < 72:
		remove(s.key())
	case kind < 76:
		remove(s.key(), clientv3.WithRange(s.key()))
	case kind < 90:
		for range 2 + s.random.IntN(3) {
			put(s.key())
		}
		remove(s.key())
	default:
		put(otherPrefix + s.key())
	}
	return r
}

func (s *scribe) key() string {
	return fmt.Sprintf("%s%02d", crowdPrefix, s.random.IntN(crowdKeys))
}

// send asks and takes down when it took effect.
func (s *scribe) send(r scribed) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	answer, err := s.client.Txn(ctx).Then(r.ops...).Commit()
	if err == nil {
		r.revision = answer.Header.Revision
	} else {
		s.lost.Add(1)
	}
	s.requests = append(s.requests, r)
}

// check demands that every put whose answer came is in the store's history, where the answer says,
// and that none took effect twice.
func (s *scribe) check(dump linearizability.Dump) error {
	found := make([]int64, len(s.requests))
	for _, snapshot := range dump {
		for _, kv := range snapshot.KeyValues {
			if kv.ModRevision != snapshot.Revision {
				continue
			}
			n, err := requestOf(kv)
			if err != nil || n >= len(found) {
				return fmt.Errorf("revision %d has %q, which nobody wrote", snapshot.Revision,
					kv.Value)
			}
			if found[n] != 0 && found[n] != kv.ModRevision {
				return fmt.Errorf("request %d took effect at revisions %d and %d", n, found[n],
					kv.ModRevision)
			}
			found[n] = kv.ModRevision
		}
	}
	for n, r := range s.requests {
		if r.puts && r.revision != 0 && found[n] != r.revision {
			return fmt.Errorf("request %d was answered with revision %d, and is at %d", n,
				r.revision, found[n])
		}
	}
	return nil
}
