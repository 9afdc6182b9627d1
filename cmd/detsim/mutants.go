package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/sim"
)

// mutantsDir holds the planted bugs, one patch each.
const mutantsDir = "sim/mutants"

type mutantsOptions struct {
	only    []string
	starts  []string
	seeds   uint64
	jobs    int
	check   bool
	repo    string
	commit  string
	scratch string
}

func mutantsCommand() *cobra.Command {
	var o mutantsOptions
	c := &cobra.Command{
		Use: "mutants", Short: "Measure the simulator: plant known bugs and hunt for them",
		Long: "Each patch of " + mutantsDir + " is applied alone to a scratch copy of the " +
			"repository, built, and hunted with the very configuration of clean runs.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	c.Flags().StringSliceVar(&o.only, "only", nil, "ids of the bugs to plant; all if empty")
	c.Flags().StringSliceVar(&o.starts, "starts", []string{"1"}, "first seeds of the hunts")
	c.Flags().Uint64Var(&o.seeds, "seeds", 1000, "seeds of each hunt at most")
	c.Flags().IntVar(&o.jobs, "jobs", runtime.NumCPU(), "runs at the same time")
	c.Flags().BoolVar(&o.check, "check", false, "only verify that every patch applies and builds")
	c.Flags().StringVar(&o.repo, "repo", ".", "the repository's root")
	c.Flags().StringVar(&o.commit, "commit", "", "plant in this commit; the working tree if empty")
	c.Flags().StringVar(&o.scratch, "scratch", "", "directory for copies; a temporary one if empty")
	return c
}

func (o *mutantsOptions) run() (err error) {
	starts, err := parseSeeds(o.starts)
	if err != nil {
		return err
	}
	all, err := loadMutants(filepath.Join(o.repo, mutantsDir))
	if err != nil {
		return err
	}
	all, err = choose(all, o.only)
	if err != nil {
		return err
	}
	if o.scratch == "" {
		if o.scratch, err = os.MkdirTemp("", "detsim-mutants-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.scratch)) }()
	}
	yard, err := newYard(o.repo, o.commit, o.scratch)
	if err != nil {
		return err
	}
	broken, missed := 0, 0
	fmt.Printf("%-6s %-22s %-11s %-9s %-9s %-17s %s\n", "id", "class", "rarity", "verdict",
		"oracle", "seeds needed", "time")
	for i := range all {
		m := &all[i]
		binary, err := yard.plant(m)
		if err != nil {
			broken++
			fmt.Printf("%-6s %-22s %-11s BROKEN: %v\n", m.id, m.class, m.rarity, err)
			continue
		}
		if o.check {
			fmt.Printf("%-6s %-22s %-11s builds\n", m.id, m.class, m.rarity)
			continue
		}
		h, err := o.hunt(m, binary, starts)
		if err != nil {
			return err
		}
		if !h.caught {
			missed++
		}
		fmt.Println(h.line(m))
		if err := os.Remove(binary); err != nil {
			return err
		}
	}
	fmt.Printf("%d planted, %d broken, %d missed\n", len(all), broken, missed)
	if broken+missed > 0 {
		return errFound
	}
	return nil
}

func parseSeeds(texts []string) ([]uint64, error) {
	var all []uint64
	for _, t := range texts {
		n, err := strconv.ParseUint(t, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("start %q is no seed", t)
		}
		all = append(all, n)
	}
	return all, nil
}

// hunted is what the hunts for one bug found.
type hunted struct {
	caught  bool // in every hunt, by an expected oracle
	oracles []sim.Oracle
	needed  []string // per start: seeds until the catch, or a dash
	message string
	took    time.Duration
}

// hunt runs the planted binary from every start until it fails.
func (o *mutantsOptions) hunt(m *mutant, binary string, starts []uint64) (*hunted, error) {
	h := &hunted{caught: true}
	begin := time.Now()
	for _, start := range starts {
		v, err := firstFailure(binary, start, o.seeds, o.jobs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.id, err)
		}
		if v == nil {
			h.caught = false
			h.needed = append(h.needed, "-")
			continue
		}
		h.needed = append(h.needed, strconv.FormatUint(v.Seed-start+1, 10))
		h.oracles = append(h.oracles, v.Oracle)
		h.message = v.Message
		if !m.expects(v.Oracle) {
			h.caught = false
		}
	}
	h.took = time.Since(begin)
	return h, nil
}

func (h *hunted) line(m *mutant) string {
	verdict := "caught"
	if !h.caught {
		verdict = "MISSED"
		if len(h.oracles) == len(h.needed) {
			verdict = "OTHER"
		}
	}
	var names []string
	for _, o := range h.oracles {
		if len(names) == 0 || names[len(names)-1] != string(o) {
			names = append(names, string(o))
		}
	}
	message := h.message
	if len(message) > 110 {
		message = message[:110]
	}
	return fmt.Sprintf("%-6s %-22s %-11s %-9s %-9s %-17s %-8v %s", m.id, m.class, m.rarity, verdict,
		strings.Join(names, "+"), strings.Join(h.needed, ","), h.took.Round(100*time.Millisecond),
		message)
}
