package mvcc_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
)

// lockedDisk is a memDisk that several goroutines may read.
type lockedDisk struct {
	mu sync.Mutex
	memDisk
}

func (d *lockedDisk) ReadAt(file string, p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.memDisk.ReadAt(file, p, off)
}

func (d *lockedDisk) perform(t require.TestingT, e *mvcc.Engine, n int) {
	for range n {
		d.queue = e.Flush(d.queue)
		if len(d.queue) == 0 {
			return
		}
		d.mu.Lock()
		c := d.step()
		d.mu.Unlock()
		require.NoError(t, e.Complete(c))
	}
}

var _ diskio.Reader = (*lockedDisk)(nil)

// Views are read on other goroutines while the engine writes, compacts and reclaims; every one must
// go on answering what was true when it was taken. The race detector judges the sharing.
func TestViewsAreReadWhileTheEngineGoesOn(t *testing.T) {
	d := &lockedDisk{memDisk: memDisk{files: map[string][]byte{}}}
	e, _, err := mvcc.Open(d, smallOptions())
	require.NoError(t, err)
	const keys, rounds = 40, 60
	var readers sync.WaitGroup
	failures := make(chan error, rounds)
	var views []*mvcc.View
	for round := range rounds {
		txn := e.Begin()
		for k := range keys {
			require.NoError(t, txn.Put(fmt.Appendf(nil, "key%02d", k), fmt.Appendf(nil, "%d", round),
				0))
		}
		txn.Commit()
		v := e.View()
		views = append(views, v)
		readers.Add(1)
		go func() {
			defer readers.Done()
			failures <- readRound(v, keys, fmt.Sprint(round))
		}()
		if round%5 == 4 {
			require.NoError(t, e.Compact(e.Revision()))
		}
		e.Work(30)
		d.perform(t, e, 5)
		if len(views) > 8 {
			// A reader is done with its view before it is given back.
			readers.Wait()
			for _, old := range views {
				e.Release(old)
			}
			views = nil
		}
	}
	readers.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
}

// readRound checks that all keys of the view have the round's value.
func readRound(v *mvcc.View, keys int, round string) error {
	for range 3 {
		q := everything()
		var r mvcc.Result
		if err := v.Range(&q, &r); err != nil {
			return err
		}
		if len(r.KVs) != keys || r.Count != int64(keys) {
			return fmt.Errorf("round %s: %d keys, count %d", round, len(r.KVs), r.Count)
		}
		for _, wire := range r.KVs {
			kv, err := mvcc.ParseKeyValue(wire)
			if err != nil || string(kv.Value) != round {
				return fmt.Errorf("round %s: key %q has %q (%v)", round, kv.Key, kv.Value, err)
			}
		}
		if _, _, err := v.Hash(0); err != nil {
			return err
		}
	}
	return nil
}
