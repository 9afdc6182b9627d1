package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/sim"
)

// reaching is the result of a run that reached every probe but one, each of them once.
func reaching(allBut int) outcome {
	hits := make([]uint64, len(sim.ProbeNames()))
	for i := range hits {
		if i != allBut {
			hits[i] = 1
		}
	}
	return outcome{Result: sim.Result{Probes: hits}}
}

// A campaign fails that never reached a probe, and names it; one that reached all passes.
func TestAProbeThatWasNeverReachedFailsTheCampaign(t *testing.T) {
	const missing = 5
	tally := newTally(2)
	tally.add(reaching(missing))
	tally.add(reaching(missing))
	var out bytes.Buffer
	require.ErrorIs(t, tally.probes.judge(&out), errUnreached)
	require.Equal(t, "FAIL probe never reached: "+sim.ProbeNames()[missing]+"\n", out.String())

	tally.add(reaching(missing + 1))
	out.Reset()
	require.NoError(t, tally.probes.judge(&out))
	require.Empty(t, out.String())
}

// The rarest probes come first, with the runs that reached them and the hits.
func TestProbesAreReportedByRarity(t *testing.T) {
	tally := newTally(2)
	tally.add(reaching(3))
	tally.add(reaching(2))
	tally.add(reaching(3))
	var out bytes.Buffer
	tally.probes.report(&out)
	lines := strings.Split(out.String(), "\n")
	require.Equal(t, "      1            1  "+sim.ProbeNames()[3], lines[1])
	require.Equal(t, "      2            2  "+sim.ProbeNames()[2], lines[2])
	require.Equal(t, "      3            3  "+sim.ProbeNames()[0], lines[3])
	require.Len(t, lines, len(sim.ProbeNames())+2)
}

// Probes are demanded of whole campaigns: of many seeds, or of as many as somebody says.
func TestWhichRunsAreCampaigns(t *testing.T) {
	for _, c := range []struct {
		options runOptions
		done    uint64
		gated   bool
	}{
		{runOptions{seeds: 300}, 300, false},
		{runOptions{seeds: 300, probes: true}, 300, true},
		{runOptions{seeds: 300, probes: true}, 299, false}, // it was cut short
		{runOptions{seeds: gateSeeds}, gateSeeds, true},
		{runOptions{seeds: 2 * gateSeeds}, gateSeeds + 1, false},
	} {
		require.Equal(t, c.gated, c.options.gated(c.done), "%+v, %d done", c.options, c.done)
	}
}
