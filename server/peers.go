// The peers: which members there are, a pair of links to each, and the connections they made to
// us. This is the network door of the node.
package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/server/metrics"
)

const (
	peerReadBuffer = 64 << 10
	// maxPeerConns bounds the connections that speak the peers' protocol, or claim to.
	maxPeerConns = 256
)

// peers is the transport between members. Send and update belong to the loop.
type peers struct {
	log        *zap.Logger
	self       identity
	inbox      *inbox
	metrics    *metrics.Peers
	start      time.Time // origin of the times of heartbeats
	frameLimit int

	// remotes is whom a member that has no state yet talks to.
	remotes []kv.Member
	dial    *peerDialer
	members []kv.Member // as of the last update
	links   map[raft.MemberID]*peer

	mu       sync.Mutex
	incoming map[origin]net.Conn
	conns    map[net.Conn]struct{} // all incoming ones, those in a handshake included
	removed  []raft.MemberID       // sorted; they get no connection
	closed   bool
	running  sync.WaitGroup
}

// peer is one other member.
type peer struct {
	addrs []peerAddress
	links [numChannels]*link // by channel, less one
	seen  *metrics.Peer
}

// origin names an incoming connection: a member has one per channel, and the newest counts.
type origin struct {
	from    raft.MemberID
	channel channelKind
}

func newPeers(log *zap.Logger, self identity, in *inbox, lim *kv.Limits,
	measured *metrics.Peers) *peers {
	return &peers{
		log:        log,
		self:       self,
		inbox:      in,
		metrics:    measured,
		start:      time.Now(),
		frameLimit: max(minFrameLimit, 2*(lim.MessageBytes+lim.MaxRequestBytes+lim.ChunkBytes)),
		links:      map[raft.MemberID]*peer{},
		dial:       &peerDialer{},
		incoming:   map[origin]net.Conn{},
		conns:      map[net.Conn]struct{}{},
	}
}

// Send hands a message to the member's link. It may be dropped.
func (p *peers) Send(m raft.Message) {
	to := p.links[m.To]
	if to == nil {
		return
	}
	channel := channelMessages
	switch m.Type {
	case raft.MsgHeartbeat:
		to.seen.Asked(time.Since(p.start))
	case raft.MsgSnapshotOffer, raft.MsgSnapshotChunk, raft.MsgSnapshotAck:
		channel = channelBulk
	}
	to.links[channel-1].send(&m)
}

// update follows the membership.
func (p *peers) update(members []kv.Member) {
	if len(members) == 0 {
		members = p.remotes
	}
	if slices.EqualFunc(members, p.members, sameAddress) {
		return
	}
	p.members = slices.Clone(members)
	keep := map[raft.MemberID]bool{}
	for i := range members {
		m := &members[i]
		addrs := peerAddresses(m.PeerURLs)
		if m.ID == p.self.member || len(addrs) == 0 {
			continue
		}
		keep[m.ID] = true
		if old := p.links[m.ID]; old != nil {
			if slices.Equal(old.addrs, addrs) {
				continue
			}
			old.cancel()
		}
		n := &peer{addrs: addrs, seen: p.measured(m.ID)}
		for i := range n.links {
			n.links[i] = startLink(p.log, p.self, m.ID, channelKind(i+1), p.dial, addrs,
				p.inbox, n.seen)
		}
		p.links[m.ID] = n
	}
	for id, old := range p.links {
		if !keep[id] {
			old.cancel()
			delete(p.links, id)
		}
	}
}

// measured is what the metrics have of a member.
func (p *peers) measured(id raft.MemberID) *metrics.Peer {
	return p.metrics.Peer(p.self.member, id)
}

// refuse closes the connections of removed members. When they dial again, they learn why.
func (p *peers) refuse(removed []raft.MemberID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Equal(removed, p.removed) {
		return
	}
	p.removed = removed
	for from, conn := range p.incoming {
		if _, gone := slices.BinarySearch(removed, from.from); gone {
			_ = conn.Close()
		}
	}
}

// wasRemoved says whether a member is refused for good.
func (p *peers) wasRemoved(id raft.MemberID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, gone := slices.BinarySearch(p.removed, id)
	return gone
}

func sameAddress(a, b kv.Member) bool {
	return a.ID == b.ID && slices.Equal(a.PeerURLs, b.PeerURLs)
}

