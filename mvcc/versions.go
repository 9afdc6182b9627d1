package mvcc

// The versions of one key, without their records. The index keeps every key's newest version in its
// block; a key that was written more than once since the last compaction has its older versions
// here.
//
// The one difficulty is a key that is written a hundred thousand times between two compactions: one
// flat slice of its versions would be copied as a whole when it grows, and a linked list would make
// an old read walk it. So versions lie in chunks of fixed length: growing copies at most one chunk,
// and a read searches the chunks and then one of them.
//
// Invariant: versions ascend by (main, sub), and all of them are older than the entry's own.
// Everything behind a header is append-only, so copies of a header, in views, share it safely:
// writers only touch what lies past a copy's lengths.

// version is one version of a key. A tombstone has create, number and lease zero.
type version struct {
	main   Revision
	create Revision // the revision that began this life of the key
	number int64    // counts the puts of this life, from 1
	lease  int64
	sub    int32
}

// dead says whether v is a tombstone: from it on the key does not live.
func (v *version) dead() bool { return v.create == 0 }

func (v *version) rev() Rev { return Rev{Main: v.main, Sub: v.sub} }

func (v *version) meta() Meta {
	return Meta{Create: v.create, Mod: v.rev(), Version: v.number, Lease: v.lease}
}

// pastChunk is the length of a full chunk: 128 versions are 5 kB.
const pastChunk = 128

// past is the older versions of one key, oldest first.
type past struct {
	full [][]version // chunks of exactly pastChunk versions, never changed
	tail []version   // the newest ones, fewer than pastChunk
	skip int         // dropped versions at the front of the oldest chunk
}

func (p *past) len() int { return len(p.full)*pastChunk + len(p.tail) - p.skip }

// at returns the i-th version, 0 being the oldest.
func (p *past) at(i int) *version {
	i += p.skip
	if c := i / pastChunk; c < len(p.full) {
		return &p.full[c][i%pastChunk]
	}
	return &p.tail[i-len(p.full)*pastChunk]
}

// push adds a version that is newer than all others.
func (p *past) push(v version) {
	if len(p.tail) == 0 {
		p.tail = make([]version, 0, 2)
	}
	p.tail = append(p.tail, v)
	if len(p.tail) == pastChunk {
		p.full = append(p.full, p.tail)
		p.tail = nil
	}
}

// drop forgets the n oldest versions.
func (p *past) drop(n int) {
	p.skip += n
	if k := min(p.skip/pastChunk, len(p.full)); k > 0 {
		// A copy, because a slice of the old list would keep the dropped chunks in memory.
		p.full = append([][]version(nil), p.full[k:]...)
		p.skip -= k * pastChunk
	}
	if len(p.full) == 0 && p.skip > 0 {
		p.tail = append([]version(nil), p.tail[p.skip:]...)
		p.skip = 0
	}
}

// count is the number of versions with main <= rev.
func (p *past) count(rev Revision) int {
	lo, hi := 0, p.len()
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if p.at(mid).main <= rev {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// find returns the newest version with main <= rev, nil if there is none.
func (p *past) find(rev Revision) *version {
	n := p.len()
	if n == 0 {
		return nil
	}
	// Readers mostly ask for what was true a moment ago.
	if v := p.at(n - 1); v.main <= rev {
		return v
	}
	k := p.count(rev)
	if k == 0 {
		return nil
	}
	return p.at(k - 1)
}
