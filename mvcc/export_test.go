package mvcc

// Versions lists every version that the index holds, for tests of what compaction keeps.
func (e *Engine) Versions() (revs []Rev) {
	span(e.index.tree, nil, nil, func(b *block, lo, hi int) bool {
		for i := lo; i < hi; i++ {
			for _, v := range allVersions(b, i) {
				revs = append(revs, v.rev())
			}
		}
		return true
	})
	return revs
}

// Trimming says whether the index may still hold what compaction dropped.
func (e *Engine) Trimming() bool { return e.compact.running }

// ListBy is List with a window of so many keys.
func (v *View) ListBy(q *Query, tag byte, head []byte, pieceBytes, window int) (pieces [][]byte,
	count int64, more bool, err error) {
	return v.list(q, tag, head, pieceBytes, window, &Scratch{})
}
