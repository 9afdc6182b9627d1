package revlog

// The log against its obvious twin, a map from revision to record, under random appends, deaths,
// checkpoints, reclaim, snapshots, and losses of power between any two disk operations.

import (
	"fmt"
	"sort"
	"testing"

	"github.com/detcd/detcd/diskio"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// twin is the expected content: records that must be there, and dead ones that may be.
type twin struct {
	live, dead map[Rev]Record
}

func (w twin) clone() twin {
	c := twin{map[Rev]Record{}, map[Rev]Record{}}
	for rev, r := range w.live {
		c.live[rev] = r
	}
	for rev, r := range w.dead {
		c.dead[rev] = r
	}
	return c
}

func (w twin) revs() (revs []Rev) {
	for rev := range w.live {
		revs = append(revs, rev)
	}
	sort.Slice(revs, func(i, j int) bool { return revs[i].Less(revs[j]) })
	return revs
}

type heldSnapshot struct {
	s    *Snapshot
	want twin
}

type sentCheckpoint struct {
	check Checkpoint
	want  twin
}

type logMachine struct {
	disk  *testDisk
	log   *Log
	want  twin
	main  Revision
	sub   int32
	held  []heldSnapshot
	sent  []sentCheckpoint // checkpoints started, that a crash may come back to; [0] may be none
	next  uint64
	crash int
}

func (m *logMachine) append(t *rapid.T) {
	for range rapid.IntRange(1, 40).Draw(t, "records") {
		if rapid.IntRange(0, 3).Draw(t, "same main") == 0 && m.sub >= 0 {
			m.sub++
		} else {
			m.main, m.sub = m.main+Revision(rapid.IntRange(1, 3).Draw(t, "gap")), 0
		}
		rev := Rev{m.main, m.sub}
		kind := RecordKind(rapid.IntRange(0, 1).Draw(t, "kind"))
		size := rapid.SampledFrom([]int{0, 10, 100, 1000, 9000}).Draw(t, "size")
		kv := kvOf(rev, size)
		cut := len(kv) / 2
		got := m.log.Append(rev, kind, kv[:cut], kv[cut:])
		require.Equal(t, kv, got)
		m.want.live[rev] = Record{rev, kind, kv}
	}
}

func (m *logMachine) kill(t *rapid.T) {
	revs := m.want.revs()
	if len(revs) == 0 {
		return
	}
	from := rapid.IntRange(0, len(revs)-1).Draw(t, "from")
	share := rapid.IntRange(1, 4).Draw(t, "every")
	for i := from; i < min(len(revs), from+60); i += share {
		m.log.Dead(revs[i])
		m.want.dead[revs[i]] = m.want.live[revs[i]]
		delete(m.want.live, revs[i])
	}
}

func (m *logMachine) checkpoint(t *rapid.T) {
	if m.log.Checkpointing() {
		return
	}
	m.next++
	c := Checkpoint{Applied: m.next, Term: 1, Current: m.main, Compacted: -1, Digest: m.next * 3,
		State: kvOf(Rev{Main: Revision(m.next)}, rapid.SampledFrom([]int{0, 50, 7000}).Draw(t, "state"))}
	m.log.StartCheckpoint(c)
	m.sent = append(m.sent, sentCheckpoint{c, m.want.clone()})
}

// io performs up to n disk operations.
func (m *logMachine) io(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "operations") {
		for _, op := range m.log.Flush(nil) {
			m.disk.Submit(op)
		}
		if len(m.disk.queue) == 0 {
			return
		}
		require.NoError(t, m.log.Complete(m.disk.step()))
	}
}

func (m *logMachine) work(t *rapid.T) { m.log.Work(rapid.IntRange(1, 50).Draw(t, "budget")) }

func (m *logMachine) snapshot(t *rapid.T) {
	if len(m.held) < 4 {
		m.held = append(m.held, heldSnapshot{m.log.Snapshot(), m.want.clone()})
	}
}

func (m *logMachine) readSnapshot(t *rapid.T) {
	if len(m.held) == 0 {
		return
	}
	h := rapid.SampledFrom(m.held).Draw(t, "snapshot")
	revs := h.want.revs()
	revs = rapid.Permutation(revs[:min(len(revs), 200)]).Draw(t, "order")
	kvs := make([][]byte, len(revs))
	require.NoError(t, h.s.ReadBatch(revs, kvs))
	for i, rev := range revs {
		require.Equal(t, h.want.live[rev].KV, append([]byte{}, kvs[i]...), "%v", rev)
		kv, err := h.s.Read(rev)
		require.NoError(t, err)
		require.Equal(t, kvs[i], kv)
	}
}

func (m *logMachine) release(t *rapid.T) {
	if n := len(m.held); n > 0 {
		i := rapid.IntRange(0, n-1).Draw(t, "which")
		m.log.Release(m.held[i].s)
		m.held = append(m.held[:i], m.held[i+1:]...)
	}
}

