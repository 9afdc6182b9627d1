package revlog

// What leaves the log as operations and comes back as completions. Each concern (write-behind,
// checkpoint, reclaim, removal) has at most one operation in flight; they share a lane, so the
// order of submission is the order of effect. After the first failure nothing is issued any more.
//
// A full disk is no failure. Nothing of a refused write may be assumed to have happened, so it is
// written again when there may be space: after Retry, or when a file was removed. Until then only
// removals are issued. A sync is never repeated.

import (
	"fmt"
	"slices"

	"github.com/detcd/detcd/diskio"
)

// Flush appends the operations (diskio.LaneEngine) that can be issued now: write-behind in steps
// of StepBytes, reclaim copies, checkpoint steps, removals of files no generation and no pin needs.
func (l *Log) Flush(ops []diskio.Op) []diskio.Op {
	if l.err != nil {
		return ops
	}
	if len(l.setup) > 0 {
		if l.founding == 0 {
			l.founding = l.issue(&ops, l.setup[0])
		}
		return ops
	}
	if l.retired {
		return ops
	}
	if !l.full {
		ops = l.flushWrites(ops)
	}
	if !l.known {
		return ops
	}
	return l.flushGraves(ops)
}

// flushWrites issues what needs space, or leads to something that does.
func (l *Log) flushWrites(ops []diskio.Op) []diskio.Op {
	ops = l.flushBehind(ops)
	p := l.publish
	if l.renew != nil {
		p = l.renew
	}
	if p != nil && p.ticket == 0 {
		op, ok := p.next(l.opt.StepBytes)
		if ok {
			p.ticket = l.issue(&ops, op)
		} else if l.behind == 0 {
			panic(fmt.Sprintf("revlog: generation %d waits for %s, and nothing is being written",
				p.gen.number, op.File))
		}
	}
	if w := l.rewrite; w != nil && w.ticket == 0 && !l.paused {
		if op, ok := w.next(l.opt.StepBytes); ok {
			w.ticket = l.issue(&ops, op)
		}
	}
	return ops
}

func (l *Log) issue(ops *[]diskio.Op, op diskio.Op) diskio.Ticket {
	l.home.logTicket++
	op.Ticket = l.opt.TicketBase + l.home.logTicket
	op.Lane = diskio.LaneEngine
	*ops = append(*ops, op)
	return op.Ticket
}

// flushBehind writes the next part of the oldest segment that is not wholly written.
func (l *Log) flushBehind(ops []diskio.Op) []diskio.Op {
	for len(l.queue) > 0 && l.queue[0].wholly() {
		l.queue = l.queue[1:]
	}
	if l.behind != 0 || len(l.queue) == 0 {
		return ops
	}
	s := l.queue[0]
	if data, off := s.nextWrite(l.opt.StepBytes); data != nil {
		s.issued = off + int64(len(data))
		l.behind = l.issue(&ops, diskio.Op{Kind: diskio.Write, File: s.name, Offset: off,
			Data: data})
	}
	return ops
}

// flushGraves removes the first name that nobody needs any more.
func (l *Log) flushGraves(ops []diskio.Op) []diskio.Op {
	if l.removing != 0 {
		return ops
	}
	for i, g := range l.graves {
		if !l.home.pins.needed(g.born, g.doomed) {
			l.graves = slices.Delete(l.graves, i, i+1)
			l.freed = g.length
			l.removing = l.issue(&ops, diskio.Op{Kind: diskio.Remove, File: g.name})
			break
		}
		l.probes[ProbeGraveHeld]++
	}
	return ops
}

// Complete handles the completion of one of the log's operations; an error means that the node
// must stop.
func (l *Log) Complete(c diskio.Completion) error {
	if l.err == nil && l.refused(&c) {
		return nil
	}
	if err := c.Status.Err(); err != nil && l.err == nil {
		l.err = fmt.Errorf("revlog: %s %s (%s): %w", c.Kind, c.File, c.Detail, err)
	}
	if l.err != nil {
		return l.err
	}
	switch {
	case c.Ticket == l.behind:
		l.behind = 0
		l.wrote(l.queue[0])
	case l.publish != nil && c.Ticket == l.publish.ticket:
		l.publish.ticket = 0
		if l.publish.done() {
			l.published(l.publish.gen)
		}
	case l.renew != nil && c.Ticket == l.renew.ticket:
		l.renew.ticket = 0
		if l.renew.done() {
			l.renewed()
		}
	case l.rewrite != nil && c.Ticket == l.rewrite.ticket:
		l.rewrite.ticket = 0
		l.err = l.rewritten(c)
	case c.Ticket == l.removing:
		l.removing = 0
		l.bytes -= l.freed
		l.full = false
	case c.Ticket == l.founding:
		l.founding = 0
		l.setup = l.setup[1:]
	case c.Ticket > l.first:
		panic(fmt.Sprintf("revlog: completion of unknown ticket %d: %s %s", c.Ticket, c.Kind,
			c.File))
	}
	return l.err
}

// refused takes a write, or the rename of a manifest, for which there was no space: it is to be
// issued again.
func (l *Log) refused(c *diskio.Completion) bool {
	if c.Status != diskio.NoSpace || c.Kind != diskio.Write && c.Kind != diskio.Rename {
		return false
	}
	switch w := l.rewrite; {
	case c.Ticket == l.behind:
		l.behind = 0
		l.queue[0].issued = l.queue[0].written
	case l.publish != nil && c.Ticket == l.publish.ticket:
		l.publish.refused()
	case l.renew != nil && c.Ticket == l.renew.ticket:
		l.renew.refused()
	case w != nil && c.Ticket == w.ticket:
		w.ticket = 0
		w.out.issued = w.out.written
	default:
		return c.Ticket <= l.first // a predecessor's, whose files are given up
	}
	l.full = true
	return true
}

// Full says whether the disk was too full for the last write of some kind.
func (l *Log) Full() bool { return l.full }

// Retry lets a log that met a full disk write again.
func (l *Log) Retry() {
	if l.full {
		l.probes[ProbeDiskFullRetried]++
	}
	l.full = false
}

// wrote notes that everything issued of s is written.
func (l *Log) wrote(s *segment) {
	s.written = s.issued
	if s.wholly() {
		l.consider = true
	}
	l.trim()
}
