package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asProgram makes this test binary behave as the server program.
const asProgram = "RUN_AS_SERVER_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// program starts the server as a process of its own.
func program(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewScanner(errs)
}

func ephemeral(dir string) []string {
	const port = "http://127.0.0.1:0"
	return []string{"--data-dir", dir, "--listen-client-urls", port, "--advertise-client-urls",
		port, "--listen-peer-urls", port, "--initial-advertise-peer-urls", port,
		"--initial-cluster", "default=" + port, "--heartbeat-interval=20",
		"--election-timeout=200"}
}

func TestASignalEndsTheProcessByThatSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		dir := filepath.Join(t.TempDir(), "data")
		cmd, lines := program(t, ephemeral(dir)...)
		var said []string
		for lines.Scan() {
			said = append(said, lines.Text())
			require.NotContains(t, lines.Text(), `"level":"error"`)
			if strings.Contains(lines.Text(), "serving client traffic insecurely") {
				require.NoError(t, cmd.Process.Signal(sig))
			}
		}
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		end := exit.Sys().(syscall.WaitStatus)
		require.True(t, end.Signaled(), "%v", strings.Join(said, "\n"))
		require.Equal(t, sig, end.Signal())
		all := strings.Join(said, "\n")
		for _, line := range []string{"starting an etcd server",
			"published local member to cluster through raft", "ready to serve client requests",
			"received signal; shutting down", "closing etcd server", "closed etcd server"} {
			require.Equal(t, 1, strings.Count(all, fmt.Sprintf("%q:%q", "msg", line)), line)
		}
		info, err := os.Stat(dir)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	}
}

func TestTheInitDaemonIsToldWhenTheServerIsReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv(notifySocket, path)
	cmd, _ := program(t, ephemeral(t.TempDir())...)
	got := make([]byte, 100)
	require.NoError(t, socket.SetReadDeadline(time.Now().Add(patience)))
	n, err := socket.Read(got)
	require.NoError(t, err)
	require.Equal(t, "READY=1", string(got[:n]))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait())
}

func TestAStartThatFailsExitsWithOne(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "member", "wal"), 0o700))
	cmd, lines := program(t, ephemeral(dir)...)
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, last, `"level":"fatal"`)
	require.Contains(t, last, `"msg":"discovery failed"`)
	require.Contains(t, last, "detcdutl migrate --from")
}

func TestUsageErrorsOfTheProcessExitWithTwo(t *testing.T) {
	cmd := exec.Command(os.Args[0], "--nonsense")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said, err := io.ReadAll(errs)
	require.NoError(t, err)
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, 2, exit.ExitCode())
	require.Contains(t, string(said), "flag provided but not defined: -nonsense")
}
