package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/detcd/detcd/sim"
)

// errUnfelt says that a campaign has not felt every kind of fault; which ones has been printed.
var errUnfelt = errors.New("a kind of fault was never felt")

// tally sums up the runs of a hunt.
type tally struct {
	seeds        uint64
	begin, shown time.Time
	done, failed uint64
	verdicts     [sim.NumVerdicts]uint64 // of runs that did not fail
	total        sim.Counts
	virtual      int64
	oracles      map[sim.Oracle]int
	calls, felt  []uint64 // per run, for the medians
	length       []int64
	worst        int64 // longest recovery
	probes       probeTallies
}

func newTally(seeds uint64) *tally {
	now := time.Now()
	return &tally{seeds: seeds, begin: now, shown: now, oracles: make(map[sim.Oracle]int),
		probes: newProbeTallies()}
}

func (t *tally) add(r outcome) {
	t.done++
	if r.Failure != nil {
		t.failed++
		t.oracles[r.Failure.Oracle]++
	} else {
		t.verdicts[r.Verdict]++
	}
	t.probes.add(r.Probes)
	c := &r.Counts
	t.virtual += c.Virtual
	t.worst = max(t.worst, c.Recovery)
	felt := uint64(0)
	for k := range c.Felt {
		t.total.Felt[k] += c.Felt[k]
		t.total.Injected[k] += c.Injected[k]
		felt += c.Felt[k]
	}
	t.total.Events += c.Events
	t.total.Calls += c.Calls
	t.total.Answered += c.Answered
	t.total.Lost += c.Lost
	t.total.Commits += c.Commits
	t.total.Elections += c.Elections
	t.total.Offers += c.Offers
	t.total.Installs += c.Installs
	t.total.Reshapes += c.Reshapes
	t.total.Changes += c.Changes
	t.total.Joints += c.Joints
	t.total.Alarms += c.Alarms
	t.total.Crashes += c.Crashes
	t.total.PowerLosses += c.PowerLosses
	t.total.TornSectors += c.TornSectors
	t.total.Halts += c.Halts
	t.total.Refusals += c.Refusals
	t.calls = append(t.calls, c.Calls)
	t.felt = append(t.felt, felt)
	t.length = append(t.length, c.Virtual)
}

func (t *tally) rate() (seedsPerMinute, ratio int64) {
	real := time.Since(t.begin)
	if real <= 0 {
		return 0, 0
	}
	return int64(t.done) * int64(time.Minute) / int64(real), t.virtual / int64(real)
}

// progress prints a line every few seconds.
func (t *tally) progress() {
	if time.Since(t.shown) < progressEvery {
		return
	}
	t.shown = time.Now()
	perMinute, ratio := t.rate()
	fmt.Fprintf(os.Stderr, "%d of %d seeds, %d failed, %d seeds/min, %dx real time, %d probes "+
		"not reached yet\n", t.done, t.seeds, t.failed, perMinute, ratio, t.probes.unreached())
}

// judgeFaults names the kinds of fault that no run of a campaign has felt. It is an error that
// there are any.
func (t *tally) judgeFaults(out io.Writer) error {
	var err error
	for k, felt := range t.total.Felt {
		if k > 0 && felt == 0 {
			fmt.Fprintf(out, "FAIL fault never felt: %s\n", sim.FaultKind(k))
			err = errUnfelt
		}
	}
	return err
}

// report prints what all runs together did.
func (t *tally) report() {
	perMinute, ratio := t.rate()
	fmt.Printf("%d seeds, %d failed, %v, %d seeds/min, %dx real time\n", t.done, t.failed,
		time.Since(t.begin).Round(time.Millisecond), perMinute, ratio)
	for _, o := range sortedOracles(t.oracles) {
		fmt.Printf("  %s %d\n", o, t.oracles[o])
	}
	if t.done == 0 {
		return
	}
	for v, n := range t.verdicts {
		fmt.Printf("  %s %d", sim.Verdict(v), n)
	}
	fmt.Println()
	fmt.Println(t.perSeed())
	c := &t.total
	fmt.Printf("events %d, commits %d, answered %d, lost %d, elections %d\n", c.Events, c.Commits,
		c.Answered, c.Lost, c.Elections)
	fmt.Printf("snapshots offered %d, installed %d\n", c.Offers, c.Installs)
	fmt.Printf("changes of the membership asked %d, made %d, joint %d; alarms %d\n", c.Reshapes,
		c.Changes, c.Joints, c.Alarms)
	fmt.Printf("crashes %d, power losses %d, torn sectors %d, halts %d, refusals %d, "+
		"longest recovery %v\n", c.Crashes, c.PowerLosses, c.TornSectors, c.Halts, c.Refusals,
		time.Duration(t.worst).Round(time.Millisecond))
	fmt.Print("faults injected/felt:")
	for k := range c.Injected {
		if c.Injected[k] > 0 {
			fmt.Printf(" %s %d/%d", sim.FaultKind(k), c.Injected[k], c.Felt[k])
		}
	}
	fmt.Println()
	if t.failed == 0 { // whoever has a failure to look at does not want to search for it
		t.probes.report(os.Stdout)
	}
}

// perSeed says what one run is like.
func (t *tally) perSeed() string {
	return fmt.Sprintf("per seed (median): %ds virtual, %d calls, %d faults felt",
		median(t.length)/int64(time.Second), median(t.calls), median(t.felt))
}

func sortedOracles(m map[sim.Oracle]int) []sim.Oracle {
	var all []sim.Oracle
	for o := range m {
		all = append(all, o)
	}
	slices.Sort(all)
	return all
}

func median[T int64 | uint64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
