package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every scenario in which a planted bug, or one that was mended, shows itself passes with the code
// as it is. That planted bugs still fail theirs is for `detsim mutants --replay` to see.
func TestScenariosPass(t *testing.T) {
	files, err := filepath.Glob("scenarios/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		s, err := ParseScenario(text)
		require.NoError(t, err, file)
		require.NotEmpty(t, s.Expect, file)
		require.Equal(t, s.Text(), string(text), "%s is not as it would be written", file)
		r := RunPlan(&s.Plan, Options{})
		require.Nil(t, r.Failure, "%s: %v", file, r.Failure)
	}
}
