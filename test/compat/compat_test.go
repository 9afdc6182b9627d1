package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The short form, as the ordinary test run has it, from one seed, so that it says the same every
// time; the command takes a fresh one.
func TestBothStoresAnswerTheSame(t *testing.T) {
	require.NoError(t, compat(context.Background(), options{
		repo: "../..", here: ".", seed: 1, sequences: 1000, length: 60, workers: 2,
		limit: 25 * time.Second, shrink: 10 * time.Second, quietly: true,
	}))
}
