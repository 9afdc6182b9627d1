package mvcc_test

// Benchmarks of the engine with keys like Kubernetes makes them, over a disk that costs nothing.
// They run with: go test -run '^$' -bench . ./mvcc

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/mvcc"
)

func benchOptions() mvcc.Options {
	return mvcc.Options{Dir: "data", SegmentBytes: 64 << 20, StepBytes: 1 << 20,
		CacheBytes: 64 << 20}
}

func benchKey(i int) []byte {
	return fmt.Appendf(nil, "/registry/pods/namespace-%03d/pod-%07d", i%500, i)
}

type bench struct {
	pair
	order *rand.Rand
	keys  [][]byte
}

// newBench makes an engine of n keys, put in random order.
func newBench(b testing.TB, n, valueBytes int) *bench {
	w := &world{disk: memDisk{files: map[string][]byte{}}}
	e, _, err := mvcc.Open(&w.disk, benchOptions())
	require.NoError(b, err)
	s := &bench{pair: pair{world: w, engine: e}, order: rand.New(rand.NewPCG(1, 2))}
	value := make([]byte, valueBytes)
	for i := range n {
		s.keys = append(s.keys, benchKey(i))
	}
	for n, i := range s.order.Perm(n) {
		s.putOne(b, s.keys[i], value)
		if n%500 == 0 {
			s.run(b, 100)
		}
	}
	s.run(b, 1000)
	runtime.GC()
	return s
}

func (s *bench) putOne(b testing.TB, key, value []byte) {
	txn := s.engine.Begin()
	if err := txn.Put(key, value, 0); err != nil {
		b.Fatal(err)
	}
	txn.Commit()
}

// cpu reports the processor time per operation, which a busy machine distorts less than the clock.
// The caller defers what it returns, before the loop.
func cpu(b *testing.B) (report func()) {
	used := func() int64 {
		var r syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
		return r.Utime.Nano() + r.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

func (s *bench) any() []byte { return s.keys[s.order.IntN(len(s.keys))] }

var benchSizes = []int{10_000, 1_000_000}

func BenchmarkPut(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s := newBench(b, n, 100)
			value := make([]byte, 100)
			b.ReportAllocs()
			defer cpu(b)()
			for i := 0; b.Loop(); i++ {
				s.putOne(b, s.any(), value)
				if i%1000 == 0 {
					s.run(b, 100)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s := newBench(b, n, 100)
			b.ReportAllocs()
			defer cpu(b)()
			for b.Loop() {
				if _, _, ok, err := s.engine.Get(s.any()); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkMeta(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s := newBench(b, n, 1)
			b.ReportAllocs()
			defer cpu(b)()
			for b.Loop() {
				if _, ok := s.engine.Meta(s.any()); !ok {
					b.Fatal("missing")
				}
			}
		})
	}
}

func BenchmarkMillionKeys(b *testing.B) {
	s := newBench(b, 1_000_000, 100)
	everything := mvcc.Query{Key: []byte{0}, End: []byte{0}}
	b.Run("count", func(b *testing.B) {
		q := everything
		q.CountOnly = true
		var r mvcc.Result
		for b.Loop() {
			if err := s.engine.Range(&q, &r); err != nil || r.Count != 1_000_000 {
				b.Fatal(err, r.Count)
			}
		}
	})
	b.Run("range limit 500", func(b *testing.B) {
		q := everything
		q.Key, q.Limit = []byte("/registry/pods/namespace-250/"), 500
		var r mvcc.Result
		b.ReportAllocs()
		for b.Loop() {
			if err := s.engine.Range(&q, &r); err != nil || len(r.KVs) != 500 {
				b.Fatal(err, r.Count)
			}
		}
	})
	b.Run("keys only limit 500", func(b *testing.B) {
		q := everything
		q.Limit, q.KeysOnly = 500, true
		var r mvcc.Result
		b.ReportAllocs()
		for b.Loop() {
			if err := s.engine.Range(&q, &r); err != nil || len(r.KVs) != 500 {
				b.Fatal(err, r.Count)
			}
		}
	})
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			s.engine.Release(s.engine.View())
		}
	})
	b.Run("put under a new view", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		value := make([]byte, 100)
		for i := 0; b.Loop(); i++ {
			v := s.engine.View()
			s.putOne(b, s.any(), value)
			s.engine.Release(v)
			if i%1000 == 0 {
				s.run(b, 100)
			}
		}
	})
}

func BenchmarkRestart(b *testing.B) {
	s := newBench(b, 100_000, 100)
	s.engine.StartCheckpoint(mvcc.Checkpoint{Applied: 1})
	for s.engine.Checkpointing() {
		s.run(b, 1)
	}
	for b.Loop() {
		e, _, err := mvcc.Open(&s.world.disk, benchOptions())
		if err != nil || e.Keys() != 100_000 {
			b.Fatal(err, e.Keys())
		}
	}
}

// BenchmarkMemory reports the heap that 300,000 keys with values of 1 kB take beside what the log
// caches of them.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		s := newBench(b, 300_000, 1000)
		s.engine.StartCheckpoint(mvcc.Checkpoint{Applied: 1})
		for s.engine.Checkpointing() {
			s.run(b, 1)
		}
		opt := benchOptions()
		opt.CacheBytes = 0
		s.keys, s.engine = nil, nil
		runtime.GC()
		runtime.ReadMemStats(&before)
		e, _, err := mvcc.Open(&s.world.disk, opt)
		require.NoError(b, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(e.Keys()), "B/key")
		b.ReportMetric(float64(len(benchKey(1))), "keyB")
		runtime.KeepAlive(s)
	}
}
