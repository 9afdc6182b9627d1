package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

// stepOptions are those of detsim step. With a moment to go to it prints and ends; without, it is a
// prompt.
type stepOptions struct {
	to       string
	members  []int
	sections []string
	diff     string
	fork     string
}

const stepLong = `Moves through a run, forwards and backwards, and shows any member as it is there.

Without --to it is a prompt; "help" lists its commands. With --to it goes there, prints what the
other flags ask for, and ends:

  detsim step 7 --to fault:power --member 1
  detsim step 7 --to 12000 --diff 0,1           two members at one event
  detsim step 7 --to 12000 --member 2 --diff 11000   one member at two events

A moment is one of
` + sim.ConditionHelp

func stepCommand() *cobra.Command {
	var o stepOptions
	c := &cobra.Command{
		Use:   "step SEED|FILE",
		Short: "Move through a run and look into its members", Long: stepLong,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := seedPlan(args[0], o.fork)
			if err != nil {
				return err
			}
			if o.to == "" {
				return newPrompt(p, os.Stdout).read(c.InOrStdin())
			}
			return o.show(p, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&o.to, "to", "", "the moment to go to; without it, a prompt")
	c.Flags().IntSliceVar(&o.members, "member", nil, "show these members")
	c.Flags().StringSliceVar(&o.sections, "show", nil, "only these sections: "+
		strings.Join(sim.SectionNames[:], ", "))
	c.Flags().StringVar(&o.diff, "diff", "", "what differs between two members, as in 0,2; "+
		"or for one --member since another moment")
	c.Flags().StringVar(&o.fork, "fork", "", forkUsage)
	return c
}

const forkUsage = "EVENT:SEED: from that event on, draw from another seed"

// seedPlan is the plan of a seed or a scenario, forked if that is asked for.
func seedPlan(text, fork string) (*sim.Plan, error) {
	scenario, err := planOf(text)
	if err != nil {
		return nil, err
	}
	p := scenario.Plan
	if fork == "" {
		return &p, nil
	}
	event, draws, found := strings.Cut(fork, ":")
	n, err := strconv.ParseUint(event, 10, 64)
	s, err2 := strconv.ParseUint(draws, 10, 64)
	if !found || err != nil || err2 != nil || s == 0 {
		return nil, fmt.Errorf("fork %q is not of the form EVENT:SEED, as in 12000:5", fork)
	}
	p.Fork = sim.Fork{Event: n, Seed: s}
	return &p, nil
}

// show goes to a moment and prints what the flags ask for.
func (o *stepOptions) show(p *sim.Plan, out io.Writer) error {
	if err := checkSections(o.sections); err != nil {
		return err
	}
	walk := sim.NewWalk(p)
	c, err := sim.ParseCondition(o.to)
	if err != nil {
		return err
	}
	if err := walk.First(c); err != nil {
		return err
	}
	fmt.Fprintln(out, walk.Head())
	if f := walk.Failure(); f != nil {
		fmt.Fprintf(out, "FAILURE %v\n", f)
	}
	switch {
	case strings.Contains(o.diff, ","):
		return o.compareMembers(walk, out)
	case o.diff != "":
		return o.compareMoments(walk, out)
	case len(o.members) == 0:
		fmt.Fprint(out, walk.Cluster())
	}
	for _, m := range o.members {
		v, err := walk.View(m)
		if err != nil {
			return err
		}
		fmt.Fprint(out, v.Print(o.sections...))
	}
	return nil
}

func (o *stepOptions) compareMembers(walk *sim.Walk, out io.Writer) error {
	first, second, _ := strings.Cut(o.diff, ",")
	a, err := memberView(walk, first)
	if err != nil {
		return err
	}
	b, err := memberView(walk, second)
	if err != nil {
		return err
	}
	fmt.Fprint(out, sim.PrintDifferences(a, b, o.sections...))
	return nil
}

func (o *stepOptions) compareMoments(walk *sim.Walk, out io.Writer) error {
	if len(o.members) != 1 {
		return fmt.Errorf("--diff with a moment needs exactly one --member")
	}
	now, err := walk.View(o.members[0])
	if err != nil {
		return err
	}
	c, err := sim.ParseCondition(o.diff)
	if err != nil {
		return err
	}
	if err := walk.First(c); err != nil {
		return err
	}
	then, err := walk.View(o.members[0])
	if err != nil {
		return err
	}
	fmt.Fprint(out, sim.PrintDifferences(then, now, o.sections...))
	return nil
}

// memberView is the view of a member whose number somebody typed.
func memberView(walk *sim.Walk, text string) (*sim.View, error) {
	m, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%q is no member's number", text)
	}
	return walk.View(m)
}

func checkSections(names []string) error {
	for _, name := range names {
		known := false
		for _, each := range sim.SectionNames {
			known = known || each == name
		}
		if !known {
			return fmt.Errorf("%q is no section; there are %s", name,
				strings.Join(sim.SectionNames[:], ", "))
		}
	}
	return nil
}
