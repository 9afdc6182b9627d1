// Space: a disk that runs full stops nobody at once. A node keeps a reserve, refuses what would
// grow the store while there is still more than that, and lives on the reserve when the disk
// refuses a write:
//
//	reserve file   one data segment, claimed; given up when the engine is refused: room for
//	               deletes, copies of reclaim, and the checkpoints that give files back
//	prepared log   two segments, claimed; appends need no more, and wait when they are used up
//	margin         what is left above both while the node counts as low on space
//
// What the disk refused is tried again when it may have room: when InputSpace says so, when a file
// was removed, and every retryTicks. Meanwhile changes wait in memory, up to UnwrittenBytes; then
// apply waits. Reads go on. A node that is low on space refuses its own clients at once, and raises
// the alarm that stops those of the others.
package kv

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
)

const (
	// reserveFile is the name of the reserve. Its content means nothing; losing it to a crash costs
	// nothing.
	reserveFile = "reserve"
	// retryTicks is how long the node waits before it asks a full disk again.
	retryTicks = 64
)

// space is what a node knows of the room on its disk.
type space struct {
	// free is what was left as of the last InputSpace, in bytes; known says that there was one.
	free  int64
	known bool
	// low: what grows the store is refused.
	low     bool
	reserve reserveState
	ticket  diskio.Ticket // of the newest operation on the reserve
	waited  int           // ticks since the disk was last asked again
	wary    int           // ticks for which space still counts as low after a refusal
}

// reserveState says where the reserve file is.
type reserveState uint8

const (
	reserveMissing reserveState = iota // it was never claimed, or is not known to be
	reserveClaiming
	reserveHeld
	reserveLeaving
	reserveSpent // given up because the disk was full
)

// findReserve looks whether an earlier start has left the reserve.
func (n *Node) findReserve() {
	size, err := n.disk.Size(reserveFile)
	if err == nil && size == n.cfg.Limits.DataSegmentBytes {
		n.space.reserve = reserveHeld
	}
}

// margin is how much room is the least with which puts are taken: what is under way when they are
// refused still has to fit.
func (l *Limits) margin() int64 { return l.LogSegmentBytes + l.DataSegmentBytes + l.UnwrittenBytes }

// spaceLeft takes the world's word on how much room there is.
func (n *Node) spaceLeft(free int64) {
	s := &n.space
	s.free, s.known = free, true
	if !n.short() {
		s.wary = 0
		if s.reserve == reserveSpent {
			s.reserve = reserveMissing
		}
		if n.refused() {
			n.retrySpace()
		}
	}
	n.judgeSpace()
}

// short says whether the room that is left is known to be less than the margin.
func (n *Node) short() bool { return n.space.known && n.space.free < n.cfg.Limits.margin() }

// LowOnSpace says whether the node refuses what would grow the store.
func (n *Node) LowOnSpace() bool { return n.space.low }

// refused says whether something waits for room.
func (n *Node) refused() bool {
	return n.store.Full() || n.log.Starved() || n.receiving != nil && n.receiving.receiver.Full()
}

// retrySpace lets everyone who was refused try again.
func (n *Node) retrySpace() {
	n.space.waited = 0
	n.store.Retry()
	n.log.Retry()
	if n.receiving != nil {
		n.receiving.receiver.Retry()
	}
}

// tickSpace asks the disk again now and then, for what was refused and for the reserve.
func (n *Node) tickSpace() {
	s := &n.space
	s.waited++
	s.wary = max(s.wary-1, 0)
	if s.waited >= retryTicks {
		if n.refused() {
			n.retrySpace()
		} else if s.reserve == reserveSpent && !n.short() {
			s.waited, s.reserve = 0, reserveMissing
		}
	}
	if s.reserve == reserveMissing && n.phase == running && !n.short() && !n.refused() {
		s.reserve = reserveClaiming
		n.reserveOp(diskio.Op{Kind: diskio.Allocate, Length: n.cfg.Limits.DataSegmentBytes})
	}
	n.judgeSpace()
}

func (n *Node) reserveOp(op diskio.Op) {
	n.space.ticket++
	op.Ticket, op.Lane, op.File = ticketReserve+n.space.ticket, diskio.LaneBulk, reserveFile
	n.out.Disk = append(n.out.Disk, op)
}

// noticeFull gives the reserve up when the disk refuses the engine something.
func (n *Node) noticeFull(c *diskio.Completion) {
	s := &n.space
	if c.Status != diskio.NoSpace {
		return
	}
	s.wary = 2 * retryTicks
	if c.Ticket&ticketSpace != ticketStore || s.reserve != reserveHeld {
		return
	}
	s.reserve = reserveLeaving
	n.probes[ProbeReserveSpent]++
	n.note(Warn, "the disk is full; living on the reserve", Field{"file", c.File})
	n.reserveOp(diskio.Op{Kind: diskio.Remove})
}

// reserveDone handles the completion of an operation on the reserve.
func (n *Node) reserveDone(c diskio.Completion) error {
	s := &n.space
	switch {
	case c.Status == diskio.NoSpace && c.Kind == diskio.Allocate:
		s.reserve, s.waited = reserveSpent, 0
	case c.Status != diskio.OK:
		return fmt.Errorf("kv: %s %s (%s): %w", c.Kind, c.File, c.Detail, c.Status.Err())
	case s.reserve == reserveClaiming:
		s.reserve = reserveHeld
	case s.reserve == reserveLeaving:
		s.reserve = reserveSpent
		n.retrySpace()
	default:
		panic(fmt.Sprintf("kv: %s of the reserve completed in state %d", c.Kind, s.reserve))
	}
	return nil
}

// judgeSpace notices when space becomes short, and when it is back.
func (n *Node) judgeSpace() {
	s := &n.space
	low := n.short() || n.refused() || s.wary > 0 || s.reserve == reserveLeaving ||
		s.reserve == reserveSpent
	if low == s.low {
		return
	}
	s.low = low
	if low {
		n.probes[ProbeSpaceLow]++
	}
	free := "unknown"
	if s.known {
		free = fmt.Sprint(s.free)
	}
	if low {
		n.note(Warn, "the disk is almost full; puts are refused", Field{"free-bytes", free})
		return
	}
	n.note(Info, "the disk has room again", Field{"free-bytes", free})
}
