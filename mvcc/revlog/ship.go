package revlog

// Shipping: a checkpoint on its way to a member that is too far behind. What is shipped is the
// newest durable generation, so label and content were fixed together when its checkpoint started.
//
// The partition into chunks follows from the offer alone: chunk k of a segment holds the records
// that start in the k-th stretch of chunkBytes of it. So the sender keeps no position, any chunk
// can be asked for again, and the receiver knows of each chunk where it must start and end.
//
// Offer (integers little-endian; the crc is CRC32C over all before it):
//
//	+----------------+----------+-------------+-------+-----+
//	| manifest bytes | manifest | chunk bytes | state | crc |
//	| (4)            |          | (4)         |       | (4) |
//	+----------------+----------+-------------+-------+-----+
//
// A chunk is nothing but records as they are in the sender's segment; their checksums are seeded
// with the life that the manifest names for it. A stretch in which no record starts is an empty
// chunk.

import (
	"encoding/binary"
	"fmt"
)

// ShipmentError says that a peer's offer or chunk is not what a peer may send. Nothing was taken
// from it.
type ShipmentError struct {
	Chunk  int // -1: the offer
	Reason string
}

// Error says what is wrong, where.
func (e *ShipmentError) Error() string {
	if e.Chunk < 0 {
		return "damaged offer of a shipment: " + e.Reason
	}
	return fmt.Sprintf("damaged chunk %d of a shipment: %s", e.Chunk, e.Reason)
}

// Shipment is a pinned checkpoint on its way to one receiver, as numbered chunks.
type Shipment struct {
	gen    *generation
	check  Checkpoint // gen's, with the State
	stride int64      // bytes of a chunk, roughly
	starts []int      // number of each segment's first chunk, and the number of chunks
	epoch  uint64
	ended  bool
}

// Ship pins the newest durable checkpoint; ok is false when there is none.
func (l *Log) Ship(chunkBytes int) (s *Shipment, ok bool) {
	if l.newest == nil || !l.scanned || l.retired {
		return nil, false
	}
	stride := int64(min(max(chunkBytes, 1), maxSegmentBytes))
	s = &Shipment{gen: l.newest, check: l.newest.check, stride: stride, starts: []int{0},
		epoch: l.home.pins.take()}
	for _, sp := range s.gen.spans {
		s.starts = append(s.starts, s.starts[len(s.starts)-1]+stretches(sp.length, s.stride))
	}
	return s, true
}

// stretches is the number of chunks of a segment.
func stretches(length, stride int64) int {
	return int((length - segmentStart + stride - 1) / stride)
}

// Offer is the header that the receiver needs first (it includes the State).
func (s *Shipment) Offer() (c Checkpoint, header []byte) {
	manifest := s.gen.encode()
	header = binary.LittleEndian.AppendUint32(nil, uint32(len(manifest)))
	header = append(header, manifest...)
	header = binary.LittleEndian.AppendUint32(header, uint32(s.stride))
	header = append(header, s.check.State...)
	return s.check, binary.LittleEndian.AppendUint32(header, checksum(0, header))
}

// Chunks is the number of chunks.
func (s *Shipment) Chunks() int { return s.starts[len(s.starts)-1] }

// Chunk returns chunk n (from 0), whole records read from sealed files and verified, and whether
// it exists. It is stateless, so chunks can be asked for again.
func (l *Log) Chunk(s *Shipment, n int) (data []byte, ok bool, err error) {
	if n < 0 || n >= s.Chunks() || s.ended {
		return nil, false, nil
	}
	k := 0
	for s.starts[k+1] <= n {
		k++
	}
	sp := s.gen.spans[k]
	from := segmentStart + int64(n-s.starts[k])*s.stride
	i, j := sp.table.after(from), sp.table.after(from+s.stride)
	if i == j {
		return []byte{}, true, nil
	}
	start, _ := sp.bounds(i)
	_, end := sp.bounds(j - 1)
	data = make([]byte, end-start)
	if err := sp.fetch(l.disk, data, start); err != nil {
		return nil, false, err
	}
	for ; i < j; i++ {
		off, stop := sp.bounds(i)
		if _, err := sp.verify(i, data[off-start:stop-start]); err != nil {
			return nil, false, err
		}
	}
	return data, true, nil
}

// EndShip releases the pins; on the log's goroutine, once.
func (l *Log) EndShip(s *Shipment) {
	if s.ended {
		panic("revlog: shipment ended twice")
	}
	s.ended = true
	l.home.pins.drop(s.epoch)
}

// offer is a decoded offer.
type offer struct {
	gen    *generation // check has the State; spans is empty
	lines  []listed
	stride int64
}

func decodeOffer(b []byte) (offer, error) {
	bad := func(format string, args ...any) (offer, error) {
		return offer{}, &ShipmentError{-1, fmt.Sprintf(format, args...)}
	}
	le := binary.LittleEndian
	if len(b) < 12 {
		return bad("%d bytes", len(b))
	}
	end := len(b) - 4
	if have, want := checksum(0, b[:end]), le.Uint32(b[end:]); have != want {
		return bad("checksum %08x, want %08x", have, want)
	}
	n := int64(le.Uint32(b))
	if n > int64(end-8) {
		return bad("manifest of %d bytes in %d", n, len(b))
	}
	gen, lines, err := decodeManifest("offer", b[4:4+n])
	if _, format := err.(*FormatError); format {
		return offer{}, err
	} else if err != nil {
		return bad("%v", err)
	}
	o := offer{gen, lines, int64(le.Uint32(b[4+n:]))}
	state := b[8+n : end : end]
	if int64(len(state)) != gen.stateLen || checksum(seedOf(gen.number), state) != gen.stateCRC {
		return bad("state of %d bytes is not the manifest's", len(state))
	}
	if o.stride < 1 {
		return bad("chunks of %d bytes", o.stride)
	}
	gen.check.State = append([]byte(nil), state...)
	return o, nil
}
