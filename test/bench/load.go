package main

// Callers that do one thing for a while, and what it cost.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	connections = 100
	callLimit   = 60 * time.Second // of one request; a run never waits longer for a server
)

// work is one caller's next operation. Each caller has its own number and its own random source.
type work func(ctx context.Context, caller int, r *rand.Rand) error

// load is the outcome of callers working for a while.
type load struct {
	ops       int
	seconds   float64
	latencies []time.Duration // sorted
	used      usage           // of the servers, meanwhile
}

func (l *load) perSecond() float64 { return float64(l.ops) / l.seconds }

func (l *load) cpuMicros() float64 {
	return float64(l.used.CPU.Microseconds()) / float64(max(l.ops, 1))
}

// quantile is in milliseconds.
func (l *load) quantile(q float64) float64 {
	if len(l.latencies) == 0 {
		return 0
	}
	i := min(int(q*float64(len(l.latencies))), len(l.latencies)-1)
	return l.latencies[i].Seconds() * 1e3
}

// during says when callers stop.
type during struct {
	warm, measure time.Duration
	ops           int // stop after so many operations instead, when not 0; no warming up
}

// run lets callers work and measures. Any error ends it: a benchmark of failing requests says
// nothing.
func run(
	ctx context.Context, c *cluster, callers int, d during, do work,
) (*load, error) {
	if d.warm > 0 {
		if _, err := drive(ctx, callers, during{measure: d.warm}, do); err != nil {
			return nil, err
		}
	}
	before, err := c.usage()
	if err != nil {
		return nil, err
	}
	l, err := drive(ctx, callers, d, do)
	if err != nil {
		return nil, err
	}
	after, err := c.usage()
	if err != nil {
		return nil, err
	}
	l.used = usage{CPU: after.CPU - before.CPU, Written: after.Written - before.Written,
		Peak: after.Peak}
	return l, nil
}

func drive(ctx context.Context, callers int, d during, do work) (*load, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	results := make([][]time.Duration, callers)
	begin := time.Now()
	for caller := range callers {
		group.Add(1)
		go func() {
			defer group.Done()
			r := rand.New(rand.NewPCG(1, uint64(caller)))
			share := d.ops / callers
			if caller < d.ops%callers {
				share++
			}
			for n := 0; ctx.Err() == nil; n++ {
				if d.ops > 0 && n >= share || d.ops == 0 && time.Since(begin) >= d.measure {
					return
				}
				at := time.Now()
				call, done := context.WithTimeout(ctx, callLimit)
				err := do(call, caller, r)
				done()
				if err != nil {
					cancel(fmt.Errorf("caller %d: %w", caller, err))
					return
				}
				results[caller] = append(results[caller], time.Since(at))
			}
		}()
	}
	group.Wait()
	l := &load{seconds: time.Since(begin).Seconds()}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for _, some := range results {
		l.latencies = append(l.latencies, some...)
	}
	l.ops = len(l.latencies)
	slices.Sort(l.latencies)
	if l.ops == 0 {
		return nil, errors.New("no operation was done")
	}
	return l, nil
}

// value is not compressible, so that no layer gains by compressing.
func value(size int) []byte {
	r := rand.New(rand.NewPCG(7, uint64(size)))
	v := make([]byte, size)
	for i := range v {
		v[i] = byte(r.Uint32())
	}
	return v
}

// fill puts the keys prefix00000000... up to n, from index from on, in transactions.
func fill(ctx context.Context, cl *client, prefix string, from, n, size int) error {
	const batch, callers = 100, 16
	v := value(size)
	var next sync.Mutex
	at := from
	take := func() (lo, hi int) {
		next.Lock()
		defer next.Unlock()
		lo, hi = at, min(at+batch, n)
		at = hi
		return lo, hi
	}
	_, err := drive(ctx, callers, during{ops: (n - from + batch - 1) / batch},
		func(ctx context.Context, caller int, _ *rand.Rand) error {
			lo, hi := take()
			if lo == hi {
				return nil
			}
			keys := make([]string, 0, batch)
			for i := lo; i < hi; i++ {
				keys = append(keys, keyOf(prefix, i))
			}
			_, err := cl.call(ctx, caller, methodTxn, encodeBulk(keys, v))
			return err
		})
	if err != nil {
		return fmt.Errorf("fill %s up to %d: %w", prefix, n, err)
	}
	return nil
}

func keyOf(prefix string, i int) string { return fmt.Sprintf("%s%010d", prefix, i) }

func keysOf(prefix string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = keyOf(prefix, i)
	}
	return keys
}
