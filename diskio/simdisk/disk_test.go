package simdisk

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/conformance"
)

// pump is a Disk whose operations finish when somebody waits for them.
type pump struct {
	*Disk
	t *testing.T
}

func (p pump) Await(n int) []diskio.Completion {
	var got []diskio.Completion
	for len(got) < n {
		before := len(got)
		for lane := range diskio.NumLanes {
			if _, ok := p.Begin(lane); ok {
				got = append(got, p.Finish(lane))
			}
		}
		require.Greater(p.t, len(got), before, "nothing is left to wait for")
	}
	require.NoError(p.t, p.Check())
	return got
}

func (p pump) Close() {}

func TestConformance(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		conformance.Run(t, func(t *testing.T) conformance.Subject {
			return pump{Disk: New(Options{Seed: 1, Sector: sector}), t: t}
		})
	}
}
