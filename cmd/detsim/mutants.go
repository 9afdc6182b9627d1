package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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
	shrink  string
	replay  string
	repo    string
	commit  string
	scratch string
}

func mutantsCommand() *cobra.Command {
	var o mutantsOptions
	c := &cobra.Command{
		Use: "mutants", Short: "Measure the simulator: plant known bugs and hunt for them",
		Long: "Each patch of " + mutantsDir + " is applied alone to a scratch copy of the " +
			"repository, built, and hunted with the very configuration of clean runs. It counts " +
			"as caught when an oracle that its head names fires from most of the starts.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	c.Flags().StringSliceVar(&o.only, "only", nil, "ids of the bugs to plant; all if empty")
	c.Flags().StringSliceVar(&o.starts, "starts", nil,
		"first seeds of the hunts (default: three, made of the commit's hash)")
	c.Flags().Uint64Var(&o.seeds, "seeds", 0, "seeds of each hunt at most "+
		"(default: 1000, for rare bugs 10000)")
	c.Flags().IntVar(&o.jobs, "jobs", runtime.NumCPU(), "runs at the same time")
	c.Flags().BoolVar(&o.check, "check", false, "only verify that every patch applies and builds")
	c.Flags().StringVar(&o.shrink, "shrink", "",
		"directory for a shrunk scenario of every bug that is caught")
	c.Flags().StringVar(&o.replay, "replay", "",
		"hunt nothing: only verify that every scenario of this directory still catches its bug")
	c.Flags().StringVar(&o.repo, "repo", ".", "the repository's root")
	c.Flags().StringVar(&o.commit, "commit", "", "plant in this commit; the working tree if empty")
	c.Flags().StringVar(&o.scratch, "scratch", "", "directory for copies; a temporary one if empty")
	return c
}

func (o *mutantsOptions) run() (err error) {
	starts, err := o.firstSeeds()
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
	return o.plantAll(yard, all, starts)
}

// harvest is what all planted bugs together came to.
type harvest struct {
	broken, missed int
	needed         []uint64
	shrunk         []golden
}

// plantAll only checks all planted bugs, or plants one after the other and replays or hunts it.
func (o *mutantsOptions) plantAll(yard *yard, all []mutant, starts []uint64) error {
	var sum harvest
	if o.check {
		if yard.check(all) > 0 {
			return errFound
		}
		return nil
	}
	if o.replay == "" {
		fmt.Printf("hunting from %v\n", starts)
		fmt.Printf("%-6s %-22s %-11s %-9s %-9s %-17s %s\n", "id", "class", "rarity", "verdict",
			"oracle", "seeds needed", "time")
	}
	for i := range all {
		m := &all[i]
		binary, err := yard.plant(m)
		switch {
		case err != nil:
			sum.broken++
			fmt.Printf("%-6s %-22s %-11s BROKEN: %v\n", m.id, m.class, m.rarity, err)
			continue
		case o.replay != "":
			o.replayOne(m, binary, &sum)
		default:
			if err := o.huntOne(m, binary, starts, &sum); err != nil {
				return err
			}
		}
		if err := os.Remove(binary); err != nil {
			return err
		}
	}
	fmt.Printf("%d planted, %d broken, %d missed\n", len(all), sum.broken, sum.missed)
	if len(sum.needed) > 0 {
		slices.Sort(sum.needed)
		fmt.Printf("median of all hunts: %s seeds\n", seedsText(sum.needed[len(sum.needed)/2]))
	}
	o.goldens(sum.shrunk)
	if sum.broken+sum.missed > 0 {
		return errFound
	}
	return nil
}

// huntOne hunts one planted bug, and shrinks what it catches if that is asked for.
func (o *mutantsOptions) huntOne(m *mutant, binary string, starts []uint64, sum *harvest) error {
	h, err := o.hunt(m, binary, starts)
	if err != nil {
		return err
	}
	if !h.caught() {
		sum.missed++
	}
	sum.needed = append(sum.needed, h.needed...)
	fmt.Println(h.line(m))
	if o.shrink == "" || h.expected == 0 {
		return nil
	}
	g, err := shrinkBest(o.shrink, m, binary, h.seeds, o.jobs)
	if err != nil {
		return err
	}
	sum.shrunk = append(sum.shrunk, g)
	fmt.Printf("%-6s shrunk to %d lines in %.1f s\n", "", g.lines, g.seconds)
	return nil
}

// replayOne runs the scenario of one planted bug.
func (o *mutantsOptions) replayOne(m *mutant, binary string, sum *harvest) {
	switch err := replayGolden(o.replay, m, binary); {
	case errors.Is(err, os.ErrNotExist):
		fmt.Printf("%-6s has no scenario\n", m.id)
	case err != nil:
		sum.missed++
		fmt.Printf("%-6s MISSED: %v\n", m.id, err)
	default:
		fmt.Printf("%-6s caught\n", m.id)
	}
}

// firstSeeds are the starts that were asked for, or three that nobody could choose: they are made
// of the commit's hash.
func (o *mutantsOptions) firstSeeds() (all []uint64, err error) {
	for _, t := range o.starts {
		n, err := strconv.ParseUint(t, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("start %q is no seed", t)
		}
		all = append(all, n)
	}
	if len(all) > 0 {
		return all, nil
	}
	commit := "HEAD"
	if o.commit != "" {
		commit = o.commit
	}
	hash, err := output(o.repo, "git", "rev-parse", "--short=8", commit)
	if err != nil {
		return nil, fmt.Errorf("no starts given, and none to be made: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(hash))[:8], 16, 64)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, err)
	}
	return []uint64{n, n + 1_000_000, n + 2_000_000}, nil
}

// never, as a number of seeds, says that a hunt caught nothing.
const never = math.MaxUint64

func seedsText(needed uint64) string {
	if needed == never {
		return "-"
	}
	return strconv.FormatUint(needed, 10)
}

// hunted is what the hunts for one bug found.
type hunted struct {
	needed   []uint64     // per start: seeds until the first failure, or never
	oracles  []sim.Oracle // that fired
	expected int          // hunts that ended with an oracle that may catch the bug
	seeds    []uint64     // that did
	message  string
	took     time.Duration
}

// caught says whether most of the hunts ended as they should.
func (h *hunted) caught() bool { return 2*h.expected > len(h.needed) }

// patience is how many seeds a hunt may take.
func (o *mutantsOptions) patience(m *mutant) uint64 {
	switch {
	case o.seeds > 0:
		return o.seeds
	case m.rarity == "rare":
		return 10_000
	}
	return 1000
}

// hunt runs the planted binary from every start until it fails.
func (o *mutantsOptions) hunt(m *mutant, binary string, starts []uint64) (*hunted, error) {
	h := &hunted{}
	begin := time.Now()
	for _, start := range starts {
		v, err := firstFailure(binary, start, o.patience(m), o.jobs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.id, err)
		}
		if v == nil {
			h.needed = append(h.needed, never)
			continue
		}
		h.needed = append(h.needed, v.Seed-start+1)
		h.oracles = append(h.oracles, v.Oracle)
		h.message = v.Message
		if m.expects(v.Oracle) {
			h.expected++
			h.seeds = append(h.seeds, v.Seed)
		}
	}
	h.took = time.Since(begin)
	return h, nil
}

func (h *hunted) line(m *mutant) string {
	verdict := "caught"
	if !h.caught() {
		verdict = "MISSED"
		if 2*len(h.oracles) > len(h.needed) {
			verdict = "OTHER"
		}
	}
	var names, needed []string
	for _, n := range h.needed {
		needed = append(needed, seedsText(n))
	}
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
		strings.Join(names, "+"), strings.Join(needed, ","), h.took.Round(100*time.Millisecond),
		message)
}