// lose loses power; the log must come back with a checkpoint that was durable or about to be.
func (m *logMachine) lose(t *rapid.T) {
	newest, _ := m.log.Durable()
	for range rapid.IntRange(0, len(m.disk.queue)).Draw(t, "performed, not completed") {
		m.disk.step()
	}
	m.disk = m.disk.crash(rapid.Uint64().Draw(t, "crash"))
	m.held = nil
	l, loaded, records := mustOpen(t, m.disk, testOptions())
	m.log = l
	require.GreaterOrEqual(t, loaded.Checkpoint.Applied, newest.Applied, "a durable one was lost")
	state := sentCheckpoint{want: twin{map[Rev]Record{}, map[Rev]Record{}}}
	found := loaded.Empty
	for _, s := range m.sent {
		if s.check.Applied == loaded.Checkpoint.Applied && !loaded.Empty {
			state, found = s, true
		}
	}
	require.True(t, found)
	require.Equal(t, string(state.check.State), string(loaded.Checkpoint.State))
	loaded.Checkpoint.State, state.check.State = nil, nil
	require.Equal(t, state.check, loaded.Checkpoint)
	m.want = state.want.clone()
	m.compare(t, records)
	m.main, m.sub = loaded.Checkpoint.Current, -1 // the next append begins a new main revision
	m.next = loaded.Checkpoint.Applied + 100
	for _, r := range records {
		if _, dead := m.want.dead[r.Rev]; dead {
			l.Dead(r.Rev)
		}
	}
}

// compare demands all live records, in order, and nothing that was never written.
func (m *logMachine) compare(t *rapid.T, records []Record) {
	missing := len(m.want.live)
	for i, r := range records {
		want, ok := m.want.live[r.Rev]
		if ok {
			missing--
		} else {
			want, ok = m.want.dead[r.Rev]
		}
		require.True(t, ok, "%v was never covered", r.Rev)
		require.Equal(t, want, r)
		require.True(t, i == 0 || records[i-1].Rev.Less(r.Rev))
	}
	require.Zero(t, missing, "records are missing")
}

func (m *logMachine) check(t *rapid.T) {
	require.NoError(t, m.log.Check())
	for _, rev := range m.want.revs() {
		kv, err := m.log.Read(rev)
		require.NoError(t, err)
		require.Equal(t, m.want.live[rev].KV, append([]byte{}, kv...))
	}
}

func (m *logMachine) pause(*rapid.T) { m.log.Pause() }

func (m *logMachine) resume(*rapid.T) { m.log.Resume() }

// finish lets everything settle: only files that the kept generations need may be left.
func (m *logMachine) finish(t *rapid.T) {
	for _, h := range m.held {
		m.log.Release(h.s)
	}
	m.log.Resume()
	for len(m.disk.queue) > 0 {
		require.NoError(t, m.log.Complete(m.disk.step()))
	}
	settle(t, m.disk, m.log)
	for range 2 {
		m.checkpoint(t)
		settle(t, m.disk, m.log)
	}
	m.check(t)
	want := map[string]bool{}
	for _, g := range []*generation{m.log.newest, m.log.older} {
		want[generationName("engine", g.number, manifestSuffix)] = true
		want[generationName("engine", g.number, stateSuffix)] = true
		for _, s := range g.spans {
			want[s.name] = true
		}
	}
	bytes := int64(0)
	for _, name := range sortedNames(m.disk.names) {
		require.True(t, want[name], "%s is left over", name)
		if number, suffix, _ := parseName(name[len("engine/"):]); suffix == segmentSuffix {
			require.NotZero(t, number)
		}
		size, _ := m.disk.Size(name)
		bytes += size
	}
	require.Len(t, m.disk.names, len(want))
	files, _ := m.log.Size()
	require.Equal(t, bytes, files)
}

func TestLogEqualsItsTwinUnderLossOfPower(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &logMachine{disk: newTestDisk(), main: 1, sub: -1,
			want: twin{map[Rev]Record{}, map[Rev]Record{}}}
		m.log, _, _ = mustOpen(t, m.disk, testOptions())
		actions := []func(*rapid.T){m.append, m.append, m.kill, m.checkpoint, m.io, m.io, m.work,
			m.work, m.snapshot, m.readSnapshot, m.release, m.pause, m.resume, m.lose, m.check}
		names := []string{"append", "append", "kill", "checkpoint", "io", "io", "work", "work",
			"snapshot", "read", "release", "pause", "resume", "lose power", "check"}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(actions)-1).Draw(t, "action")
			t.Log(names[i])
			actions[i](t)
		}
		m.finish(t)
	})
}

// TestEveryCrashPointOfACheckpoint loses power before and after each operation of a checkpoint,
// several ways each.
func TestEveryCrashPointOfACheckpoint(t *testing.T) {
	for stop := 0; ; stop++ {
		d := newTestDisk()
		l, _, _ := mustOpen(t, d, testOptions())
		fill(l, 2, 100, 100)
		checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 100})
		fill(l, 101, 250, 100)
		l.StartCheckpoint(Checkpoint{Applied: 2, Current: 250})
		steps := 0
		for l.Checkpointing() && steps < stop {
			for _, op := range l.Flush(nil) {
				d.Submit(op)
			}
			require.NoError(t, l.Complete(d.step()))
			steps++
		}
		durable := !l.Checkpointing()
		for seed := range uint64(20) {
			_, loaded, records := mustOpen(t, d.crash(seed), testOptions())
			require.Contains(t, []uint64{1, 2}, loaded.Checkpoint.Applied)
			require.Len(t, records, map[uint64]int{1: 99, 2: 249}[loaded.Checkpoint.Applied])
			require.True(t, !durable || loaded.Checkpoint.Applied == 2)
		}
		if durable {
			require.Greater(t, stop, 10)
			return
		}
	}
}

var _ diskio.Disk = (*testDisk)(nil)

func (m *logMachine) String() string { return fmt.Sprint(m.disk) }
