// Command compat sends the same requests to real etcd and to detcd and demands the same answers.
//
// A sequence of about a hundred requests is drawn over the whole API, odd values included, and each
// request goes to one member of each store. Responses, codes, messages, revisions and the events of
// watchers must agree; only what servers draw by themselves (ids, tokens) and what the clock or
// raft counts is replaced before. At the end of a sequence everything is read back, hashes and
// snapshots too. A sequence that shows a difference is shrunk and printed with both answers.
//
//	go run .                                         a short run, under a minute
//	go run . -sequences 2000 -requests 200000        the long run; every row of the coverage counts
//	go run . -seed 7 -kind 1 -sequences 1            the sequence of a seed again
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// options are the command's flags.
type options struct {
	repo      string
	here      string // the folder of this module
	seed      uint64
	sequences int
	requests  int // the least number that the run must have sent
	length    int // average steps of a sequence
	workers   int // pairs of servers at a time
	kind      int // of the first pair
	keepGoing bool
	limit     time.Duration // 0: none
	shrink    time.Duration
	quietly   bool
}

// longRun is the number of demanded requests from which on every row of the coverage must be hit.
const longRun = 100_000

func main() {
	testing.Init() // rapid asks for the flags of tests
	o := options{here: "."}
	flag.StringVar(&o.repo, "repo", "../..", "the folder of detcd's module")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the first sequence")
	flag.IntVar(&o.sequences, "sequences", 40, "number of sequences")
	flag.IntVar(&o.requests, "requests", 0, "fail when fewer requests than this were compared")
	flag.IntVar(&o.length, "length", 100, "average number of steps of a sequence")
	flag.IntVar(&o.workers, "workers", 6, "pairs of servers at a time; most of the time goes in waits")
	flag.IntVar(&o.kind, "kind", 0, "kind of the first pair: its limits and tokens, 0 to 3")
	flag.BoolVar(&o.keepGoing, "keep-going", false, "go on after a difference")
	flag.DurationVar(&o.limit, "limit", 0, "stop drawing sequences after this time; 0 is never")
	flag.DurationVar(&o.shrink, "shrink", 30*time.Second, "time for making a sequence shorter")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := compat(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	fmt.Println("PASS")
}

// compat does everything. The folder with the servers' data goes with the run, but for the logs of
// a server that died, which are in the error.
func compat(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "detcd-compat-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := newCampaign(ctx, o, dir)
	if err != nil {
		return err
	}
	if err := c.work(ctx); err != nil {
		return err
	}
	return c.conclude(ctx, time.Since(c.began))
}
