package main

// Rows of large results and large stores: lists, compaction, restart, growth.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	listSpace = "list/"
	listEnd   = "list0" // the key after every key with the prefix
	listValue = 1 << 10
	pageSize  = 500
	// churnPause is the time between two changes while pages are read.
	churnPause = 5 * time.Millisecond

	rowCompaction = "puts during a compaction"
	rowGrowth     = "growth"
)

// outcome is the end of something that was waited for.
type outcome struct {
	took time.Duration
	err  error
}

func (b *bench) rowList() string {
	return fmt.Sprintf("list of %d keys of 1 KB", b.opt.listKeys)
}

func (b *bench) rowRestart() string {
	return fmt.Sprintf("restart with %d keys of 1 KB", b.opt.restartKeys)
}

// lists measures reads of many keys.
func (b *bench) lists(ctx context.Context, c *cluster, s *session) error {
	cl, err := dial(c.addresses(), 16)
	if err != nil {
		return err
	}
	defer cl.close()
	n := b.opt.listKeys
	if err := fill(ctx, cl, listSpace, 0, n, listValue); err != nil {
		return err
	}
	whole := b.rowList()
	if b.wanted(whole) {
		page := fmt.Sprintf("%s, limit %d", whole, pageSize)
		if _, err := b.list(ctx, c, s, page, rangeSpec{key: listSpace, end: listEnd,
			limit: pageSize}, pageSize); err != nil {
			return err
		}
		if err := b.pages(ctx, c, cl, s, whole+", in pages while keys change"); err != nil {
			return err
		}
		_, err := b.list(ctx, c, s, whole+", whole", rangeSpec{key: listSpace, end: listEnd}, n)
		if err != nil {
			return err
		}
	}
	if b.wanted(rowCompaction) {
		if err := b.compaction(ctx, c, cl, s); err != nil {
			return err
		}
	}
	u, err := c.usage()
	if err != nil {
		return err
	}
	s.add(whole, "peak memory", "MB", float64(u.Peak)/1e6)
	return nil
}

