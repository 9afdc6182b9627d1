package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The short form, as the ordinary test run has it. The seed changes with every run, since real
// processes do not repeat themselves anyway; a failure keeps its history.
func TestRealProcessesUnderChaos(t *testing.T) {
	require.NoError(t, run(options{
		repo: "../..", short: true, seed: uint64(time.Now().UnixNano()), limit: 4 * time.Minute,
	}))
}

// A small crowd of watchers, as large ones are watched by hand.
func TestWatchersFollowThroughKilledLeaders(t *testing.T) {
	require.NoError(t, run(options{
		repo: "../..", watchers: 200, kills: 2, seed: uint64(time.Now().UnixNano()),
		limit: 4 * time.Minute,
	}))
}
