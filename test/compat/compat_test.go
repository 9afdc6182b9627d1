package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The short form, as the ordinary test run has it. The seed changes with every run; a failure
// prints the one that shows it again.
func TestBothStoresAnswerTheSame(t *testing.T) {
	require.NoError(t, compat(context.Background(), options{
		repo: "../..", here: ".", seed: uint64(time.Now().UnixNano()), sequences: 1000, length: 60,
		limit: 25 * time.Second, shrink: 10 * time.Second, quietly: true,
	}))
}
