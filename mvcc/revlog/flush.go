package revlog

// What leaves the log as operations and comes back as completions. Each concern (write-behind,
// checkpoint, reclaim, removal) has at most one operation in flight; they share a lane, so the
// order of submission is the order of effect. After the first failure nothing is issued any more.

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
	if !l.known {
		return ops
	}
	return l.flushGraves(ops)
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
	}
	return ops
}

// Complete handles the completion of one of the log's operations; an error means that the node
// must stop.
func (l *Log) Complete(c diskio.Completion) error {
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
	case c.Ticket == l.founding:
		l.founding = 0
		l.setup = l.setup[1:]
	case c.Ticket > l.first:
		panic(fmt.Sprintf("revlog: completion of unknown ticket %d: %s %s", c.Ticket, c.Kind,
			c.File))
	}
	return l.err
}

// wrote notes that everything issued of s is written.
func (l *Log) wrote(s *segment) {
	s.written = s.issued
	if s.wholly() {
		l.consider = true
	}
	l.trim()
}
