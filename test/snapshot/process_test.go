package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// tools are the programs of both sides, built once.
type tools struct{ detcd, detcdctl, detcdutl, etcd, etcdutl string }

const patience = 30 * time.Second

func build(t *testing.T) tools {
	dir := t.TempDir()
	run(t, "go", "build", "-C", "../..", "-o", dir+string(filepath.Separator), "./cmd/detcd",
		"./cmd/detcdctl", "./cmd/detcdutl")
	all := tools{detcd: filepath.Join(dir, "detcd"), detcdctl: filepath.Join(dir, "detcdctl"),
		detcdutl: filepath.Join(dir, "detcdutl"), etcd: filepath.Join(dir, "etcd"),
		etcdutl: filepath.Join(dir, "etcdutl")}
	run(t, "go", "build", "-o", all.etcd, "go.etcd.io/etcd/server/v3")
	run(t, "go", "build", "-o", all.etcdutl, "go.etcd.io/etcd/etcdutl/v3")
	return all
}

// run runs a program to its end and returns its standard output.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := try(program, args...)
	require.NoError(t, err)
	return out
}

func try(program string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %v: %w\n%s", program, args, err, errs.String())
	}
	return out.String(), nil
}

// server is a running member of either kind.
type server struct {
	*clientv3.Client
	endpoint string
	peer     string
	dir      string
	process  *exec.Cmd
}

// addresses are a client's and a peer's.
type addresses struct{ client, peer string }

func freeAddresses(t *testing.T) addresses {
	var urls [2]string
	for i := range urls {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		urls[i] = "http://" + l.Addr().String()
	}
	return addresses{urls[0], urls[1]}
}

// start starts the only member of a cluster and waits until it serves.
func start(t *testing.T, program, dir string, at addresses) *server {
	t.Helper()
	s := launch(t, program, "m", dir, at, "m="+at.peer)
	s.await(t)
	return s
}

func launch(t *testing.T, program, name, dir string, at addresses, cluster string,
	more ...string) *server {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	cmd := exec.Command(program, append([]string{"--name", name, "--data-dir", dir,
		"--listen-client-urls", at.client, "--advertise-client-urls", at.client,
		"--listen-peer-urls", at.peer, "--initial-advertise-peer-urls", at.peer,
		"--initial-cluster", cluster, "--initial-cluster-state", "new"}, more...)...)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	require.NoError(t, log.Close())
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{at.client},
		Logger: zap.NewNop(), DialTimeout: patience})
	require.NoError(t, err)
	s := &server{Client: client, endpoint: at.client, peer: at.peer, dir: dir, process: cmd}
	t.Cleanup(func() {
		_ = client.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", program, said)
		}
	})
	return s
}

func (s *server) await(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := s.Status(ctx, s.endpoint)
		return err == nil
	}, patience, 20*time.Millisecond, "%v does not serve", s.process.Args)
}

// stop ends a member in good order.
func (s *server) stop(t *testing.T) {
	require.NoError(t, s.process.Process.Signal(syscall.SIGTERM))
	_ = s.process.Wait() // it dies of the signal
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
