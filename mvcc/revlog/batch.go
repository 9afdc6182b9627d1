package revlog

// Reading many records at once. A list comes in key order, its records lie in revision order: so
// the places are sorted first, neighbours are read together, and every KV is a slice of the buffer
// it was read into. Records between two wanted ones are read along when that is cheaper than a
// second read; they stay in memory as long as their neighbours, hence the small gap.

import (
	"fmt"
	"slices"
)

// reach says how neighbours are joined to one read.
type reach struct {
	bytes int64 // of one read
	gap   int64 // between wanted records
}

const (
	// A buffer that holds the answer should hold little else.
	keptReadBytes = 1 << 20
	keptGapBytes  = 1 << 10
	// A buffer that is used again may hold what nobody wants, but should stay in the processor's
	// cache.
	passingReadBytes = 256 << 10
	passingGapBytes  = 8 << 10
)

// place is one wanted record: at is the span's number and the offset, want the caller's position.
type place struct {
	at   uint64
	i    int32 // position in the span's table
	want int32
}

func (v *view) readBatch(revs []Rev, kvs [][]byte) error {
	if len(revs) != len(kvs) {
		panic(fmt.Sprintf("revlog: ReadBatch of %d revisions into %d slices", len(revs), len(kvs)))
	}
	var spare []place
	places := sortPlaces(v.places(revs, nil), &spare)
	for len(places) > 0 {
		// A new buffer for each run, because the KVs stay in it.
		n, _, err := v.readRun(places, reach{keptReadBytes, keptGapBytes}, nil,
			func(i int, kv []byte) { kvs[i] = kv })
		if err != nil {
			return err
		}
		places = places[n:]
	}
	return nil
}

// Scratch is working space that one Batch after the other may use, to save making it. The zero
// value is empty. Only one Batch may use it at a time.
type Scratch struct {
	places, spare []place
	buf           []byte
}

// Batch is a set of records that were found but not read: the way for large lists, which are copied
// anyway, into places that depend on the records' lengths. It serves one Read.
type Batch struct {
	view    *view
	places  []place
	scratch *Scratch
}

// Batch finds the records at revs. lengths[i] becomes the number of bytes of the KV at revs[i].
func (s *Snapshot) Batch(revs []Rev, lengths []uint32, scratch *Scratch) Batch {
	b := Batch{&s.view, s.view.places(revs, scratch.places), scratch}
	scratch.places = b.places
	for n := range b.places {
		p := &b.places[n]
		off, end := s.view.span(int(p.at >> 32)).bounds(int(p.i))
		lengths[n] = uint32(end - off - recordHeader)
	}
	return b
}

// Cut leaves only the first n of the revisions to be read.
func (b *Batch) Cut(n int) { b.places = b.places[:n] }

// Read reads and verifies the records in the order in which they are stored: visit gets the
// position in revs and the KV, which is valid only during the call.
func (b *Batch) Read(visit func(i int, kv []byte)) error {
	places := sortPlaces(b.places, &b.scratch.spare)
	b.places = nil
	for len(places) > 0 {
		var n int
		var err error
		n, b.scratch.buf, err = b.view.readRun(places, reach{passingReadBytes, passingGapBytes},
			b.scratch.buf, visit)
		if err != nil {
			return err
		}
		places = places[n:]
	}
	return nil
}

// places finds the records at revs; the result takes the room of the slice into, if that suffices.
func (v *view) places(revs []Rev, into []place) []place {
	places := slices.Grow(into[:0], len(revs))[:len(revs)]
	for n, rev := range revs {
		k, i := v.locate(rev)
		places[n] = place{uint64(k)<<32 | uint64(v.span(k).table.offs[i]), int32(i), int32(n)}
	}
	return places
}

// readRun reads the first of places and its neighbours into buf, or a larger one, and returns how
// many they were.
func (v *view) readRun(places []place, join reach, buf []byte, visit func(i int, kv []byte)) (n int,
	used []byte, err error) {
	s := v.span(int(places[0].at >> 32))
	start, end := s.bounds(int(places[0].i))
	if b := s.inMemory(start, end); b != nil {
		visit(int(places[0].want), b[recordHeader:])
		return 1, buf, nil
	}
	limit := s.length
	if len(s.chunks) > 0 {
		limit = s.chunks[0].off
	}
	for n = 1; n < len(places) && places[n].at>>32 == places[0].at>>32; n++ {
		off, stop := s.bounds(int(places[n].i))
		if off-end > join.gap || stop-start > join.bytes || stop > limit {
			break
		}
		end = stop
	}
	if int64(cap(buf)) < end-start {
		buf = make([]byte, end-start, max(end-start, 2*int64(cap(buf))))
	}
	buf = buf[:end-start]
	if err := s.fetch(v.disk, buf, start); err != nil {
		return 0, buf, err
	}
	for _, p := range places[:n] {
		off, stop := s.bounds(int(p.i))
		kv, err := s.verify(int(p.i), buf[off-start:stop-start])
		if err != nil {
			return 0, buf, err
		}
		visit(int(p.want), kv)
	}
	return n, buf, nil
}

// sortPlaces sorts by place, digit by digit; digits that all places share cost one look. It uses
// room as a second list, and may return either.
func sortPlaces(places []place, room *[]place) []place {
	sorted, varies := true, uint64(0)
	for n := 1; n < len(places); n++ {
		sorted = sorted && places[n-1].at <= places[n].at
		varies |= places[n].at ^ places[0].at
	}
	if sorted {
		return places
	}
	*room = slices.Grow((*room)[:0], len(places))[:len(places)]
	spare := *room
	for shift := 0; shift < 64; shift += 8 {
		if varies>>shift&0xff == 0 {
			continue
		}
		var starts [257]int
		for i := range places {
			starts[(places[i].at>>shift&0xff)+1]++
		}
		for d := range 256 {
			starts[d+1] += starts[d]
		}
		for i := range places {
			d := places[i].at >> shift & 0xff
			spare[starts[d]] = places[i]
			starts[d]++
		}
		places, spare = spare, places
	}
	return places
}
