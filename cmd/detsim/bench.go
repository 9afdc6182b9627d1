package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

// The measured cases: members, and client operations per second.
var benchCases = [...]struct{ members, rate int }{{3, 0}, {3, 100}, {5, 0}, {5, 100}, {5, 1000}}

func benchCommand() *cobra.Command {
	var seconds int64
	var seeds uint64
	var jobs int
	c := &cobra.Command{
		Use: "bench", Short: "Measure simulated against real time, one thread, every oracle on",
		Long: "Measure simulated against real time, one thread, every oracle on;\n" +
			"then how many default seeds an hour has room for.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := bench(seconds); err != nil {
				return err
			}
			return benchSeeds(seeds, jobs)
		},
	}
	c.Flags().Int64Var(&seconds, "virtual", 60, "virtual seconds for each case")
	c.Flags().Uint64Var(&seeds, "seeds", 200, "default seeds to run")
	c.Flags().IntVar(&jobs, "jobs", runtime.NumCPU(), "default seeds at the same time")
	return c
}

// benchSeeds measures how fast clean seeds of the full swarm go by.
func benchSeeds(seeds uint64, jobs int) error {
	tally := newTally(seeds)
	for r := range hunt(1, seeds, jobs, false, nil) {
		tally.add(r)
		if r.Failure != nil {
			printFailure(r)
			return errFound
		}
		tally.progress()
	}
	perMinute, _ := tally.rate()
	fmt.Printf("%d default seeds, %d at a time: %d an hour; %s\n", seeds, jobs, perMinute*60,
		tally.perSeed())
	return nil
}

// benchRuns is how often a case is run; the median counts, and the best is shown beside it. The
// first one pays for the memory of all, as the first seed of a campaign does.
const benchRuns = 5

func bench(seconds int64) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	fmt.Println("members  ops/s   virtual      real   ratio    best  events/s  answered")
	for _, b := range benchCases {
		p := sim.BenchPlan(b.members, b.rate, seconds*int64(time.Second))
		var r sim.Result
		times := make([]time.Duration, benchRuns)
		for i := range times {
			begin := time.Now()
			r = sim.RunPlan(&p, sim.Options{})
			times[i] = time.Since(begin)
			if r.Failure != nil {
				return fmt.Errorf("%d members at %d/s: %v", b.members, b.rate, r.Failure)
			}
		}
		slices.Sort(times)
		took := times[len(times)/2]
		virtual := time.Duration(r.Counts.Virtual)
		fmt.Printf("%7d %6d %8.1fs %9v %6.0fx %6.0fx %9.0f %9d\n", b.members, b.rate,
			virtual.Seconds(), took.Round(time.Millisecond), virtual.Seconds()/took.Seconds(),
			virtual.Seconds()/times[0].Seconds(), float64(r.Counts.Events)/took.Seconds(),
			r.Counts.Answered)
	}
	return nil
}
