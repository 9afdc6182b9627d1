package revlog

// Reading many records at once. A list comes in key order, its records lie in revision order: so
// the places are sorted first, neighbours are read together, and every KV is a slice of the buffer
// it was read into. Records between two wanted ones are read along when that is cheaper than a
// second read; they stay in memory as long as their neighbours, hence the small gap.

import "fmt"

const (
	batchReadBytes = 1 << 20 // of one read
	batchGapBytes  = 1 << 10
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
	places := make([]place, len(revs))
	for n, rev := range revs {
		k, i := v.locate(rev)
		places[n] = place{uint64(k)<<32 | uint64(v.span(k).table.offs[i]), int32(i), int32(n)}
	}
	places = sortPlaces(places)
	for from := 0; from < len(places); {
		to, err := v.readRun(places[from:], kvs)
		if err != nil {
			return err
		}
		from += to
	}
	return nil
}

// readRun reads the first of places and its neighbours, and returns how many.
func (v *view) readRun(places []place, kvs [][]byte) (n int, err error) {
	s := v.span(int(places[0].at >> 32))
	start, end := s.bounds(int(places[0].i))
	if b := s.inMemory(start, end); b != nil {
		kvs[places[0].want] = b[recordHeader:]
		return 1, nil
	}
	limit := s.length
	if len(s.chunks) > 0 {
		limit = s.chunks[0].off
	}
	for n = 1; n < len(places) && places[n].at>>32 == places[0].at>>32; n++ {
		off, stop := s.bounds(int(places[n].i))
		if off-end > batchGapBytes || stop-start > batchReadBytes || stop > limit {
			break
		}
		end = stop
	}
	buf := make([]byte, end-start)
	if err := s.fetch(v.disk, buf, start); err != nil {
		return 0, err
	}
	for _, p := range places[:n] {
		off, stop := s.bounds(int(p.i))
		kv, err := s.verify(int(p.i), buf[off-start:stop-start])
		if err != nil {
			return 0, err
		}
		kvs[p.want] = kv
	}
	return n, nil
}

// sortPlaces sorts by place, digit by digit; digits that all places share cost one look.
func sortPlaces(places []place) []place {
	sorted, varies := true, uint64(0)
	for n := 1; n < len(places); n++ {
		sorted = sorted && places[n-1].at <= places[n].at
		varies |= places[n].at ^ places[0].at
	}
	if sorted {
		return places
	}
	spare := make([]place, len(places))
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
