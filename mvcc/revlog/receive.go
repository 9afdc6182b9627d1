package revlog

// Receiving a shipment beside the running log, and taking over from it.
//
// Chunks are verified and encoded again into segments of our own, with ids from the same household
// as the running log's, so no two files share a name. Nothing refers to them until Install, so a
// crash before it leaves files that the next start removes.
//
// Install retires the running log: it issues nothing more. Then the generation is published as any
// other (see publish.go), under a number above every one that the old log used or tried, and with
// no previous generation: at every crash point, the newest manifest on disk is either one of the
// old history, whole with all its files, or the installed one, whole with all of its own. Only when
// it is durable are the old history's manifests removed, and then its files; one that a crash
// brings back has a lower number and is nobody's previous generation, so it is never loaded.

import (
	"fmt"
	"slices"

	"github.com/detcd/detcd/diskio"
)

// Receiver builds a new Log from a shipment beside the running one, in files whose names no
// generation uses.
type Receiver struct {
	log   *Log
	offer offer

	next int    // number of the chunk expected next
	line int    // segment of the sender it belongs to
	from int64  // where the chunk's stretch starts in the sender's segment
	at   int64  // where the next record starts there
	sum  uint32 // of that segment's records so far
	have int64  // number of them
	last Rev

	segments []*segment // the last one is open until all chunks have come
	stored   int64      // bytes of segments
	files    []file
	writing  int // segments before it are wholly written
	publish  *publisher
	ticket   diskio.Ticket // of the write in flight
	state    receiverState
	full     bool // the disk was full while installing; nothing is issued
	heir     *Log
	err      error
}

type receiverState uint8

const (
	receiving receiverState = iota
	installing
	installed
	aborted
)

// Receive starts a receiver for an offer's header. Generation numbers continue l's. The error is a
// *ShipmentError, or a *FormatError if the sender is newer than this version.
func (l *Log) Receive(header []byte) (*Receiver, Checkpoint, error) {
	o, err := decodeOffer(header)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	r := &Receiver{log: l, offer: o, from: segmentStart, at: segmentStart}
	return r, o.gen.check, nil
}

// Next is the number of the chunk expected next; done is true when all have come.
func (r *Receiver) Next() (n int, done bool) { return r.next, r.line == len(r.offer.lines) }

// Chunk takes chunk n, which must be the next one (others: ok false, nothing happens), verifies it
// and calls visit for each of its records in order. After a *ShipmentError nothing was taken, and
// the chunk may be asked for again; after an error of visit the receiver must be aborted.
func (r *Receiver) Chunk(n int, data []byte, visit func(rec Record) error) (ok bool, err error) {
	if _, done := r.Next(); n != r.next || done || r.state != receiving || r.err != nil {
		return false, r.err
	}
	if reason := r.verify(data); reason != "" {
		return false, &ShipmentError{n, reason}
	}
	for len(data) > 0 {
		size := recordSize(data)
		rec, _ := parseRecord(data[:size], seedOf(r.offer.lines[r.line].life))
		rec.KV = r.put(rec)
		if err := visit(rec); err != nil {
			r.err = err
			return false, err
		}
		data = data[size:]
	}
	r.advance()
	return true, nil
}

// verify judges a whole chunk before anything of it is used, and moves the receiver's position in
// the sender's segment if it is good.
func (r *Receiver) verify(data []byte) (reason string) {
	line := &r.offer.lines[r.line]
	at, sum, have, last := r.at, r.sum, r.have, r.last
	seed, end := seedOf(line.life), min(r.from+r.offer.stride, line.length)
	for len(data) > 0 {
		if at >= end || len(data) < recordHeader || recordSize(data) > int64(len(data)) {
			return fmt.Sprintf("%d bytes too many, or part of a record", len(data))
		}
		size := recordSize(data)
		rec, reason := parseRecord(data[:size], seed)
		if reason != "" {
			return reason
		}
		if have == 0 && rec.Rev != line.first || have > 0 && !last.Less(rec.Rev) {
			return fmt.Sprintf("revision %v in segment %v to %v after %v", rec.Rev, line.first,
				line.last, last)
		}
		at, sum, have, last = at+size, addSum(sum, data), have+1, rec.Rev
		data = data[size:]
	}
	if at < end {
		return fmt.Sprintf("it ends at %d, before %d", at, end)
	}
	if end == line.length && (at != end || have != line.records || sum != line.sum ||
		last != line.last) {
		return fmt.Sprintf("segment of %d records up to %v with checksum %08x in %d bytes, want "+
			"%d up to %v with %08x in %d", have, last, sum, at, line.records, line.last, line.sum,
			line.length)
	}
	r.at, r.sum, r.have, r.last = at, sum, have, last
	return ""
}

