package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
)

// forged is a store's records with one value changed.
type forged struct{ records }

func (f forged) Read(visit func(r mvcc.Record) error) error {
	return f.records.Read(func(r mvcc.Record) error {
		r.KV = bytes.Replace(r.KV, []byte("value of 3"), []byte("value of X"), 1)
		return visit(r)
	})
}

// saved is the backup of a store with some keys.
func saved(t *testing.T) *backup.File {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	for i := range 20 {
		_, err := cli.Put(ctx, fmt.Sprint("k", i), fmt.Sprint("value of ", i))
		require.NoError(t, err)
	}
	stream, err := cli.Snapshot(ctx)
	require.NoError(t, err)
	content, err := io.ReadAll(stream)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "snapshot.db")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	file, err := backup.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	return file
}

// trio prepares three members of one cluster with a backup's data; the last one's differs in one
// value, with all checksums right.
func trio(t *testing.T) (members []*processMember, cluster string) {
	file := saved(t)
	var pairs []string
	for i := range 3 {
		m := newProcessMember(t, fmt.Sprint("m", i))
		members, pairs = append(members, m), append(pairs, m.pair())
	}
	cluster = strings.Join(pairs, ",")
	for i, m := range members {
		r := RestoreConfig{Name: m.name, Dir: m.dir, InitialCluster: cluster,
			InitialClusterToken: "etcd-cluster", AdvertisePeerURLs: []string{m.peer}}
		b, dir, err := r.found()
		require.NoError(t, err)
		root := filepath.Join(dir, memberDir)
		require.NoError(t, os.MkdirAll(root, privateDir))
		var from records = file
		if i == 2 {
			from = forged{file}
		}
		require.NoError(t, writeStore(root, &kv.Founding{Image: file.Image, Members: b.members,
			Revision: file.Revision, Compacted: file.Compacted, Limits: kv.DefaultLimits()}, from))
		require.NoError(t, writeIdentity(dir, settleIn(b.identity)))
	}
	return members, cluster
}

func startProcesses(t *testing.T, members []*processMember, cluster string, more ...string) {
	var logs []*bufio.Scanner
	for _, m := range members {
		logs = append(logs, m.launch(t, ClusterStateNew, cluster, more...))
	}
	for i, m := range members {
		m.await(t, logs[i])
	}
}

func memberID(t *testing.T, cli *clientv3.Client, name string) uint64 {
	listed, err := cli.MemberList(testContext(t))
	require.NoError(t, err)
	for _, m := range listed.Members {
		if m.Name == name {
			return m.ID
		}
	}
	require.FailNow(t, "no such member", name)
	return 0
}

// awaitAlarm waits for an alarm and returns whom it is for.
func awaitAlarm(t *testing.T, cli *clientv3.Client) uint64 {
	var alarms []*pb.AlarmMember
	require.Eventually(t, func() bool {
		listed, err := cli.AlarmList(testContext(t))
		require.NoError(t, err)
		alarms = listed.Alarms
		return len(alarms) > 0
	}, patience, 20*time.Millisecond)
	require.Len(t, alarms, 1)
	require.Equal(t, pb.AlarmType_CORRUPT, alarms[0].Alarm)
	return alarms[0].MemberID
}

func TestTheLeaderFindsTheMemberWhoseDataDiffers(t *testing.T) {
	members, cluster := trio(t)
	// The leader's data is the measure, so the odd member comes when there is a leader.
	startProcesses(t, members[:2], cluster, "--corrupt-check-time=200ms")
	startProcesses(t, members[2:], cluster, "--corrupt-check-time=200ms")
	cli, ctx := members[0].dial(t), testContext(t)
	require.Equal(t, memberID(t, cli, "m2"), awaitAlarm(t, cli))
	_, err := cli.Put(ctx, "k", "v")
	require.Equal(t, rpctypes.ErrCorrupt, err)
	_, err = cli.Delete(ctx, "k1")
	require.Equal(t, rpctypes.ErrCorrupt, err)
	_, err = cli.Compact(ctx, 3)
	require.Equal(t, rpctypes.ErrCorrupt, err)
	got, err := cli.Get(ctx, "k3")
	require.NoError(t, err)
	require.Equal(t, "value of 3", string(got.Kvs[0].Value))
	for path, word := range map[string]string{"/health": "ALARM CORRUPT",
		"/readyz": "alarm activated: CORRUPT"} {
		resp, err := http.Get(members[0].client + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Contains(t, string(body), word)
	}

	// At its next start the member is asked to compare itself, and refuses to serve.
	bad := members[2]
	bad.end(t, syscall.SIGTERM)
	lines := bad.launch(t, ClusterStateNew, cluster, "--feature-gates=InitialCorruptCheck=true")
	said := ""
	for lines.Scan() {
		said += lines.Text() + "\n"
		require.NotContains(t, lines.Text(), "ready to serve client requests")
	}
	require.Error(t, bad.cmd.Wait())
	require.Equal(t, 1, bad.cmd.ProcessState.ExitCode())
	require.Contains(t, said, "checkInitialHashKV failed")

	// A healthy one passes the same check.
	good := members[1]
	good.end(t, syscall.SIGTERM)
	require.NoError(t, os.RemoveAll(bad.dir))
	good.await(t, good.launch(t, ClusterStateNew, cluster,
		"--feature-gates=InitialCorruptCheck=true"))
	require.Contains(t, strings.Join(good.said, "\n"), "initial corruption checking passed")
}

func TestACompactionShowsWhoseDataDiffers(t *testing.T) {
	members, cluster := trio(t)
	startProcesses(t, members, cluster, "--feature-gates=CompactHashCheck=true",
		"--compact-hash-check-time=100ms")
	cli, ctx := members[1].dial(t), testContext(t)
	put, err := cli.Put(ctx, "k", "v")
	require.NoError(t, err)
	_, err = cli.Compact(ctx, put.Header.Revision, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	require.Equal(t, memberID(t, cli, "m2"), awaitAlarm(t, cli), "two of three contradict it")
	_, err = cli.Put(ctx, "k", "w")
	require.Equal(t, rpctypes.ErrCorrupt, err)
}

func TestHashesAreGivenToMembersOfTheClusterOnly(t *testing.T) {
	c := startCluster(t, 1, nil)
	_, err := c.client().Put(testContext(t), "k", "v")
	require.NoError(t, err)
	ask := func(cluster, body string) (int, string) {
		request, err := http.NewRequest(http.MethodGet,
			c.configs[0].ListenPeerURLs[0].String()+hashPath, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set(headerFrom, cluster)
		resp, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer func() { require.NoError(t, resp.Body.Close()) }()
		said, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(said)
	}
	own := fmt.Sprintf("%x", c.servers[0].loop.cluster)
	status, said := ask(own, `{"revision":2}`)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, said, `"compact_revision":-1,"hash_revision":2}`)
	status, said = ask(own, `{"revision":9}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, said, "required revision is a future revision")
	status, _ = ask("1", `{"revision":2}`)
	require.Equal(t, http.StatusPreconditionFailed, status)
	status, _ = ask(own, `revision`)
	require.Equal(t, http.StatusBadRequest, status)
}
