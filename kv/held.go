package kv

import "fmt"

// Held is what a node holds in memory for want of a disk or an answer, in bytes. Each part has its
// bound in Limits, and no fault of a disk, a link or a client may lift it.
type Held struct {
	Unwritten int64 // applied, and waiting to be written to the engine's files
	Log       int64 // entries in memory
	Pending   int64 // requests that wait for apply
}

// Held says what the node holds now. It is cheap.
func (n *Node) Held() Held {
	return Held{Unwritten: n.store.Unwritten(), Log: n.raft.MemoryBytes(),
		Pending: n.proposals.bytes}
}

// unitBytes is the most that a unit of apply's budget may append to the engine.
const unitBytes = 2048

// Check compares what is held with its bounds. Each may be exceeded by what a single step does
// before it looks again.
func (h Held) Check(l *Limits) error {
	request := int64(l.MaxRequestBytes) + requestOverhead
	step := int64(l.StepUnits)*unitBytes + 4*request
	inflight := int64(l.InflightBytes) + int64(l.MessageBytes) + request
	for _, b := range [...]struct {
		what        string
		have, bound int64
	}{
		{"unwritten changes", h.Unwritten, l.UnwrittenBytes + step},
		{"entries in memory", h.Log, int64(l.LogMemoryBytes) + uncommittedFlights*inflight},
		{"waiting requests", h.Pending, l.MaxPendingBytes + request},
	} {
		if b.have > b.bound {
			return fmt.Errorf("kv: %d bytes of %s are held, the bound is %d", b.have, b.what,
				b.bound)
		}
	}
	return nil
}