// advance moves on to the next chunk.
func (r *Receiver) advance() {
	r.next++
	r.from += r.offer.stride
	if r.from >= r.offer.lines[r.line].length {
		r.line++
		r.from, r.at, r.sum, r.have = segmentStart, segmentStart, 0, 0
	}
	if _, done := r.Next(); done {
		r.segments[len(r.segments)-1].sealed = true
	}
}

// put stores a record in the files of this receiver.
func (r *Receiver) put(rec Record) (kv []byte) {
	opt, size := &r.log.opt, int64(recordHeader+len(rec.KV))
	n := len(r.segments)
	if n == 0 || !r.segments[n-1].accepts(rec.Rev, size, opt.SegmentBytes) {
		if n > 0 {
			r.segments[n-1].sealed = true
		}
		s := newSegment(opt.Dir, r.log.home.newID(), rec.Rev)
		s.born = r.log.home.pins.epoch
		r.segments = append(r.segments, s)
		r.store(segmentStart)
		n++
	}
	r.store(size)
	return r.segments[n-1].put(rec.Rev, rec.Kind, opt.StepBytes, rec.KV)
}

// store counts bytes of this receiver's files.
func (r *Receiver) store(n int64) {
	r.stored += n
	r.log.home.received += n
}

// Flush is as on Log; its tickets are at least Options.TicketBase+ReceiverTickets.
func (r *Receiver) Flush(ops []diskio.Op) []diskio.Op {
	if r.err != nil || r.state >= installed || len(r.log.setup) > 0 || r.full {
		return ops
	}
	for r.writing < len(r.segments) && r.segments[r.writing].wholly() {
		r.writing++
	}
	if r.ticket == 0 && r.writing < len(r.segments) {
		s := r.segments[r.writing]
		if data, off := s.nextWrite(r.log.opt.StepBytes); data != nil {
			s.issued = off + int64(len(data))
			r.ticket = r.issue(&ops, diskio.Op{Kind: diskio.Write, File: s.name, Offset: off,
				Data: data})
		}
	}
	if p := r.publish; p != nil && p.ticket == 0 {
		if op, ok := p.next(r.log.opt.StepBytes); ok {
			p.ticket = r.issue(&ops, op)
		}
	}
	return ops
}

func (r *Receiver) issue(ops *[]diskio.Op, op diskio.Op) diskio.Ticket {
	r.log.home.recvTicket++
	op.Ticket = r.log.opt.TicketBase + ReceiverTickets + r.log.home.recvTicket
	op.Lane = diskio.LaneEngine
	*ops = append(*ops, op)
	return op.Ticket
}

// Complete handles the completion of one of the receiver's operations. After an error while
// receiving it must be aborted; after one while installing the node must stop. A full disk is an
// error while receiving only: an installation waits for Retry. Completions that come after Abort,
// those of its removals too, may be given or not.
func (r *Receiver) Complete(c diskio.Completion) error {
	if r.refused(&c) {
		return nil
	}
	if err := c.Status.Err(); err != nil && r.err == nil {
		r.err = fmt.Errorf("revlog: receive: %s %s (%s): %w", c.Kind, c.File, c.Detail, err)
	}
	if r.err != nil {
		return r.err
	}
	switch {
	case c.Ticket == r.ticket:
		r.ticket = 0
		s := r.segments[r.writing]
		s.written = s.issued
		s.forget()
	case r.publish != nil && c.Ticket == r.publish.ticket:
		r.publish.ticket = 0
		if r.publish.done() {
			r.succeed()
		}
	case r.state != aborted:
		panic(fmt.Sprintf("revlog: completion of unknown ticket %d: %s %s", c.Ticket, c.Kind,
			c.File))
	}
	return nil
}

