package sim

import (
	"fmt"
	"io"

	"github.com/detcd/detcd/kv"
)

// checkpointEvery is the number of events between two stored values of the trace hash. Two runs
// that differ are compared checkpoint by checkpoint, and only one such stretch is looked at event
// by event.
const checkpointEvery = 4096

// trace is the running fingerprint of a run: a hash over every event and over everything that the
// members wanted done in answer. Equal seeds must give equal traces, on any machine.
type trace struct {
	hash        uint64
	events      uint64
	checkpoints []uint64
	// Events numbered in [from, to) are kept in window, for Diverge.
	from, to uint64
	window   []TracedEvent
	out      io.Writer // readable form of every event; nil for none
}

// TracedEvent is one event of a window, in the form in which two runs are compared.
type TracedEvent struct {
	Number uint64
	Text   string
	Hash   uint64 // of the trace after this event
}

const foldFactor = 0xbf58476d1ce4e5b9 // odd, of no structure

// fold adds a word to a hash. It is cheap and order-dependent; the trace uses it per event.
func fold(h, word uint64) uint64 {
	h = (h ^ word) * foldFactor
	return h ^ h>>29
}

// foldBytes adds bytes to a hash, eight at a time.
func foldBytes(h uint64, b []byte) uint64 {
	h = fold(h, uint64(len(b)))
	for len(b) >= 8 {
		word := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = fold(h, word)
		b = b[8:]
	}
	var word uint64
	for i, c := range b {
		word |= uint64(c) << (8 * i)
	}
	return fold(h, word)
}

func (t *trace) add(word uint64) { t.hash = fold(t.hash, word) }

func (t *trace) addBytes(b []byte) { t.hash = foldBytes(t.hash, b) }

// begin folds the head of an event into the trace.
func (t *trace) begin(e *event) {
	t.hash = fold(t.hash, uint64(e.at))
	t.hash = fold(t.hash, uint64(e.kind)<<56|uint64(e.node)<<48)
}

// end closes an event: its payload has been folded meanwhile.
func (t *trace) end(e *event, text string) {
	if t.events >= t.from && t.events < t.to {
		t.window = append(t.window, TracedEvent{Number: t.events, Text: text, Hash: t.hash})
	}
	if t.out != nil {
		fmt.Fprintf(t.out, "%8d %s %s\n", t.events, clockTime(e.at), text)
	}
	t.events++
	if t.events%checkpointEvery == 0 {
		t.checkpoints = append(t.checkpoints, t.hash)
	}
}

func (t *trace) verbose() bool { return t.out != nil || t.to > t.from }

// clockTime prints virtual nanoseconds as seconds.
func clockTime(at int64) string {
	return fmt.Sprintf("%4d.%06d", at/second, at%second/microsecond)
}

// note prints what a node says, between the events.
func (t *trace) note(m *member, n kv.Note) {
	fmt.Fprintf(t.out, "%8s %s member %d says: %s", "", clockTime(m.world.now), m.index, n.Message)
	for _, f := range n.Fields {
		fmt.Fprintf(t.out, " %s=%s", f.Name, f.Value)
	}
	fmt.Fprintln(t.out)
}
