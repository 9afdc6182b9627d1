package main

// A campaign is many sequences: it keeps a pair of servers at hand, has rapid draw and shrink the
// sequences, and counts.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/test/compat/servers"
)

type campaign struct {
	opt      options
	dir      string
	programs servers.Programs
	methods  map[string]method
	coverage *coverage
	pair     *pair
	pairs    int
	played   int
	asked    int
	found    int // differences
}

func newCampaign(ctx context.Context, o options, dir string) (*campaign, error) {
	for name, value := range map[string]string{
		"rapid.checks": "1", "rapid.steps": strconv.Itoa(o.length), "rapid.nofailfile": "true",
		"rapid.shrinktime": o.shrink.String(),
	} {
		if err := flag.Set(name, value); err != nil {
			return nil, err
		}
	}
	methods, err := allMethods()
	if err != nil {
		return nil, err
	}
	c := &campaign{opt: o, dir: dir, methods: map[string]method{}, coverage: newCoverage(methods)}
	for _, m := range methods {
		c.methods[m.name] = m
	}
	if c.programs, err = servers.Build(ctx, o.repo, o.here, dir); err != nil {
		return nil, err
	}
	if err := c.renew(ctx); err != nil {
		return nil, err
	}
	return c, c.checkUnserved(ctx)
}

func (c *campaign) close() error {
	if c.pair == nil {
		return nil
	}
	return c.pair.stop()
}

// replace starts a new pair.
func (c *campaign) replace(ctx context.Context) error {
	if err := c.close(); err != nil {
		return err
	}
	l := defaultLimits
	if c.pairs%2 == 1 {
		l = smallLimits
	}
	c.pairs++
	p, err := startPair(ctx, c.programs, c.dir, l)
	c.pair = p
	return err
}

// renew starts a new pair and has it serve the fixed sequences.
func (c *campaign) renew(ctx context.Context) error {
	if err := c.replace(ctx); err != nil {
		return err
	}
	for _, steps := range fixedSequences() {
		d, err := c.play(ctx, steps, c.coverage)
		if err != nil {
			return err
		}
		if d != nil {
			fmt.Fprintf(os.Stderr, "a sequence written by hand\n%s", d.report(steps))
			c.found++
			if !c.opt.keepGoing {
				return errors.New("a sequence written by hand shows a difference")
			}
		}
		if err := c.pair.reset(ctx); err != nil {
			return err
		}
	}
	return nil
}

// play runs one sequence on the present pair.
func (c *campaign) play(ctx context.Context, steps []*step, v *coverage) (*difference, error) {
	r := &run{pair: c.pair, coverage: v, methods: c.methods}
	d, err := r.play(ctx, steps)
	c.asked += r.asked
	return d, err
}

// sequence draws, plays and judges one sequence.
func (c *campaign) sequence(ctx context.Context, seed uint64) error {
	if c.pair.age >= sequencesPerPair {
		if err := c.renew(ctx); err != nil {
			return err
		}
	}
	c.pair.age++
	c.played++
	if err := flag.Set("rapid.seed", strconv.FormatUint(max(seed, 1), 10)); err != nil {
		return err
	}
	var last struct {
		steps []*step
		d     *difference
	}
	var failed error
	t := &tester{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(t, func(rt *rapid.T) {
			steps := drawSequence(rt)
			if failed != nil || ctx.Err() != nil {
				return
			}
			d, err := c.playAndReset(ctx, steps)
			if err != nil {
				failed = err
				return
			}
			if d != nil {
				last.steps, last.d = steps, d
				rt.Fatalf("a difference")
			}
		})
	}()
	<-done
	if failed != nil || ctx.Err() != nil || last.d == nil {
		if t.failed && failed == nil && ctx.Err() == nil {
			failed = errors.New(t.text)
		}
		return failed
	}
	return c.difference(ctx, seed, last.steps, last.d)
}

// playAndReset leaves a pair behind that is ready for the next sequence.
func (c *campaign) playAndReset(ctx context.Context, steps []*step) (*difference, error) {
	d, err := c.play(ctx, steps, c.coverage)
	if err != nil {
		return nil, err
	}
	if c.pair.reset(ctx) == nil && c.pair.same(ctx) {
		return d, nil
	}
	return d, c.recover(ctx)
}

// recover starts a pair in place of one that differs or cannot be cleared. It is compacted once: a
// compaction at zero succeeds before that, and etcd answers every HashKV from it then.
func (c *campaign) recover(ctx context.Context) error {
	if err := c.replace(ctx); err != nil {
		return err
	}
	return c.pair.both(func(t *target) error {
		return t.ask(ctx, pb.KV_Compact_FullMethodName,
			&pb.CompactionRequest{Revision: 1, Physical: true}, &pb.CompactionResponse{})
	})
}

// difference makes the sequence shorter still by leaving steps out, many at first, and reports.
func (c *campaign) difference(
	ctx context.Context, seed uint64, steps []*step, d *difference,
) error {
	if d.index < len(steps) {
		steps = steps[:d.index+1]
	}
	end := time.Now().Add(c.opt.shrink)
	for size := len(steps) / 2; size > 0; {
		shorter := false
		for i := len(steps) - size; i >= 0 && time.Now().Before(end); i -= size {
			fewer := slices.Concat(steps[:i], steps[i+size:])
			again, err := c.playAndReset(ctx, fewer)
			if err != nil {
				return err
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
	c.found++
	fmt.Fprintf(os.Stderr, "\nDIFFERENCE, -seed %d\n%s", seed, d.report(steps))
	if c.opt.keepGoing {
		return nil
	}
	return fmt.Errorf("the servers differ; again with -seed %d -sequences 1", seed)
}

// conclude prints what was covered and judges the run as a whole.
func (c *campaign) conclude(ctx context.Context, took time.Duration) error {
	if !c.opt.quietly {
		c.coverage.print(os.Stdout)
	}
	fmt.Printf("%d sequences from seed %d, %d requests compared, %d pairs of servers, %v\n",
		c.played, c.opt.seed, c.asked, c.pairs, took.Round(time.Second))
	var errs []error
	if c.found > 0 {
		errs = append(errs, fmt.Errorf("%d differences", c.found))
	}
	if c.asked < c.opt.requests {
		errs = append(errs, fmt.Errorf("%d requests were compared, need %d", c.asked,
			c.opt.requests))
	}
	if missed := c.coverage.missed(); c.opt.requests >= longRun && len(missed) > 0 {
		errs = append(errs, fmt.Errorf("never hit: %q", missed))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// tester is what rapid reports to.
type tester struct {
	failed bool
	text   string
}

func (t *tester) Helper()              {}
func (t *tester) Name() string         { return "sequence" }
func (t *tester) Logf(string, ...any)  {}
func (t *tester) Log(...any)           {}
func (t *tester) Skipf(string, ...any) {}
func (t *tester) Skip(...any)          {}
func (t *tester) SkipNow()             {}

func (t *tester) Errorf(format string, args ...any) {
	t.failed = true
	t.text = fmt.Sprintf(format, args...)
}

func (t *tester) Error(args ...any) { t.Errorf("%s", fmt.Sprint(args...)) }

func (t *tester) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *tester) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }
func (t *tester) FailNow()          { t.failed = true; runtime.Goexit() }
func (t *tester) Fail()             { t.failed = true }
func (t *tester) Failed() bool      { return t.failed }
