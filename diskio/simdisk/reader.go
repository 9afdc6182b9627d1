package simdisk

import (
	"fmt"
	"io"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/keyed"
)

// source says which layer a read looks at.
type source uint8

const (
	fromCache    source = iota // what the running system sees
	fromMedia                  // what is durable, with its damage
	fromPristine               // what would be durable had nothing been damaged
)

func (n *inode) length(from source) int64 {
	if from == fromCache {
		return n.size
	}
	return n.mediaSize
}

// ReadAt implements diskio.Reader.
func (d *Disk) ReadAt(file string, p []byte, off int64) (int, error) {
	n, r := d.file(file)
	if r.status != diskio.OK {
		return 0, fmt.Errorf("%w: read %s: %s", r.status.Err(), file, r.detail)
	}
	if d.strikes(ReadFails, n, file) {
		d.counts.Felt[ReadFails]++
		return 0, fmt.Errorf("%w: read %s at %d: %s", diskio.ErrFailed, file, off, saysIO)
	}
	return d.read(n, file, p, off, fromCache)
}

// Size implements diskio.Reader.
func (d *Disk) Size(file string) (int64, error) {
	n, r := d.file(file)
	if r.status != diskio.OK {
		return 0, fmt.Errorf("%w: size of %s: %s", r.status.Err(), file, r.detail)
	}
	return n.size, nil
}

// List implements diskio.Reader.
func (d *Disk) List(dir string) ([]diskio.FileInfo, error) {
	if !diskio.ValidDir(dir) {
		return nil, fmt.Errorf("%w: list %s: %s", diskio.ErrFailed, dir, saysName)
	}
	if n := d.live.get(cleanDir(dir)); n != nil && !n.isDir {
		return nil, fmt.Errorf("%w: list %s: %s", diskio.ErrFailed, dir, saysNotDir)
	}
	return d.live.listing(dir, fromCache), nil
}

// SectorSize implements diskio.Reader.
func (d *Disk) SectorSize() int {
	return d.opt.Sector
}

// read fills p from one layer of n.
func (d *Disk) read(n *inode, file string, p []byte, off int64, from source) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: read %s at %d: %s", diskio.ErrFailed, file, off, saysRange)
	}
	size := n.length(from)
	if off >= size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	var err error
	if int64(len(p)) > size-off {
		p, err = p[:size-off], io.EOF
	}
	for at := 0; at < len(p); {
		i, lo := int((off+int64(at))/pageSize), int((off+int64(at))%pageSize)
		var layer *page
		if s := &n.slots[i]; from == fromCache {
			layer = s.cache
		} else {
			layer = s.media
		}
		part := p[at:min(at+pageSize-lo, len(p))]
		if layer == nil {
			clear(part)
		} else {
			copy(part, layer[lo:])
		}
		at += len(part)
	}
	if len(n.overlays) == 0 || from == fromPristine {
		return len(p), err
	}
	for _, o := range n.overlays {
		if good, hit := d.look(n, o, p, off, from); hit {
			return good, fmt.Errorf("%w: read %s: %s in sector %d", diskio.ErrFailed, file,
				saysIO, o.Sector)
		}
	}
	return len(p), err
}

// look lets o act on p, which holds the bytes of n from off on. It returns true when the read
// fails, with the number of bytes before the failure.
func (d *Disk) look(n *inode, o *Overlay, p []byte, off int64, from source) (int, bool) {
	sector := int64(d.opt.Sector)
	lo, hi := o.Sector*sector-off, (o.Sector+1)*sector-off
	if o.Disabled || hi <= 0 || lo >= int64(len(p)) {
		return 0, false
	}
	if from == fromCache {
		s := &n.slots[int(o.Sector)/d.perPage]
		if (s.dirty|s.forgotten)&(1<<(int(o.Sector)%d.perPage)) != 0 {
			return 0, false
		}
	}
	part := p[max(lo, 0):min(hi, int64(len(p)))]
	skip := max(-lo, 0) // bytes of the sector before part
	changed := false
	switch o.Kind {
	case LatentSector:
		d.feel(o, from)
		return int(max(lo, 0)), true
	case ZeroedSector:
		for i := range part {
			changed = changed || part[i] != 0
		}
		clear(part)
	case BitRot:
		flips := 1 + keyed.Hash(o.key, 0)%8
		for i := range flips {
			bit := int64(keyed.Hash(o.key, 1, i) % uint64(sector*8))
			if at := bit/8 - skip; at >= 0 && at < int64(len(part)) {
				part[at] ^= 1 << (bit % 8)
				changed = true
			}
		}
	case LostWrite, Misdirected:
		changed = string(part) != string(o.bytes[skip:skip+int64(len(part))])
		copy(part, o.bytes[skip:])
	default:
		panic(fmt.Sprintf("simdisk: overlay of kind %v", o.Kind))
	}
	if changed {
		d.feel(o, from)
	}
	return 0, false
}

// feel counts a read of the running system that o changed; oracles looking at the media feel
// nothing.
func (d *Disk) feel(o *Overlay, from source) {
	if from == fromCache {
		o.Felt++
		d.counts.Felt[o.Kind]++
	}
}

// View says how a MediaReader sees damaged sectors.
type View uint8

// The views of the media.
const (
	Damaged  View = iota // through the overlays that are not switched off
	Pristine             // past all overlays
)

// Media reads what is durable: the image that the least fortunate restart after a power loss now
// would find, in which every unsynced name, size and sector is as it was at its last honest sync.
// (A sector that was synced and then rewritten without a sync may also be garbage; ask Durable.)
type Media struct {
	disk *Disk
	from source
}

var _ diskio.Reader = Media{}

// MediaReader returns a reader of what is durable. It follows the disk as it changes.
func (d *Disk) MediaReader(view View) Media {
	if view == Pristine {
		return Media{disk: d, from: fromPristine}
	}
	return Media{disk: d, from: fromMedia}
}

func (m Media) file(name string) (*inode, error) {
	if !diskio.ValidFile(name) {
		return nil, fmt.Errorf("%w: %s: %s", diskio.ErrFailed, name, saysName)
	}
	n := m.disk.durable.reach(name)
	if n == nil {
		return nil, fmt.Errorf("%w: %s", diskio.ErrNotFound, name)
	}
	if n.isDir {
		return nil, fmt.Errorf("%w: %s: %s", diskio.ErrFailed, name, saysIsDir)
	}
	return n, nil
}

// ReadAt implements diskio.Reader.
func (m Media) ReadAt(file string, p []byte, off int64) (int, error) {
	n, err := m.file(file)
	if err != nil {
		return 0, err
	}
	return m.disk.read(n, file, p, off, m.from)
}

// Size implements diskio.Reader.
func (m Media) Size(file string) (int64, error) {
	n, err := m.file(file)
	if err != nil {
		return 0, err
	}
	return n.mediaSize, nil
}

// List implements diskio.Reader.
func (m Media) List(dir string) ([]diskio.FileInfo, error) {
	if !diskio.ValidDir(dir) {
		return nil, fmt.Errorf("%w: list %s: %s", diskio.ErrFailed, dir, saysName)
	}
	return m.disk.durable.listing(dir, fromMedia), nil
}

// SectorSize implements diskio.Reader.
func (m Media) SectorSize() int {
	return m.disk.opt.Sector
}
