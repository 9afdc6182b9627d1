package mvcc

// Views: reads off the engine's goroutine. A view has its own tree (see index.go for what makes
// that cheap) and a snapshot of the log. It shares nothing that the engine changes, so it may be
// read from any goroutine while the engine goes on; only taking it and giving it back belong to the
// engine's.

import (
	"fmt"

	"github.com/detcd/detcd/mvcc/revlog"
)

// View is an immutable state of the store.
type View struct {
	state
	snap  *revlog.Snapshot
	index *index // whose blocks the view shares; only Release touches it
	epoch uint64
}

// View returns an immutable view of the visible state. Making one is O(1); it pins the segments it
// may read until Release. A view may be read from another goroutine while the engine goes on.
func (e *Engine) View() *View {
	v := &View{state: e.visible(), snap: e.log.Snapshot(), index: &e.index}
	v.tree, v.epoch = e.index.share()
	return v
}

// Release gives the view back. It is called on the engine's goroutine, once per view. A view of an
// engine that was replaced (see Installed) is given back to its successor.
func (e *Engine) Release(v *View) {
	if v.snap == nil {
		panic(fmt.Sprintf("mvcc: the view of revision %d was released twice", v.rev))
	}
	v.index.unshare(v.epoch)
	e.log.Release(v.snap)
	v.tree, v.snap, v.index = nil, nil, nil
}

// Revision is the view's newest revision.
func (v *View) Revision() Revision { return v.rev }

// Compacted is the compacted revision when the view was taken.
func (v *View) Compacted() Revision { return v.compacted }

// Count is the number of keys of [key, end) that live at rev (<= 0: the newest).
func (v *View) Count(key, end []byte, rev Revision) (int64, error) {
	at, err := v.at(rev)
	if err != nil {
		return 0, err
	}
	return v.count(key, end, at), nil
}

// Get returns the version of a key that is the newest at rev (<= 0: the newest); ok is false when
// the key did not live.
func (v *View) Get(key []byte, rev Revision) (kv []byte, m Meta, ok bool, err error) {
	at, err := v.at(rev)
	if err != nil {
		return nil, Meta{}, false, err
	}
	found, ok := lookup(v.tree, key, at)
	if !ok {
		return nil, Meta{}, false, nil
	}
	if kv, err = v.read(found.rev()); err != nil {
		return nil, Meta{}, false, err
	}
	return kv, found.meta(), true, nil
}

func (v *View) read(rev Rev) ([]byte, error) {
	kv, err := v.snap.Read(rev)
	if err != nil {
		return nil, fmt.Errorf("mvcc: read revision %d.%d: %w", rev.Main, rev.Sub, err)
	}
	return kv, nil
}

// MetaRange calls visit for the live keys of [key, end), in order, until it returns false.
func (v *View) MetaRange(key, end []byte, visit func(key []byte, m Meta) bool) {
	v.metaRange(key, end, visit)
}

// presized bounds what a limit makes Range allocate before anything is found.
const presized = 512

// Range answers q from the view.
func (v *View) Range(q *Query, r *Result) error {
	var hits []hit
	if q.Limit > 0 && q.natural() {
		hits = make([]hit, 0, min(q.Limit+1, presized))
	}
	hits, err := v.answer(q, r, hits)
	if err != nil {
		return err
	}
	var records [][]byte
	if q.reads() {
		records = append(r.KVs, make([][]byte, len(hits))...)
		if err := readBatch(v.snap, appendRevs(nil, hits), records); err != nil {
			return err
		}
	}
	q.fill(hits, records, r)
	return nil
}
