package sim

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	seedsFlag = flag.Uint64("seeds", 0, "number of seeds for TestSeeds; 0 is a modest number")
	fromFlag  = flag.Uint64("from", 1, "first seed for TestSeeds")
	seedFlag  = flag.Uint64("seed", 0, "the seed of TestSeed")
	traceFlag = flag.Bool("print", false, "print every event of TestSeed")
)

// The configuration of every clean run: no oracle objects, whatever the seed.
func TestSeeds(t *testing.T) {
	seeds := *seedsFlag
	if seeds == 0 {
		seeds = 60
		if testing.Short() {
			seeds = 10
		}
	}
	for seed := *fromFlag; seed < *fromFlag+seeds; seed++ {
		r := Run(seed, Options{})
		if r.Failure != nil {
			t.Errorf("seed %d: %v\n  again: go test ./sim -run TestSeed$ -seed %d", seed, r.Failure,
				seed)
		}
	}
}

// One seed, to be looked at.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -seed given")
	}
	options := Options{}
	if *traceFlag {
		options.Trace = os.Stdout
	}
	plan := Generate(*seedFlag)
	fmt.Print(plan.String())
	r := RunPlan(&plan, options)
	fmt.Printf("hash %x\n%+v\n", r.Hash, r.Counts)
	require.Nil(t, r.Failure)
}
