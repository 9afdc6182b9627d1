package simdisk

import "github.com/detcd/detcd/diskio/keyed"

// A power loss is a series of choices. They are either drawn, each keyed by what it is about, or
// enumerated, all combinations one after another, so that a test can try every legal image of a
// small state. Both walk through the same code.

// outcome is what becomes of one unsynced sector.
type outcome uint8

const (
	older   outcome = iota // as at the last sync
	newer                  // as in the cache
	garbage                // neither
	middle                 // an unsynced content that the cache has since replaced
)

// ending is what becomes of a file's size.
type ending struct {
	size int64
	cut  bool // an unsynced truncation survived
}

// chooser makes the choices of one power loss.
type chooser struct {
	seed uint64 // of the draws, and of what garbage looks like
	walk *walk  // nil: draw
}

// walk is a path through the tree of all choices.
type walk struct {
	digits []int // the choice taken at each step
	widths []int // how many there were
	depth  int
}

// take returns the choice of the next step out of width.
func (w *walk) take(width int) int {
	if w.depth == len(w.digits) {
		w.digits = append(w.digits, 0)
		w.widths = append(w.widths, width)
	}
	w.depth++
	return w.digits[w.depth-1]
}

// advance moves to the next path; it returns false after the last one.
func (w *walk) advance() bool {
	for last := len(w.digits) - 1; last >= 0; last-- {
		if w.digits[last]+1 < w.widths[last] {
			w.digits[last]++
			w.digits, w.widths, w.depth = w.digits[:last+1], w.widths[:last+1], 0
			return true
		}
	}
	return false
}

// mood makes whole crashes and whole files extreme now and then, which independent draws would
// almost never do: 0 is nothing kept, 1 is everything kept.
func (c *chooser) mood(n *inode) uint64 {
	if all := keyed.Hash(c.seed, 2) % 10; all < 2 {
		return all
	}
	if n == nil {
		return 2
	}
	return keyed.Hash(c.seed, 3, n.key) % 8
}

func (c *chooser) keepsName(i int, change nameChange) bool {
	if c.walk != nil {
		return c.walk.take(2) == 1
	}
	if mood := c.mood(nil); mood < 2 {
		return mood == 1
	}
	return keyed.Chance(keyed.Hash(c.seed, 4, uint64(i), keyed.String(change.name)), 1, 2)
}

// endings lists what may become of n's size; the first keeps nothing, the last everything.
func (n *inode) endings() []ending {
	all := []ending{{size: n.mediaSize}}
	cut := n.low < n.mediaSize
	if cut {
		all = append(all, ending{size: n.low, cut: true})
	}
	if n.size > n.low && (cut || n.size > n.mediaSize) {
		all = append(all, ending{size: n.size, cut: cut})
	}
	return all
}

func (c *chooser) size(d *Disk, n *inode) ending {
	all := n.endings()
	last := all[len(all)-1]
	if len(all) == 1 {
		return last
	}
	if c.walk != nil {
		return all[c.walk.take(len(all))]
	}
	if mood := c.mood(n); mood < 2 {
		return all[int(mood)*(len(all)-1)]
	}
	r := keyed.New(c.seed, 5, n.key)
	end := all[r.IntN(len(all))]
	if end == last && end.size > n.low && r.Chance(1, 4) {
		// A file that grew by several writes may have grown by only some of them.
		from := n.mediaSize
		if end.cut {
			from = n.low
		}
		sectors := uint64(max(end.size-from, 0)) / uint64(d.opt.Sector)
		end.size -= int64(r.Between(0, sectors)) * int64(d.opt.Sector)
	}
	return end
}

func (c *chooser) sector(d *Disk, n *inode, i, bit int) outcome {
	s := &n.slots[i]
	if c.walk != nil {
		width := 3
		if s.middle != nil {
			width = 4
		}
		return outcome(c.walk.take(width))
	}
	mood := c.mood(n)
	place := uint64(i)*uint64(d.perPage) + uint64(bit)
	switch h := keyed.Hash(c.seed, 6, n.key, place); {
	case mood < 2:
		return outcome(mood)
	case mood == 2:
		// The writes reached the media in the order of their place, up to some point.
		reached := keyed.Hash(c.seed, 7, n.key) % uint64(len(n.slots)*d.perPage)
		if place > reached {
			return older
		}
		return newer
	case h%100 < 45:
		return newer
	case h%100 < 80:
		return older
	case h%100 < 90 && s.middle != nil:
		return middle
	}
	return garbage
}

// Images walks through all images that a power loss now could leave: each unsynced change of a name
// lost or kept, each unsynced size old or new, each unsynced sector old, new, garbage, or an
// earlier unsynced content where one is remembered. Their number is exponential, so the disk
// should hold a handful of unsynced sectors, and the caller should bound its walk. Operations in
// flight are taken as cached; one form of garbage stands for all.
type Images struct {
	base *Disk
	walk walk
	done bool
}

// Images starts a walk. Later changes of d do not affect it.
func (d *Disk) Images() *Images {
	base := d.Clone()
	for lane := range base.inFlight {
		base.queue[lane] = nil
		if f := base.inFlight[lane]; f.busy {
			base.inFlight[lane] = flight{}
			base.settle(f.op, ^uint64(0))
		}
	}
	return &Images{base: base}
}

// Next returns the next image as a disk of its own, and false after the last one.
func (w *Images) Next() (*Disk, bool) {
	if w.done {
		return nil, false
	}
	image := w.base.Clone()
	var report CrashReport
	image.lose(&chooser{seed: w.base.opt.Seed, walk: &w.walk}, &report)
	w.done = !w.walk.advance()
	return image, true
}
