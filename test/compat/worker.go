package main

// A worker plays blocks of sequences, each on a pair of servers of its own. Most of a sequence's
// time goes in waits (for a disk, for a watcher that lags, for somebody who holds a lock), so
// several workers finish sooner than one even where there are few processors.

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"
)

type worker struct {
	*campaign
	coverage *coverage
	pair     *pair
	kind     int // of the pair
	pairs    int
	played   int
	asked    int
}

// work plays blocks until none is left.
func (w *worker) work(ctx context.Context) error {
	for {
		block, ok := w.take()
		if !ok || w.over(ctx) {
			return nil
		}
		w.kind = w.opt.kind + block
		if err := w.renew(ctx, block); err != nil {
			if ctx.Err() != nil {
				return nil // somebody else has ended the run
			}
			return err
		}
		if block == 0 {
			if err := w.checkUnserved(ctx); err != nil {
				return err
			}
		}
		for i := block * w.block; i < min(w.opt.sequences, (block+1)*w.block); i++ {
			if w.over(ctx) {
				return nil
			}
			if err := w.sequence(ctx, w.opt.seed+uint64(i)); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if !w.opt.quietly {
			fmt.Fprintf(os.Stderr, "block %d is done after %v\n", block,
				time.Since(w.began).Round(time.Second))
		}
	}
}

func (w *worker) close() error {
	if w.pair == nil {
		return nil
	}
	return w.pair.stop()
}

// replace starts a new pair.
func (w *worker) replace(ctx context.Context) error {
	if err := w.close(); err != nil {
		return err
	}
	w.pairs++
	p, err := startPair(ctx, w.programs, w.dir, w.kind)
	w.pair = p
	return err
}

// renew starts a new pair and has it serve the fixed sequences.
func (w *worker) renew(ctx context.Context, block int) error {
	if err := w.replace(ctx); err != nil {
		return err
	}
	all := fixedSequences(w.pair.limits)
	if block == 0 {
		all = append(all, fixed{"more revisions than a message", manySequence()})
	}
	for _, fixed := range all {
		d, err := w.play(ctx, fixed.steps)
		if err != nil {
			return fmt.Errorf("%s: %w", fixed.name, err)
		}
		if d != nil {
			w.report(fmt.Sprintf("a sequence written by hand: %s", fixed.name), d, fixed.steps)
		}
		if err := w.pair.reset(ctx); err != nil {
			return fmt.Errorf("after %s: %w", fixed.name, err)
		}
		if d != nil && !w.pair.same(ctx) {
			if err := w.recover(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// report prints a difference and ends the run, if it is not to go on.
func (w *worker) report(title string, d *difference, steps []*step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found++
	fmt.Fprintf(os.Stderr, "\nDIFFERENCE, %s\n%s", title, d.report(steps))
	if !w.opt.keepGoing {
		w.abandon()
	}
}

// play runs one sequence on the present pair.
func (w *worker) play(ctx context.Context, steps []*step) (*difference, error) {
	r := &run{pair: w.pair, coverage: w.coverage, methods: w.methods}
	d, err := r.play(ctx, steps)
	w.asked += r.asked
	if ctx.Err() != nil {
		d = nil // the end of the run is no difference
	}
	return d, err
}

// sequence draws, plays and judges one sequence.
func (w *worker) sequence(ctx context.Context, seed uint64) error {
	steps, err := w.draw(seed)
	if err != nil {
		return err
	}
	w.played++
	d, err := w.playAndReset(ctx, steps)
	if err != nil || d == nil {
		return err
	}
	steps, d, err = w.shrink(ctx, seed, steps, d)
	if err == nil {
		w.report(fmt.Sprintf("-seed %d -kind %d -sequences 1", seed, w.kind%numKinds), d, steps)
	}
	return err
}

// shrink has rapid draw the sequence again and make it simpler. A difference that does not come
// again is left as it is.
func (w *worker) shrink(
	ctx context.Context, seed uint64, steps []*step, d *difference,
) ([]*step, *difference, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var failed error
	_, err := w.seeded(seed, func(rt *rapid.T) {
		tried := drawSequence(rt)
		if failed != nil || ctx.Err() != nil {
			return
		}
		found, err := w.playAndReset(ctx, tried)
		if err != nil {
			failed = err
			return
		}
		if found != nil {
			steps, d = tried, found
			rt.Fatalf("a difference")
		}
	})
	if err != nil || failed != nil || ctx.Err() != nil {
		return steps, d, failed
	}
	return w.shorten(ctx, steps, d)
}

// shorten leaves steps out, many at first.
func (w *worker) shorten(
	ctx context.Context, steps []*step, d *difference,
) ([]*step, *difference, error) {
	if d.index < len(steps) {
		steps = steps[:d.index+1]
	}
	end := time.Now().Add(w.opt.shrink)
	for size := len(steps) / 2; size > 0; {
		shorter := false
		for i := len(steps) - size; i >= 0 && time.Now().Before(end); i -= size {
			fewer := slices.Concat(steps[:i], steps[i+size:])
			again, err := w.playAndReset(ctx, fewer)
			if err != nil {
				return steps, d, err
			}
			if again != nil {
				steps, d, shorter = fewer, again, true
				i = min(i, len(steps))
			}
		}
		if !shorter || size > 1 {
			size /= 2
		}
	}
	return steps, d, nil
}

// playAndReset leaves a pair behind that is ready for the next sequence.
func (w *worker) playAndReset(ctx context.Context, steps []*step) (*difference, error) {
	d, err := w.play(ctx, steps)
	if err != nil {
		return nil, err
	}
	if w.pair.reset(ctx) == nil && w.pair.same(ctx) {
		return d, nil
	}
	if d == nil && !w.pair.tainted && ctx.Err() == nil {
		d = &difference{index: len(steps), what: "the pair differs after it was cleared"}
	}
	return d, w.recover(ctx)
}

// recover starts a pair in place of one that differs or cannot be cleared. It is compacted once: a
// compaction at zero succeeds before that, and etcd answers every HashKV from it then.
func (w *worker) recover(ctx context.Context) error {
	if err := w.replace(ctx); err != nil {
		return err
	}
	return w.pair.both(func(t *target) error {
		return t.ask(ctx, pb.KV_Compact_FullMethodName,
			&pb.CompactionRequest{Revision: 1, Physical: true}, &pb.CompactionResponse{})
	})
}
