package etcdwal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// writer writes logs as etcd does.
type writer struct {
	out bytes.Buffer
	crc uint32
}

func message(pairs ...any) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		number := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
		case uint64:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
		}
	}
	return b
}

func (w *writer) record(kind uint64, data []byte) {
	if kind != typeChecksum {
		w.crc = crc32.Update(w.crc, castagnoli, data)
	}
	record := message(1, kind, 2, uint64(w.crc))
	if data != nil {
		record = append(record, message(3, data)...)
	}
	padding := (8 - len(record)%8) % 8
	word := uint64(len(record))
	if padding > 0 {
		word |= uint64(0x80|padding) << 56
	}
	w.out.Write(binary.LittleEndian.AppendUint64(nil, word))
	w.out.Write(append(record, make([]byte, padding)...))
}

func (w *writer) entry(term, index uint64, data string) {
	w.record(typeEntry, message(1, uint64(0), 2, term, 3, index, 4, []byte(data)))
}

// file ends a file and returns it with some of the room that was prepared.
func (w *writer) file() []byte {
	b := append(bytes.Clone(w.out.Bytes()), make([]byte, 4096)...)
	w.out.Reset()
	return b
}

func (w *writer) begin() {
	w.record(typeChecksum, nil)
	w.record(typeMetadata, message(1, uint64(7), 2, uint64(9)))
}

// twoFiles is a log of 20 entries, of which a new leader replaced some.
func twoFiles() [][]byte {
	w := &writer{}
	w.begin()
	w.record(typeSnapshot, message(1, uint64(0), 2, uint64(0)))
	for i := range uint64(12) {
		w.entry(2, i+1, fmt.Sprint("old ", i+1))
	}
	w.record(typeState, message(1, uint64(2), 2, uint64(7), 3, uint64(9)))
	first := w.file()
	w.begin()
	for i := uint64(11); i <= 20; i++ {
		w.entry(3, i, fmt.Sprint("new ", i))
	}
	w.record(typeState, message(1, uint64(3), 2, uint64(7), 3, uint64(19)))
	return [][]byte{first, w.file()}
}

func store(t require.TestingT, dir string, files [][]byte) {
	for i, content := range files {
		name := fmt.Sprintf("%016x-%016x.wal", i+3, i)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
}

func TestALogIsReadFromAnIndexOn(t *testing.T) {
	dir := t.TempDir()
	store(t, dir, twoFiles())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0.tmp"), []byte("x"), 0o600))
	for after := range uint64(22) {
		log, err := Read(dir, after)
		require.NoError(t, err)
		require.Equal(t, []uint64{7, 9, 19}, []uint64{log.Node, log.Cluster, log.Commit})
		require.Len(t, log.Entries, int(max(20, after)-after))
		for i, e := range log.Entries {
			want := fmt.Sprint("old ", e.Index)
			if e.Index > 10 {
				want = fmt.Sprint("new ", e.Index)
			}
			require.Equal(t, after+uint64(i)+1, e.Index)
			require.Equal(t, want, string(e.Data))
		}
	}
}

func TestATornTailIsCutAndDamageIsNot(t *testing.T) {
	whole := twoFiles()
	second := whole[1]
	end := len(second) - 4096
	read := func(change func(first, second []byte) [][]byte) (*Log, error) {
		dir := t.TempDir()
		store(t, dir, change(bytes.Clone(whole[0]), bytes.Clone(second)))
		return Read(dir, 0)
	}
	log, err := read(func(first, second []byte) [][]byte {
		return [][]byte{first, second[:end-3]}
	})
	require.NoError(t, err)
	require.Len(t, log.Entries, 20)
	require.Positive(t, log.TornBytes, "the file ends in the hard state")

	w := &writer{}
	w.begin()
	w.entry(1, 1, string(bytes.Repeat([]byte("x"), 3000)))
	long := w.file()
	clear(long[1024:1536])
	dir := t.TempDir()
	store(t, dir, [][]byte{long})
	log, err = Read(dir, 0)
	require.NoError(t, err)
	require.Empty(t, log.Entries, "a sector of it was never written")

	for what, change := range map[string]func(first, second []byte) [][]byte{
		"a flipped bit in the last file":  func(a, b []byte) [][]byte { b[200] ^= 1; return [][]byte{a, b} },
		"a flipped bit in the first file": func(a, b []byte) [][]byte { a[200] ^= 1; return [][]byte{a, b} },
		"a torn record before the last file": func(a, b []byte) [][]byte {
			return [][]byte{a[:len(a)-4096-3], b}
		},
		"an absurd length": func(a, b []byte) [][]byte { b[6] = 1; return [][]byte{a, b} },
		"another log's file": func(a, b []byte) [][]byte {
			w := &writer{crc: 5}
			w.begin()
			return [][]byte{a, w.file()}
		},
	} {
		_, err := read(change)
		require.ErrorAs(t, err, new(*DamageError), what)
	}
	dir = t.TempDir()
	store(t, dir, append(twoFiles(), second))
	require.NoError(t, os.Remove(filepath.Join(dir, fmt.Sprintf("%016x-%016x.wal", 4, 1))))
	_, err = Read(dir, 0)
	require.ErrorContains(t, err, "missing between")
	_, err = Read(t.TempDir(), 0)
	require.ErrorContains(t, err, "holds no log")
}

func TestEntriesThatAreGoneAreMissed(t *testing.T) {
	w := &writer{}
	w.begin()
	w.record(typeSnapshot, message(1, uint64(50), 2, uint64(3)))
	w.entry(3, 51, "x")
	dir := t.TempDir()
	store(t, dir, [][]byte{w.file()})
	log, err := Read(dir, 50)
	require.NoError(t, err)
	require.Len(t, log.Entries, 1)
	_, err = Read(dir, 40)
	require.ErrorContains(t, err, "the database ends at 40")
}

// Whatever is done to a log, reading it ends, and what is read was written.
func TestChangedLogsNeverInventEntries(t *testing.T) {
	whole := twoFiles()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		files := [][]byte{bytes.Clone(whole[0]), bytes.Clone(whole[1])}
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			f := files[rapid.IntRange(0, 1).Draw(t, "file")]
			at := rapid.IntRange(0, len(f)-4000).Draw(t, "at")
			f[at] = rapid.Byte().Draw(t, "byte")
		}
		store(t, dir, files)
		log, err := Read(dir, 3)
		if err != nil {
			return
		}
		for _, e := range log.Entries {
			require.Contains(t, []string{fmt.Sprint("old ", e.Index), fmt.Sprint("new ", e.Index)},
				string(e.Data))
		}
	})
}

func FuzzRecords(f *testing.F) {
	for _, b := range twoFiles() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &reader{log: &Log{}, last: true}
		if r.records("x", bytes.NewReader(b), int64(len(b))) != nil {
			return
		}
		for i, e := range r.log.Entries {
			require.Equal(t, uint64(i)+1, e.Index)
		}
	})
}
