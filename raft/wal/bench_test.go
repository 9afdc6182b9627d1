package wal

import (
	"testing"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// BenchmarkAppend measures the log's own work per entry: encoding, checksums, bookkeeping.
func BenchmarkAppend(b *testing.B) {
	opt := Options{Dir: "wal", SegmentBytes: 64 << 20, MaxBatch: 1 << 20, Member: 1}
	log, _, err := Open(flatDisk{}, opt)
	if err != nil {
		b.Fatal(err)
	}
	log.Start(1)
	var ops []diskio.Op
	settle := func() {
		for ops = log.Flush(ops[:0]); len(ops) > 0; {
			pending := append([]diskio.Op(nil), ops...)
			ops = ops[:0]
			for _, op := range pending {
				_, _ = log.Complete(diskio.Completion{Ticket: op.Ticket, Kind: op.Kind})
				ops = log.Flush(ops)
			}
		}
	}
	settle()
	entries := make([]raft.Entry, 64)
	data := make([]byte, 300)
	b.ReportAllocs()
	b.SetBytes(int64(len(entries) * len(data)))
	next := raft.Index(1)
	for n := 0; b.Loop(); n++ {
		for i := range entries {
			entries[i] = raft.Entry{Term: 1, Index: next, Type: raft.EntryNormal, Data: data}
			next++
		}
		log.Append(raft.Append{Ticket: raft.Ticket(n + 1), Hard: raft.HardState{Term: 1},
			Entries: entries, MustSync: true})
		log.Compact(next - 1)
		settle()
	}
}
