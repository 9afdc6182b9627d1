package mvcc_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/mvcc/twin"
)

// world is a disk and the checkpoints that were ever started on it.
type world struct {
	disk    memDisk
	applied uint64
	covered map[uint64]covered // by applied index
}

// covered is what a checkpoint must bring back.
type covered struct {
	twin   *twin.Store
	digest uint64
}

func smallOptions() mvcc.Options {
	return mvcc.Options{Dir: "data", SegmentBytes: 2048, StepBytes: 600, CacheBytes: 4096,
		BlockKeys: 8}
}

func newPair(t require.TestingT) *pair {
	w := &world{disk: memDisk{files: map[string][]byte{}}, covered: map[uint64]covered{}}
	e, loaded, err := mvcc.Open(&w.disk, smallOptions())
	require.NoError(t, err)
	require.True(t, loaded.Empty)
	w.covered[0] = covered{twin.New(), e.Digest()}
	return &pair{world: w, engine: e, twin: twin.New()}
}

// run performs up to n disk operations.
func (p *pair) run(t require.TestingT, n int) {
	for range n {
		p.world.disk.queue = p.engine.Flush(p.world.disk.queue)
		if len(p.world.disk.queue) == 0 {
			return
		}
		require.NoError(t, p.engine.Complete(p.world.disk.step()))
	}
}

func (p *pair) runs(t *rapid.T) { p.run(t, rapid.IntRange(1, 20).Draw(t, "operations")) }

func (p *pair) checkpoints(t *rapid.T) {
	if p.engine.Checkpointing() {
		t.Skip("one is running")
	}
	p.startCheckpoint()
	if rapid.Bool().Draw(t, "to the end") {
		p.finishCheckpoint(t)
	}
}

func (p *pair) startCheckpoint() {
	w := p.world
	w.applied++
	w.covered[w.applied] = covered{p.twin.Clone(), p.engine.Digest()}
	p.engine.StartCheckpoint(mvcc.Checkpoint{Applied: w.applied, Term: 3, State: []byte("state")})
}

func (p *pair) finishCheckpoint(t require.TestingT) {
	for n := 0; p.engine.Checkpointing(); n++ {
		require.Less(t, n, 10000, "the checkpoint does not end")
		p.world.disk.queue = p.engine.Flush(p.world.disk.queue)
		require.NotEmpty(t, p.world.disk.queue, "the checkpoint waits for nothing")
		p.run(t, 1)
	}
	newest, _ := p.engine.Durable()
	require.Equal(t, p.world.applied, newest)
}

// restarts loses what no checkpoint covers.
func (p *pair) restarts(t *rapid.T) { p.reopen(t) }

func (p *pair) reopen(t require.TestingT) {
	newest, _ := p.engine.Durable()
	p.world.disk.queue = nil
	e, loaded, err := mvcc.Open(&p.world.disk, smallOptions())
	require.NoError(t, err)
	require.GreaterOrEqual(t, loaded.Checkpoint.Applied, newest)
	p.loaded(t, e, loaded)
}

// loaded makes e the engine, with the twin as it was at the checkpoint.
func (p *pair) loaded(t require.TestingT, e *mvcc.Engine, loaded mvcc.Loaded) {
	c, ok := p.world.covered[loaded.Checkpoint.Applied]
	require.True(t, ok)
	require.Equal(t, c.digest, e.Digest())
	if !loaded.Empty {
		require.Equal(t, "state", string(loaded.Checkpoint.State))
		require.Equal(t, uint64(3), loaded.Checkpoint.Term)
	}
	p.engine, p.twin, p.views = e, c.twin.Clone(), nil
}

// ships brings the newest checkpoint to another member, which takes its place.
func (p *pair) ships(t *rapid.T) {
	newest, _ := p.engine.Durable()
	shipment, ok := p.engine.Ship()
	require.Equal(t, newest > 0, ok)
	if !ok {
		t.Skip("no checkpoint")
	}
	other := newPair(t)
	other.put(t, "in the way", nil)
	if rapid.Bool().Draw(t, "receiver has a checkpoint") {
		other.startCheckpoint()
		other.finishCheckpoint(t)
	}
	other.receive(t, p.engine, shipment)
	require.Equal(t, p.world.covered[newest].twin.Revision(), other.engine.Revision())
	other.world.covered[newest] = p.world.covered[newest]
	other.loaded(t, other.engine, mvcc.Loaded{Empty: true, Checkpoint: mvcc.Checkpoint{
		Applied: newest}})
	other.requireSameState(t)
	other.world.applied = max(other.world.applied, newest)
	if rapid.Bool().Draw(t, "restart the receiver") {
		other.reopen(t)
		other.requireSameState(t)
	}
	if rapid.Bool().Draw(t, "go on there") {
		*p = *other
	}
}

func (p *pair) receive(t require.TestingT, from *mvcc.Engine, shipment *mvcc.Shipment) {
	applied, _, header := shipment.Offer()
	r, err := p.engine.Receive(header)
	require.NoError(t, err)
	for n, done := r.Next(); !done; n, done = r.Next() {
		data, ok, err := from.Chunk(shipment, n)
		require.NoError(t, err)
		require.True(t, ok)
		ok, err = r.Chunk(n+1, data)
		require.NoError(t, err)
		require.False(t, ok)
		ok, err = r.Chunk(n, data)
		require.NoError(t, err)
		require.True(t, ok)
		p.runBoth(t, r, n%3)
	}
	from.EndShip(shipment)
	r.Install()
	for {
		if e, loaded, ok := r.Installed(); ok {
			require.Equal(t, applied, loaded.Checkpoint.Applied)
			p.engine = e
			return
		}
		p.runBoth(t, r, 1)
	}
}

// runBoth performs n operations of an engine and a receiver that share a disk.
func (p *pair) runBoth(t require.TestingT, r *mvcc.Receiver, n int) {
	d := &p.world.disk
	for range n {
		d.queue = r.Flush(p.engine.Flush(d.queue))
		if len(d.queue) == 0 {
			return
		}
		c := d.step()
		if c.Ticket >= mvcc.ReceiverTickets {
			require.NoError(t, r.Complete(c))
		} else {
			require.NoError(t, p.engine.Complete(c))
		}
	}
}

func TestEngineMatchesItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t)
		t.Repeat(map[string]func(*rapid.T){
			"write":      p.writes,
			"write more": p.writes,
			"end":        p.ends,
			"read":       p.reads,
			"view":       p.takeView,
			"readView":   p.readView,
			"follow":     p.follows,
			"release":    p.release,
			"compact":    p.compacts,
			"work":       p.works,
			"disk":       p.runs,
			"checkpoint": p.checkpoints,
			"restart":    p.restarts,
			"ship":       p.ships,
			"import":     p.imports,
			"":           p.check,
		})
	})
}

var _ diskio.Reader = (*memDisk)(nil)
