package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

type flagInfo = pflag.Flag

// captureStderr sends the process's standard error to a file until restore is called.
func captureStderr(t *testing.T) (read func() string, restore func()) {
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	require.NoError(t, err)
	old := os.Stderr
	os.Stderr = f
	return func() string {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			return string(content)
		}, func() {
			os.Stderr = old
			require.NoError(t, f.Close())
		}
}
