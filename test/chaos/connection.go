package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pieceBytes = 16 << 10
	// pieces may wait in a stream. A sender who goes on has to wait, as with a full socket.
	pieces = 256
)

// piece is what was read at once, or the end of the stream.
type piece struct {
	data []byte
	due  time.Time // not to be delivered before
	end  error     // why nothing follows
}

// connection is one that a proxy has accepted, and the one that it has made for it.
type connection struct {
	network   *network
	near, far *net.TCPConn // the dialer's side and the listener's
	out, back route
	tearing   atomic.Bool // the next piece is broken off, and the connection reset

	once  sync.Once
	ended chan struct{}
}

// run carries both directions, and returns when both have ended.
func (c *connection) run() {
	var both sync.WaitGroup
	both.Go(func() { c.carry(c.out, c.near, c.far) })
	both.Go(func() { c.carry(c.back, c.far, c.near) })
	both.Wait()
	c.once.Do(func() { // nothing is under way any more
		close(c.ended)
		_, _ = c.near.Close(), c.far.Close()
	})
}

// carry moves one direction, in order.
func (c *connection) carry(r route, from, to *net.TCPConn) {
	stream := make(chan piece, pieces)
	go c.read(r, from, stream)
	gone := false // nobody receives any more: it is for the other direction to say so
	for {
		var p piece
		select {
		case p = <-stream:
		case <-c.ended:
			return
		}
		if !c.pass(r, &p) {
			return
		}
		if p.end != nil {
			if p.end == errStreamEnd {
				_ = to.CloseWrite() // fails if the other side is gone
			} else {
				c.reset()
			}
			return
		}
		if c.tearing.Load() {
			_, _ = to.Write(p.data[:len(p.data)/2]) // it is reset anyway
			c.network.tore()
			c.reset()
			return
		}
		if !gone {
			_, err := to.Write(p.data)
			gone = err != nil
		}
	}
}

// errStreamEnd is an orderly end.
var errStreamEnd = errors.New("the stream has ended")

// read takes what comes, and when it came.
func (c *connection) read(r route, from *net.TCPConn, stream chan<- piece) {
	for buf := make([]byte, pieceBytes); ; {
		var p piece
		n, err := from.Read(buf)
		p.data = append(p.data, buf[:n]...)
		if n == 0 && err != nil {
			p.end = err
			if errors.Is(err, io.EOF) {
				p.end = errStreamEnd
			}
		}
		p.due = c.network.due(r, n)
		select {
		case stream <- p:
		case <-c.ended:
			return
		}
		if p.end != nil {
			return
		}
	}
}

// pass waits until a piece may be delivered. It returns false if the connection ends before.
func (c *connection) pass(r route, p *piece) bool {
	for {
		cut, changed := c.network.look(r)
		wait := time.Until(p.due)
		switch {
		case cut:
			select {
			case <-changed:
			case <-c.ended:
				return false
			}
		case wait <= 0:
			return true
		default:
			select {
			case <-time.After(wait):
			case <-c.ended:
				return false
			}
		}
	}
}

// reset ends the connection at once for both sides; what is under way is lost.
func (c *connection) reset() {
	c.once.Do(func() {
		close(c.ended)
		reset(c.near)
		reset(c.far)
	})
}

// reset closes a socket so that its other end is told of a reset. It may be closed already.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
