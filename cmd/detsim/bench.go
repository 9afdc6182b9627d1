package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

// The measured cases: members, and client operations per second.
var benchCases = [...]struct{ members, rate int }{{3, 0}, {3, 100}, {5, 0}, {5, 100}, {5, 1000}}

func benchCommand() *cobra.Command {
	var seconds int64
	c := &cobra.Command{
		Use: "bench", Short: "Measure simulated against real time, one thread, every oracle on",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return bench(seconds) },
	}
	c.Flags().Int64Var(&seconds, "virtual", 60, "virtual seconds for each case")
	return c
}

func bench(seconds int64) error {
	runtime.GOMAXPROCS(1)
	fmt.Println("members  ops/s   virtual      real   ratio  events/s  answered")
	for _, b := range benchCases {
		p := sim.BenchPlan(b.members, b.rate, seconds*int64(time.Second))
		begin := time.Now()
		r := sim.RunPlan(&p, sim.Options{})
		took := time.Since(begin)
		if r.Failure != nil {
			return fmt.Errorf("%d members at %d/s: %v", b.members, b.rate, r.Failure)
		}
		virtual := time.Duration(r.Counts.Virtual)
		fmt.Printf("%7d %6d %8.1fs %9v %6.0fx %9.0f %9d\n", b.members, b.rate, virtual.Seconds(),
			took.Round(time.Millisecond), virtual.Seconds()/took.Seconds(),
			float64(r.Counts.Events)/took.Seconds(), r.Counts.Answered)
	}
	return nil
}
