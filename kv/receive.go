// Receiving: a snapshot is built beside the running state and takes its place when it is durable.
//
// While chunks arrive the node goes on as before. When the last one is in, the node stops applying
// and serving reads, and installs: the manifest first, then the log's marker. A crash in between
// leaves a manifest ahead of the log, which a start understands. Views of the old engine stay
// readable: the new one inherits their pins.
package kv

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

type receiving struct {
	from        raft.MemberID
	incarnation raft.Incarnation // the sender's
	index       raft.Index
	term        raft.Term
	receiver    *mvcc.Receiver
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
	switch {
	case r != nil && r.is(m):
		n.probes[ProbeOfferRepeated]++
		n.sendAck()
		return
	case r != nil && (r.installing || n.leader != 0 && n.leader != m.From):
		return // another transfer runs, and this one is not the leader's
	case !n.raft.WantsSnapshot(m.Index, m.LogTerm):
		n.replySnapshot(m, raft.Message{Round: shipInstalled})
		return
	}
	n.noteOffer(m)
	n.abortReceiving()
	receiver, err := n.store.Receive(m.Data)
	if err != nil {
		n.note(Warn, "refused a snapshot", Field{"from", m.From.String()},
			Field{"error", err.Error()})
		n.replySnapshot(m, raft.Message{Reject: true})
		return
	}
	n.counters.transfer(m.From).ReceivingNow = 1
	n.receiving = &receiving{from: m.From, incarnation: m.FromIncarnation, index: m.Index,
		term: m.LogTerm, receiver: receiver, after: n.receiverTicket}
	n.sendAck()
}

// is says whether a message belongs to this transfer.
func (r *receiving) is(m *raft.Message) bool {
	return r.from == m.From && r.incarnation == m.FromIncarnation && r.index == m.Index &&
		r.term == m.LogTerm
}

// replySnapshot answers an offer or a chunk.
func (n *Node) replySnapshot(m *raft.Message, reply raft.Message) {
	reply.Type, reply.To, reply.ToIncarnation = raft.MsgSnapshotAck, m.From, m.FromIncarnation
	reply.Index, reply.LogTerm = m.Index, m.LogTerm
	n.send(reply)
}

// tell sends the running transfer's sender a word.
func (n *Node) tell(reply raft.Message) {
	r := n.receiving
	n.replySnapshot(&raft.Message{From: r.from, FromIncarnation: r.incarnation, Index: r.index,
		LogTerm: r.term}, reply)
}

func (n *Node) sendAck() {
	next, _ := n.receiving.receiver.Next()
	n.tell(raft.Message{Hint: raft.Index(next)})
}

// receiveChunk takes the next chunk. Whoever sends one of a transfer that does not run here is
// told so, or it would wait in vain.
func (n *Node) receiveChunk(m *raft.Message) {
	r := n.receiving
	switch {
	case r == nil || !r.is(m):
		n.probes[ProbeChunkStray]++
		if n.applied >= m.Index {
			n.replySnapshot(m, raft.Message{Round: shipInstalled})
		} else {
			n.replySnapshot(m, raft.Message{Reject: true})
		}
		return
	case r.installing || r.receiver.Unwritten() > receiveUnwritten:
		return // faster than the disk: the sender repeats it
	}
	ok, err := r.receiver.Chunk(int(m.Hint), m.Data)
	if err != nil {
		n.note(Warn, "a snapshot's chunk is damaged", Field{"from", m.From.String()},
			Field{"error", err.Error()})
		n.abortReceiving()
		return
	}
	if ok {
		r.idle = 0
	} else {
		n.probes[ProbeChunkRepeated]++
	}
	n.sendAck()
}

// abortReceiving forgets an unfinished transfer and its files, and tells its sender.
func (n *Node) abortReceiving() {
	if n.receiving == nil {
		return
	}
	count := n.counters.transfer(n.receiving.from)
	count.ReceivingNow, count.ReceiveFailed = 0, count.ReceiveFailed+1
	n.tell(raft.Message{Reject: true})
	before := len(n.out.Disk)
	n.out.Disk = n.receiving.receiver.Abort(n.out.Disk)
	for _, op := range n.out.Disk[before:] {
		n.receiverTicket = max(n.receiverTicket, op.Ticket)
	}
	n.receiving = nil
}

// tickReceiving gives up a transfer of which nothing comes any more, and lets the sender of a
// complete one know that it is being written and installed.
func (n *Node) tickReceiving() {
	r := n.receiving
	if r == nil {
		return
	}
	r.idle++
	if _, done := r.receiver.Next(); done {
		if r.idle%n.shipResend() == 0 {
			n.sendAck()
		}
		return
	}
	if r.idle > n.shipPatience() {
		n.probes[ProbeReceiverGaveUp]++
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
			n.probes[ProbeInstallNeedless]++
			n.abortReceiving() // the log has caught up meanwhile
			return
		}
		if n.store.Checkpointing() || n.apply != nil {
			n.probes[ProbeInstallWaits]++
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
	if raft.Index(loaded.Checkpoint.Applied) != r.index ||
		raft.Term(loaded.Checkpoint.Term) != r.term {
		n.halt(fmt.Sprintf("the snapshot offered as index %d of term %d holds index %d of term %d",
			r.index, r.term, loaded.Checkpoint.Applied, loaded.Checkpoint.Term))
		return
	}
	n.tell(raft.Message{Round: shipInstalled})
	count := n.counters.transfer(r.from)
	count.ReceivingNow, count.Received = 0, count.Received+1
	n.counters.Installs++
	n.receiving = nil
	n.noteReplaced()
	store.CountOn(n.store)
	n.store, n.state = store, state
	n.views.fresh = false // the turn's view, if there is one, is of the engine before
	n.tokens.forgetAll()  // which of them are still good is not known
	n.applied, n.appliedTerm = r.index, r.term
	n.storedVersion = atLeastFirst(state.version)
	n.checkpointVersion = n.storedVersion
	n.checkpointBytes, n.checkpointApplied, n.compacted = 0, r.index, r.index
	for _, w := range n.physical {
		n.answer(w.token, ErrTimeout, nil, w.index)
	}
	n.physical = nil
	n.raft.Restore(n.snapshot())
	n.endCovered()
	n.advanceWatches()
	n.note(Info, "applied snapshot", Field{"from", r.from.String()})
	n.checkRelease()
}

// completeReceiving handles the completion of a receiver's operation. Those of a receiver that was
// given up mean nothing any more. A full disk ends a transfer that is still coming in; a device
// error stops the node.
func (n *Node) completeReceiving(c diskio.Completion) error {
	if c.Status == diskio.Failed { // whoever's it is: the disk cannot be relied on
		return fmt.Errorf("kv: receive: %s %s (%s): %w", c.Kind, c.File, c.Detail, c.Status.Err())
	}
	r := n.receiving
	if r == nil || c.Ticket <= r.after {
		return nil
	}
	err := r.receiver.Complete(c)
	if err == nil || r.installing {
		return err
	}
	n.probes[ProbeReceiverDiskFull]++
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
