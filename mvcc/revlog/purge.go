package revlog

// Held tombstones (see rewrite.go) would pile up for ever: one dead record in an old segment that
// is never worth rewriting makes every later tombstone stay. So when they pass a share of the
// records, a purge rewrites, oldest first, each segment that has a dead record or a held tombstone,
// however few.
//
// What is held when the purge starts may hide records that are dead already, and no others: a key's
// versions die before its tombstone does. All of them that are older than a segment are gone when
// the purge arrives there, so it drops what the segment holds, even if other records have died
// behind it since. A tombstone that dies meanwhile may have to be held again, for the next purge.
//
// A purge copies each record at most once, and starts only when a share of them is to be gained, so
// its cost is a bounded multiple of what was written.

const heldPercent = 10 // of all bytes of records, from which held tombstones start a purge

type purge struct {
	running bool
	done    Rev // what was dead when the purge began is gone up to here
}

// purgeNext returns the next segment that a purge has to rewrite, nil if there is none. Between its
// calls nothing but the purge rewrites segments.
func (l *Log) purgeNext() []*segment {
	if !l.purge.running && !l.holdsMuch() {
		return nil
	}
	if !l.purge.running {
		l.probes[ProbePurge]++
	}
	l.purge.running = true
	for i, s := range l.segments {
		if !l.purge.done.Less(s.last) {
			continue
		}
		if !s.wholly() {
			break // it and what follows it is new: nothing is held there
		}
		l.purge.done = s.last
		if s.deadRecords > 0 || s.heldBytes > 0 {
			return l.segments[i : i+1 : i+1]
		}
	}
	l.purge = purge{}
	return nil
}

// holdsMuch says whether held tombstones are a large part of all records.
func (l *Log) holdsMuch() bool {
	var held, all int64
	for _, s := range l.segments {
		held += s.heldBytes
		all += s.payload()
	}
	return held > 0 && held*100 >= all*heldPercent
}
