package revlog

// A bounded cache of file blocks for reads on the log's own goroutine, with the clock algorithm:
// deterministic, and a hit costs one bit. A block is loaded when its records are read a second time
// within a while: a scan of cold keys should cost small exact reads and evict nothing. Blocks are
// never reused after eviction, because slices of them were handed out.
//
// Blocks are raw bytes of a file: the reader verifies each record every time. Segment ids are never
// used twice, so a block of a removed file is merely useless, and goes in its turn.

import "github.com/detcd/detcd/diskio"

const (
	blockBytes = 64 << 10
	ghostSlots = 1 << 10
)

type blockKey struct {
	id    uint64 // segment
	block int64
}

type cacheSlot struct {
	key  blockKey
	data []byte
	used bool // since the hand passed
}

type cache struct {
	limit  int // slots
	slots  []cacheSlot
	where  map[blockKey]int32 // into slots; never ranged
	hand   int
	ghosts []blockKey // blocks that were missed lately, by hash
}

func newCache(bytes int64) cache {
	c := cache{limit: int(bytes / blockBytes)}
	if c.limit > 0 {
		c.where = make(map[blockKey]int32)
		c.ghosts = make([]blockKey, ghostSlots)
	}
	return c
}

// get returns the bytes [off, end) if they lie in one block that is or becomes cached.
func (c *cache) get(disk diskio.Reader, s *span, off, end int64) ([]byte, error) {
	block := off / blockBytes
	if c.limit == 0 || (end-1)/blockBytes != block {
		return nil, nil
	}
	key := blockKey{s.id, block}
	base := block * blockBytes
	if i, ok := c.where[key]; ok {
		c.slots[i].used = true
		if data := c.slots[i].data; end-base <= int64(len(data)) {
			return data[off-base : end-base : end-base], nil
		}
		return nil, nil
	}
	if !c.familiar(key) {
		return nil, nil
	}
	stop := s.length
	if len(s.chunks) > 0 {
		stop = s.chunks[0].off
	}
	data := make([]byte, min(stop-base, blockBytes))
	if err := s.fetch(disk, data, base); err != nil {
		return nil, err
	}
	c.insert(key, data)
	return data[off-base : end-base : end-base], nil
}

// familiar says whether key was missed lately, and remembers it.
func (c *cache) familiar(key blockKey) bool {
	h := (key.id*0x9e3779b97f4a7c15 + uint64(key.block)) * 0x9e3779b97f4a7c15
	g := &c.ghosts[h>>32%ghostSlots]
	if *g == key {
		return true
	}
	*g = key
	return false
}

func (c *cache) insert(key blockKey, data []byte) {
	if len(c.slots) < c.limit {
		c.where[key] = int32(len(c.slots))
		c.slots = append(c.slots, cacheSlot{key: key, data: data})
		return
	}
	for c.slots[c.hand].used {
		c.slots[c.hand].used = false
		c.hand = (c.hand + 1) % c.limit
	}
	delete(c.where, c.slots[c.hand].key)
	c.slots[c.hand] = cacheSlot{key: key, data: data}
	c.where[key] = int32(c.hand)
	c.hand = (c.hand + 1) % c.limit
}
