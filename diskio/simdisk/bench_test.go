package simdisk

import (
	"testing"

	"github.com/detcd/detcd/diskio"
)

// benchDisk has some megabytes of synced files, of which the log is written.
func benchDisk(b *testing.B) *Disk {
	r := newRig(b, 512)
	r.ok(diskio.Op{Kind: diskio.MakeDir, File: "wal"}, syncDir(""))
	for _, name := range []string{"wal/1", "wal/2", "segment1", "segment2", "segment3"} {
		r.ok(diskio.Op{Kind: diskio.Allocate, File: name, Length: 1 << 20}, sync(name))
	}
	r.ok(syncDir("wal"), syncDir(""))
	return r.Disk
}

func step1(d *Disk, op diskio.Op) {
	d.Submit(op)
	d.Begin(op.Lane)
	d.Finish(op.Lane)
}

func BenchmarkAppendAndSync(b *testing.B) {
	d := benchDisk(b)
	data := make([]byte, 512)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		step1(d, diskio.Op{Kind: diskio.Write, File: "wal/1", Data: data,
			Offset: int64(i) * 512 % (1 << 20)})
		step1(d, diskio.Op{Kind: diskio.Sync, File: "wal/1"})
	}
}

func BenchmarkReadAt(b *testing.B) {
	d := benchDisk(b)
	p := make([]byte, 300)
	b.ReportAllocs()
	for i := range b.N {
		if _, err := d.ReadAt("segment2", p, int64(i)*300%(1<<19)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPowerLoss(b *testing.B) {
	d := benchDisk(b)
	data := make([]byte, 20000)
	b.ReportAllocs()
	for i := range b.N {
		step1(d, diskio.Op{Kind: diskio.Write, File: "wal/1", Data: data, Offset: 4096})
		d.Crash(PowerLoss, uint64(i))
	}
}

func BenchmarkClone(b *testing.B) {
	d := benchDisk(b)
	b.ReportAllocs()
	for range b.N {
		d.Clone()
	}
}
