package revlog

// Shipping and installing, with loss of power at every operation.

import (
	"testing"

	"github.com/detcd/detcd/diskio"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// member is a log on its own disk with, perhaps, a receiver beside it.
type member struct {
	disk *testDisk
	log  *Log
	recv *Receiver
}

// pump submits what can be issued and performs one operation; false if there is none.
func (m *member) pump(t require.TestingT) bool {
	ops := m.log.Flush(nil)
	if m.recv != nil {
		ops = m.recv.Flush(ops)
	}
	for _, op := range ops {
		m.disk.Submit(op)
	}
	if len(m.disk.queue) == 0 {
		return false
	}
	c := m.disk.step()
	if c.Ticket >= m.log.opt.TicketBase+ReceiverTickets {
		require.NoError(t, m.recv.Complete(c))
	} else {
		require.NoError(t, m.log.Complete(c))
	}
	return true
}

// shipped makes a sender with a checkpoint of 300 records, some of them dropped already.
func shipped(t require.TestingT) *Log {
	d := newTestDisk()
	l, _, _ := mustOpen(t, d, testOptions())
	fill(l, 2, 150, 100)
	l.Append(Rev{151, 0}, Put, kvOf(Rev{151, 0}, 9000))
	l.Append(Rev{151, 1}, Tombstone, []byte("k"))
	fill(l, 152, 300, 70)
	for m := Revision(2); m < 120; m++ {
		if m%4 != 0 {
			l.Dead(Rev{m, 0})
		}
	}
	l.StartCheckpoint(Checkpoint{Applied: 50, Current: 300, State: kvOf(Rev{}, 5000)})
	settle(t, d, l)
	checkpoint(t, d, l, Checkpoint{Applied: 60, Term: 2, Current: 300, Digest: 8,
		State: kvOf(Rev{}, 4000)})
	return l
}

// behind makes a member with an older history of its own: two generations and unwritten records.
func behind(t require.TestingT) *member {
	m := &member{disk: newTestDisk()}
	m.log, _, _ = mustOpen(t, m.disk, testOptions())
	fill(m.log, 2, 60, 100)
	checkpoint(t, m.disk, m.log, Checkpoint{Applied: 10, Current: 60})
	fill(m.log, 61, 130, 100)
	checkpoint(t, m.disk, m.log, Checkpoint{Applied: 20, Current: 130})
	fill(m.log, 131, 140, 100)
	return m
}

func noVisit(Record) error { return nil }

func TestAShipmentArrivesWhole(t *testing.T) {
	l := shipped(t)
	for _, stride := range []int{1, 50, 1000, 1 << 20} {
		s, ok := l.Ship(stride)
		require.True(t, ok)
		check, header := s.Offer()
		m := behind(t)
		r, got, err := m.log.Receive(header)
		require.NoError(t, err)
		require.Equal(t, check, got)
		m.recv = r
		old := m.log.Snapshot()
		records := map[Rev]string{}
		for n := 0; ; n++ {
			data, ok, err := l.Chunk(s, n)
			require.NoError(t, err)
			next, done := r.Next()
			require.Equal(t, n, next)
			require.Equal(t, !ok, done)
			if done {
				break
			}
			took, err := r.Chunk(n+1, data, noVisit)
			require.NoError(t, err)
			require.False(t, took)
			took, err = r.Chunk(n, data, func(rec Record) error {
				records[rec.Rev] = string(rec.KV)
				return nil
			})
			require.NoError(t, err)
			require.True(t, took)
			m.pump(t)
		}
		r.Install()
		require.True(t, m.log.Checkpointing())
		for m.pump(t) {
		}
		next, loaded, ok := r.Installed()
		require.True(t, ok)
		require.Equal(t, check, loaded.Checkpoint)
		m.log, m.recv = next, nil
		require.NoError(t, next.Check())
		for rev, kv := range records {
			have, err := next.Read(rev)
			require.NoError(t, err)
			require.Equal(t, kv, string(have))
		}
		settle(t, m.disk, next)
		kv, err := old.Read(Rev{100, 0})
		require.NoError(t, err, "a snapshot of the replaced log keeps its files")
		require.Equal(t, kvOf(Rev{100, 0}, 100), kv)
		next.Release(old)
		fill(next, 301, 320, 100)
		settle(t, m.disk, next)
		require.Len(t, m.disk.find(manifestSuffix), 1)
		newest, older := next.Durable()
		require.Equal(t, uint64(60), newest.Applied)
		require.Zero(t, older)
		checkpoint(t, m.disk, next, Checkpoint{Applied: 70, Current: 320})
		_, loaded, again := mustOpen(t, m.disk.crash(1), testOptions())
		require.Equal(t, uint64(70), loaded.Checkpoint.Applied)
		require.Len(t, again, len(records)+20)
		l.EndShip(s)
	}
}

// TestEveryCrashPointOfAnInstall loses power at each operation, from the first chunk to the removal
// of the old history. What comes back is the old history's newest generation or the installed one.
func TestEveryCrashPointOfAnInstall(t *testing.T) {
	l := shipped(t)
	s, _ := l.Ship(700)
	_, header := s.Offer()
	want := len(shippedRecords(t, l, s))
	installs := 0
	for stop := 0; ; stop++ {
		m := behind(t)
		m.log.StartCheckpoint(Checkpoint{Applied: 30, Current: 140})
		r, _, err := m.log.Receive(header)
		require.NoError(t, err)
		m.recv = r
		steps, idle, durable := 0, false, false
		for steps < stop && !idle {
			if n, done := r.Next(); !done {
				data, _, err := l.Chunk(s, n)
				require.NoError(t, err)
				_, err = r.Chunk(n, data, noVisit)
				require.NoError(t, err)
			} else if r.state == receiving && steps > 4 {
				r.Install()
			}
			idle = !m.pump(t) && r.state == installed
			if next, _, ok := r.Installed(); ok && !durable {
				durable = true
				m.log, m.recv = next, nil
			}
			steps++
		}
		for seed := range uint64(8) {
			again := &member{disk: m.disk.crash(seed)}
			var loaded Loaded
			var records []Record
			again.log, loaded, records = mustOpen(t, again.disk, testOptions())
			count := map[uint64]int{20: 129, 30: 139, 60: want}[loaded.Checkpoint.Applied]
			require.Len(t, records, count, "applied %d", loaded.Checkpoint.Applied)
			require.True(t, !durable || loaded.Checkpoint.Applied == 60)
			if _, older := again.log.Durable(); loaded.Checkpoint.Applied == 60 {
				require.Zero(t, older, "a generation of the replaced history")
			}
			settle(t, again.disk, again.log)
			_, after, _ := mustOpen(t, again.disk.crash(seed), testOptions())
			require.Equal(t, loaded.Checkpoint.Applied, after.Checkpoint.Applied)
			installs += int(loaded.Checkpoint.Applied) / 60
		}
		if idle {
			require.NotZero(t, installs)
			require.Len(t, m.disk.find(manifestSuffix), 1)
			return
		}
	}
}

func shippedRecords(t require.TestingT, l *Log, s *Shipment) (records []Record) {
	_, header := s.Offer()
	r, _, err := behind(t).log.Receive(header)
	require.NoError(t, err)
	for n := range s.Chunks() {
		data, _, err := l.Chunk(s, n)
		require.NoError(t, err)
		_, err = r.Chunk(n, data, func(rec Record) error {
			records = append(records, rec)
			return nil
		})
		require.NoError(t, err)
	}
	return records
}

func TestAbortRemovesWhatWasReceived(t *testing.T) {
	l := shipped(t)
	s, _ := l.Ship(700)
	_, header := s.Offer()
	m := behind(t)
	settle(t, m.disk, m.log)
	before := sortedNames(m.disk.names)
	r, _, err := m.log.Receive(header)
	require.NoError(t, err)
	m.recv = r
	for n := range s.Chunks() / 2 {
		data, _, _ := l.Chunk(s, n)
		_, err := r.Chunk(n, data, noVisit)
		require.NoError(t, err)
		m.pump(t)
	}
	for _, op := range r.Flush(nil) {
		m.disk.Submit(op)
	}
	for _, op := range r.Abort(nil) {
		require.Equal(t, diskio.Remove, op.Kind)
		m.disk.Submit(op)
	}
	for m.pump(t) {
	}
	require.Equal(t, before, sortedNames(m.disk.names))
}

// TestADamagedShipmentTakesNothing flips bits of chunks and offers: a receiver refuses and still
// accepts the right one afterwards.
func TestADamagedShipmentTakesNothing(t *testing.T) {
	l := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		s, _ := l.Ship(rapid.SampledFrom([]int{200, 3000, 1 << 20}).Draw(t, "stride"))
		defer l.EndShip(s)
		_, header := s.Offer()
		broken := append([]byte(nil), header...)
		broken[rapid.IntRange(0, len(broken)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		m := behind(t)
		_, _, err := m.log.Receive(broken)
		require.Error(t, err)
		r, _, err := m.log.Receive(header)
		require.NoError(t, err)
		for n := range s.Chunks() {
			data, _, err := l.Chunk(s, n)
			require.NoError(t, err)
			for _, bad := range [][]byte{spoil(t, data), append(data[:len(data):len(data)], 0),
				append(data[:len(data):len(data)], data...)} {
				if string(bad) == string(data) {
					continue
				}
				ok, err := r.Chunk(n, bad, func(Record) error { panic("visited") })
				var refused *ShipmentError
				require.ErrorAs(t, err, &refused)
				require.False(t, ok)
			}
			ok, err := r.Chunk(n, data, noVisit)
			require.NoError(t, err)
			require.True(t, ok)
		}
	})
}

func spoil(t *rapid.T, data []byte) []byte {
	bad := append([]byte(nil), data...)
	if len(bad) == 0 {
		return bad
	}
	at := rapid.IntRange(0, len(bad)-1).Draw(t, "at")
	if rapid.Bool().Draw(t, "cut") {
		return bad[:at]
	}
	bad[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	return bad
}
