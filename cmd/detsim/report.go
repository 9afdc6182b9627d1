package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
			r, err := writeReport(p, out)
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

// writeReport runs a plan and writes its report to a file.
func writeReport(p *sim.Plan, name string) (r sim.Result, err error) {
	file, err := os.Create(name)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	if r, err = report.Run(out, p, commit()); err != nil {
		return r, err
	}
	return r, out.Flush()
}

// reportFailure writes the report of a seed that failed into a directory.
func reportFailure(dir string, seed uint64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p := sim.Generate(seed)
	name := filepath.Join(dir, fmt.Sprintf("seed-%d.html", seed))
	if _, err := writeReport(&p, name); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "  report: %s\n", name)
	return nil
}
