package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
	"github.com/detcd/detcd/sim/report"
)

func reportCommand() *cobra.Command {
	var out, fork string
	c := &cobra.Command{
		Use: "report SEED|FILE", Short: "Draw a run as a space-time diagram: one HTML file",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := seedPlan(args[0], fork)
			if err != nil {
				return err
			}
			r, err := writeReport(p, fileOf(args[0]), out)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", out, ending(&r))
			return nil
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "run.html", "the file to write")
	c.Flags().StringVar(&fork, "fork", "", forkUsage)
	return c
}

// writeReport runs a plan, that came from a scenario's file unless that is empty, and writes its
// report.
func writeReport(p *sim.Plan, from, name string) (r sim.Result, err error) {
	file, err := os.Create(name)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	if r, err = report.Run(out, p, report.Origin{Commit: commit(), File: from}); err != nil {
		return r, err
	}
	return r, out.Flush()
}

// explainAll explains what failed; only the lowest seed, if the first failure was to end the run.
func (o *runOptions) explainAll(seeds []uint64) error {
	slices.Sort(seeds)
	if !o.keepGoing && len(seeds) > 1 {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		if o.report == "" {
			break
		}
		if err := o.explain(seed); err != nil {
			return err
		}
	}
	return nil
}

// explain shrinks a seed that failed, and writes the scenario, its picture, and that of the whole
// run into a directory.
func (o *runOptions) explain(seed uint64) error {
	if err := os.MkdirAll(o.report, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "shrinking seed %d, for a minute at most\n", seed)
	whole := sim.Generate(seed)
	shrink := shrinkOptions{jobs: o.jobs, budget: shrinkBudget}
	small, err := shrink.reduce(&whole)
	if err != nil {
		return err
	}
	name := func(suffix string) string {
		return filepath.Join(o.report, fmt.Sprintf("seed-%d%s", seed, suffix))
	}
	if err := os.WriteFile(name(".txt"), []byte(small.Text()), 0o644); err != nil {
		return err
	}
	if _, err := writeReport(&small.Plan, name(".txt"), name(".html")); err != nil {
		return err
	}
	if _, err := writeReport(&whole, "", name("-whole.html")); err != nil {
		return err
	}
	fmt.Printf("seed %d: %s has what the failure needs, %s shows it, %s shows the whole run\n",
		seed, name(".txt"), name(".html"), name("-whole.html"))
	return nil
}