// refused takes a write, or the rename of the manifest, for which there was no space while
// installing: it is to be issued again.
func (r *Receiver) refused(c *diskio.Completion) bool {
	if c.Status != diskio.NoSpace || r.err != nil || r.state != installing ||
		c.Kind != diskio.Write && c.Kind != diskio.Rename {
		return false
	}
	switch {
	case c.Ticket == r.ticket:
		r.ticket = 0
		r.segments[r.writing].issued = r.segments[r.writing].written
	case c.Ticket == r.publish.ticket:
		r.publish.refused()
	default:
		return false
	}
	r.full = true
	r.log.probes[ProbeInstallFull]++
	return true
}

// Full says whether the disk was too full for the last write of the installation.
func (r *Receiver) Full() bool { return r.full }

// Retry lets an installation that met a full disk write again.
func (r *Receiver) Retry() { r.full = false }

// Install starts making the received state the newest manifest generation on disk. From now on the
// running log issues nothing; it still takes the completions of what it has issued, and reads.
func (r *Receiver) Install() {
	if _, done := r.Next(); !done || r.state != receiving || r.err != nil || r.log.retired {
		panic(fmt.Sprintf("revlog: Install of an incomplete shipment (state %d, error %v)", r.state,
			r.err))
	}
	r.log.retired = true
	r.state = installing
	g := &generation{number: r.log.home.newGeneration(), check: r.offer.gen.check}
	r.publish = newPublisher(r.log.opt.Dir, g, r.segments)
}

// Installed returns the log that replaces the running one once the generation is durable. Pins of
// the running log are released at the new one, and completions of the running log that are still
// to come may be given to it.
func (r *Receiver) Installed() (*Log, Loaded, bool) {
	if r.state != installed {
		return nil, Loaded{}, false
	}
	return r.heir, Loaded{Generation: r.publish.gen.number, Checkpoint: r.publish.gen.check}, true
}

// succeed makes the log that continues from the received state and inherits the old files.
func (r *Receiver) succeed() {
	r.state = installed
	old := r.log
	l := &Log{disk: old.disk, opt: old.opt, home: old.home, scanned: true, known: true,
		consider: true, newest: r.publish.gen, last: r.last,
		cache: newCache(old.opt.CacheBytes - old.opt.CacheBytes/2),
		first: old.opt.TicketBase + old.home.logTicket, paused: old.paused, probes: old.probes}
	l.probes[ProbeInstalled]++
	for _, s := range r.segments {
		bare := *s.span
		bare.chunks = nil
		s.span = &bare
		l.segments, l.spans = append(l.segments, s), append(l.spans, s.span)
		l.files = append(l.files, file{s.id, s.name, s.length, s.born})
		l.bytes += s.length
		l.inUse += s.payload()
	}
	gens := []*generation{old.newest, old.older}
	for _, p := range []*publisher{old.renew, old.publish} {
		if p != nil {
			gens = append(gens, p.gen)
		}
	}
	for _, g := range gens {
		if g != nil {
			l.dropGeneration(g)
			l.graves = append(l.graves, free(generationName(l.opt.Dir, g.number, tmpSuffix), 0))
		}
	}
	l.graves = append(l.graves, old.graves...)
	for _, g := range old.graves {
		l.bytes += g.length
	}
	for _, f := range old.files {
		l.graves = append(l.graves, grave{f.name, f.length, f.born, l.home.pins.epoch})
		l.bytes += f.length
	}
	l.home.pins.epoch++
	l.home.received -= r.stored
	r.heir = l
}

// Abort gives up: the returned operations remove the files. It must not be called after Install.
func (r *Receiver) Abort(ops []diskio.Op) []diskio.Op {
	if r.state != receiving {
		panic(fmt.Sprintf("revlog: Abort of a receiver in state %d", r.state))
	}
	r.state = aborted
	for _, s := range r.segments {
		if s.issued > 0 {
			r.issue(&ops, diskio.Op{Kind: diskio.Remove, File: s.name})
		}
	}
	r.segments = slices.Clip(r.segments[:0])
	r.store(-r.stored)
	return ops
}

// Unwritten is the number of received bytes that are not written yet, for flow control.
func (r *Receiver) Unwritten() (n int64) {
	for _, s := range r.segments[r.writing:] {
		n += s.length - s.written
	}
	return n
}
