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
// Most versions of a key differ in nothing but their revision: the puts of one life share its
// beginning and mostly the lease, and count up. What they share is kept once, as a stretch, so that
// a version takes 16 bytes instead of 40. Example, positions counting what was ever pushed:
//
//	position  0      1      2      3     4
//	version   put@3  put@5  del@6  put@8 put@9
//	stretch   0      0      none   1     1
//	stretches 0: create 3, number 1 from position 0;  1: create 8, number 1 from position 3
//
// Invariant: versions ascend by (main, sub), and all of them are older than the entry's own.
// Everything behind a header is append-only, so copies of a header, in views, share it safely:
// writers only touch what lies past a copy's lengths.

import "math"

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

// pastChunk is the length of a full chunk: 128 versions are 2 kB.
const pastChunk = 128

// tombstone is the stretch of versions that have none.
const tombstone = math.MaxUint32

// stored is a version as chunks keep it.
type stored struct {
	main    Revision
	sub     int32
	stretch uint32 // counted from the first ever made, modulo 2^32 - 1; tombstone for a deletion
}

// stretch is what neighbouring versions of one life share.
type stretch struct {
	create Revision
	lease  int64
	number int64  // of the version at position from
	from   uint32 // modulo 2^32
}

// past is the older versions of one key, oldest first.
type past struct {
	full      [][]stored // chunks of exactly pastChunk versions, never changed
	tail      []stored   // the newest ones, fewer than pastChunk
	stretches []stretch  // as far as versions that are there need them
	skip      int32      // dropped versions at the front of the oldest chunk
	position  uint32     // of the first version of the oldest chunk, modulo 2^32
	forgotten uint32     // stretches before the first of stretches, modulo 2^32 - 1
}

func (p *past) len() int { return len(p.full)*pastChunk + len(p.tail) - int(p.skip) }

func (p *past) stored(i int) *stored {
	i += int(p.skip)
	if c := i / pastChunk; c < len(p.full) {
		return &p.full[c][i%pastChunk]
	}
	return &p.tail[i-len(p.full)*pastChunk]
}

// main and rev are the revision of the i-th version, 0 being the oldest.
func (p *past) main(i int) Revision { return p.stored(i).main }

func (p *past) rev(i int) Rev {
	s := p.stored(i)
	return Rev{Main: s.main, Sub: s.sub}
}

// at returns the i-th version.
func (p *past) at(i int) version {
	s := p.stored(i)
	v := version{main: s.main, sub: s.sub}
	if s.stretch == tombstone {
		return v
	}
	of := &p.stretches[distance(p.forgotten, s.stretch)]
	v.create, v.lease = of.create, of.lease
	v.number = of.number + int64(p.position+uint32(p.skip)+uint32(i)-of.from)
	return v
}

// distance is how many stretches after a another one was made.
func distance(a, b uint32) uint32 {
	if b < a {
		return tombstone - a + b
	}
	return b - a
}

// push adds a version that is newer than all others.
func (p *past) push(v version) {
	if len(p.tail) == 0 {
		p.tail = make([]stored, 0, 2)
	}
	p.tail = append(p.tail, stored{main: v.main, sub: v.sub, stretch: p.stretchOf(&v)})
	if len(p.tail) == pastChunk {
		p.full = append(p.full, p.tail)
		p.tail = nil
	}
}

// stretchOf returns the stretch of a version about to be pushed: the last one, if it goes on.
func (p *past) stretchOf(v *version) uint32 {
	if v.dead() {
		return tombstone
	}
	at := p.position + uint32(p.skip) + uint32(p.len())
	if n := len(p.stretches); n > 0 {
		last := &p.stretches[n-1]
		if last.create == v.create && last.lease == v.lease &&
			last.number+int64(at-last.from) == v.number {
			return p.stretchNumber(n - 1)
		}
	}
	if p.stretches == nil {
		p.stretches = make([]stretch, 0, 1)
	}
	p.stretches = append(p.stretches, stretch{create: v.create, lease: v.lease, number: v.number,
		from: at})
	return p.stretchNumber(len(p.stretches) - 1)
}

// stretchNumber is the name by which versions know the i-th stretch.
func (p *past) stretchNumber(i int) uint32 {
	return uint32((uint64(p.forgotten) + uint64(i)) % tombstone)
}

// drop forgets the n oldest versions.
func (p *past) drop(n int) {
	p.skip += int32(n)
	if k := min(int(p.skip)/pastChunk, len(p.full)); k > 0 {
		// A copy, because a slice of the old list would keep the dropped chunks in memory.
		p.full = append([][]stored(nil), p.full[k:]...)
		p.skip -= int32(k * pastChunk)
		p.position += uint32(k * pastChunk)
		p.forget()
	}
	if len(p.full) == 0 && p.skip > 0 {
		p.tail = append([]stored(nil), p.tail[p.skip:]...)
		p.position += uint32(p.skip)
		p.skip = 0
		p.forget()
	}
}

// forget drops the stretches that no version needs any more, and lets the first one that is left
// begin where it is needed first: so no distance exceeds the number of versions that are there.
func (p *past) forget() {
	n := p.len()
	i := 0
	for i < n && p.stored(i).stretch == tombstone {
		i++
	}
	if i == n {
		p.forgotten, p.stretches = p.stretchNumber(len(p.stretches)), nil
		return
	}
	first := p.at(i)
	k := distance(p.forgotten, p.stored(i).stretch)
	p.stretches = append([]stretch(nil), p.stretches[k:]...)
	p.forgotten = p.stored(i).stretch
	p.stretches[0].number = first.number
	p.stretches[0].from = p.position + uint32(p.skip) + uint32(i)
}

// count is the number of versions with main <= rev.
func (p *past) count(rev Revision) int {
	lo, hi := 0, p.len()
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if p.main(mid) <= rev {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// find returns the newest version with main <= rev; ok is false if there is none.
func (p *past) find(rev Revision) (v version, ok bool) {
	n := p.len()
	if n == 0 {
		return v, false
	}
	// Readers mostly ask for what was true a moment ago.
	if p.main(n-1) <= rev {
		return p.at(n - 1), true
	}
	k := p.count(rev)
	if k == 0 {
		return v, false
	}
	return p.at(k - 1), true
}
