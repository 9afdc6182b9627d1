package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

func replayCommand() *cobra.Command {
	var trace, plan, twice bool
	c := &cobra.Command{
		Use:   "replay SEED|COMMIT:CONFIGURATION:SEED|FILE",
		Short: "Run one seed or scenario and say everything about it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := planOf(args[0])
			if err != nil {
				return err
			}
			if plan {
				fmt.Print(s.Text())
			}
			if twice {
				return diverge(&s.Plan)
			}
			return replay(s, trace)
		},
	}
	c.Flags().BoolVar(&trace, "trace", false, "print every event")
	c.Flags().BoolVar(&plan, "plan", false, "print the plan first, as a scenario")
	c.Flags().BoolVar(&twice, "twice", false, "run twice and show where the runs differ")
	return c
}

// fileOf is what planOf is told, if that is the file of a scenario; else it is empty.
func fileOf(what string) string {
	parts := strings.Split(what, ":")
	if _, err := strconv.ParseUint(parts[len(parts)-1], 10, 64); err == nil {
		return ""
	}
	return what
}

// planOf reads what to run: a seed, a seed pinned to the code and the configuration it failed with,
// or the file of a scenario.
func planOf(what string) (*sim.Scenario, error) {
	parts := strings.Split(what, ":")
	seed, err := strconv.ParseUint(parts[len(parts)-1], 10, 64)
	if err == nil && (len(parts) == 1 || len(parts) == 3) {
		if len(parts) == 3 {
			warnOfChanges(parts[0], parts[1])
		}
		return &sim.Scenario{Plan: sim.Generate(seed)}, nil
	}
	text, readErr := os.ReadFile(what)
	if errors.Is(readErr, os.ErrNotExist) {
		return nil, fmt.Errorf("%q is no seed, no COMMIT:CONFIGURATION:SEED, and no file", what)
	}
	if readErr != nil {
		return nil, readErr
	}
	return sim.ParseScenario(text)
}

// warnOfChanges says when the code or what seeds mean is not what it was where a run failed.
func warnOfChanges(at, configuration string) {
	if now := fmt.Sprintf("%016x", sim.ConfigHash()); now != configuration {
		fmt.Fprintf(os.Stderr, "warning: this seed means another plan here (configuration %s, it "+
			"failed with %s)\n", now, configuration)
	}
	if now := commit(); now != at {
		fmt.Fprintf(os.Stderr, "warning: this is commit %s, it failed with %s\n", now, at)
	}
}

// notSeen heads the failure that a scenario promises and a run did not have.
const notSeen = "expected, and not seen"

func replay(s *sim.Scenario, trace bool) error {
	p := &s.Plan
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
	if s.Expect != "" && (r.Failure == nil || r.Failure.Signature() != s.Expect) {
		fmt.Printf("%s: %s\n", notSeen, s.Expect)
	}
	if r.Failure != nil {
		fmt.Printf("FAIL %v\n", r.Failure)
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
