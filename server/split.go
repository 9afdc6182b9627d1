// One port, several protocols: a connection's first bytes, or its TLS handshake (secure.go), say
// which one it speaks.
//
// The bytes that were looked at are handed on in front of the connection; afterwards the connection
// is read without any layer but one comparison. A connection that does not decide is closed after a
// while, and how many may be undecided at a time is bounded, so that silence costs nothing.
package server

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// sniffBytes tell all protocols apart: "PRI" opens HTTP/2, framePreamble our peers, and a
	// word of letters everything else that HTTP/1 may be.
	sniffBytes = 3
	// decideTimeout bounds the first bytes, or a whole TLS handshake with its checks.
	decideTimeout = 10 * time.Second
	maxUndecided  = 4096
	acceptRetry   = 5 * time.Millisecond
	acceptRetries = 8
)

// decider finds out what a connection speaks: which listener it goes to, and as what. It returns
// when the context ends or the connection's deadline passes.
type decider interface {
	decide(ctx context.Context, conn net.Conn) (*handedListener, net.Conn, error)
}

// route says where connections go that start with prefix; the empty prefix takes the rest.
type route struct {
	prefix string
	to     *handedListener
}

// routes decide by the first bytes of a connection without TLS.
type routes []route

// errUnknownProtocol ends a connection that no route takes.
var errUnknownProtocol = errors.New("unknown protocol")

func (r routes) decide(_ context.Context, conn net.Conn) (*handedListener, net.Conn, error) {
	first := make([]byte, sniffBytes)
	if _, err := io.ReadFull(conn, first); err != nil {
		return nil, nil, err
	}
	for _, each := range r {
		if string(first[:len(each.prefix)]) == each.prefix {
			return each.to, &sniffedConn{Conn: conn, first: first}, nil
		}
	}
	return nil, nil, errUnknownProtocol
}

// splitter accepts connections and hands each to the listener of its protocol.
type splitter struct {
	log      *zap.Logger
	listener net.Listener
	protocol decider
	slots    chan struct{}
	over     context.Context
	end      context.CancelFunc

	mu        sync.Mutex
	undecided map[net.Conn]struct{}
	closed    bool
	running   sync.WaitGroup
}

func newSplitter(log *zap.Logger, l net.Listener, protocol decider) *splitter {
	over, end := context.WithCancel(context.Background())
	return &splitter{
		log:       log,
		listener:  l,
		protocol:  protocol,
		slots:     make(chan struct{}, maxUndecided),
		over:      over,
		end:       end,
		undecided: map[net.Conn]struct{}{},
	}
}

// serve accepts until the listener is closed.
func (s *splitter) serve() {
	failures := 0
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: wait for connections to end.
			s.log.Warn("failed to accept a connection", zap.Error(err))
			failures = min(failures+1, acceptRetries)
			time.Sleep(acceptRetry << failures)
			continue
		}
		failures = 0
		s.slots <- struct{}{}
		if !s.enter(conn) {
			<-s.slots
			_ = conn.Close()
			return
		}
		go s.decide(conn)
	}
}

// enter notes a connection whose protocol is not known yet.
func (s *splitter) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.undecided[conn] = struct{}{}
	s.running.Add(1)
	return true
}

// decide finds out what the connection speaks and hands it on.
func (s *splitter) decide(conn net.Conn) {
	defer s.running.Done()
	to, ready, err := s.protocolOf(conn)
	s.mu.Lock()
	delete(s.undecided, conn)
	s.mu.Unlock()
	<-s.slots
	if err != nil {
		_ = conn.Close()
		return
	}
	to.hand(ready)
}

func (s *splitter) protocolOf(conn net.Conn) (*handedListener, net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.over, decideTimeout)
	defer cancel()
	if err := conn.SetDeadline(time.Now().Add(decideTimeout)); err != nil {
		return nil, nil, err
	}
	to, ready, err := s.protocol.decide(ctx, conn)
	if err != nil {
		return nil, nil, err
	}
	return to, ready, conn.SetDeadline(time.Time{})
}

// close stops accepting and drops what is undecided.
func (s *splitter) close() {
	_ = s.listener.Close()
	s.end()
	s.mu.Lock()
	s.closed = true
	for conn := range s.undecided {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// sniffedConn is a connection with the bytes that were read from it in front.
type sniffedConn struct {
	net.Conn
	first []byte
}

func (c *sniffedConn) Read(p []byte) (int, error) {
	if c.first != nil && len(p) > 0 {
		n := copy(p, c.first)
		if c.first = c.first[n:]; len(c.first) == 0 {
			c.first = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// handedListener is a net.Listener whose connections somebody else accepted.
type handedListener struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandedListener(addr net.Addr) *handedListener {
	return &handedListener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *handedListener) hand(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.done:
		_ = conn.Close()
	}
}

// Accept waits for the next connection of this protocol.
func (l *handedListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; connections handed in later are closed.
func (l *handedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is the address of the shared port.
func (l *handedListener) Addr() net.Addr { return l.addr }