// list repeats one read; at least want keys must come back.
func (b *bench) list(
	ctx context.Context, c *cluster, s *session, name string, spec rangeSpec, want int,
) (*load, error) {
	cl, err := dial(c.addresses(), 1)
	if err != nil {
		return nil, err
	}
	defer cl.close()
	request := encodeRange(spec)
	d := b.opt.period()
	if want > pageSize {
		d = during{ops: b.opt.wholeLists}
	}
	l, err := run(ctx, c, 1, d, func(ctx context.Context, caller int, _ *rand.Rand) error {
		response, err := cl.call(ctx, caller, methodRange, request)
		if err != nil {
			return err
		}
		a, err := parseAnswer(response)
		if err == nil && a.kvs < want {
			err = fmt.Errorf("a list returned %d keys, expected %d", a.kvs, want)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.load(name, l)
	return l, nil
}

// pages reads the whole list page by page at the revision of the first one, while other keys of
// the list are created and deleted.
func (b *bench) pages(
	ctx context.Context, c *cluster, cl *client, s *session, name string,
) error {
	churn, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	var churned error
	group.Add(1)
	go func() {
		defer group.Done()
		churned = changeKeys(churn, cl)
	}()
	l, err := run(ctx, c, 1, during{ops: b.opt.pagings},
		func(ctx context.Context, caller int, _ *rand.Rand) error {
			return readPages(ctx, cl, b.opt.listKeys)
		})
	stop()
	group.Wait()
	if err := errors.Join(err, churned); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	pages := float64(l.ops) * float64((b.opt.listKeys+pageSize-1)/pageSize)
	s.add(name, "time", "ms", l.quantile(0.5))
	s.add(name, "server CPU per page", "us", float64(l.used.CPU.Microseconds())/pages)
	return nil
}

func changeKeys(ctx context.Context, cl *client) error {
	v := value(listValue)
	for i := 0; ctx.Err() == nil; i++ {
		key := keyOf(listSpace, i*37%100_000) + "x"
		method, request := methodPut, encodePut(key, v)
		if i%2 == 1 {
			key = keyOf(listSpace, (i-1)*37%100_000) + "x"
			method, request = methodDelete, encodeDelete(key)
		}
		if _, err := cl.call(ctx, i, method, request); err != nil && ctx.Err() == nil {
			return fmt.Errorf("change keys: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(churnPause):
		}
	}
	return nil
}

func readPages(ctx context.Context, cl *client, want int) error {
	spec := rangeSpec{key: listSpace, end: listEnd, limit: pageSize}
	total := 0
	for range want/pageSize + 1000 {
		response, err := cl.call(ctx, 0, methodRange, encodeRange(spec))
		if err != nil {
			return err
		}
		a, err := parseAnswer(response)
		if err != nil {
			return err
		}
		if spec.revision == 0 {
			spec.revision = a.revision
		}
		total += a.kvs
		if !a.more {
			break
		}
		spec.key = string(a.lastKey) + "\x00"
	}
	if total < want {
		return fmt.Errorf("the pages held %d keys, expected %d", total, want)
	}
	return nil
}

// compaction measures puts while everything that was overwritten is compacted away.
func (b *bench) compaction(ctx context.Context, c *cluster, cl *client, s *session) error {
	const name = rowCompaction
	if err := fill(ctx, cl, listSpace, 0, b.opt.listKeys/2, listValue); err != nil {
		return err
	}
	response, err := cl.call(ctx, 0, methodPut, encodePut("compact", nil))
	if err != nil {
		return err
	}
	a, err := parseAnswer(response)
	if err != nil {
		return err
	}
	o := newOperations(cl, smallSpace, smallKeys, smallValue)
	done := make(chan outcome, 1)
	began := time.Now()
	go func() {
		call, cancel := context.WithTimeout(ctx, 4*callLimit)
		defer cancel()
		_, err := cl.call(call, 1, methodCompact, encodeCompact(a.revision))
		done <- outcome{time.Since(began), err}
	}()
	l, err := run(ctx, c, 8, during{measure: b.opt.compactionTime}, o.put)
	end := <-done
	if err := errors.Join(err, end.err); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.load(name, l)
	s.add(name, "longest", "ms", l.quantile(1))
	s.add(name, "physical compaction took", "ms", end.took.Seconds()*1e3)
	return nil
}

// restart fills a store, ends it and measures the way back.
func (b *bench) restart(ctx context.Context, c *cluster, s *session) error {
	name := b.rowRestart()
	cl, err := dial(c.addresses(), 16)
	if err != nil {
		return err
	}
	err = fill(ctx, cl, listSpace, 0, b.opt.restartKeys, listValue)
	cl.close()
	if err != nil {
		return err
	}
	if _, err := c.stop(); err != nil {
		return err
	}
	if err := c.start(ctx); err != nil {
		return err
	}
	u, err := c.usage()
	if err != nil {
		return err
	}
	s.add(name, "time to the first answer", "ms", c.started.Seconds()*1e3)
	s.add(name, "server CPU", "ms", u.CPU.Seconds()*1e3)
	s.add(name, "peak memory", "MB", float64(u.Peak)/1e6)
	return nil
}

// growth measures the same operations on a store that grows.
func (b *bench) growth(ctx context.Context, c *cluster, s *session) error {
	cl, err := dial(c.addresses(), connections)
	if err != nil {
		return err
	}
	defer cl.close()
	have := 0
	first := map[string]float64{} // CPU per operation in the smallest store
	grown := func(kind string, size int, l *load) {
		if first[kind] == 0 {
			first[kind] = l.cpuMicros()
		} else if first[kind] > 0 {
			s.add(fmt.Sprintf("growth, %s from %d to %d keys", kind, b.opt.growth[0], size),
				"server CPU grows by", "x", l.cpuMicros()/first[kind])
		}
	}
	for _, size := range b.opt.growth {
		if err := fill(ctx, cl, listSpace, have, size, smallValue); err != nil {
			return err
		}
		have = size
		o := newOperations(cl, listSpace, min(size, 100_000), smallValue)
		for _, k := range []struct {
			name string
			do   work
		}{{"put", o.put}, {"get linearizable", o.get}, {"guarded updates and gets", o.mixed}} {
			l, err := run(ctx, c, 64, b.opt.period(), k.do)
			if err != nil {
				return fmt.Errorf("growth, %s with %d keys: %w", k.name, size, err)
			}
			name := fmt.Sprintf("growth, %s with %d keys", k.name, size)
			s.add(name, "server CPU", "us", l.cpuMicros())
			s.add(name, "median", "ms", l.quantile(0.5))
			grown(k.name, size, l)
		}
		name := fmt.Sprintf("growth, list limit %d with %d keys", pageSize, size)
		l, err := b.list(ctx, c, s, name, rangeSpec{key: listSpace, end: listEnd,
			limit: pageSize}, pageSize)
		if err != nil {
			return err
		}
		grown(fmt.Sprintf("list limit %d", pageSize), size, l)
	}
	u, err := c.usage()
	if err != nil {
		return err
	}
	s.add(fmt.Sprintf("growth to %d keys", have), "peak memory", "MB", float64(u.Peak)/1e6)
	return nil
}
