package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/detcd/detcd/sim"
)

// gateSeeds is how many seeds make a campaign, in which every probe has to be reached. The rarest
// places are reached by one seed in some hundred, so fewer seeds would fail by chance.
const gateSeeds = 5000

// errUnreached says that a campaign has not reached every probe; which ones has been printed.
var errUnreached = errors.New("a probe was never reached")

// probeTally is how often a probe was reached, and in how many runs.
type probeTally struct {
	name        string
	seeds, hits uint64
}

// probeTallies are all probes, in the order of sim.ProbeNames.
type probeTallies []probeTally

func newProbeTallies() probeTallies {
	var p probeTallies
	for _, name := range sim.ProbeNames() {
		p = append(p, probeTally{name: name})
	}
	return p
}

func (p probeTallies) add(hits []uint64) {
	for i, n := range hits {
		p[i].hits += n
		if n > 0 {
			p[i].seeds++
		}
	}
}

// unreached is how many probes no run has reached so far.
func (p probeTallies) unreached() (n int) {
	for _, each := range p {
		if each.seeds == 0 {
			n++
		}
	}
	return n
}

// rarest lists the probes, never reached ones first.
func (p probeTallies) rarest() probeTallies {
	sorted := slices.Clone(p)
	slices.SortStableFunc(sorted, func(a, b probeTally) int {
		return cmp.Or(cmp.Compare(a.seeds, b.seeds), cmp.Compare(a.hits, b.hits))
	})
	return sorted
}

func (p probeTallies) report(out io.Writer) {
	fmt.Fprintln(out, "probes: runs that reached each, hits")
	for _, each := range p.rarest() {
		fmt.Fprintf(out, "%7d %12d  %s\n", each.seeds, each.hits, each.name)
	}
}

// judge names the probes that a campaign has never reached. It is an error that there are any.
func (p probeTallies) judge(out io.Writer) error {
	var err error
	for _, each := range p.rarest() {
		if each.seeds == 0 {
			fmt.Fprintf(out, "FAIL probe never reached: %s\n", each.name)
			err = errUnreached
		}
	}
	return err
}

// gated says whether the seeds that were run make a campaign: all that were asked for, and enough
// of them, or as many as somebody thinks enough.
func (o *runOptions) gated(done uint64) bool {
	return done == o.seeds && (o.probes || done >= gateSeeds)
}
