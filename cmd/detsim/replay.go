package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

func replayCommand() *cobra.Command {
	var trace, plan, twice bool
	c := &cobra.Command{
		Use: "replay SEED", Short: "Run one seed and say everything about it",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			seed, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("seed %q is no number", args[0])
			}
			p := sim.Generate(seed)
			if plan {
				fmt.Print(p.String())
			}
			if twice {
				return diverge(&p)
			}
			return replay(&p, trace)
		},
	}
	c.Flags().BoolVar(&trace, "trace", false, "print every event")
	c.Flags().BoolVar(&plan, "plan", false, "print the plan first")
	c.Flags().BoolVar(&twice, "twice", false, "run twice and show where the runs differ")
	return c
}

func replay(p *sim.Plan, trace bool) error {
	options := sim.Options{}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	if trace {
		options.Trace = out
	}
	begin := time.Now()
	r := outcome{Result: sim.RunPlan(p, options)}
	r.took = time.Since(begin)
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Printf("seed %d hash %016x: %d events, %v virtual in %v\n", p.Seed, r.Hash, r.Counts.Events,
		time.Duration(r.Counts.Virtual).Round(time.Millisecond), r.took.Round(time.Millisecond))
	t := newTally(1)
	t.add(r)
	t.report()
	if r.Failure != nil {
		printFailure(r)
		return errFound
	}
	return nil
}

func diverge(p *sim.Plan) error {
	d := sim.Diverge(p)
	if d == nil {
		fmt.Printf("seed %d: two runs are equal\n", p.Seed)
		return nil
	}
	fmt.Print(d)
	return errFound
}
