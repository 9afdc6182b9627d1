package main

// A campaign is many sequences: it shares them out among workers, counts, and judges the whole.
// What it says of one sequence does not depend on the number of workers: which kind of pair serves
// a sequence follows from its number.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/detcd/detcd/test/compat/servers"
)

type campaign struct {
	opt      options
	dir      string
	programs servers.Programs
	methods  map[string]method
	all      []method
	block    int                // sequences that one pair serves
	began    time.Time          // of the first sequence
	abandon  context.CancelFunc // after a difference or an error, unless the run is to go on

	// mu also guards rapid's flags, which are the whole process's, and the error output.
	mu       sync.Mutex
	next     int // block that nobody has taken yet
	coverage *coverage
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
	c := &campaign{opt: o, dir: dir, all: methods, methods: map[string]method{},
		coverage: newCoverage(methods)}
	for _, m := range methods {
		c.methods[m.name] = m
	}
	// A short run gives every worker its share; a pair of a long one serves a hundred.
	c.block = min(sequencesPerPair, (o.sequences+o.workers-1)/o.workers)
	c.programs, err = servers.Build(ctx, o.repo, o.here, dir)
	return c, err
}

// work has the workers play all sequences.
func (c *campaign) work(ctx context.Context) error {
	c.began = time.Now()
	ctx, c.abandon = context.WithCancel(ctx)
	defer c.abandon()
	errs := make([]error, c.opt.workers)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			w := &worker{campaign: c, coverage: newCoverage(c.all)}
			if errs[i] = errors.Join(w.work(ctx), w.close()); errs[i] != nil {
				c.abandon()
			}
			c.add(w)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// take hands out blocks of sequences.
func (c *campaign) take() (block int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	block = c.next
	c.next++
	return block, block*c.block < c.opt.sequences
}

// over says that no further sequence is to be played.
func (c *campaign) over(ctx context.Context) bool {
	return ctx.Err() != nil || c.opt.limit > 0 && time.Since(c.began) > c.opt.limit
}

// add takes over what a worker has counted.
func (c *campaign) add(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coverage.add(w.coverage)
	c.pairs += w.pairs
	c.played += w.played
	c.asked += w.asked
}

// seeded has rapid judge one sequence, drawn from a seed, and shrink it where f fails it.
func (c *campaign) seeded(seed uint64, f func(*rapid.T)) (*tester, error) {
	if err := flag.Set("rapid.seed", strconv.FormatUint(max(seed, 1), 10)); err != nil {
		return nil, err
	}
	t := &tester{}
	done := make(chan struct{})
	go func() { // a failure ends the goroutine
		defer close(done)
		rapid.Check(t, f)
	}()
	<-done
	return t, nil
}

// draw makes the sequence of a seed.
func (c *campaign) draw(seed uint64) (steps []*step, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.seeded(seed, func(rt *rapid.T) { steps = drawSequence(rt) })
	if err == nil && t.failed {
		err = errors.New(t.text)
	}
	return steps, err
}

// conclude prints what was covered and judges the run as a whole.
func (c *campaign) conclude(ctx context.Context, took time.Duration) error {
	if !c.opt.quietly {
		c.coverage.print(os.Stdout)
	}
	missed := c.coverage.missed()
	fmt.Printf("%d sequences from seed %d, %d requests compared, %d pairs of servers, "+
		"%d differences, %d of %d rows never hit, %v\n", c.played, c.opt.seed, c.asked, c.pairs,
		c.found, len(missed), len(c.coverage.wanted), took.Round(time.Second))
	var errs []error
	if c.found > 0 {
		errs = append(errs, fmt.Errorf("%d differences", c.found))
	}
	if c.asked < c.opt.requests {
		errs = append(errs, fmt.Errorf("%d requests were compared, need %d", c.asked,
			c.opt.requests))
	}
	if c.opt.requests >= longRun && len(missed) > 0 {
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
