package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

// progressEvery is the time between two lines of progress.
const progressEvery = 5 * time.Second

type runOptions struct {
	seeds, from uint64
	jobs        int
	json        bool
	keepGoing   bool
	quiet       bool
	probes      bool
	report      string // directory
}

func runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use: "run", Short: "Run many seeds and stop at the first failure",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	c.Flags().Uint64Var(&o.seeds, "seeds", 1000, "number of seeds")
	c.Flags().Uint64Var(&o.from, "from", 1, "first seed")
	c.Flags().IntVar(&o.jobs, "jobs", runtime.NumCPU(), "runs at the same time")
	c.Flags().BoolVar(&o.json, "json", false, "print one JSON object for each run")
	c.Flags().BoolVar(&o.keepGoing, "keep-going", false, "run all seeds, whatever fails")
	c.Flags().BoolVar(&o.quiet, "quiet", false, "print no progress")
	c.Flags().StringVar(&o.report, "report", "failures", "directory for the shrunk scenario and "+
		"the pictures of a failure; none if empty, or with --json")
	c.Flags().BoolVar(&o.probes, "probes", false, fmt.Sprintf(
		"fail if a probe is never reached; always so from %d seeds on", gateSeeds))
	return c
}

// verdict is the JSON form of one run's outcome.
type verdict struct {
	Seed    uint64     `json:"seed"`
	Hash    string     `json:"hash"`
	Budget  string     `json:"budget"`
	Oracle  sim.Oracle `json:"oracle,omitempty"`
	Message string     `json:"message,omitempty"`
	At      int64      `json:"at,omitempty"`
	Millis  int64      `json:"millis"`
	Counts  sim.Counts `json:"counts"`
}

// outcome is a result with what it took.
type outcome struct {
	sim.Result
	took time.Duration
}

func (o *runOptions) run() error {
	if o.jobs < 1 {
		return fmt.Errorf("%d runs at the same time: at least 1", o.jobs)
	}
	tally := newTally(o.seeds)
	var failed []uint64
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	for r := range hunt(o.from, o.seeds, o.jobs, o.keepGoing, interrupted) {
		tally.add(r)
		if o.json {
			if err := printJSON(r); err != nil {
				return err
			}
		} else if r.Failure != nil {
			printFailure(r)
			failed = append(failed, r.Seed)
		}
		if !o.quiet {
			tally.progress()
		}
	}
	if !o.json {
		tally.report()
	}
	if tally.failed > 0 {
		if err := o.explainAll(failed); err != nil {
			fmt.Fprintln(os.Stderr, "explaining the failure:", err)
		}
		return errFound
	}
	if o.gated(tally.done) {
		return errors.Join(tally.probes.judge(os.Stderr), tally.judgeFaults(os.Stderr))
	}
	return nil
}

// hunt runs seeds on several goroutines and returns their outcomes as they come. Unless it keeps
// going it starts no further run after a failure, but those with lower seeds than the failed one
// have all been started by then, so the lowest failing seed is always found. An interruption lets
// the running ones end.
func hunt(from, seeds uint64, jobs int, keepGoing bool, interrupted <-chan os.Signal,
) <-chan outcome {
	out := make(chan outcome)
	var next, running atomic.Int64
	var failed, stop atomic.Bool
	go func() {
		<-interrupted
		stop.Store(true)
	}()
	running.Store(int64(jobs))
	for range jobs {
		go func() {
			defer func() {
				if running.Add(-1) == 0 {
					close(out)
				}
			}()
			for !stop.Load() && (keepGoing || !failed.Load()) {
				n := uint64(next.Add(1) - 1)
				if n >= seeds {
					return
				}
				begin := time.Now()
				r := sim.Run(from+n, sim.Options{})
				if r.Failure != nil {
					failed.Store(true)
				}
				out <- outcome{Result: r, took: time.Since(begin)}
			}
		}()
	}
	return out
}

func printJSON(r outcome) error {
	v := verdict{
		Seed: r.Seed, Hash: fmt.Sprintf("%016x", r.Hash), Budget: r.Verdict.String(),
		Millis: r.took.Milliseconds(),
		Counts: r.Counts,
	}
	if f := r.Failure; f != nil {
		v.Oracle, v.Message, v.At = f.Oracle, f.Message, f.At
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

// printFailure prints what failed and the lines that repeat it, step through it and draw it.
func printFailure(r outcome) {
	pinned := fmt.Sprintf("%s:%016x:%d", commit(), sim.ConfigHash(), r.Seed)
	fmt.Printf("FAIL seed %d: %v\n  detsim replay %s\n  detsim shrink %d\n"+
		"  detsim step %d --to failure\n  detsim report %d -o run.html\n", r.Seed, r.Failure,
		pinned, r.Seed, r.Seed, r.Seed)
}

// commit names the code that runs, as far as the build knows it; `go run` knows nothing, so git is
// asked.
func commit() string {
	revision, modified := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value[:min(12, len(s.Value))]
			case "vcs.modified":
				if s.Value == "true" {
					modified = "+changes"
				}
			}
		}
	}
	if revision != "unknown" {
		return revision + modified
	}
	head, err := output(".", "git", "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return revision
	}
	if changed, err := output(".", "git", "status", "--porcelain", "-uno"); err != nil ||
		len(changed) > 0 {
		modified = "+changes"
	}
	return strings.TrimSpace(string(head)) + modified
}