// cancel tells both links to end, without waiting for that.
func (p *peer) cancel() {
	for _, l := range p.links {
		l.cancel()
	}
}

// serve takes incoming connections of peers until the listener is closed.
func (p *peers) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !p.open(conn) {
			_ = conn.Close()
			continue
		}
		go func() {
			defer p.drop(conn)
			if err := p.receive(conn); err != nil {
				p.log.Warn("closed a connection on the peer endpoint", zap.Error(err),
					zap.Stringer("remote-addr", conn.RemoteAddr()))
			}
		}()
	}
}

// open notes a connection unless there are too many.
func (p *peers) open(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.conns) >= maxPeerConns {
		return false
	}
	p.conns[conn] = struct{}{}
	p.running.Add(1)
	return true
}

func (p *peers) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	p.running.Done()
}

// receive serves one incoming connection until it ends. An orderly end is no error.
func (p *peers) receive(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, peerReadBuffer)
	h, err := p.welcome(conn, r)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	from := origin{h.From, h.Channel}
	if err := p.enter(from, conn); err != nil {
		return err
	}
	defer p.leave(from, conn)
	seen := p.measured(h.From)
	dropped := 0
	for {
		kind, content, err := readFrame(r, p.frameLimit)
		if err == io.EOF || p.replaced(from, conn) {
			return nil
		}
		if err != nil {
			seen.ReceiveFailed()
			return err
		}
		seen.ReceivedBytes(frameHeaderBytes + len(content))
		if kind != frameMessage {
			return fmt.Errorf("unexpected frame of kind %d from member %v", kind, h.From)
		}
		m, err := raft.DecodeMessage(content)
		if err != nil {
			return fmt.Errorf("message from member %v: %w", h.From, err)
		}
		if m.From != h.From || m.To != p.self.member {
			return fmt.Errorf("message from %v to %v on a connection from %v to %v", m.From, m.To,
				h.From, p.self.member)
		}
		if m.Type == raft.MsgHeartbeatResp {
			seen.Answered(time.Since(p.start))
		}
		if !p.inbox.message(&m, len(content)) {
			if dropped++; dropped == 1 {
				p.log.Warn("dropping messages: this member cannot keep up",
					zap.Stringer("remote-peer-id", h.From))
			}
		}
	}
}

// welcome reads the preamble and the hello and answers it.
func (p *peers) welcome(conn net.Conn, r *bufio.Reader) (hello, error) {
	preamble := make([]byte, len(framePreamble))
	if _, err := io.ReadFull(r, preamble); err != nil {
		return hello{}, noEOF(err)
	}
	if string(preamble) != framePreamble {
		return hello{}, fmt.Errorf("not a peer: starts with %q", preamble)
	}
	kind, content, err := readFrame(r, maxHandshakeBytes)
	if err != nil {
		return hello{}, noEOF(err)
	}
	if kind != frameHello {
		return hello{}, fmt.Errorf("frame of kind %d where a hello is due", kind)
	}
	h, err := decodeHello(content)
	if err != nil {
		return hello{}, err
	}
	w, refusal := p.self.judge(&h)
	if refusal == nil && p.wasRemoved(h.From) {
		refusal = errRemoved
	}
	answer := appendFrame(nil, frameWelcome, w.encode())
	if refusal != nil {
		answer = appendFrame(nil, frameRefusal, []byte(refusal.Error()))
	}
	if _, err := conn.Write(answer); err != nil {
		return hello{}, err
	}
	return h, refusal
}

// enter makes conn the one connection of its origin; an older one is closed, because its other end
// has given it up.
func (p *peers) enter(from origin, conn net.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	if _, gone := slices.BinarySearch(p.removed, from.from); gone {
		return errRemoved // since its welcome
	}
	if old := p.incoming[from]; old != nil {
		_ = old.Close()
	}
	p.incoming[from] = conn
	return nil
}

func (p *peers) leave(from origin, conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.incoming[from] == conn {
		delete(p.incoming, from)
	}
}

// replaced says whether a newer connection took conn's place, or everything is being closed.
func (p *peers) replaced(from origin, conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed || p.incoming[from] != conn
}

// close ends all connections. The loop must have stopped.
func (p *peers) close() {
	for _, each := range p.links {
		each.cancel()
	}
	for _, each := range p.links {
		for _, l := range each.links {
			<-l.ended
		}
	}
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}
