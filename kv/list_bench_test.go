package kv

// The benchmark of a whole list, end to end behind the edge: 200,000 keys with values of 1 kB, read
// from files. It runs with: go test -run '^$' -bench List ./kv

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/mvcc"
)

const benchKeys = 200_000

// listStore is a store of benchKeys keys that were not written in their order, and the request for
// all of them.
func listStore(b *testing.B) (view *mvcc.View, raw []byte) {
	var done []diskio.Completion
	arrived := make(chan diskio.Completion, 1)
	disk, err := osdisk.Open(b.TempDir(), osdisk.Options{}, func(c diskio.Completion) {
		arrived <- c
	})
	require.NoError(b, err)
	opt := mvcc.Options{Dir: "data", SegmentBytes: 16 << 20, StepBytes: 1 << 20,
		CacheBytes: 8 << 20}
	e, _, err := mvcc.Open(disk, opt)
	require.NoError(b, err)
	perform := func() {
		for _, op := range e.Flush(nil) {
			disk.Submit(op)
			done = append(done, <-arrived)
		}
		for _, c := range done {
			require.NoError(b, e.Complete(c))
		}
		done = done[:0]
	}
	value := make([]byte, 1024)
	for i := range benchKeys {
		txn := e.Begin()
		key := fmt.Appendf(nil, "/registry/pods/default/pod-%08d", i*7919%benchKeys)
		require.NoError(b, txn.Put(key, value, 0))
		txn.Commit()
		if i%100 == 0 {
			perform()
		}
	}
	e.StartCheckpoint(mvcc.Checkpoint{Applied: 1})
	for e.Checkpointing() {
		perform()
	}
	raw, err = proto.Marshal(&pb.RangeRequest{Key: []byte("/registry/pods/"),
		RangeEnd: []byte("/registry/pods0")})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, disk.Close()) })
	return e.View(), raw
}

// BenchmarkList200k reports the processor time per list, and the memory that it holds and
// allocates beyond the answer.
func BenchmarkList200k(b *testing.B) {
	view, raw := listStore(b)
	size := 0
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := processorTime(b)
	b.ReportAllocs()
	scratch := mvcc.Scratch{Buffers: &shelf{}}
	for b.Loop() {
		r := Read{view: view, method: MethodRange, raw: raw}
		a := r.Run(&scratch)
		require.Equal(b, OK, a.Code)
		size = 0
		for _, piece := range a.Body {
			size += len(piece)
		}
		scratch.Buffers.(*shelf).put(a.Body)
	}
	b.ReportMetric(float64(processorTime(b)-used)/float64(b.N)/1e6, "cpu-ms/op")
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/float64(size),
		"allocated/answer")
	require.Greater(b, size, benchKeys*1024)
}

// BenchmarkStream200k reports the processor time of the same list in chunks.
func BenchmarkStream200k(b *testing.B) {
	view, raw := listStore(b)
	used := processorTime(b)
	b.ReportAllocs()
	scratch := mvcc.Scratch{Buffers: &shelf{}}
	for b.Loop() {
		r := Read{view: view, method: MethodRangeStream, raw: raw,
			chunk: DefaultLimits().ChunkBytes, header: Header{Revision: view.Revision()}}
		s := r.Stream()
		for last := false; !last; {
			var a Answer
			a, last = s.Next(&scratch)
			require.Equal(b, OK, a.Code)
			scratch.Buffers.(*shelf).put(a.Body)
		}
	}
	b.ReportMetric(float64(processorTime(b)-used)/float64(b.N)/1e6, "cpu-ms/op")
}

// shelf lends buffers as the edge does.
type shelf struct{ free [][]byte }

// Take implements mvcc.Buffers.
func (s *shelf) Take(size int) []byte {
	if n := len(s.free); n > 0 && size <= cap(s.free[n-1]) {
		piece := s.free[n-1]
		s.free = s.free[:n-1]
		return piece[:0]
	}
	return make([]byte, 0, max(size, 33<<10))
}

func (s *shelf) put(body [][]byte) {
	for _, piece := range body {
		if cap(piece) >= 33<<10 {
			s.free = append(s.free, piece)
		}
	}
}

// processorTime is what this process has used so far, in nanoseconds.
func processorTime(b *testing.B) int64 {
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return r.Utime.Nano() + r.Stime.Nano()
}
