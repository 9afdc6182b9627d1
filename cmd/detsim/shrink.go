package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

type shrinkOptions struct {
	out    string
	jobs   int
	unless string
	budget time.Duration
}

// shrinkBudget is how long shrinking may take unless somebody says otherwise.
const shrinkBudget = time.Minute

func shrinkCommand() *cobra.Command {
	var o shrinkOptions
	c := &cobra.Command{
		Use:   "shrink SEED|FILE",
		Short: "Reduce a failing run to the few lines that the failure needs",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := planOf(args[0])
			if err != nil {
				return err
			}
			return o.shrink(&s.Plan)
		},
	}
	c.Flags().StringVarP(&o.out, "output", "o", "", "file for the scenario (default: print it)")
	c.Flags().StringVar(&o.unless, "unless", "", "keep nothing that this detsim fails, too")
	c.Flags().IntVar(&o.jobs, "jobs", runtime.NumCPU(), "runs at the same time")
	c.Flags().DurationVar(&o.budget, "budget", shrinkBudget,
		"stop after this time with what there is by then")
	return c
}

// shrink reduces a plan and writes the scenario that is left.
func (o *shrinkOptions) shrink(p *sim.Plan) error {
	small, err := o.reduce(p)
	if err != nil {
		return err
	}
	if o.out == "" {
		fmt.Print(small.Text())
		return nil
	}
	return os.WriteFile(o.out, []byte(small.Text()), 0o644)
}

// reduce returns the scenario that is left of a plan that fails.
func (o *shrinkOptions) reduce(p *sim.Plan) (small sim.Scenario, err error) {
	begin := time.Now()
	r := sim.RunPlan(p, sim.Options{})
	if r.Failure == nil {
		return small, fmt.Errorf("seed %d does not fail, so there is nothing to shrink", p.Seed)
	}
	f := &finder{want: r.Failure.Signature(), begin: begin, deadline: begin.Add(o.budget),
		unless: o.unless}
	fmt.Fprintf(os.Stderr, "keeping: %s\n", f.want)
	s := sim.Shrinking{Plan: *p, Width: o.jobs, Finder: f}
	s.Shrink(r.Failure, r.Acts)
	small = sim.Scenario{Plan: s.Plan}
	last := sim.RunPlan(&s.Plan, sim.Options{})
	if last.Failure == nil || last.Failure.Signature() != f.want {
		return small, errors.New("the shrunk scenario does not fail as it did: a run is not " +
			"deterministic")
	}
	small.Story(last.Failure)
	fmt.Fprintf(os.Stderr, shrunkFormat+"\n", small.Lines(), f.runs, time.Since(begin).Seconds())
	return small, nil
}

// finder runs candidates until one fails as wanted.
type finder struct {
	want            string
	begin, deadline time.Time
	runs            int
	unless          string // a detsim that must not fail, empty for none
}

// Stage implements sim.Finder.
func (f *finder) Stage(name string) {
	fmt.Fprintf(os.Stderr, "%6.1f s, %d runs: %s\n", time.Since(f.begin).Seconds(), f.runs, name)
}

// First runs all candidates at the same time and returns the first one that fails as wanted.
func (f *finder) First(candidates []sim.Plan) int {
	if time.Now().After(f.deadline) {
		return -1
	}
	f.runs += len(candidates)
	same := make([]bool, len(candidates))
	var group sync.WaitGroup
	for i := range candidates {
		group.Go(func() {
			r := sim.RunPlan(&candidates[i], sim.Options{})
			same[i] = r.Failure != nil && r.Failure.Signature() == f.want
		})
	}
	group.Wait()
	for i, ok := range same {
		if ok && f.passes(&candidates[i]) {
			return i
		}
	}
	return -1
}

// passes says whether the other detsim passes a candidate. Without it what is left of a run that
// fails for want of recovery may be a world in which nobody could recover.
func (f *finder) passes(p *sim.Plan) bool {
	if f.unless == "" {
		return true
	}
	file, err := os.CreateTemp("", "detsim-candidate-")
	if err == nil {
		defer func() { _ = os.Remove(file.Name()) }() // of a directory that is emptied anyway
		_, err = file.WriteString((&sim.Scenario{Plan: *p}).Text())
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "a candidate is left aside:", err)
		return false
	}
	return exec.Command(f.unless, "replay", file.Name()).Run() == nil
}
