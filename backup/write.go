package backup

// Writing a database front to back. The layout says what comes where; the rows are read once more,
// with their values, and have to be the ones that were laid out.

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/detcd/detcd/mvcc"
)

// Database is a backup that is laid out and ready to be written. It holds what Write needs but the
// records' values.
type Database struct {
	rows    Rows
	buckets []bucket // in the order of their names
	root    []row
	pages   uint64
}

// bucket is a bucket with its layout. Its rows are here, or, for the records, come from Rows.
type bucket struct {
	name string
	rows []row
	tree tree
}

// New lays a backup out. The rows must not change until it is written.
func New(c *Content, rows Rows) (*Database, error) {
	buckets, err := c.buckets()
	if err != nil {
		return nil, err
	}
	d := &Database{rows: rows, buckets: buckets, pages: firstPage}
	for i := range d.buckets {
		b := &d.buckets[i]
		if b.name == bucketKey {
			var key [tombstoneKeyBytes]byte
			rows.Sizes(func(rev mvcc.Rev, kind mvcc.RecordKind, size int) {
				b.tree.add(appendRowKey(key[:0], rev, kind), size)
			})
		}
		for _, r := range b.rows {
			b.tree.add(r.key, len(r.value))
		}
		d.pages = b.tree.place(d.pages)
		d.root = append(d.root, bucketRow(b.name, b.tree.root()))
	}
	return d, nil
}

// Size is the length of the database in bytes, without the hash.
func (d *Database) Size() int64 { return int64(d.pages) * pageBytes }

// Write writes the database, in calls of a page and more. The bytes that out gets are its own.
func (d *Database) Write(out io.Writer) error {
	w := &writer{out: out}
	w.head(d)
	for i := range d.buckets {
		if err := w.bucket(d, &d.buckets[i]); err != nil {
			return err
		}
	}
	if w.err == nil && w.next != d.pages {
		panic(fmt.Sprintf("backup: wrote %d pages of %d", w.next, d.pages))
	}
	return w.err
}

// Save writes what a saved file holds: the database and its hash.
func (d *Database) Save(out io.Writer) error {
	sum := sha256.New()
	if err := d.Write(io.MultiWriter(out, sum)); err != nil {
		return err
	}
	_, err := out.Write(sum.Sum(nil))
	return err
}

// writer writes extents in the order of their pages.
type writer struct {
	out  io.Writer
	next uint64 // page
	err  error  // of the first write that failed; nothing is written after it
}

// page writes an extent that is laid out for page number at.
func (w *writer) page(at uint64, size int, fill func(b []byte)) {
	if at != w.next {
		panic(fmt.Sprintf("backup: page %d is written where %d belongs", at, w.next))
	}
	n := pagesFor(size)
	w.next += n
	if w.err != nil {
		return
	}
	b := make([]byte, n*pageBytes)
	fill(b)
	_, w.err = w.out.Write(b)
}

// head writes what precedes the buckets' trees. Both metas are the same but for their number; the
// freelist is empty.
func (w *writer) head(d *Database) {
	for id := range uint64(2) {
		w.page(id, pageBytes, func(b []byte) {
			putMeta(b, id, rootPage, freelistPage, d.pages)
		})
	}
	w.page(freelistPage, pageBytes, func(b []byte) {
		putPageHeader(b, freelistPage, flagFreelist, 0)
	})
	w.page(rootPage, pageBytes, func(b []byte) { putLeaf(b, rootPage, d.root) })
}

func (w *writer) bucket(d *Database, b *bucket) error {
	leaves := leafWriter{w: w, rest: b.tree.leaves}
	if b.name == bucketKey {
		var key [tombstoneKeyBytes]byte
		err := d.rows.Read(func(r mvcc.Record) error {
			leaves.add(row{key: appendRowKey(key[:0], r.Rev, r.Kind), value: r.KV})
			return w.err
		})
		if err != nil {
			return err
		}
	}
	for _, r := range b.rows {
		leaves.add(r)
	}
	if len(leaves.rest) > 0 {
		panic(fmt.Sprintf("backup: bucket %s ends %d leaves too early", b.name, len(leaves.rest)))
	}
	level := b.tree.leaves
	for _, branches := range b.tree.branches {
		for i := range branches {
			x := &branches[i]
			w.page(x.page, x.size, func(p []byte) { putBranch(p, x.page, level[:x.count]) })
			level = level[x.count:]
		}
		level = branches
	}
	return w.err
}

// leafWriter gathers rows until a leaf is complete.
type leafWriter struct {
	w    *writer
	rest []extent // leaves that are not complete
	rows []row    // of rest[0]
	held []byte   // their bytes
}

// add takes the next row and copies it.
func (l *leafWriter) add(r row) {
	if len(l.rest) == 0 {
		panic(fmt.Sprintf("backup: row %x was not laid out", r.key))
	}
	leaf := &l.rest[0]
	at := len(l.held)
	l.held = append(append(l.held, r.key...), r.value...)
	split := at + len(r.key)
	l.rows = append(l.rows, row{l.held[at:split:split], l.held[split:len(l.held):len(l.held)],
		r.flags})
	if len(l.rows) < leaf.count {
		return
	}
	size := pageHeader
	for _, r := range l.rows {
		size += leafSize(len(r.key), len(r.value))
	}
	if size != leaf.size || string(l.rows[0].key) != string(leaf.key) {
		panic(fmt.Sprintf("backup: leaf %x of %d bytes, laid out as %x of %d", l.rows[0].key, size,
			leaf.key, leaf.size))
	}
	l.w.page(leaf.page, size, func(b []byte) { putLeaf(b, leaf.page, l.rows) })
	l.rest, l.rows, l.held = l.rest[1:], l.rows[:0], l.held[:0]
}

// The lengths of record keys.
const (
	rowKeyBytes       = 17
	tombstoneKeyBytes = 18
)

// appendRowKey appends the key of a record: its revision, and a mark behind a tombstone's.
func appendRowKey(dst []byte, rev mvcc.Rev, kind mvcc.RecordKind) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(rev.Main))
	dst = append(dst, '_')
	dst = binary.BigEndian.AppendUint64(dst, uint64(rev.Sub))
	if kind == mvcc.TombstoneRecord {
		dst = append(dst, 't')
	}
	return dst
}
