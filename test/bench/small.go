package main

// Rows of small requests: one key each.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

const (
	smallKeys  = 10_000
	smallValue = 256
	smallSpace = "small/"

	rowWritten = "bytes written"
)

// operations are the requests of the small rows, encoded before anything is measured.
type operations struct {
	client *client
	puts   [][]byte
	gets   [][]byte // linearizable
	stales [][]byte // serializable
	keys   []string
	value  []byte
	// revisions holds, per caller, where its own key was last changed.
	revisions []atomic.Int64
}

func newOperations(c *client, prefix string, keys, size int) *operations {
	o := &operations{client: c, keys: keysOf(prefix, keys), value: value(size),
		revisions: make([]atomic.Int64, keys)}
	for _, k := range o.keys {
		o.puts = append(o.puts, encodePut(k, o.value))
		o.gets = append(o.gets, encodeRange(rangeSpec{key: k}))
		o.stales = append(o.stales, encodeRange(rangeSpec{key: k, serializable: true}))
	}
	return o
}

func (o *operations) put(ctx context.Context, caller int, r *rand.Rand) error {
	_, err := o.client.call(ctx, caller, methodPut, o.puts[r.IntN(len(o.puts))])
	return err
}

func (o *operations) get(ctx context.Context, caller int, r *rand.Rand) error {
	return o.read(ctx, caller, o.gets[r.IntN(len(o.gets))])
}

func (o *operations) stale(ctx context.Context, caller int, r *rand.Rand) error {
	return o.read(ctx, caller, o.stales[r.IntN(len(o.stales))])
}

func (o *operations) read(ctx context.Context, caller int, request []byte) error {
	response, err := o.client.call(ctx, caller, methodRange, request)
	if err == nil && len(response) < len(o.value) {
		return fmt.Errorf("a read of one key returned %d bytes", len(response))
	}
	return err
}

// mixed reads a random key or updates the caller's own one, guarded by its revision, half and half.
func (o *operations) mixed(ctx context.Context, caller int, r *rand.Rand) error {
	if r.IntN(2) == 0 {
		return o.get(ctx, caller, r)
	}
	mine := caller % len(o.keys)
	request := encodeGuarded(o.keys[mine], o.revisions[mine].Load(), o.value)
	response, err := o.client.call(ctx, caller, methodTxn, request)
	if err != nil {
		return err
	}
	a, err := parseAnswer(response)
	if err != nil {
		return err
	}
	if !a.success {
		// The first update of a run finds its key changed by an earlier row.
		return o.refresh(ctx, caller, mine)
	}
	o.revisions[mine].Store(a.revision)
	return nil
}

func (o *operations) refresh(ctx context.Context, caller, mine int) error {
	response, err := o.client.call(ctx, caller, methodPut, o.puts[mine])
	if err != nil {
		return err
	}
	a, err := parseAnswer(response)
	if err == nil && a.revision == 0 {
		err = errors.New("a put returned no revision")
	}
	o.revisions[mine].Store(a.revision)
	return err
}

var smallKinds = [...]string{"put", "get linearizable", "get serializable",
	"guarded updates and gets"}

func (b *bench) smallNames() (names []string) {
	for _, kind := range smallKinds {
		for _, callers := range b.opt.callers {
			names = append(names, smallName(kind, callers))
		}
	}
	return names
}

func smallName(kind string, callers int) string {
	return fmt.Sprintf("%s, %d callers", kind, callers)
}

// smallRows measures every kind of small request on one cluster.
func (b *bench) smallRows(ctx context.Context, c *cluster, s *session) error {
	cl, err := dial(c.addresses(), connections)
	if err != nil {
		return err
	}
	defer cl.close()
	if err := fill(ctx, cl, smallSpace, 0, smallKeys, smallValue); err != nil {
		return err
	}
	o := newOperations(cl, smallSpace, smallKeys, smallValue)
	for i, do := range [...]work{o.put, o.get, o.stale, o.mixed} {
		for _, callers := range b.opt.callers {
			name := smallName(smallKinds[i], callers)
			if !b.wanted(name) {
				continue
			}
			l, err := run(ctx, c, callers, b.opt.period(), do)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			s.load(name, l)
		}
	}
	return nil
}

// written puts a fixed number of values, forces a checkpoint and counts what went to the disk.
func (b *bench) written(ctx context.Context, c *cluster, s *session) error {
	const name = rowWritten
	cl, err := dial(c.addresses(), connections)
	if err != nil {
		return err
	}
	defer cl.close()
	o := newOperations(cl, smallSpace, smallKeys, smallValue)
	if _, err := run(ctx, c, 1000, during{ops: b.opt.writtenPuts}, o.put); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.forceCheckpoint(ctx, c)
	u, err := c.stop()
	if err != nil {
		return err
	}
	puts := float64(b.opt.writtenPuts)
	s.add(name, "per put, through a checkpoint", "B", float64(u.Written)/puts)
	s.add(name, "server CPU per put, whole life", "us", float64(u.CPU.Microseconds())/puts)
	s.add(name, "peak memory", "MB", float64(u.Peak)/1e6)
	return nil
}

// forceCheckpoint makes the data files hold what so far only the log holds. etcd commits its
// database when it is ended; of detcd a Defragment asks it. What it cannot do is noted.
func (b *bench) forceCheckpoint(ctx context.Context, c *cluster) {
	if c.subject.name != subjectDetcd {
		return
	}
	for _, s := range c.servers {
		cl, err := dial([]string{s.address}, 1)
		if err == nil {
			call, done := context.WithTimeout(ctx, callLimit)
			_, err = cl.call(call, 0, methodDefrag, nil)
			done()
			cl.close()
		}
		if err != nil {
			b.note("%s: no checkpoint could be forced by Defragment, only by ending it: %v",
				c.subject.name, err)
			return
		}
	}
}
