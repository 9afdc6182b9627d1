package server

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// processMember is a member that runs as a process of its own.
type processMember struct {
	name, dir, client, peer string
	cmd                     *exec.Cmd
	said                    []string // until it served
}

func newProcessMember(t *testing.T, name string) *processMember {
	m := &processMember{name: name, dir: filepath.Join(t.TempDir(), name)}
	for _, url := range []*string{&m.client, &m.peer} {
		l := listenLoopback(t)
		*url = "http://" + l.Addr().String()
		defer func() { require.NoError(t, l.Close()) }()
	}
	return m
}

func (m *processMember) pair() string { return m.name + "=" + m.peer }

// launch starts the member; await waits until it serves.
func (m *processMember) launch(t *testing.T, state, cluster string, more ...string) *bufio.Scanner {
	args := append([]string{"--name", m.name, "--data-dir", m.dir, "--listen-client-urls", m.client,
		"--advertise-client-urls", m.client, "--listen-peer-urls", m.peer,
		"--initial-advertise-peer-urls", m.peer, "--initial-cluster", cluster,
		"--initial-cluster-state", state, "--heartbeat-interval=20", "--election-timeout=200"},
		more...)
	cmd, lines := program(t, args...)
	m.cmd = cmd
	return lines
}

func (m *processMember) await(t *testing.T, lines *bufio.Scanner) {
	m.said = nil
	for lines.Scan() {
		m.said = append(m.said, lines.Text())
		if strings.Contains(lines.Text(), "ready to serve client requests") {
			go func() {
				for lines.Scan() { // what it says later must not fill the pipe
				}
			}()
			return
		}
	}
	require.FailNow(t, "the member does not serve", strings.Join(m.said, "\n"))
}

func (m *processMember) end(t *testing.T, sig syscall.Signal) {
	require.NoError(t, m.cmd.Process.Signal(sig))
	require.Error(t, m.cmd.Wait())
}

func (m *processMember) dial(t *testing.T) *clientv3.Client {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{m.client}, DialTimeout: patience,
		Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cli.Close() })
	return cli
}

// Three members, two die for good. The third is forced, and two new ones join.
func TestAForcedMemberKeepsAllThatWasCommitted(t *testing.T) {
	var members []*processMember
	var pairs []string
	for i := range 3 {
		m := newProcessMember(t, fmt.Sprint("m", i))
		members, pairs = append(members, m), append(pairs, m.pair())
	}
	cluster := strings.Join(pairs, ",")
	var logs []*bufio.Scanner
	for _, m := range members {
		logs = append(logs, m.launch(t, ClusterStateNew, cluster))
	}
	for i, m := range members {
		m.await(t, logs[i])
	}
	ctx := testContext(t)
	last := map[string]int64{}
	clients := []*clientv3.Client{members[0].dial(t), members[1].dial(t), members[2].dial(t)}
	for i := range 300 {
		key := fmt.Sprint("k", i%70)
		put, err := clients[i%3].Put(ctx, key, fmt.Sprint(i))
		require.NoError(t, err)
		last[key] = put.Header.Revision
	}
	for _, m := range members[:2] {
		m.end(t, syscall.SIGKILL)
		require.NoError(t, os.RemoveAll(m.dir))
	}
	members[2].end(t, syscall.SIGKILL)

	survivor := members[2]
	survivor.await(t, survivor.launch(t, ClusterStateNew, cluster, "--force-new-cluster"))
	require.Contains(t, strings.Join(survivor.said, "\n"), "forcing restart member")
	cli := survivor.dial(t)
	requireRevisions(t, cli, last)
	listed, err := cli.MemberList(ctx)
	require.NoError(t, err)
	require.Len(t, listed.Members, 1)

	alive := []string{survivor.pair()}
	for i := range 2 {
		m := newProcessMember(t, fmt.Sprint("n", i))
		require.Eventually(t, func() bool {
			_, err = cli.MemberAdd(ctx, []string{m.peer})
			return err == nil // once the quorum has been healthy for five seconds
		}, patience, 100*time.Millisecond, "%v", err)
		alive = append(alive, m.pair())
		m.await(t, m.launch(t, ClusterStateExisting, strings.Join(alive, ",")))
		members = append(members, m)
	}
	// Whether the last one counts by now cannot be seen, so the survivor is not missed yet.
	requireRevisions(t, members[4].dial(t), last)
	survivor.end(t, syscall.SIGTERM)
	survivor.await(t, survivor.launch(t, ClusterStateNew, cluster))
	requireRevisions(t, survivor.dial(t), last)
	listed, err = survivor.dial(t).MemberList(ctx)
	require.NoError(t, err)
	require.Len(t, listed.Members, 3)
}

// requireRevisions demands that every key has the version that was acknowledged last.
func requireRevisions(t *testing.T, cli *clientv3.Client, last map[string]int64) {
	got, err := cli.Get(testContext(t), "k", clientv3.WithPrefix())
	require.NoError(t, err)
	found := map[string]int64{}
	for _, pair := range got.Kvs {
		found[string(pair.Key)] = pair.ModRevision
	}
	require.Equal(t, last, found)
}
