// One port, several protocols: a connection's first bytes say which one it speaks.
//
// The bytes that were looked at are handed on in front of the connection; afterwards the connection
// is read without any layer but one comparison. A connection that sends nothing is closed after a
// while, and how many may be undecided at a time is bounded, so that silence costs nothing.
package server

import (
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
	sniffBytes    = 3
	sniffTimeout  = 10 * time.Second
	maxUndecided  = 4096
	acceptRetry   = 5 * time.Millisecond
	acceptRetries = 8
)

// route says where connections go that start with prefix; the empty prefix takes the rest.
type route struct {
	prefix string
	to     *handedListener
}

// splitter accepts connections and hands each to the listener of its protocol.
type splitter struct {
	log      *zap.Logger
	listener net.Listener
	routes   []route
	slots    chan struct{}

	mu        sync.Mutex
	undecided map[net.Conn]struct{}
	closed    bool
	running   sync.WaitGroup
}

func newSplitter(log *zap.Logger, l net.Listener, routes ...route) *splitter {
	return &splitter{
		log:       log,
		listener:  l,
		routes:    routes,
		slots:     make(chan struct{}, maxUndecided),
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

// decide reads the first bytes and hands the connection on.
func (s *splitter) decide(conn net.Conn) {
	defer s.running.Done()
	first, err := sniff(conn)
	s.mu.Lock()
	delete(s.undecided, conn)
	s.mu.Unlock()
	<-s.slots
	if err != nil {
		_ = conn.Close()
		return
	}
	for _, r := range s.routes {
		if string(first[:len(r.prefix)]) == r.prefix {
			r.to.hand(&sniffedConn{Conn: conn, first: first})
			return
		}
	}
	_ = conn.Close()
}

func sniff(conn net.Conn) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(sniffTimeout)); err != nil {
		return nil, err
	}
	first := make([]byte, sniffBytes)
	if _, err := io.ReadFull(conn, first); err != nil {
		return nil, err
	}
	return first, conn.SetReadDeadline(time.Time{})
}

// close stops accepting and drops what is undecided.
func (s *splitter) close() {
	_ = s.listener.Close()
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
