// A window remembers which requests of one member have been applied, so that a request that
// reaches the log twice (forwarded again after a lost message or a new leader) applies once.
//
// The windows are replicated state: every member decides alike, whoever applies first or replays
// last. A request is named by (member, incarnation, sequence). An older incarnation, a sequence
// already applied, and a sequence below the window change nothing. The proposer keeps the span of
// its open requests below windowSpan, so a request that someone still waits for never falls below.
//
// Example, with a span of 4: after 1, 2, 5 the window covers 2..5, and 1 is refused though it was
// applied, 3 is let in once, 5 never again.
package kv

import (
	"encoding/binary"
	"fmt"

	"github.com/detcd/detcd/raft"
)

// windowSpan is the number of sequences a window covers, a multiple of 64.
const windowSpan = 8192

type window struct {
	member      raft.MemberID
	incarnation raft.Incarnation
	high        raft.Sequence // the highest applied
	// bits has one bit for each of the sequences (high-windowSpan, high], at sequence modulo
	// windowSpan. Invariant: a bit outside that span is zero.
	bits [windowSpan / 64]uint64
}

func (w *window) bit(s raft.Sequence) (word *uint64, mask uint64) {
	i := uint64(s) % windowSpan
	return &w.bits[i/64], 1 << (i % 64)
}

// admit says whether the request may take effect, and remembers that it did.
func (w *window) admit(inc raft.Incarnation, s raft.Sequence) bool {
	if inc < w.incarnation || s == 0 {
		return false
	}
	if inc > w.incarnation {
		w.incarnation, w.high, w.bits = inc, 0, [windowSpan / 64]uint64{}
	}
	if s > w.high {
		w.forget(s)
		w.high = s
	} else if w.high-s >= windowSpan {
		return false
	}
	word, mask := w.bit(s)
	if *word&mask != 0 {
		return false
	}
	*word |= mask
	return true
}

// applied says whether the request has taken effect, or never will.
func (w *window) applied(inc raft.Incarnation, s raft.Sequence) bool {
	if inc != w.incarnation || s > w.high {
		return inc < w.incarnation
	}
	word, mask := w.bit(s)
	return w.high-s >= windowSpan || *word&mask != 0
}

// forget clears the bits that sequences up to s will use.
func (w *window) forget(s raft.Sequence) {
	if s-w.high >= windowSpan {
		w.bits = [windowSpan / 64]uint64{}
		return
	}
	for i := w.high + 1; i <= s; i++ {
		word, mask := w.bit(i)
		*word &^= mask
	}
}

// append writes the window: identity, then the words of bits that are not zero.
func (w *window) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(w.member))
	b = binary.LittleEndian.AppendUint64(b, uint64(w.incarnation))
	b = binary.LittleEndian.AppendUint64(b, uint64(w.high))
	count := 0
	for _, word := range w.bits {
		if word != 0 {
			count++
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(count))
	for i, word := range w.bits {
		if word != 0 {
			b = binary.LittleEndian.AppendUint32(b, uint32(i))
			b = binary.LittleEndian.AppendUint64(b, word)
		}
	}
	return b
}

func (w *window) read(d *decoder) {
	w.member = raft.MemberID(d.u64())
	w.incarnation = raft.Incarnation(d.u64())
	w.high = raft.Sequence(d.u64())
	count := d.u32()
	if count > windowSpan/64 {
		d.fail(fmt.Errorf("%d words of a window of %d", count, windowSpan/64))
		return
	}
	for range count {
		i, word := d.u32(), d.u64()
		if i >= windowSpan/64 {
			d.fail(fmt.Errorf("window word %d of %d", i, windowSpan/64))
			return
		}
		w.bits[i] = word
	}
}
