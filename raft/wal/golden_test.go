package wal

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/raft"
)

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

// story writes what happens to a log and the operations it issues, in order.
type story struct {
	*world
	text strings.Builder
	told int
}

func (s *story) tell(format string, args ...any) {
	fmt.Fprintf(&s.text, "# "+format+"\n", args...)
}

func (s *story) run() {
	s.drain()
	for _, op := range s.issued[s.told:] {
		lane := "log "
		if op.Lane == diskio.LaneBulk {
			lane = "bulk"
		}
		fmt.Fprintf(&s.text, "%s  %v\n", lane, op)
	}
	s.told = len(s.issued)
	s.text.WriteString("\n")
}

func (s *story) entries(n int, size int) {
	for range n {
		s.append(raft.Append{Hard: raft.HardState{Term: 1}, MustSync: true,
			Entries: []raft.Entry{{Term: 1, Index: s.state().last() + 1, Type: raft.EntryNormal,
				Data: make([]byte, size)}}})
	}
}

// The order of operations is the protocol with the disk: a change here must be meant.
func TestOperationsOfALife(t *testing.T) {
	opt := smallOptions()
	opt.SegmentBytes = 4 << 10
	s := &story{world: newWorld(t, opt, simdisk.Options{Seed: 7, Sector: 512})}
	s.tell("A first start: the segment gets its name when the incarnation is durable in it.")
	s.run()
	s.tell("One append, then two that were queued while it was in flight.")
	s.entries(3, 100)
	s.run()
	s.tell("A commit index alone waits; the second quiet tick writes it as a sync mark.")
	s.append(raft.Append{Hard: raft.HardState{Term: 1, Commit: 3}})
	s.run()
	s.log.Mark()
	s.flush()
	s.log.Mark()
	s.flush()
	s.run()
	s.tell("The segment is full: the spare is used at once and another one prepared behind it.")
	s.entries(1, 1500)
	s.run()
	s.tell("Compaction is recorded first; then the oldest segment is obsolete.")
	s.entries(1, 1500)
	s.run()
	s.floor = 4
	s.log.Compact(s.floor)
	s.entries(1, 10)
	s.run()
	s.tell("The next roll recycles it.")
	s.entries(1, 1500)
	s.run()
	s.tell("A restart: what is not known durable moves to a new segment with the incarnation.")
	s.open()
	s.run()
	const file = "testdata/life.golden"
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(s.text.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), s.text.String())
}
