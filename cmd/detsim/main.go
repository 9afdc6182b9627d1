// Command detsim is the front end of the simulator: it hunts over seeds, replays one of them,
// moves through a run and draws it, measures the simulator's speed and its power.
//
//	detsim run --seeds N --from S --jobs J [--json] [--probes]
//	detsim replay SEED|FILE [--trace]
//	detsim shrink SEED|FILE [-o FILE]
//	detsim step SEED|FILE [--to MOMENT] [--member M] [--diff A,B]
//	detsim report SEED|FILE -o run.html
//	detsim bench
//	detsim mutants [--only ID] [--starts S,S,S] [--seeds N] [--check]
//
// Parallelism is between runs and lives here; a run itself has one thread.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// errFound says that a run failed; what failed has been printed.
var errFound = errors.New("a run failed")

// garbagePercent suits runs, which leave a lot behind and keep little.
const garbagePercent = 800

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	root := &cobra.Command{
		Use: "detsim", Short: "Simulate clusters under faults", SilenceUsage: true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), replayCommand(), shrinkCommand(), stepCommand(),
		reportCommand(), benchCommand(), mutantsCommand())
	if err := root.Execute(); err != nil {
		if !errors.Is(err, errFound) && !errors.Is(err, errUnreached) &&
			!errors.Is(err, errUnfelt) {
			fmt.Fprintln(os.Stderr, "detsim:", err)
		}
		os.Exit(1)
	}
}
