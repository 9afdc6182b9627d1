package sim

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
)

// quick is a seed of a short run with crashes and losses of power.
const quick = 2

// Whoever watches sees the run that nobody watches.
func TestRecordingChangesNothing(t *testing.T) {
	plain := Run(quick, Options{})
	plan := Generate(quick)
	var record Record
	watched := RunPlan(&plan, Options{Record: &record})
	require.Equal(t, plain.Hash, watched.Hash)
	require.Equal(t, plain.Counts, watched.Counts)
	require.Equal(t, plain.Checkpoints, watched.Checkpoints)
}

// The record accounts for all that the counts say.
func TestRecordIsComplete(t *testing.T) {
	plan := Generate(quick)
	var r Record
	result := RunPlan(&plan, Options{Record: &r})
	peers, delivered := uint64(0), 0
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Kind < KindRequest {
			peers++
		}
		require.LessOrEqual(t, m.Event, result.Counts.Events)
		for _, c := range m.Copies {
			require.GreaterOrEqual(t, c.At, m.Sent)
			if c.Outcome == Delivered {
				delivered++
				require.Greater(t, c.Event, m.Event)
			}
		}
	}
	require.Equal(t, result.Counts.Messages, peers)
	require.Positive(t, delivered)

	finished, entries := uint64(0), 0
	for i := range r.Disk {
		d := &r.Disk[i]
		if d.Fate == Finished || d.Fate == Lied {
			finished++
			require.GreaterOrEqual(t, d.Ended, d.Begun)
			require.GreaterOrEqual(t, d.Begun, d.Submitted)
		}
		if d.Kind == diskio.Write && d.Last > 0 {
			entries++
			require.LessOrEqual(t, d.First, d.Last)
		}
	}
	require.Equal(t, result.Counts.DiskOps, finished)
	require.Positive(t, entries)

	starts, stops := uint64(0), uint64(0)
	for i := range r.Lives {
		switch r.Lives[i].Life {
		case Started:
			starts++
		case Stopped, PowerLost:
			stops++
		}
	}
	require.Equal(t, result.Counts.Starts, starts)
	require.Equal(t, result.Counts.Crashes, stops)
	require.Len(t, r.Calls, int(result.Counts.Calls))
	seen := uint64(0)
	for i := range r.Watches {
		for _, s := range r.Watches[i].Seen {
			seen += uint64(s.Events)
		}
	}
	require.Equal(t, result.Counts.WatchEvents, seen)
}

// An answer to a linearizable read names the index that permitted it, and shows no older state.
func TestReadsShowTheirReadIndex(t *testing.T) {
	plan := Generate(quick)
	var r Record
	RunPlan(&plan, Options{Record: &r})
	confirmed := 0
	for i := range r.Messages {
		if m := &r.Messages[i]; m.Kind == KindAnswer && m.Confirmed > 0 {
			confirmed++
			require.GreaterOrEqual(t, m.Applied, m.Confirmed, "call %d", m.Call)
		}
	}
	require.Positive(t, confirmed)
}
