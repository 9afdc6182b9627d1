package backup

// Pages of a bbolt database. All integers are little-endian, as bbolt has them on every processor
// that this program runs on.
//
//	page                                            meta (pages 0 and 1)
//	0    8       10      12         16              0       4         8           12
//	+----+-------+-------+----------+------+        +-------+---------+-----------+-------+
//	| id | flags | count | overflow | body |        | magic | version | page size | flags |
//	+----+-------+-------+----------+------+        +-------+---------+-----------+-------+
//	overflow: pages that follow and belong          16          24         32         40
//	to this one                                     +-----------+----------+----------+
//	                                                | root page | sequence | freelist |
//	                                                +-----------+----------+----------+
//	                                                40           48   56         64
//	                                                +------------+----+----------+
//	                                                | page count | tx | checksum |
//	                                                +------------+----+----------+
//
//	leaf     count x (flags, position, key bytes, value bytes: u32 each), then keys and values
//	branch   count x (position, key bytes: u32, page: u64), then keys
//
// An element's position counts from the element itself. A bucket is a leaf element with flag 1,
// whose value is the number of its root page and a sequence; root page 0 says that the page follows
// at once, which is how an empty bucket is written.

import (
	"encoding/binary"
	"hash/fnv"
)

const (
	pageBytes    = 4096
	pageHeader   = 16
	elementBytes = 16

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	flagBucket   = 0x01

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaBytes   = 64

	// maxElements is what a page's count can say; one more has another meaning in a freelist.
	maxElements = 0xFFFE
)

// row is an element of a leaf.
type row struct {
	key, value []byte
	flags      uint32
}

// pagesFor is the number of pages that hold size bytes.
func pagesFor(size int) uint64 { return uint64(size+pageBytes-1) / pageBytes }

// putPageHeader fills the header of the page that starts b, which is as long as the page is.
func putPageHeader(b []byte, id uint64, flags uint16, count int) {
	le := binary.LittleEndian
	le.PutUint64(b, id)
	le.PutUint16(b[8:], flags)
	le.PutUint16(b[10:], uint16(count))
	le.PutUint32(b[12:], uint32(len(b)/pageBytes-1))
}

// putMeta fills meta page number id, 0 or 1, of a database of so many pages.
func putMeta(b []byte, id, root, freelist, pages uint64) {
	putPageHeader(b, id, flagMeta, 0)
	le, m := binary.LittleEndian, b[pageHeader:]
	le.PutUint32(m, metaMagic)
	le.PutUint32(m[4:], metaVersion)
	le.PutUint32(m[8:], pageBytes)
	le.PutUint64(m[16:], root)
	le.PutUint64(m[32:], freelist)
	le.PutUint64(m[40:], pages)
	le.PutUint64(m[48:], id) // the transaction: page 1's is the newer one
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaBytes-8]) // a hash never fails
	le.PutUint64(m[metaBytes-8:], sum.Sum64())
}

// leafSize and branchSize are what a row and a child take in a page.
func leafSize(key, value int) int { return elementBytes + key + value }
func branchSize(key int) int      { return elementBytes + key }

// putLeaf fills a leaf page.
func putLeaf(b []byte, id uint64, rows []row) {
	putPageHeader(b, id, flagLeaf, len(rows))
	le := binary.LittleEndian
	at := pageHeader + elementBytes*len(rows)
	for i, r := range rows {
		element := pageHeader + elementBytes*i
		le.PutUint32(b[element:], r.flags)
		le.PutUint32(b[element+4:], uint32(at-element))
		le.PutUint32(b[element+8:], uint32(len(r.key)))
		le.PutUint32(b[element+12:], uint32(len(r.value)))
		at += copy(b[at:], r.key)
		at += copy(b[at:], r.value)
	}
}

// putBranch fills a branch page over children.
func putBranch(b []byte, id uint64, children []extent) {
	putPageHeader(b, id, flagBranch, len(children))
	le := binary.LittleEndian
	at := pageHeader + elementBytes*len(children)
	for i, c := range children {
		element := pageHeader + elementBytes*i
		le.PutUint32(b[element:], uint32(at-element))
		le.PutUint32(b[element+4:], uint32(len(c.key)))
		le.PutUint64(b[element+8:], c.page)
		at += copy(b[at:], c.key)
	}
}

// bucketRow is the row of a bucket in the root page; page 0 makes an empty one.
func bucketRow(name string, page uint64) row {
	value := make([]byte, 16, 16+pageHeader)
	binary.LittleEndian.PutUint64(value, page)
	if page == 0 {
		value = value[:16+pageHeader]
		binary.LittleEndian.PutUint16(value[16+8:], flagLeaf)
	}
	return row{key: []byte(name), value: value, flags: flagBucket}
}
