// Package migration_test runs the operators' guides: every command that they show is executed, in
// their order, against real etcd and detcd, while clients write.
//
// A guide's blocks of shell (```sh) are the steps. What only the test needs, the clusters to begin
// with and the checks, is in comments that readers do not see:
//
//	<!--sh
//	writers verify ...
//	-->
package migration_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMigrationGuide(t *testing.T) { execute(t, "migration.md") }

func TestRecoveryGuide(t *testing.T) { execute(t, "recovery.md") }

func TestUpgradeGuide(t *testing.T) { execute(t, "upgrade.md") }

var step = regexp.MustCompile("(?ms)^(?:```sh|<!--sh)\n(.*?)^(?:```|-->)$")

// patience is how long a guide may take.
const patience = 4 * time.Minute

// execute runs a guide.
func execute(t *testing.T, guide string) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", guide))
	require.NoError(t, err)
	prelude, err := os.ReadFile("prelude.sh")
	require.NoError(t, err)
	var script strings.Builder
	for _, table := range []string{"CLIENT_PORT", "PEER_PORT"} {
		fmt.Fprintf(&script, "declare -A %s=(", table)
		for _, member := range members() {
			fmt.Fprintf(&script, " [%s]=%s", member, freePort(t))
		}
		script.WriteString(")\n")
	}
	script.Write(prelude)
	steps := step.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, steps)
	for i, s := range steps {
		first, _, _ := strings.Cut(s[1], "\n")
		first = strings.ReplaceAll(first, "'", "")
		fmt.Fprintf(&script, "echo $SECONDS s '== step %d: %s'\n%s", i+1, first, s[1])
	}
	script.WriteString("echo '== all steps are done'\n")
	work := t.TempDir()
	path := filepath.Join(work, "steps.sh")
	require.NoError(t, os.WriteFile(path, []byte(script.String()), 0o600))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", path)
	// A guide that hangs is told to end, and ends what it has started.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "WORK="+work, "PATH="+programs(t)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "== all steps are done")
}

// members are all names that the guides use.
func members() []string {
	return []string{"o1", "o2", "o3", "n1", "n2", "n3", "b1", "b2", "b3", "single", "moved", "back",
		"m1", "m2", "m3", "m4", "m5", "m6", "r1", "r2", "r3", "old", "new"}
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

// programs builds what the guides use and returns where it is.
func programs(t *testing.T) string {
	dir := t.TempDir()
	build := func(args ...string) {
		out, err := exec.Command("go", append([]string{"build"}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	build("-C", "../..", "-o", dir+string(filepath.Separator), "./cmd/detcd", "./cmd/detcdctl",
		"./cmd/detcdutl")
	build("-C", "../..", "-o", filepath.Join(dir, "detcd-next"), "-ldflags",
		"-X github.com/detcd/detcd/server.Version=3.8.0", "./cmd/detcd")
	build("-o", filepath.Join(dir, "etcd"), "go.etcd.io/etcd/server/v3")
	build("-o", filepath.Join(dir, "etcdutl"), "go.etcd.io/etcd/etcdutl/v3")
	build("-o", filepath.Join(dir, "writers"), "./writers")
	return dir
}
