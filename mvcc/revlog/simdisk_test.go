package revlog

// The log on the simulated disk, which knows more ways to lose things than the small test disk:
// operations caught in flight, and a process that ends, is started again on what the page cache
// shows, and only then loses power.

import (
	"testing"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// simMember is a log, and perhaps a receiver, on a simulated disk.
type simMember struct {
	disk *simdisk.Disk
	log  *Log
	recv *Receiver
}

// step submits what can be issued, begins the next operation and, unless caught, finishes it.
func (m *simMember) step(t require.TestingT, caught bool) (busy bool) {
	ops := m.log.Flush(nil)
	if m.recv != nil {
		ops = m.recv.Flush(ops)
	}
	for _, op := range ops {
		m.disk.Submit(op)
	}
	if _, busy = m.disk.Begin(diskio.LaneEngine); !busy || caught {
		return busy
	}
	var err error
	c := m.disk.Finish(diskio.LaneEngine)
	if m.recv != nil && c.Ticket >= m.log.opt.TicketBase+ReceiverTickets {
		err = m.recv.Complete(c)
	} else {
		err = m.log.Complete(c)
	}
	if err != nil { // the node stops, the machine goes on, and somebody starts it again
		require.ErrorIs(t, err, diskio.ErrFailed)
		m.disk.Crash(simdisk.ProcessCrash, 1)
		m.reopen(t)
	}
	if m.recv != nil {
		if next, _, ok := m.recv.Installed(); ok {
			m.log, m.recv = next, nil
		}
	}
	return true
}

// room leaves n hundred bytes on the disk (1 to 4), any number (0), or what there was (5 and more).
func (m *simMember) room(n int64) {
	switch {
	case n == 0:
		m.disk.SetCapacity(0)
		m.log.Retry()
		if m.recv != nil {
			m.recv.Retry()
		}
	case n < 5:
		m.disk.SetCapacity(m.disk.Used() + n*100)
	}
}

func (m *simMember) idle(t require.TestingT) {
	for m.step(t, false) || m.log.Work(1000) {
	}
}

func (m *simMember) reopen(t require.TestingT) (Loaded, []Record) {
	l, loaded, err := Open(m.disk, testOptions())
	require.NoError(t, err)
	var records []Record
	require.NoError(t, l.Scan(func(r Record) error {
		if r.Kind == Put {
			require.Equal(t, string(kvOf(r.Rev, len(r.KV))), string(r.KV))
		}
		records = append(records, r)
		return nil
	}))
	m.log, m.recv = l, nil
	return loaded, records
}

// TestNoCrashLosesBothHistories installs a shipment over a history with two generations while
// checkpoints run, and crashes at random points: processes first, then the power.
func TestNoCrashLosesBothHistories(t *testing.T) {
	sender := shipped(t)
	ship, _ := sender.Ship(4000)
	_, header := ship.Offer()
	shippedCount := len(shippedRecords(t, sender, ship))
	seen := map[uint64]bool{}
	rapid.Check(t, func(t *rapid.T) {
		m := &simMember{disk: simdisk.New(simdisk.Options{Seed: rapid.Uint64().Draw(t, "disk"),
			Sector: 512})}
		m.reopen(t)
		for n := range 2 {
			fill(m.log, Revision(2+n*50), Revision(51+n*50), 100)
			m.log.StartCheckpoint(Checkpoint{Applied: uint64(10 + n*10), Current: 2})
			m.idle(t)
		}
		fill(m.log, 102, 140, 100)
		m.log.StartCheckpoint(Checkpoint{Applied: 30, Current: 2})
		r, _, err := m.log.Receive(header)
		require.NoError(t, err)
		m.recv = r
		for n := range ship.Chunks() {
			data, _, err := sender.Chunk(ship, n)
			require.NoError(t, err)
			_, err = r.Chunk(n, data, noVisit)
			require.NoError(t, err)
			for range rapid.IntRange(0, 3).Draw(t, "steps") {
				m.step(t, false)
			}
		}
		r.Install()
		highest := uint64(20)
		fails := rapid.IntRange(0, 40).Draw(t, "steps before a failing sync")
		for range rapid.IntRange(0, 2).Draw(t, "ends of the process") {
			for range rapid.IntRange(0, 30).Draw(t, "steps") {
				m.room(rapid.Int64Range(0, 20).Draw(t, "room"))
				if fails--; fails == 0 {
					m.disk.Arm(simdisk.SyncFails, "engine")
				}
				m.step(t, false)
			}
			m.step(t, rapid.Bool().Draw(t, "caught in flight"))
			if newest, _ := m.log.Durable(); m.log.Ready() && m.recv == nil {
				highest = max(highest, newest.Applied)
			}
			m.disk.Crash(simdisk.ProcessCrash, rapid.Uint64().Draw(t, "crash"))
			m.reopen(t)
		}
		m.room(0)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			m.step(t, false)
		}
		if newest, _ := m.log.Durable(); m.log.Ready() && m.recv == nil {
			highest = max(highest, newest.Applied)
		}
		m.disk.Crash(simdisk.PowerLoss, rapid.Uint64().Draw(t, "power"))
		loaded, records := m.reopen(t)
		require.GreaterOrEqual(t, loaded.Checkpoint.Applied, highest)
		count := map[uint64]int{20: 100, 30: 139, 60: shippedCount}[loaded.Checkpoint.Applied]
		require.Len(t, records, count, "applied %d", loaded.Checkpoint.Applied)
		seen[loaded.Checkpoint.Applied] = true
		m.idle(t)
		require.NoError(t, m.log.Check())
		require.NoError(t, m.disk.Check())
	})
	if !testing.Short() { // a short run draws too few cases to meet them all
		require.Len(t, seen, 3, "not every outcome was met")
	}
}
