// Shipping: a member whose entries are gone from the log gets the newest checkpoint instead.
//
// The sender pins the checkpoint and offers it; the receiver answers each message with the number
// of the chunk it expects next, so a lost message is repaired by going back to that number. A few
// chunks are in flight at a time. A receiver that has everything goes on answering while it writes
// and installs. Without a sign of life for shipPatience the transfer is given up, the pins go, and
// raft is told, so that it tries again.
//
// The log is kept from the shipped index until the receiver follows, or the next thing it would be
// sent is another snapshot.
//
//	sender                         receiver
//	Offer(index, term, header) ->
//	                           <-  Ack(index, Hint 0)
//	Chunk(index, Hint 0)       ->
//	Chunk(index, Hint 1)       ->
//	                           <-  Ack(index, Hint 1)   ...
//	                           <-  Ack(index, Round shipInstalled)
package kv

import (
	"slices"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

const (
	// shipWindow is the number of chunks in flight.
	shipWindow = 4
	// shipPatience is how many election timeouts a transfer may go without a sign of life.
	shipPatience = 20
	// shipInstalled, in an acknowledgement's Round, says that the state is installed.
	shipInstalled = 1
)

// shipping is one snapshot on its way to one member.
type shipping struct {
	to       raft.MemberID
	index    raft.Index
	term     raft.Term
	header   []byte
	shipment *mvcc.Shipment
	accepted bool // the receiver answered the offer
	next     int  // the chunk the receiver expects
	sent     int  // chunks sent, from 0; next <= sent <= next+shipWindow
	idle     int  // ticks since the last sign of life
	// installed says that the transfer is over; only the log is still kept for the receiver.
	installed bool
}

// shipPatience is how many ticks a transfer may go without a sign of life.
func (n *Node) shipPatience() int { return shipPatience * n.cfg.ElectionTicks }

// shipResend is the number of ticks after which either side repeats itself.
func (n *Node) shipResend() int { return max(1, n.cfg.ElectionTicks/2) }

// ship starts a transfer to a member that raft cannot serve from the log.
func (n *Node) ship(to raft.MemberID) {
	for i := range n.shipping {
		if n.shipping[i].to == to {
			n.unpin(i)
			break
		}
	}
	shipment, ok := n.store.Ship()
	if !ok {
		n.raft.SnapshotSent(to, 0)
		return
	}
	applied, term, header := shipment.Offer()
	n.shipping = append(n.shipping, shipping{to: to, index: raft.Index(applied),
		term: raft.Term(term), header: header, shipment: shipment})
	n.note(Info, "sending a snapshot", Field{"to", to.String()})
	n.counters.transfer(to).SendingNow = 1
	n.sendOffer(&n.shipping[len(n.shipping)-1])
}

func (n *Node) sendOffer(s *shipping) {
	n.send(raft.Message{Type: raft.MsgSnapshotOffer, To: s.to, Index: s.index, LogTerm: s.term,
		Data: s.header})
}

// send fills in what every message of this member carries.
func (n *Node) send(m raft.Message) {
	m.From, m.FromIncarnation, m.Term = n.cfg.Member, n.incarnation, n.term
	n.out.Sends = append(n.out.Sends, m)
}

// sendChunks fills the window.
func (n *Node) sendChunks(s *shipping) {
	for s.sent < s.next+shipWindow {
		data, ok, err := n.store.Chunk(s.shipment, s.sent)
		if err != nil {
			n.halt(err.Error())
			return
		}
		if !ok {
			return
		}
		n.send(raft.Message{Type: raft.MsgSnapshotChunk, To: s.to, Index: s.index,
			LogTerm: s.term, Hint: raft.Index(s.sent), Data: data})
		s.sent++
	}
}

// shipAck takes the receiver's word on how far it is.
func (n *Node) shipAck(m *raft.Message) {
	if m.ToIncarnation != n.incarnation {
		return
	}
	for i := range n.shipping {
		s := &n.shipping[i]
		if s.to != m.From || s.installed {
			continue
		}
		same := s.index == m.Index && s.term == m.LogTerm
		switch {
		case m.Round == shipInstalled:
			n.endShip(i, m.Index) // of an earlier transfer, perhaps: it follows all the same
		case !same:
		case m.Reject:
			n.endShip(i, 0)
		default:
			s.idle, s.accepted = 0, true
			s.next = max(s.next, int(m.Hint))
			s.sent = max(s.sent, s.next)
			n.sendChunks(s)
		}
		return
	}
}

// endShip ends transfer i, which was installed at an index or failed (0), and tells raft.
func (n *Node) endShip(i int, installed raft.Index) {
	s := &n.shipping[i]
	to := s.to
	count := n.counters.transfer(to)
	if count.SendingNow = 0; installed == 0 {
		count.SendFailed++
		n.unpin(i)
	} else {
		count.Sent++
		n.store.EndShip(s.shipment)
		s.shipment, s.installed, s.idle = nil, true, 0
		s.index = installed
	}
	n.raft.SnapshotSent(to, installed)
}

// unpin forgets transfer i and all that is kept for it.
func (n *Node) unpin(i int) {
	if s := &n.shipping[i]; s.shipment != nil {
		n.store.EndShip(s.shipment)
	}
	n.shipping = slices.Delete(n.shipping, i, i+1)
}

// tickShipping repeats what may be lost and gives up what shows no life, or what this member is no
// longer the leader for.
func (n *Node) tickShipping() {
	_, older := n.store.Durable()
	for i := 0; i < len(n.shipping); {
		s := &n.shipping[i]
		s.idle++
		if s.installed {
			p, ok := n.raft.Progress(s.to)
			if !ok || p.Match >= raft.Index(older) || s.idle > n.shipPatience() {
				n.unpin(i)
				continue
			}
			i++
			continue
		}
		if s.idle > n.shipPatience() || n.role != raft.Leader {
			if n.role == raft.Leader {
				n.probes[ProbeShipGaveUp]++
			} else {
				n.probes[ProbeShipLostLead]++
			}
			n.endShip(i, 0)
			continue
		}
		if s.idle%n.shipResend() == 0 {
			if s.accepted {
				s.sent = s.next
				n.sendChunks(s)
			} else {
				n.sendOffer(s)
			}
		}
		i++
	}
}

// dropShipping gives up all transfers: the engine that they pin is replaced.
func (n *Node) dropShipping() {
	for len(n.shipping) > 0 {
		if n.shipping[0].installed {
			n.unpin(0)
		} else {
			n.endShip(0, 0)
		}
	}
}
