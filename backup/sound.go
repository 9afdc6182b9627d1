package backup

// A look at the pages of a database before bbolt maps them. bbolt trusts lengths and positions in a
// page, and one that points out of the file is not an error there but the end of the process. So
// every page that can be reached is read here first, by ordinary reads, and whatever it says of
// itself must lie within it. Keys, order and free pages are left to bbolt's own check.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// pageCheck walks the pages of a database.
type pageCheck struct {
	file  io.ReaderAt
	size  int64 // of a page
	pages uint64
	seen  map[uint64]struct{}
}

// sound says what is wrong with the shape of a database's pages.
func sound(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, pageHeader+metaBytes)
	if _, err := f.ReadAt(head, 0); err != nil {
		return errors.New("too short for a database")
	}
	size := int64(binary.LittleEndian.Uint32(head[pageHeader+8:]))
	if size < 512 || size > 1<<16 || size&(size-1) != 0 {
		return fmt.Errorf("not a database: pages of %d bytes", size)
	}
	c := &pageCheck{file: f, size: size, pages: uint64(info.Size() / size),
		seen: map[uint64]struct{}{}}
	root, freelist, err := c.meta()
	if err != nil {
		return err
	}
	if freelist != noFreelist {
		if err := c.freelist(freelist); err != nil {
			return err
		}
	}
	return c.page(root, 0)
}

const (
	noFreelist = ^uint64(0)
	// maxDepth bounds the walk: of branches, and of buckets in buckets.
	maxDepth = 64
)

// meta returns what the newer whole meta page says.
func (c *pageCheck) meta() (root, freelist uint64, err error) {
	newest, found := uint64(0), false
	b := make([]byte, pageHeader+metaBytes)
	for id := range int64(2) {
		if _, err := c.file.ReadAt(b, id*c.size); err != nil {
			return 0, 0, fmt.Errorf("meta page %d: %w", id, err)
		}
		le, m := binary.LittleEndian, b[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaBytes-8]) // a hash never fails
		whole := le.Uint32(m) == metaMagic && le.Uint64(m[metaBytes-8:]) == sum.Sum64()
		if tx := le.Uint64(m[48:]); whole && (!found || tx > newest) {
			newest, found = tx, true
			root, freelist = le.Uint64(m[16:]), le.Uint64(m[32:])
			if pages := le.Uint64(m[40:]); pages > c.pages || int64(le.Uint32(m[8:])) != c.size {
				return 0, 0, fmt.Errorf("meta page %d: %d pages, in the file are %d", id, pages,
					c.pages)
			}
		}
	}
	if !found {
		return 0, 0, errors.New("not a database: no meta page is whole")
	}
	return root, freelist, nil
}

// read returns a page with all that belongs to it.
func (c *pageCheck) read(id uint64) ([]byte, error) {
	if id < 2 || id >= c.pages {
		return nil, fmt.Errorf("page %d of %d is referred to", id, c.pages)
	}
	if _, twice := c.seen[id]; twice {
		return nil, fmt.Errorf("page %d is referred to twice", id)
	}
	c.seen[id] = struct{}{}
	head := make([]byte, pageHeader)
	if _, err := c.file.ReadAt(head, int64(id)*c.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if self := binary.LittleEndian.Uint64(head); self != id || id+more >= c.pages {
		return nil, fmt.Errorf("page %d says that it is %d, and %d more", id, self, more)
	}
	b := make([]byte, int64(more+1)*c.size)
	if _, err := c.file.ReadAt(b, int64(id)*c.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

func (c *pageCheck) freelist(id uint64) error {
	b, err := c.read(id)
	if err != nil {
		return err
	}
	count, first := uint64(binary.LittleEndian.Uint16(b[10:])), uint64(pageHeader)
	if count == maxElements+1 { // then the first word is the number
		count, first = binary.LittleEndian.Uint64(b[first:]), first+8
	}
	if binary.LittleEndian.Uint16(b[8:]) != flagFreelist || count > (uint64(len(b))-first)/8 {
		return fmt.Errorf("page %d is no freelist of %d pages", id, count)
	}
	return nil
}

// page looks at a page of a tree and at all below it.
func (c *pageCheck) page(id uint64, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is %d levels deep", id, depth)
	}
	b, err := c.read(id)
	if err != nil {
		return err
	}
	if err := c.elements(b, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements looks at what a page, or one inside of a value, holds.
func (c *pageCheck) elements(b []byte, depth int) error {
	le := binary.LittleEndian
	flags, count := le.Uint16(b[8:]), int(le.Uint16(b[10:]))
	if flags != flagBranch && flags != flagLeaf {
		return fmt.Errorf("type %x", flags)
	}
	if pageHeader+count*elementBytes > len(b) {
		return fmt.Errorf("%d elements in %d bytes", count, len(b))
	}
	for i := range count {
		at := pageHeader + i*elementBytes
		if flags == flagBranch {
			_, err := within(b, at, le.Uint32(b[at:]), le.Uint32(b[at+4:]), 0)
			if err == nil {
				err = c.page(le.Uint64(b[at+8:]), depth+1)
			}
			if err != nil {
				return err
			}
			continue
		}
		value, err := within(b, at, le.Uint32(b[at+4:]), le.Uint32(b[at+8:]), le.Uint32(b[at+12:]))
		if err != nil {
			return err
		}
		if le.Uint32(b[at:])&flagBucket != 0 {
			if err := c.bucket(value, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// within returns the value behind a key, both of which must lie within b, counted from at.
func within(b []byte, at int, pos, key, value uint32) ([]byte, error) {
	end := uint64(at) + uint64(pos) + uint64(key) + uint64(value)
	if key == 0 || end > uint64(len(b)) {
		return nil, fmt.Errorf("an element reaches from %d to %d of %d bytes", at, end, len(b))
	}
	return b[end-uint64(value) : end], nil
}

func (c *pageCheck) bucket(value []byte, depth int) error {
	const head = 16
	if len(value) < head {
		return fmt.Errorf("a bucket in %d bytes", len(value))
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return c.page(root, depth+1)
	}
	if len(value) < head+pageHeader || depth > maxDepth {
		return fmt.Errorf("a bucket in %d bytes, %d levels deep", len(value), depth)
	}
	return c.elements(value[head:], depth+1)
}
