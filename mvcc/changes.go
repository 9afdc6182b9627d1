package mvcc

// The history as those see it who follow it: change by change, in the order in which they were
// made. Above the compacted revision nothing is missing, because compaction drops nothing that was
// made at or after it.

import "fmt"

// Newest returns the visible revision and the number of its changes, -1 if that is not known: the
// revision was loaded, or a later one is being made.
func (e *Engine) Newest() (rev Revision, changes int) {
	if e.recent.main != e.current {
		return e.current, -1
	}
	return e.current, e.recent.count
}

// Changes calls visit for the visible changes from a place on, in order, at most `most` of them and
// about maxBytes, until it returns false; that change counts as not visited. A change's KV is valid
// only during the call. It returns the place of the next change, which is the first of the revision
// after the visible one when there is none. from must not be compacted.
func (e *Engine) Changes(from Rev, most, maxBytes int,
	visit func(rev Rev, c Change) (more bool)) (next Rev, err error) {
	if from.Main < e.compacted {
		panic(fmt.Sprintf("mvcc: changes from %v, compacted at %d", from, e.compacted))
	}
	next, err = e.log.Forward(from, e.current, most, int64(maxBytes),
		func(rev Rev, kv []byte) bool {
			return visit(rev, Change{Kind: KindOf(kv), KV: kv})
		})
	if err != nil {
		return next, fmt.Errorf("mvcc: read changes from %d.%d: %w", from.Main, from.Sub, err)
	}
	return next, nil
}

// At returns the KeyValue of a key as it was at a revision; ok is false when the key did not live,
// or the revision is compacted. It must not be above the visible one.
func (e *Engine) At(key []byte, rev Revision) (kv []byte, ok bool, err error) {
	if rev > e.current {
		panic(fmt.Sprintf("mvcc: key at revision %d, visible is %d", rev, e.current))
	}
	if rev < e.compacted {
		return nil, false, nil
	}
	kv, _, ok, err = e.getAt(key, rev)
	return kv, ok, err
}
