package revlog

// A Selection is a subset of a snapshot's records, read in the order of their revisions. Whoever
// selects knows keys and comes in key order; whoever reads wants revision order, and first the
// sizes alone. A sorted list of ten million revisions would take 160 MB for that. But the offset
// tables are in revision order already, so two bits for each record are enough: is it selected, is
// it a tombstone (which the tables do not know).
//
// It is valid as long as its snapshot is held, and belongs to one goroutine.

import (
	"fmt"
	"math/bits"
)

// Selection is a set of records of a snapshot.
type Selection struct {
	view  *view
	marks []marks // by number of the span
	count int64
}

// marks has a bit for each record of one span. Invariant: dead is a subset of chosen.
type marks struct{ chosen, dead []uint64 }

// Select returns an empty selection.
func (s *Snapshot) Select() *Selection {
	sel := &Selection{view: &s.view, marks: make([]marks, len(s.view.spans)+1)}
	for k := range sel.marks {
		words := (s.view.span(k).table.len() + 63) / 64
		sel.marks[k] = marks{make([]uint64, words), make([]uint64, words)}
	}
	return sel
}

// Add selects the record at rev, which must exist and be of that kind. It panics if it is selected
// already.
func (sel *Selection) Add(rev Rev, kind RecordKind) {
	k, i := sel.view.locate(rev)
	m, word, bit := &sel.marks[k], i/64, uint64(1)<<(i%64)
	if m.chosen[word]&bit != 0 {
		panic(fmt.Sprintf("revlog: record %v is selected twice", rev))
	}
	m.chosen[word] |= bit
	if kind == Tombstone {
		m.dead[word] |= bit
	}
	sel.count++
}

// Len is the number of selected records.
func (sel *Selection) Len() int64 { return sel.count }

// Sizes calls visit for each record with the number of bytes of its KV, and reads no file.
func (sel *Selection) Sizes(visit func(rev Rev, kind RecordKind, size int)) {
	for k := range sel.marks {
		s := sel.view.span(k)
		for i := range sel.marks[k].positions() {
			off, end := s.bounds(i)
			visit(s.table.rev(i), sel.marks[k].kind(i), int(end-off-recordHeader))
		}
	}
}

// readAhead is the number of records whose places are gathered before they are read.
const readAhead = 1024

// Read reads and verifies the records: visit gets one after the other, and the KV only until it
// returns. Its error ends the reading.
func (sel *Selection) Read(visit func(r Record) error) error {
	var buf []byte
	for k := range sel.marks {
		var places []place
		s := sel.view.span(k)
		for i := range sel.marks[k].positions() {
			at := uint64(k)<<32 | uint64(s.table.offs[i])
			places = append(places, place{at: at, i: int32(i), want: int32(i)})
			if len(places) < readAhead {
				continue
			}
			var err error
			if buf, err = sel.read(k, places, buf, visit); err != nil {
				return err
			}
			places = places[:0]
		}
		var err error
		if buf, err = sel.read(k, places, buf, visit); err != nil {
			return err
		}
	}
	return nil
}

// read reads records of span k; buf is working space that is returned for the next call.
func (sel *Selection) read(k int, places []place, buf []byte,
	visit func(r Record) error) ([]byte, error) {
	s, m := sel.view.span(k), &sel.marks[k]
	for len(places) > 0 {
		var refused error
		n, used, err := sel.view.readRun(places, reach{passingReadBytes, passingGapBytes}, buf,
			func(i int, kv []byte) {
				if refused == nil {
					refused = visit(Record{s.table.rev(i), m.kind(i), kv})
				}
			})
		if err == nil {
			err = refused
		}
		if err != nil {
			return used, err
		}
		places, buf = places[n:], used
	}
	return buf, nil
}

func (m *marks) kind(i int) RecordKind {
	if m.dead[i/64]>>(i%64)&1 == 1 {
		return Tombstone
	}
	return Put
}

// positions iterates over the selected records.
func (m *marks) positions() func(yield func(i int) bool) {
	return func(yield func(i int) bool) {
		for w, word := range m.chosen {
			for ; word != 0; word &= word - 1 {
				if !yield(w*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}
