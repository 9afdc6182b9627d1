package simdisk

import "math/bits"

// pageSize is the unit of the page cache in bytes, and of copying on write.
const pageSize = 4096

// page is never written while more than one place refers to it; see own.
type page [pageSize]byte

// sectorMask is a set of the sectors of one page: bit i for the i-th.
type sectorMask uint8

// slot is one page of a file in both layers. A nil page reads as zeros.
//
// Invariant: a sector that is neither dirty nor forgotten is equal in both layers, taking media
// bytes from inode.low on as zeros (a truncation that the media does not know yet).
type slot struct {
	cache, media           *page
	middle                 *page  // an earlier unsynced content, which a crash may bring back
	cacheEpoch, mediaEpoch uint32 // the Disk.epoch at which the page was made

	dirty     sectorMask // written and not synced
	forgotten sectorMask // dropped by a failed sync: clean in the cache, not on the media
	lied      sectorMask // dirty, though a sync reported them durable
}

// inode is one file, or a directory, which has no content here.
//
// Invariants: bytes of a cache page beyond size are zero, and those of a media page beyond
// mediaSize; low <= size; low <= mediaSize.
type inode struct {
	key       uint64 // keys the draws of this file; equal only for clones
	isDir     bool
	size      int64 // bytes, as the running system sees it
	mediaSize int64
	low       int64 // the shortest size since the last honest sync: media from here on is void
	slots     []slot
	written   []int32 // pages that may be dirty; may repeat a page or name a clean one
	syncs     uint64  // honest syncs done: a part of the key of draws per sector
	rewrites  uint64  // writes over unsynced data: a part of the key of keepsMiddle
	events    [NumFaults]uint64
	overlays  []*Overlay // over the media of this file, in the order of their IDs
}

func pages(size int64) int {
	return int((size + pageSize - 1) / pageSize)
}

// grow makes sure that slots cover size bytes.
func (n *inode) grow(size int64) {
	if want := pages(size); want > len(n.slots) {
		n.slots = append(n.slots, make([]slot, want-len(n.slots))...)
	}
}

// newPage returns a page of undefined content.
func (d *Disk) newPage() *page {
	if last := len(d.free) - 1; last >= 0 {
		p := d.free[last]
		d.free = d.free[:last]
		return p
	}
	return new(page)
}

// release takes back a page that nothing refers to, if it belongs to this disk alone.
func (d *Disk) release(p *page, epoch uint32) {
	if p != nil && epoch == d.epoch && len(d.free) < 256 {
		d.free = append(d.free, p)
	}
}

// copyPage returns a page with the content of p, which may be nil.
func (d *Disk) copyPage(p *page) *page {
	c := d.newPage()
	if p == nil {
		*c = page{}
	} else {
		*c = *p
	}
	return c
}

// ownCache returns the cache's page, made writable.
func (d *Disk) ownCache(s *slot) *page {
	if s.cache == nil || s.cache == s.media || s.cacheEpoch != d.epoch {
		s.cache, s.cacheEpoch = d.copyPage(s.cache), d.epoch
	}
	return s.cache
}

// ownMedia returns the media's page, made writable.
func (d *Disk) ownMedia(s *slot) *page {
	if s.media == nil || s.media == s.cache || s.mediaEpoch != d.epoch {
		s.media, s.mediaEpoch = d.copyPage(s.media), d.epoch
	}
	return s.media
}

// sectorsOf returns the sectors that bytes lo to hi of a page touch.
func (d *Disk) sectorsOf(lo, hi int) sectorMask {
	if lo >= hi {
		return 0
	}
	first, last := lo/d.opt.Sector, (hi-1)/d.opt.Sector
	return sectorMask(1<<(last+1) - 1<<first)
}

// soil marks sectors of page i as written and not synced.
func (n *inode) soil(i int, sectors sectorMask) {
	s := &n.slots[i]
	if s.dirty == 0 {
		n.written = append(n.written, int32(i))
	}
	s.dirty |= sectors
	s.forgotten &^= sectors
}

// write puts data at off into the cache.
func (d *Disk) write(n *inode, off int64, data []byte) {
	d.resize(n, max(n.size, off+int64(len(data))))
	for len(data) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		s := &n.slots[i]
		size := min(pageSize-at, len(data))
		if s.dirty != 0 && d.keepsMiddle(n) {
			s.middle = d.copyPage(s.cache)
		}
		copy(d.ownCache(s)[at:], data[:size])
		n.soil(i, d.sectorsOf(at, at+size))
		data, off = data[size:], off+int64(size)
	}
}

