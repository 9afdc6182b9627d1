package revlog

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/detcd/detcd/diskio"
)

// fileReader reads real files, so that the cost of system calls is in the numbers.
type fileReader struct {
	dir  string
	open map[string]*os.File
}

func (f *fileReader) ReadAt(file string, p []byte, off int64) (int, error) {
	h := f.open[file]
	if h == nil {
		var err error
		if h, err = os.Open(filepath.Join(f.dir, filepath.Base(file))); err != nil {
			return 0, diskio.ErrNotFound
		}
		f.open[file] = h
	}
	return h.ReadAt(p, off)
}

func (f *fileReader) Size(file string) (int64, error) {
	info, err := os.Stat(filepath.Join(f.dir, filepath.Base(file)))
	if err != nil {
		return 0, diskio.ErrNotFound
	}
	return info.Size(), nil
}

func (f *fileReader) List(string) (infos []diskio.FileInfo, err error) {
	entries, err := os.ReadDir(f.dir)
	for _, e := range entries {
		info, _ := e.Info()
		infos = append(infos, diskio.FileInfo{Name: e.Name(), Size: info.Size()})
	}
	return infos, err
}

func (f *fileReader) SectorSize() int { return 4096 }

func benchOptions() Options {
	return Options{Dir: "engine", SegmentBytes: 64 << 20, StepBytes: 1 << 20, CacheBytes: 64 << 20}
}

// stored makes files of n records and opens them.
func stored(b *testing.B, n, size int) *Log {
	dir := b.TempDir()
	d := &fileReader{dir, map[string]*os.File{}}
	l, _, err := Open(d, benchOptions())
	if err != nil {
		b.Fatal(err)
	}
	kv := make([]byte, size)
	perform := func() {
		for _, op := range l.Flush(nil) {
			c := diskio.Completion{Ticket: op.Ticket, Kind: op.Kind, File: op.File}
			name := filepath.Join(dir, filepath.Base(op.File))
			switch op.Kind {
			case diskio.Write:
				f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.WriteAt(op.Data, op.Offset); err != nil {
					b.Fatal(err)
				}
				f.Close()
			case diskio.Rename:
				if err := os.Rename(name, filepath.Join(dir, filepath.Base(op.To))); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Complete(c); err != nil {
				b.Fatal(err)
			}
		}
	}
	for m := range n {
		l.Append(Rev{Revision(m + 2), 0}, Put, kv)
		if m%1000 == 0 {
			perform()
		}
	}
	l.StartCheckpoint(Checkpoint{Current: Revision(n + 1)})
	for l.Checkpointing() {
		perform()
	}
	return reopened(b, d)
}

func reopened(b *testing.B, d diskio.Reader) *Log {
	l, _, err := Open(d, benchOptions())
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Scan(func(Record) error { return nil }); err != nil {
		b.Fatal(err)
	}
	return l
}

func BenchmarkAppend256(b *testing.B) {
	l, _, _ := Open(newTestDisk(), benchOptions())
	key, value := make([]byte, 40), make([]byte, 216)
	b.SetBytes(256)
	b.ReportAllocs()
	ops := make([]diskio.Op, 0, 8)
	for m := 0; b.Loop(); m++ {
		l.Append(Rev{Revision(m + 2), 0}, Put, key, value)
		if m%100 == 0 {
			ops = l.Flush(ops[:0])
			for _, op := range ops {
				_ = l.Complete(diskio.Completion{Ticket: op.Ticket})
			}
		}
	}
}

func BenchmarkReadInMemory(b *testing.B) {
	l, _, _ := Open(newTestDisk(), benchOptions())
	fill(l, 2, 50000, 256)
	rng := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Read(Rev{Revision(2 + rng.IntN(49999)), 0}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadCached(b *testing.B) { benchRead(b, 50_000) }

func BenchmarkReadCold(b *testing.B) { benchRead(b, 2_000_000) }

// benchRead reads records of 256 bytes from files; 50,000 of them fit into the cache.
func benchRead(b *testing.B, n int) {
	l := stored(b, n, 256)
	rng := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Read(Rev{Revision(2 + rng.IntN(n)), 0}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadBatch200k(b *testing.B) {
	const n = 200_000
	l := stored(b, n, 1024)
	s := l.Snapshot()
	for _, order := range []string{"InOrder", "Shuffled"} {
		b.Run(order, func(b *testing.B) {
			revs := make([]Rev, n)
			for i := range revs {
				revs[i] = Rev{Revision(i + 2), 0}
			}
			if order == "Shuffled" {
				rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) {
					revs[i], revs[j] = revs[j], revs[i]
				})
			}
			kvs := make([][]byte, n)
			b.SetBytes(n * 1024)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.ReadBatch(revs, kvs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	for _, c := range []struct {
		name    string
		n, size int
	}{{"1KB", 200_000, 1024}, {"256B", 800_000, 256}} {
		b.Run(c.name, func(b *testing.B) {
			l := stored(b, c.n, c.size)
			files, _ := l.Size()
			b.SetBytes(files)
			b.ReportAllocs()
			for b.Loop() {
				reopened(b, l.disk)
			}
		})
	}
}
