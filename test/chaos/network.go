package main

// The network between the members, and between clients and members. Each member listens on a port
// that nobody else is told; what it advertises is a proxy of this process, so that all bytes pass
// here and can be held, delayed and torn.
//
//	n1 dials n2     n1 --- proxy of n2 --- n2      two routes: 1 to 2, and 2 to 1
//	1 to 2 is cut   n1 --| proxy of n2 <-- n2      what n1 sends is held, answers arrive
//
// A cut behaves like a network that loses everything and a system that sends it again: connections
// stay, and so does what was written to them, the end of a stream included. When the cut heals,
// they go on where they stood or are reset. One thing differs: a connection is always accepted,
// since the proxy is not the one who was meant; then nothing is heard from it.

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// party is who sends or receives: a member by its index, or all clients.
type party int

const clientParty party = -1

// route is a direction between two parties.
type route struct{ from, to party }

// condition is how a route is. The zero value is a good network.
type condition struct {
	cut           bool
	delay, jitter time.Duration // each piece of a stream takes delay to delay+jitter
}

// traffic counts what the faults did to the bytes.
type traffic struct {
	held, delayed int64 // bytes
	torn          int64 // connections reset in the middle of what was sent
}

// network is all proxies and how they are to behave.
type network struct {
	mu         sync.Mutex
	random     *rand.Rand
	conditions map[route]condition
	changed    chan struct{} // closed when the conditions change
	conns      map[*connection]bool
	listeners  []net.Listener
	traffic    traffic
	// processes is who may dial a member.
	processes map[party]int
}

func newNetwork(seed uint64) *network {
	return &network{
		random:     rand.New(rand.NewPCG(seed, 3<<32)),
		conditions: map[route]condition{},
		changed:    make(chan struct{}),
		conns:      map[*connection]bool{},
		processes:  map[party]int{},
	}
}

// proxy listens for connections to a party and returns its address. Who dials is asked of each
// connection.
func (n *network) proxy(
	to party, target string, dialer func(*net.TCPConn) (party, error),
) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("proxy: %w", err)
	}
	n.mu.Lock()
	n.listeners = append(n.listeners, l)
	n.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go n.serve(conn.(*net.TCPConn), to, target, dialer)
		}
	}()
	return l.Addr().String(), nil
}

// serve carries the bytes of one connection until it ends.
func (n *network) serve(
	near *net.TCPConn, to party, target string, dialer func(*net.TCPConn) (party, error),
) {
	from, err := dialer(near)
	if err != nil {
		reset(near) // nobody is left to mind
		return
	}
	far, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		reset(near) // as from a machine whose port is closed
		return
	}
	c := &connection{network: n, near: near, far: far.(*net.TCPConn), ended: make(chan struct{}),
		out: route{from, to}, back: route{to, from}}
	n.mu.Lock()
	n.conns[c] = true
	n.mu.Unlock()
	c.run()
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
}

// dialedByMember finds out which member dialed.
func (n *network) dialedByMember(conn *net.TCPConn) (party, error) {
	n.mu.Lock()
	processes := make(map[party]int, len(n.processes))
	for who, pid := range n.processes {
		processes[who] = pid
	}
	n.mu.Unlock()
	return ownerOf(conn, processes)
}

func dialedByClient(*net.TCPConn) (party, error) { return clientParty, nil }

// runs tells that a party is a process from now on.
func (n *network) runs(who party, pid int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.processes[who] = pid
}

// set changes the condition of routes.
func (n *network) set(to condition, routes ...route) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range routes {
		n.conditions[r] = to
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// heal ends all faults; connections that a cut has held go on.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.tearing.Store(false)
	}
	clear(n.conditions)
	close(n.changed)
	n.changed = make(chan struct{})
}

// resetHeld ends the connections that cross a cut, as a system does that has sent again in vain.
func (n *network) resetHeld() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if n.conditions[c.out].cut || n.conditions[c.back].cut {
			c.reset()
		}
	}
}

// tear lets every connection on these routes be reset in the middle of what is sent next.
func (n *network) tear(routes ...route) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		for _, r := range routes {
			if c.out == r || c.back == r {
				c.tearing.Store(true)
			}
		}
	}
}

// due says when a piece that is read now from a stream may arrive, but for a cut.
func (n *network) due(r route, size int) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.conditions[r]
	if c.cut {
		n.traffic.held += int64(size)
	}
	if c.delay == 0 {
		return time.Now()
	}
	n.traffic.delayed += int64(size)
	return time.Now().Add(c.delay + time.Duration(n.random.Int64N(int64(c.jitter)+1)))
}

// look returns whether a route is cut, and what tells of the next change.
func (n *network) look(r route) (cut bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conditions[r].cut, n.changed
}

// tore counts a torn connection.
func (n *network) tore() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.traffic.torn++
}

func (n *network) soFar() traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.traffic
}

// close ends everything.
func (n *network) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, l := range n.listeners {
		errs = append(errs, l.Close())
	}
	for c := range n.conns {
		c.reset()
	}
	return errors.Join(errs...)
}

// between lists the routes between a party and others, in both directions.
func between(one party, others ...party) (all []route) {
	return append(outOf(one, others...), into(one, others...)...)
}

// outOf lists the routes on which a party sends to others.
func outOf(one party, others ...party) (all []route) {
	for _, other := range others {
		if other != one {
			all = append(all, route{one, other})
		}
	}
	return all
}

// into lists the routes on which a party hears others.
func into(one party, others ...party) (all []route) {
	for _, other := range others {
		if other != one {
			all = append(all, route{other, one})
		}
	}
	return all
}
