package wal

import (
	"errors"
	"io"
	"path"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/raft"
)

// flatDisk is a directory of byte slices.
type flatDisk map[string][]byte

func (d flatDisk) ReadAt(file string, p []byte, off int64) (int, error) {
	data, ok := d[file]
	if !ok {
		return 0, diskio.ErrNotFound
	}
	if off >= int64(len(data)) {
		return 0, io.EOF
	}
	n := copy(p, data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d flatDisk) Size(file string) (int64, error) { return int64(len(d[file])), nil }

func (d flatDisk) List(dir string) (infos []diskio.FileInfo, err error) {
	for name, data := range d {
		infos = append(infos, diskio.FileInfo{Name: path.Base(name), Size: int64(len(data))})
	}
	sort.Slice(infos, func(i, k int) bool { return infos[i].Name < infos[k].Name })
	return infos, nil
}

func (d flatDisk) SectorSize() int { return 512 }

// flatten copies the log of w.
func flatten(t testing.TB, w *world) flatDisk {
	d := flatDisk{}
	infos, err := w.disk.List("wal")
	require.NoError(t, err)
	for _, info := range infos {
		data := make([]byte, info.Size)
		_, err := w.disk.ReadAt("wal/"+info.Name, data, 0)
		require.NoError(t, err)
		d["wal/"+info.Name] = data
	}
	return d
}

func smallLog(t testing.TB) *world {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	w.drain()
	w.append(raft.Append{Hard: raft.HardState{Term: 3, Vote: 1}, MustSync: true,
		Entries: []raft.Entry{{Term: 3, Index: 1, Type: raft.EntryEmpty},
			{Term: 3, Index: 2, Type: raft.EntryNormal, Data: []byte("second")}}})
	w.drain()
	w.append(raft.Append{Hard: raft.HardState{Term: 4}, MustSync: true,
		Entries: []raft.Entry{{Term: 4, Index: 2, Type: raft.EntryNormal, Data: []byte("other")}}})
	w.drain()
	return w
}

// reseal makes a fuzzed first record pass its checksums, so that the fuzzer reaches what they
// protect.
func reseal(data []byte, life uint64) {
	if len(data) < 512+recordHeaderSize {
		return
	}
	rec := data[512:]
	if h, _ := getRecordHeader(rec, life); h.kind != 0 || len(rec) < recordHeaderSize {
		return
	}
	n := int(rec[8]) | int(rec[9])<<8
	n = min(n, len(rec)-recordHeaderSize)
	rec[10], rec[11], rec[14], rec[15] = 0, 0, 0, 0
	rec[8], rec[9] = byte(n), byte(n>>8)
	rec[12] = 1 + rec[12]%byte(numRecordTypes-1)
	h := recordHeader{kind: RecordType(rec[12]), flags: rec[13]}
	for i := range 8 {
		h.position |= Position(rec[16+i]) << (8 * i)
		h.synced |= Position(rec[24+i]) << (8 * i)
	}
	h.oldest = uint64(rec[56])
	putRecordHeader(rec[:recordHeaderSize+n], life, &h)
}

func FuzzOpen(f *testing.F) {
	w := smallLog(f)
	good := flatten(f, w)
	first := good["wal/0000000000000001.wal"]
	f.Add(first[512:4096], []byte{})
	f.Add(first[512:1500], first[512:2048])
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		d := flatDisk{}
		for i, body := range [][]byte{one, two} {
			seq := uint64(i + 1)
			h := Header{Version: formatVersion, Life: seq, Cluster: w.opt.Cluster,
				Member: w.opt.Member, Sequence: seq, Position: 1, Sector: 512}
			data := append(encodeHeader(nil, &h), body...)
			reseal(data, seq)
			d[fileName("wal", seq, suffixSegment)] = data
		}
		log, rec, err := Open(d, w.opt)
		if err != nil {
			var damage *DamageError
			require.True(t, errors.As(err, &damage), "%v", err)
			return
		}
		require.LessOrEqual(t, rec.First, rec.Last+1)
		log.Start(rec.Incarnation + 1)
		require.NotEmpty(t, log.Flush(nil))
	})
}

func FuzzDecodeBatch(f *testing.F) {
	good := flatten(f, smallLog(f))["wal/0000000000000001.wal"]
	f.Add(uint64(1), good[512:1024])
	f.Add(uint64(1), good[1024:2048])
	f.Add(uint64(2), make([]byte, 512))
	f.Fuzz(func(t *testing.T, life uint64, data []byte) {
		framed := append(make([]byte, 512), data...)
		_ = DecodeBatch(life, data, func(Record) error { return nil })
		reseal(framed, life)
		_ = DecodeBatch(life, framed[512:], func(Record) error { return nil })
		_, _ = DecodeHeader(data)
	})
}

// Each write tells an observer, who knows nothing but the writes, what it makes durable.
func TestWritesTellAnObserverEverything(t *testing.T) {
	w := newWorld(t, smallOptions(), simdisk.Options{Seed: 7, Sector: 512})
	lives := map[string]uint64{}
	var seen []Record
	observe := func(op diskio.Op) {
		switch {
		case op.Kind == diskio.Rename:
			lives[op.To] = lives[op.File]
		case op.Kind == diskio.Write && op.Offset == 0:
			h, err := DecodeHeader(op.Data)
			require.NoError(t, err)
			lives[op.File] = h.Life
		case op.Kind == diskio.Write:
			require.NoError(t, DecodeBatch(lives[op.File], op.Data, func(r Record) error {
				r.Entries = append([]raft.Entry(nil), r.Entries...)
				seen = append(seen, r)
				return nil
			}))
		}
	}
	for i := range raft.Index(30) {
		w.append(raft.Append{Hard: raft.HardState{Term: 2, Vote: 9, Commit: i}, MustSync: true,
			Entries: []raft.Entry{{Term: 2, Index: i + 1, Type: raft.EntryNormal,
				Data: make([]byte, 500)}}})
		for lane := diskio.LaneLog; lane < diskio.NumLanes; lane++ {
			for {
				op, ok := w.disk.Begin(lane)
				if !ok {
					break
				}
				observe(op)
				w.complete(w.disk.Finish(lane))
			}
		}
	}
	next, entry := Position(1), raft.Index(1)
	for _, r := range seen {
		require.Equal(t, next, r.Position)
		next++
		for _, e := range r.Entries {
			require.Equal(t, entry, e.Index)
			require.Equal(t, raft.HardState{Term: 2, Vote: 9, Commit: entry - 1}, r.Hard)
			entry++
		}
	}
	require.Equal(t, raft.Index(31), entry)
}
