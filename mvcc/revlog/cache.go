package revlog

// A bounded cache of file blocks for reads on the log's own goroutine, with the clock algorithm:
// deterministic, and a hit costs one bit. Loading a block costs several times what reading one
// record costs, so it has to be earned: a block is loaded when reads have missed it often in a
// short time. Cold keys cost small exact reads and evict nothing. Blocks are never reused after
// eviction, because slices of them were handed out.
//
// A block holds the records that start in one stretch of a file, raw: the reader verifies each
// record every time. Segment ids are never used twice, so a block of a removed file is merely
// useless, and goes in its turn.

import "github.com/detcd/detcd/diskio"

const (
	blockBytes = 16 << 10
	// maxCached is the length of the longest record in the cache: to read a longer one costs what
	// copying it costs.
	maxCached = 64 << 10
	// earned is the number of misses that load a block.
	earned = 4
	// maxGhosts bounds the blocks whose misses are counted. Misses count together while there are
	// fewer than that of all blocks between them: a store that is many times larger than the cache
	// is read so evenly that no block earns its place.
	maxGhosts = 1 << 13
)

type blockKey struct {
	id    uint64 // segment
	block int64
}

type cacheSlot struct {
	key  blockKey
	off  int64  // in the file
	data []byte // whole records
	used bool   // since the hand passed
}

type cache struct {
	limit  int64 // bytes
	bytes  int64 // of all slots
	slots  []cacheSlot
	where  map[blockKey]int32 // into slots; never ranged
	hand   int
	ghosts []ghost // blocks that were missed lately, by hash
	misses uint32
}

// ghost counts the misses of a block.
type ghost struct {
	key   blockKey
	since uint32 // the number of all misses when this block's first one was counted
	count uint32
}

func newCache(bytes int64) cache {
	c := cache{limit: bytes}
	if bytes > 0 {
		c.where = make(map[blockKey]int32)
		c.ghosts = make([]ghost, min(bytes/blockBytes+1, maxGhosts))
	}
	return c
}

// get returns the record [off, end) of s if its block is or becomes cached, nil otherwise.
func (c *cache) get(
	disk diskio.Reader, s *span, off, end int64, probes *Probes,
) ([]byte, error) {
	if len(c.ghosts) == 0 || end-off > maxCached {
		return nil, nil
	}
	key := blockKey{s.id, off / blockBytes}
	if i, ok := c.where[key]; ok {
		slot := &c.slots[i]
		slot.used = true
		if off -= slot.off; end-slot.off <= int64(len(slot.data)) {
			probes[ProbeCacheHit]++
			return slot.data[off : end-slot.off : end-slot.off], nil
		}
		// The block was loaded while its last records were in memory.
		return nil, nil
	}
	if !c.earns(key) {
		return nil, nil
	}
	from, to := s.block(key.block)
	if to-from > c.limit {
		return nil, nil
	}
	data := make([]byte, to-from)
	if err := s.fetch(disk, data, from); err != nil {
		return nil, err
	}
	probes[ProbeCacheLoaded]++
	c.insert(cacheSlot{key: key, off: from, data: data}, probes)
	return data[off-from : end-from : end-from], nil
}

// block returns the stretch of the records that start in a block of the file; one that is too long
// to be cached ends it, as does the first that is still in memory.
func (s *span) block(number int64) (from, to int64) {
	stop := s.length
	if len(s.chunks) > 0 {
		stop = s.chunks[0].off
	}
	i := s.table.after(number * blockBytes)
	from, to = s.bounds(i)
	for i++; i < s.table.len() && to < (number+1)*blockBytes; i++ {
		_, end := s.bounds(i)
		if end > stop || end-to > maxCached {
			break
		}
		to = end
	}
	return from, to
}

// earns counts a miss of key and says whether the block is now worth loading.
func (c *cache) earns(key blockKey) bool {
	c.misses++
	h := (key.id*0x9e3779b97f4a7c15 + uint64(key.block)) * 0x9e3779b97f4a7c15
	g := &c.ghosts[h>>32%uint64(len(c.ghosts))]
	if g.key != key || c.misses-g.since > uint32(len(c.ghosts)) {
		*g = ghost{key: key, since: c.misses}
	}
	g.count++
	return g.count >= earned
}

// insert adds a block and evicts others until all fit.
func (c *cache) insert(slot cacheSlot, probes *Probes) {
	size := int64(len(slot.data))
	for c.bytes+size > c.limit {
		c.hand %= len(c.slots)
		victim := &c.slots[c.hand]
		if victim.used {
			victim.used = false
			c.hand++
			continue
		}
		probes[ProbeCacheEvicted]++
		c.bytes -= int64(len(victim.data))
		delete(c.where, victim.key)
		last := len(c.slots) - 1
		if c.hand != last {
			*victim = c.slots[last]
			c.where[victim.key] = int32(c.hand)
		}
		c.slots[last] = cacheSlot{}
		c.slots = c.slots[:last]
		c.hand++
	}
	c.bytes += size
	c.where[slot.key] = int32(len(c.slots))
	c.slots = append(c.slots, slot)
}
