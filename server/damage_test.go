package server

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A list that meets rotten bytes is answered with DataLoss, and the member stops and says which
// bytes they are.
func TestAListThatMeetsDamageStopsTheMember(t *testing.T) {
	c := startCluster(t, 1, nil)
	cli, ctx := c.client(), testContext(t)
	value := make([]byte, 1<<20)
	for i := range 40 { // more than is kept in memory
		_, err := cli.Put(ctx, fmt.Sprintf("k%02d", i), string(value))
		require.NoError(t, err)
	}
	pattern := filepath.Join(c.configs[0].dataDir(), memberDir, "data", "*.seg")
	var segments []string
	require.Eventually(t, func() bool {
		var err error
		segments, err = filepath.Glob(pattern)
		require.NoError(t, err)
		return len(segments) > 2
	}, patience, time.Millisecond)
	f, err := os.OpenFile(segments[0], os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("rot"), 5000)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	_, err = cli.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithLimit(3))
	require.Equal(t, codes.DataLoss, status.Code(err), "%v", err)
	select {
	case <-c.servers[0].Halted():
	case <-time.After(patience):
		t.Fatal("the member goes on")
	}
	require.Contains(t, c.servers[0].Reason(), "damaged data file data/"+filepath.Base(segments[0]))
}
