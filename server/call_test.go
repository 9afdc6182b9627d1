package server

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/server/metrics"
)

// The desk against its obvious twin, a map: every token finds its call once, and only once.
func TestDeskFindsEveryCallOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d desk
		twin := map[kv.Token]*call{}
		var all []kv.Token
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if len(all) == 0 || rapid.Bool().Draw(t, "admit") {
				c := &call{done: make(chan struct{}, 1)}
				token := d.admit(c)
				require.NotContains(t, twin, token)
				require.NotZero(t, token)
				twin[token] = c
				all = append(all, token)
				continue
			}
			token := rapid.SampledFrom(all).Draw(t, "token")
			require.Same(t, twin[token], d.leave(token))
			twin[token] = nil
		}
	})
}

func TestOverdueCallsAreTakenOutAndNoOthers(t *testing.T) {
	var d desk
	old, young := &call{turn: 5}, &call{turn: 50}
	oldToken, youngToken := d.admit(old), d.admit(young)
	require.Equal(t, []*call{old}, d.overdue(20))
	require.Nil(t, d.leave(oldToken), "a late answer falls on the floor")
	require.Same(t, young, d.leave(youngToken))
	require.Empty(t, d.overdue(math.MaxInt64))
}

func TestACallIsEitherAnsweredOrAbandoned(t *testing.T) {
	pool := newCallPool()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	c := pool.take()
	require.False(t, c.wait(over))
	require.False(t, c.settle(), "the answer comes too late, the loop cleans up")
	pool.give(c)

	c = pool.take()
	require.True(t, c.settle())
	require.True(t, c.wait(over), "the answer was first")
	pool.give(c)

	c = pool.take()
	require.True(t, c.settle())
	require.Panics(t, func() { pool.give(c) }, "an answer that nobody took")
}

func TestInboxIsBounded(t *testing.T) {
	b := newInbox()
	big := &kv.Request{Raw: make([]byte, maxWaitingRequestBytes/2+1)}
	require.Equal(t, kv.OK, b.request(big, &call{}))
	require.Equal(t, kv.ErrTooManyRequests, b.request(big, &call{}))
	require.True(t, b.message(nil, maxWaitingMessageBytes))
	require.False(t, b.message(nil, 1))
	work, some := b.swap(batch{}, restWhenEmpty)
	require.True(t, some)
	require.Len(t, work.inputs, 2)
	require.Equal(t, kv.OK, b.request(big, &call{}))
	b.close()
	require.Equal(t, kv.ErrStopped, b.request(&kv.Request{}, &call{}))
}

func TestInboxWakesASleeperExactlyOnce(t *testing.T) {
	b := newInbox()
	for range 3 {
		_, some := b.swap(batch{}, restWhenEmpty)
		require.False(t, some)
		b.put(kv.Input{Kind: kv.InputLeave})
		b.put(kv.Input{Kind: kv.InputLeave})
		b.rise()
		require.Empty(t, b.wake)
		_, some = b.swap(batch{}, restWhenEmpty)
		require.True(t, some)
	}
	_, some := b.swap(batch{}, restWhenEmpty)
	require.False(t, some)
	b.rise()
	require.Empty(t, b.wake)
}

func TestCodecPassesBytesThrough(t *testing.T) {
	c := &call{}
	in := mem.BufferSlice{mem.SliceBuffer("ab"), mem.SliceBuffer("c")}
	messages := codec{newAnswerPool(), &metrics.New(&metrics.Options{}).Bytes}
	require.NoError(t, messages.Unmarshal(in, c))
	require.Equal(t, "abc", string(c.raw))
	c.reply = [][]byte{[]byte("x"), nil, []byte("yz")}
	out, err := messages.Marshal(c)
	require.NoError(t, err)
	require.Equal(t, "xyz", string(out.Materialize()))
	_, err = messages.Marshal(3)
	require.Error(t, err)
}

func TestEveryOutcomeHasEtcdsStatus(t *testing.T) {
	all := newStatuses()
	require.NoError(t, all[kv.OK])
	for c := kv.OK + 1; c < kv.NumCodes; c++ {
		s, ok := status.FromError(all[c])
		require.True(t, ok)
		require.Equal(t, c.Text(), s.Message())
		require.NotEmpty(t, s.Message(), "%d", c)
	}
	// The two that etcd declares otherwise and sends as Unknown.
	require.Equal(t, codes.Unknown, status.Code(all[kv.ErrTooManyRequests]))
	require.Equal(t, codes.Unknown, status.Code(all[kv.ErrTransferTimeout]))
}

func TestMetadataIsHonoured(t *testing.T) {
	set := metrics.New(&metrics.Options{})
	s := &service{loop: newLoop(zap.NewNop(), &kv.Config{}, time.Second, set), metrics: set,
		statuses: newStatuses(), edge: newEdgeErrors()}
	check := func(leader raft.MemberID, pairs ...string) error {
		s.loop.state.Store(&kv.State{Raft: raft.Status{Leader: leader}})
		return s.checkMetadata(metadata.NewIncomingContext(context.Background(),
			metadata.Pairs(pairs...)), oneMessage)
	}
	require.NoError(t, check(1, "hasleader", "true", "client-api-version", "3.7"))
	require.NoError(t, check(0))
	require.NoError(t, check(0, "hasleader", "maybe"))
	require.EqualError(t, check(0, "hasleader", "true"),
		"rpc error: code = Unavailable desc = etcdserver: no leader")
	require.EqualError(t, check(1, "client-api-version", "\xff"),
		"rpc error: code = InvalidArgument desc = etcdserver: invalid client api version")
}
