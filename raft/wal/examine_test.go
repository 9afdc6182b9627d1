package wal

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// One damaged record after the other: each is found, alone, with what it held.
func TestExamineFindsEveryDamagedRecordAndWhatItHeld(t *testing.T) {
	w := typical(t)
	flaws, err := Examine(w.disk, w.opt.Dir)
	require.NoError(t, err)
	require.Empty(t, flaws)
	places, records := w.places()
	entries, last := map[Position][2]raft.Index{}, raft.Index(0)
	require.NoError(t, Walk(w.disk, w.opt.Dir, func(_ Place, r Record) error {
		if n := len(r.Entries); n > 0 {
			last = r.Entries[n-1].Index
			entries[r.Position] = [2]raft.Index{r.Entries[0].Index, r.Entries[n-1].Index}
		}
		return nil
	}))
	for i, r := range records[:len(records)-2] {
		for what, at := range map[string]int64{"header": 20, "content": recordHeaderSize + 1} {
			if what == "content" && (r.Type == RecordHardState || r.Type == RecordMark) {
				continue // they have none
			}
			name := fmt.Sprintf("%s of %v at position %d", what, r.Type, r.Position)
			w := typical(t)
			scribble(w.disk, diskio.Op{Kind: diskio.Write, File: places[i].File,
				Offset: places[i].Offset + at, Data: []byte("damage")})
			flaws, err := Examine(w.disk, w.opt.Dir)
			require.NoError(t, err, name)
			require.NotEmpty(t, flaws, name)
			f := flaws[0]
			require.Equal(t, places[i].File, f.File, name)
			require.Equal(t, places[i].Offset, f.Offset, name)
			require.Equal(t, r.Position, f.First, name)
			require.True(t, f.Durable, name)
			require.NotEmpty(t, f.Reason, name)
			if what == "content" {
				require.Equal(t, r.Type, f.Type, name)
				require.Equal(t, r.Hard, f.Hard, name)
				require.Equal(t, r.Position, f.Last, name)
			}
			if e, ok := entries[r.Position]; ok {
				require.Equal(t, e[0], f.FirstEntry, name)
				// A later batch tells where the lost entries end. Behind a damaged header the rest
				// of the write is lost, too.
				if f.LastEntry != 0 {
					require.GreaterOrEqual(t, f.LastEntry, e[1], name)
				} else {
					require.GreaterOrEqual(t, e[1]+4, last, name)
				}
			}
		}
	}
}

func TestExamineGoesOnBehindTheFirstFlaw(t *testing.T) {
	w := typical(t)
	places, records := w.places()
	hit := 0
	for i := range records {
		if records[i].Type == RecordBatch && records[i].Position%9 == 0 {
			scribble(w.disk, diskio.Op{Kind: diskio.Write, File: places[i].File,
				Offset: places[i].Offset + recordHeaderSize + 3, Data: []byte("x")})
			hit++
		}
	}
	require.Greater(t, hit, 2)
	flaws, err := Examine(w.disk, w.opt.Dir)
	require.NoError(t, err)
	require.Len(t, flaws, hit)
	for _, f := range flaws {
		require.Equal(t, RecordBatch, f.Type)
		require.NotZero(t, f.FirstEntry)
	}
}
