// Receiving: a snapshot is built beside the running state and takes its place when it is durable.
//
// While chunks arrive the node goes on as before. When the last one is in, the node stops applying
// and serving reads, and installs: the manifest first, then the log's marker. A crash in between
// leaves a manifest ahead of the log, which a start understands. Views of the old engine stay
// readable: the new one inherits their pins.
package kv

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

type receiving struct {
	from     raft.MemberID
	index    raft.Index
	term     raft.Term
	receiver *mvcc.Receiver
	// after is the newest ticket of the receivers before this one.
	after      diskio.Ticket
	installing bool
	idle       int // ticks since the last chunk
}

// receiveUnwritten is how many bytes may wait to be written.
const receiveUnwritten = 8 << 20

// installing says whether the engine is about to be replaced.
func (n *Node) installing() bool { return n.receiving != nil && n.receiving.installing }

// receiveOffer begins a transfer, or repeats how far it is.
func (n *Node) receiveOffer(m *raft.Message) {
	r := n.receiving
	if r != nil && r.from == m.From && r.index == m.Index && r.term == m.LogTerm {
		n.sendAck()
		return
	}
	if n.installing() {
		return
	}
	if !n.raft.WantsSnapshot(m.Index, m.LogTerm) {
		n.send(raft.Message{Type: raft.MsgSnapshotAck, To: m.From, Index: m.Index, Reject: true})
		return
	}
	n.abortReceiving()
	receiver, err := n.store.Receive(m.Data)
	if err != nil {
		n.note(Warn, "refused a snapshot", Field{"from", m.From.String()},
			Field{"error", err.Error()})
		n.send(raft.Message{Type: raft.MsgSnapshotAck, To: m.From, Index: m.Index, Reject: true})
		return
	}
	n.receiving = &receiving{from: m.From, index: m.Index, term: m.LogTerm, receiver: receiver,
		after: n.receiverTicket}
	n.sendAck()
}

func (n *Node) sendAck() {
	next, _ := n.receiving.receiver.Next()
	n.send(raft.Message{Type: raft.MsgSnapshotAck, To: n.receiving.from,
		Index: n.receiving.index, LogTerm: n.receiving.term, Hint: raft.Index(next)})
}

// receiveChunk takes the next chunk.
func (n *Node) receiveChunk(m *raft.Message) {
	r := n.receiving
	if r == nil || r.installing || r.from != m.From || r.index != m.Index ||
		r.term != m.LogTerm || r.receiver.Unwritten() > receiveUnwritten {
		return // not wanted, or faster than the disk: the sender repeats it
	}
	ok, err := r.receiver.Chunk(int(m.Hint), m.Data)
	if err != nil {
		n.note(Warn, "a snapshot's chunk is damaged", Field{"from", m.From.String()},
			Field{"error", err.Error()})
		n.send(raft.Message{Type: raft.MsgSnapshotAck, To: m.From, Index: m.Index, Reject: true})
		n.abortReceiving()
		return
	}
	if ok {
		r.idle = 0
	}
	n.sendAck()
}

// abortReceiving forgets an unfinished transfer and its files.
func (n *Node) abortReceiving() {
	if n.receiving == nil {
		return
	}
	before := len(n.out.Disk)
	n.out.Disk = n.receiving.receiver.Abort(n.out.Disk)
	for _, op := range n.out.Disk[before:] {
		n.receiverTicket = max(n.receiverTicket, op.Ticket)
	}
	n.receiving = nil
}

func (n *Node) tickReceiving() {
	r := n.receiving
	if r == nil || r.installing {
		return
	}
	r.idle++
	if r.idle > shipPatience {
		n.abortReceiving()
	}
}

// install moves a complete transfer on: wait for the running checkpoint, write the manifest, take
// the new engine.
func (n *Node) install() {
	r := n.receiving
	if r == nil {
		return
	}
	if !r.installing {
		if _, done := r.receiver.Next(); !done {
			return
		}
		if !n.raft.WantsSnapshot(r.index, r.term) {
			n.abortReceiving() // the log has caught up meanwhile
			return
		}
		if n.store.Checkpointing() || n.apply != nil {
			return
		}
		r.installing = true
		n.dropShipping()
		r.receiver.Install()
	}
	store, loaded, ok := r.receiver.Installed()
	if !ok {
		return
	}
	n.replace(store, loaded)
}

// replace makes the installed engine the node's, and tells raft, whose marker follows.
func (n *Node) replace(store *mvcc.Engine, loaded mvcc.Loaded) {
	r := n.receiving
	state, err := decodeReplicated(loaded.Checkpoint.State)
	if err != nil {
		n.halt(err.Error())
		return
	}
	n.receiving = nil
	n.store, n.state = store, state
	n.applied, n.appliedTerm = r.index, r.term
	n.checkpointBytes, n.checkpointApplied, n.compacted = 0, r.index, r.index
	for _, w := range n.physical {
		n.answer(w.token, ErrDeadline, nil, w.index)
	}
	n.physical = nil
	n.raft.Restore(n.snapshot())
	n.send(raft.Message{Type: raft.MsgSnapshotAck, To: r.from, Index: r.index,
		Round: shipInstalled})
	n.note(Info, "applied snapshot", Field{"from", r.from.String()})
}

// completeReceiving handles the completion of a receiver's operation. Those of a receiver that was
// given up mean nothing any more. A failed operation ends a transfer that is still coming in, and
// stops the node that is installing.
func (n *Node) completeReceiving(c diskio.Completion) error {
	r := n.receiving
	if r == nil || c.Ticket <= r.after {
		return nil
	}
	err := r.receiver.Complete(c)
	if err == nil || r.installing {
		return err
	}
	n.note(Warn, "gave up a snapshot", Field{"from", r.from.String()},
		Field{"error", err.Error()})
	n.abortReceiving()
	return nil
}

// flushReceiving lets the receiver issue what it can.
func (n *Node) flushReceiving() {
	if n.receiving == nil {
		return
	}
	before := len(n.out.Disk)
	n.out.Disk = n.receiving.receiver.Flush(n.out.Disk)
	for _, op := range n.out.Disk[before:] {
		n.receiverTicket = max(n.receiverTicket, op.Ticket)
	}
}
