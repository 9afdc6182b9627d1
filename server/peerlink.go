// A link carries messages one way, to one member over one connection that it dials again and again.
//
// The loop encodes a message straight into the link's buffer, and the link's goroutine writes
// whatever has gathered with one call: what one turn sends to a peer costs one system call. The
// network may lose messages, and so may a link: while it is not connected, and when a slow peer has
// let the buffer fill up. Consensus repeats what matters.
package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/server/metrics"
)

const (
	dialTimeout      = 3 * time.Second
	handshakeTimeout = 5 * time.Second
	peerWriteTimeout = 5 * time.Second
	minBackoff       = 50 * time.Millisecond
	maxBackoff       = time.Second

	// linkBytes bounds what waits for a slow peer.
	linkBytes = 64 << 20
	// keptBytes is the capacity that a drained buffer may keep.
	keptBytes = 1 << 20
	// messageOverhead is more than a message's fixed fields need.
	messageOverhead = 256
)

type link struct {
	log     *zap.Logger
	self    identity
	to      raft.MemberID
	channel channelKind
	wake    chan struct{} // capacity 1: the buffer is not empty any more
	cancel  context.CancelFunc
	ended   chan struct{}
	inbox   *inbox // hears that this member was removed
	seen    *metrics.Peer
	dial    *peerDialer

	mu      sync.Mutex
	up      bool
	buf     []byte
	dropped int // messages, since the last log line
	addrs   []peerAddress
	next    int // index into addrs of the next attempt
}

func startLink(log *zap.Logger, self identity, to raft.MemberID, channel channelKind,
	dial *peerDialer, addrs []peerAddress, in *inbox, seen *metrics.Peer) *link {
	ctx, cancel := context.WithCancel(context.Background())
	l := &link{
		log:     log.With(zap.Stringer("remote-peer-id", to), zap.Stringer("channel", channel)),
		self:    self,
		to:      to,
		channel: channel,
		wake:    make(chan struct{}, 1),
		cancel:  cancel,
		ended:   make(chan struct{}),
		inbox:   in,
		seen:    seen,
		dial:    dial,
		addrs:   addrs,
	}
	go l.run(ctx)
	return l
}

// send queues a message or drops it. It never blocks.
func (l *link) send(m *raft.Message) {
	size := frameHeaderBytes + messageOverhead + len(m.Data)
	for i := range m.Entries {
		size += m.Entries[i].Size()
	}
	l.mu.Lock()
	// A message larger than the bound may go alone: it would never fit otherwise.
	if !l.up || len(l.buf) > 0 && len(l.buf)+size > linkBytes {
		l.dropped++
		l.mu.Unlock()
		l.seen.SendFailed()
		return
	}
	start := len(l.buf)
	l.buf = append(l.buf, make([]byte, frameHeaderBytes)...)
	l.buf = raft.EncodeMessage(l.buf, m)
	sealFrame(l.buf, start, frameMessage)
	l.mu.Unlock()
	if start == 0 {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// run keeps a connection up until it is cancelled. Only changes are logged, not every attempt.
func (l *link) run(ctx context.Context) {
	defer close(l.ended)
	backoff := minBackoff
	said := ""
	for ctx.Err() == nil {
		conn, err := l.connect(ctx)
		if err == nil {
			l.log.Info("established connection with remote peer",
				zap.Stringer("address", conn.RemoteAddr()))
			said, backoff = "", minBackoff
			l.noteUp()
			err = l.carry(ctx, conn)
			_ = conn.Close()
			l.noteDown()
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRemoved) {
			l.tellRemoved()
		}
		if text := err.Error(); text != said {
			l.log.Warn("no connection with remote peer", zap.Error(err),
				zap.Int("dropped-messages", l.takeDropped()))
			said = text
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// noteUp and noteDown tell the metrics of the connection that consensus uses.
func (l *link) noteUp() {
	if l.channel == channelMessages {
		l.seen.Up()
	}
}

func (l *link) noteDown() {
	if l.channel == channelMessages {
		l.seen.Down()
	}
}

// tellRemoved hands the node the news that the other side's refusal is, as the message that its
// node would have sent.
func (l *link) tellRemoved() {
	l.inbox.message(&raft.Message{Type: raft.MsgContact, From: l.to, To: l.self.member,
		Reject: true}, messageOverhead)
}

func (l *link) takeDropped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.dropped
	l.dropped = 0
	return n
}

func (l *link) nextAddr() peerAddress {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := l.addrs[l.next%len(l.addrs)]
	l.next++
	return addr
}

// connect dials the member's next address and shakes hands.
func (l *link) connect(ctx context.Context) (net.Conn, error) {
	to := l.nextAddr()
	conn, err := l.dial.dial(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := l.greet(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("handshake with %s: %w", to.host, err)
	}
	return conn, nil
}

func (l *link) greet(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	h := l.self.hello(l.to, l.channel)
	greeting := appendFrame([]byte(framePreamble), frameHello, h.encode())
	if _, err := conn.Write(greeting); err != nil {
		return err
	}
	kind, content, err := readFrame(bufio.NewReader(conn), maxHandshakeBytes)
	if err != nil {
		return err
	}
	switch kind {
	case frameWelcome:
		w, err := decodeWelcome(content)
		if err != nil {
			return err
		}
		if err := h.check(&w); err != nil {
			return err
		}
		return conn.SetDeadline(time.Time{})
	case frameRefusal:
		if string(content) == errRemoved.Error() {
			return errRemoved
		}
		return fmt.Errorf("refused: %q", content)
	}
	return fmt.Errorf("unexpected frame of kind %d", kind)
}

// carry writes what is sent until the connection breaks.
func (l *link) carry(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	gone := make(chan error, 1)
	go func() { gone <- awaitEnd(conn) }()
	defer func() {
		_ = conn.Close()
		l.mu.Lock()
		l.up, l.buf = false, nil
		l.mu.Unlock()
	}()
	l.mu.Lock()
	l.up = true
	l.mu.Unlock()
	var spare []byte
	for {
		select {
		case <-l.wake:
		case err := <-gone:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
		full := l.buf
		l.buf = spare[:0]
		l.mu.Unlock()
		if len(full) == 0 {
			continue
		}
		if err := conn.SetWriteDeadline(time.Now().Add(peerWriteTimeout)); err != nil {
			return err
		}
		n, err := conn.Write(full)
		l.seen.SentBytes(n)
		if err != nil {
			l.seen.SendFailed()
			return err
		}
		spare = full
		if cap(spare) > keptBytes {
			spare = nil
		}
	}
}

// awaitEnd returns when the other side closes. It never says anything after the handshake.
func awaitEnd(conn net.Conn) error {
	var one [1]byte
	n, err := conn.Read(one[:])
	if n > 0 {
		return errors.New("unexpected bytes from a peer that only listens")
	}
	return err
}