// resize sets the size that the running system sees.
func (d *Disk) resize(n *inode, size int64) {
	d.used += size - n.size
	n.size = size
	n.grow(size)
}

// zeroTo extends the file to size with zeros that are written, not merely implied.
func (d *Disk) zeroTo(n *inode, size int64) {
	from := n.size
	d.resize(n, size)
	for i := int(from / pageSize); i < pages(size); i++ {
		lo := max(from-int64(i)*pageSize, 0)
		hi := min(size-int64(i)*pageSize, pageSize)
		n.soil(i, d.sectorsOf(int(lo), int(hi)))
	}
}

// truncate cuts the file to size in the cache. The sector that the cut falls into is rewritten,
// with zeros behind the cut, and so is in danger until the next sync.
func (d *Disk) truncate(n *inode, size int64) {
	old := n.size
	d.resize(n, size)
	if size >= old {
		return
	}
	n.low = min(n.low, size)
	i, at := int(size/pageSize), int(size%pageSize)
	if at > 0 {
		s := &n.slots[i]
		if s.cache != nil {
			clear(d.ownCache(s)[at:])
		}
		kept := d.sectorsOf(0, at)
		s.dirty &= kept
		s.forgotten &= kept
		s.lied &= kept
		s.middle = nil
		if at%d.opt.Sector != 0 {
			n.soil(i, d.sectorsOf(at-1, at))
		}
		i++
	}
	for ; i < len(n.slots); i++ {
		s := &n.slots[i]
		if s.cache != s.media {
			d.release(s.cache, s.cacheEpoch)
		}
		*s = slot{media: s.media, mediaEpoch: s.mediaEpoch}
	}
}

// cutMedia makes the media's bytes from size on zero.
func (d *Disk) cutMedia(n *inode, size int64) {
	i, at := int(size/pageSize), int(size%pageSize)
	if at > 0 && i < len(n.slots) {
		if s := &n.slots[i]; s.media != nil {
			clear(d.ownMedia(s)[at:])
		}
		i++
	}
	for ; i < len(n.slots); i++ {
		s := &n.slots[i]
		if s.media != s.cache {
			d.release(s.media, s.mediaEpoch)
		}
		s.media = nil
	}
	n.healFrom(d, size)
}

// sync brings the media up to the cache, at a cost proportional to the dirty pages.
func (d *Disk) sync(n *inode) {
	if n.low < n.mediaSize {
		d.cutMedia(n, n.low)
	}
	for _, i := range n.written {
		if int(i) >= len(n.slots) {
			continue
		}
		s := &n.slots[i]
		if s.dirty == 0 {
			continue
		}
		n.heal(d, int64(i)*int64(d.perPage), s.dirty)
		if s.forgotten == 0 {
			if s.media != s.cache {
				d.release(s.media, s.mediaEpoch)
			}
			s.media, s.mediaEpoch = s.cache, s.cacheEpoch
		} else {
			d.copySectors(s, s.cache, s.dirty)
		}
		s.dirty, s.lied, s.middle = 0, 0, nil
	}
	n.written = n.written[:0]
	n.mediaSize, n.low = n.size, n.size
	n.slots = n.slots[:pages(n.size)]
	n.syncs++
}

// copySectors writes the given sectors of from, which may be nil, to the slot's media.
func (d *Disk) copySectors(s *slot, from *page, sectors sectorMask) {
	media := d.ownMedia(s)
	for ; sectors != 0; sectors &= sectors - 1 {
		lo := bits.TrailingZeros8(uint8(sectors)) * d.opt.Sector
		if from == nil {
			clear(media[lo : lo+d.opt.Sector])
		} else {
			copy(media[lo:lo+d.opt.Sector], from[lo:lo+d.opt.Sector])
		}
	}
}

// reload forgets the cache: from now on the file is what the media holds.
func (n *inode) reload() {
	for i := range n.slots {
		s := &n.slots[i]
		*s = slot{cache: s.media, media: s.media,
			cacheEpoch: s.mediaEpoch, mediaEpoch: s.mediaEpoch}
	}
	n.written = n.written[:0]
	n.size, n.low = n.mediaSize, n.mediaSize
}

func contents(p *page) page {
	if p == nil {
		return page{}
	}
	return *p
}
