package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/server/metrics"
)

const patience = 20 * time.Second

// station is one member's transport without a member.
type station struct {
	*peers
	addr string
	logs *observer.ObservedLogs
}

func startStation(t *testing.T, id identity) *station {
	core, logs := observer.New(zap.InfoLevel)
	log := zap.New(core)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	members := newHandedListener(l.Addr())
	people := newHandedListener(l.Addr())
	split := newSplitter(log, l, routes{{framePreamble[:sniffBytes], members}, {"", people}})
	s := &station{peers: newPeers(log, id, newInbox(), &kv.Limits{},
		&metrics.New(&metrics.Options{}).Peers), addr: l.Addr().String(),
		logs: logs}
	web := newHTTP(log, http.NotFoundHandler())
	go split.serve()
	go s.serve(members)
	go func() { _ = web.Serve(people) }()
	t.Cleanup(func() {
		split.close()
		require.NoError(t, web.Close())
		require.NoError(t, members.Close())
		s.close()
	})
	return s
}

func (s *station) member() kv.Member {
	return kv.Member{ID: s.self.member, PeerURLs: []string{"http://" + s.addr}}
}

// meet connects s to others and waits until messages would travel.
func (s *station) meet(t *testing.T, others ...*station) {
	members := []kv.Member{s.member()}
	for _, o := range others {
		members = append(members, o.member())
	}
	s.update(members)
	for _, o := range others {
		for _, l := range s.links[o.self.member].links {
			require.Eventually(t, func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.up
			}, patience, time.Millisecond)
		}
	}
}

// arrivals waits for n messages.
func (s *station) arrivals(n int) []*raft.Message {
	var got []*raft.Message
	for len(got) < n {
		work, some := s.inbox.swap(batch{}, restWhenEmpty)
		if !some {
			<-s.inbox.wake
			continue
		}
		for _, in := range work.inputs {
			got = append(got, in.Message)
		}
	}
	return got
}

func (s *station) logged(message string) func() bool {
	return func() bool {
		for _, e := range s.logs.All() {
			if bytes.Contains(fmt.Appendf(nil, "%s %v", e.Message, e.ContextMap()),
				[]byte(message)) {
				return true
			}
		}
		return false
	}
}

func TestMessagesArriveInOrderOnTheirChannel(t *testing.T) {
	a, b := startStation(t, identity{7, 1}), startStation(t, identity{7, 2})
	a.meet(t, b)
	const n = 500
	for i := range n {
		a.Send(raft.Message{Type: raft.MsgAppend, From: 1, To: 2, Term: 3, Index: raft.Index(i),
			Entries: []raft.Entry{{Term: 3, Index: raft.Index(i + 1), Type: raft.EntryNormal,
				Data: bytes.Repeat([]byte{byte(i)}, i)}}})
	}
	for i, m := range b.arrivals(n) {
		require.Equal(t, raft.Index(i), m.Index)
		require.Len(t, m.Entries[0].Data, i)
	}
	a.Send(raft.Message{Type: raft.MsgSnapshotChunk, From: 1, To: 2, Data: []byte("piece")})
	require.Equal(t, "piece", string(b.arrivals(1)[0].Data))
	a.Send(raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 99})
}

func TestAnotherClusterIsRefusedAndBothSidesSayWhy(t *testing.T) {
	a, b := startStation(t, identity{7, 1}), startStation(t, identity{8, 2})
	a.update([]kv.Member{a.member(), b.member()})
	const why = "cluster ID mismatch: this member belongs to cluster 8, member 1 to cluster 7"
	require.Eventually(t, a.logged(why), patience, time.Millisecond)
	require.Eventually(t, b.logged(why), patience, time.Millisecond)
	require.False(t, a.links[2].links[0].up)
}

func TestGarbageOnThePeerPortHarmsNobody(t *testing.T) {
	a, b := startStation(t, identity{7, 1}), startStation(t, identity{7, 2})
	hello := identity{7, 1}.hello(2, channelMessages)
	greeting := appendFrame([]byte(framePreamble), frameHello, hello.encode())
	spoof := raft.EncodeMessage(nil, &raft.Message{Type: raft.MsgHeartbeat, From: 5, To: 2})
	for _, garbage := range [][]byte{
		[]byte("\x00\x01\x02\x03\x04\x05\x06\x07\n\n"),
		bytes.Repeat([]byte("no such protocol"), 100_000),
		[]byte(framePreamble[:4] + "what is this?"),
		append([]byte(framePreamble), bytes.Repeat([]byte{0xff}, 1000)...),
		appendFrame([]byte(framePreamble), frameHello, []byte("short")),
		appendFrame([]byte(framePreamble), frameMessage, nil),
		appendFrame(bytes.Clone(greeting), frameMessage, []byte("not a message")),
		appendFrame(bytes.Clone(greeting), frameMessage, spoof),
		appendFrame(bytes.Clone(greeting), frameWelcome, nil),
		append(bytes.Clone(greeting), bytes.Repeat([]byte{1}, 100_000)...),
	} {
		conn, err := net.Dial("tcp", b.addr)
		require.NoError(t, err)
		go func() { _, _ = conn.Write(garbage) }()
		_, _ = io.Copy(io.Discard, conn) // returns when the other side has closed
		require.NoError(t, conn.Close())
	}
	a.meet(t, b)
	a.Send(raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 9})
	require.Equal(t, raft.Term(9), b.arrivals(1)[0].Term)
}

func TestASlowPeerLosesMessagesAndCostsBoundedMemory(t *testing.T) {
	// A peer that welcomes and then never reads.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReaderSize(conn, 16)
			_, _ = io.ReadFull(r, make([]byte, len(framePreamble)))
			_, content, _ := readFrame(r, maxHandshakeBytes)
			h, _ := decodeHello(content)
			w, _ := identity{7, 2}.judge(&h)
			_, _ = conn.Write(appendFrame(nil, frameWelcome, w.encode()))
		}
	}()
	a := startStation(t, identity{7, 1})
	slow := &station{peers: &peers{self: identity{7, 2}}, addr: l.Addr().String()}
	a.meet(t, slow)
	to := a.links[2].links[0]
	chunk := make([]byte, 4<<20)
	for range 2 * linkBytes / len(chunk) {
		a.Send(raft.Message{Type: raft.MsgAppend, From: 1, To: 2, Data: chunk})
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	require.LessOrEqual(t, len(to.buf), linkBytes)
	require.NotZero(t, to.dropped)
}

func TestAPeerThatReturnsIsFoundAgain(t *testing.T) {
	a, b := startStation(t, identity{7, 1}), startStation(t, identity{7, 2})
	a.meet(t, b)
	b.mu.Lock()
	for conn := range b.conns {
		require.NoError(t, conn.Close())
	}
	b.mu.Unlock()
	require.Eventually(t, a.logged("no connection with remote peer"), patience, time.Millisecond)
	a.meet(t, b)
	a.Send(raft.Message{Type: raft.MsgHeartbeat, From: 1, To: 2, Term: 4})
	require.Equal(t, raft.Term(4), b.arrivals(1)[0].Term)
	a.update([]kv.Member{a.member()})
	require.Empty(t, a.links)
}

func TestPeopleReachThePeerPortWithHTTP(t *testing.T) {
	b := startStation(t, identity{7, 2})
	resp, err := http.Get("http://" + b.addr + "/anything")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}
