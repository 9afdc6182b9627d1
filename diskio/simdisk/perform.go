package simdisk

import (
	"io"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/keyed"
)

// What an operation does is split in two: perform asks the faults first and then does what effect
// does; a crash that catches an operation in flight uses effect alone.

// The words of a completion that is not OK, as an operating system would put them.
const (
	saysIO       = "input/output error"
	saysFull     = "no space left on device"
	saysMissing  = "no such file or directory"
	saysName     = "not a valid name in the data directory"
	saysRange    = "invalid offset or length"
	saysIsDir    = "is a directory"
	saysNotDir   = "not a directory"
	saysSameName = "file exists"
)

// result is the outcome of an operation.
type result struct {
	status diskio.Status
	detail string
	data   []byte
}

func failed(detail string) result { return result{status: diskio.Failed, detail: detail} }

func missing() result { return result{status: diskio.NotFound, detail: saysMissing} }

func full() result { return result{status: diskio.NoSpace, detail: saysFull} }

// resolve finds the inode of a live name. The inode is nil with status OK when the name is free
// and its directory exists.
func (d *Disk) resolve(name string) (*inode, result) {
	if !diskio.ValidFile(name) {
		return nil, failed(saysName)
	}
	if node := d.live.get(name); node != nil {
		return node, result{}
	}
	for dir := parent(name); dir != ""; dir = parent(dir) {
		switch node := d.live.get(dir); {
		case node != nil && !node.isDir:
			return nil, failed(saysNotDir)
		case node == nil && d.dirAbove(dir):
			return nil, missing()
		}
	}
	return nil, result{}
}

// dirAbove says whether the parent of name is a directory.
func (d *Disk) dirAbove(name string) bool {
	return d.live.hasDir(parent(name))
}

// file resolves name to a file that exists.
func (d *Disk) file(name string) (*inode, result) {
	n, r := d.resolve(name)
	switch {
	case r.status != diskio.OK:
		return nil, r
	case n == nil:
		return nil, missing()
	case n.isDir:
		return nil, failed(saysIsDir)
	}
	return n, result{}
}

// create resolves name to a file, which it makes when the name is free.
func (d *Disk) create(name string) (*inode, result) {
	n, r := d.resolve(name)
	switch {
	case r.status != diskio.OK:
		return nil, r
	case n == nil:
		n = d.born(name)
		d.changeName(nameChange{kind: link, dir: parent(name), name: name, node: n})
	case n.isDir:
		return nil, failed(saysIsDir)
	}
	return n, result{}
}

// born returns a new inode, whose key no other file of this disk has.
func (d *Disk) born(name string) *inode {
	key := keyed.String(name)
	d.births[key]++
	return &inode{key: keyed.Hash(key, d.births[key])}
}

// perform does op, or fails it as the faults have it.
func (d *Disk) perform(op diskio.Op) result {
	switch op.Kind {
	case diskio.Write, diskio.Allocate, diskio.Truncate:
		if n := d.live.get(op.File); n != nil && !n.isDir && d.strikes(WriteFails, n, op.File) {
			d.counts.Felt[WriteFails]++
			d.writePart(n, op, d.draw(WriteFails, n, 1))
			return failed(saysIO)
		}
	case diskio.Sync:
		return d.performSync(op.File)
	case diskio.SyncDir:
		return d.performSyncDir(op.File)
	case diskio.Read:
		return d.performRead(op)
	}
	return d.effect(op)
}

// writePart lets a prefix of a failed write happen.
func (d *Disk) writePart(n *inode, op diskio.Op, h uint64) {
	if op.Kind == diskio.Write && op.Offset >= 0 && d.fits(n, op.Offset+int64(len(op.Data))) {
		r := keyed.New(h)
		if part := r.IntN(len(op.Data) + 1); part > 0 {
			d.write(n, op.Offset, op.Data[:part])
		}
	}
}

// effect does op with a device that has no faults.
func (d *Disk) effect(op diskio.Op) result {
	switch op.Kind {
	case diskio.Write, diskio.Allocate:
		return d.grow(op)
	case diskio.Truncate:
		n, r := d.file(op.File)
		if r.status == diskio.OK {
			if op.Length < 0 || op.Length > maxFile {
				return failed(saysRange)
			}
			d.truncate(n, op.Length)
		}
		return r
	case diskio.Rename:
		return d.rename(op.File, op.To)
	case diskio.Remove:
		return d.remove(op.File)
	case diskio.MakeDir:
		return d.makeDir(op.File)
	case diskio.Sync:
		n, r := d.file(op.File)
		if r.status == diskio.OK {
			d.sync(n)
		}
		return r
	case diskio.SyncDir:
		for _, c := range d.takePending(cleanDir(op.File)) {
			d.durable.apply(c)
		}
		return result{}
	}
	return failed("unknown kind of operation")
}

// grow does a Write or an Allocate.
func (d *Disk) grow(op diskio.Op) result {
	end := op.Length
	if op.Kind == diskio.Write {
		end = op.Offset + int64(len(op.Data))
	}
	if op.Offset < 0 || end < 0 || end > maxFile || op.Offset > maxFile {
		return failed(saysRange)
	}
	n, r := d.create(op.File)
	if r.status != diskio.OK {
		return r
	}
	if end > n.size {
		fits := d.fits(n, end)
		if !fits {
			d.counts.Injected[DiskFull]++
		}
		if !fits || d.strikes(DiskFull, n, op.File) {
			d.counts.Felt[DiskFull]++
			d.writeFit(n, op)
			return full()
		}
	}
	switch {
	case op.Kind == diskio.Write && len(op.Data) > 0:
		d.write(n, op.Offset, op.Data)
	case op.Kind == diskio.Allocate && end < n.size:
		d.truncate(n, end)
	case op.Kind == diskio.Allocate:
		d.zeroTo(n, end)
	}
	return r
}

// fits says whether n may have size bytes.
func (d *Disk) fits(n *inode, size int64) bool {
	return d.capacity == 0 || size <= n.size || d.used-n.size+size <= d.capacity
}

// writeFit lets the part of a write happen that needs no new space, in half of the cases.
func (d *Disk) writeFit(n *inode, op diskio.Op) {
	room := n.size - op.Offset
	if op.Kind == diskio.Write && room > 0 && keyed.Chance(d.draw(DiskFull, n, 1), 1, 2) {
		d.write(n, op.Offset, op.Data[:min(room, int64(len(op.Data)))])
	}
}

func (d *Disk) performSync(name string) result {
	n, r := d.file(name)
	if r.status != diskio.OK {
		return r
	}
	switch {
	case d.strikes(SyncFails, n, name):
		d.counts.Felt[SyncFails]++
		d.forget(n)
		return failed(saysIO)
	case d.strikes(SyncLies, n, name):
		n.lie()
		return result{}
	}
	planned := d.planDamage(n, name)
	d.sync(n)
	for _, o := range planned {
		d.lay(n, o)
	}
	return result{}
}

func (d *Disk) performSyncDir(name string) result {
	if !diskio.ValidDir(name) {
		return failed(saysName)
	}
	dir := cleanDir(name)
	n := &d.root
	if dir != "" {
		node, r := d.resolve(dir)
		switch {
		case r.status != diskio.OK:
			return r
		case node == nil:
			return missing()
		case !node.isDir:
			return failed(saysNotDir)
		}
		n = node
	}
	switch {
	case d.strikes(SyncFails, n, dir):
		d.counts.Felt[SyncFails]++
		d.takePending(dir)
		return failed(saysIO)
	case d.strikes(SyncLies, n, dir):
		d.lieAbout(dir)
		return result{}
	}
	return d.effect(diskio.Op{Kind: diskio.SyncDir, File: name})
}

func (d *Disk) performRead(op diskio.Op) result {
	n, r := d.file(op.File)
	if r.status != diskio.OK {
		return r
	}
	if op.Offset < 0 || op.Length < 0 {
		return failed(saysRange)
	}
	length := max(min(op.Length, n.size-op.Offset), 0)
	data := make([]byte, length)
	got, err := d.ReadAt(op.File, data, op.Offset)
	if err != nil && err != io.EOF {
		return failed(err.Error())
	}
	return result{data: data[:got]}
}

func (d *Disk) rename(from, to string) result {
	n, r := d.file(from)
	if r.status != diskio.OK {
		return r
	}
	old, r := d.resolve(to)
	switch {
	case r.status != diskio.OK:
		return r
	case old == n:
		return result{}
	case old != nil && old.isDir:
		return failed(saysIsDir)
	}
	if parent(from) == parent(to) {
		d.changeName(nameChange{kind: rename, dir: parent(from), name: from, to: to, node: n})
	} else {
		d.changeName(nameChange{kind: link, dir: parent(to), name: to, node: n})
		d.changeName(nameChange{kind: unlink, dir: parent(from), name: from, node: n})
	}
	d.dropped(old)
	return result{}
}

func (d *Disk) remove(name string) result {
	n, r := d.resolve(name)
	switch {
	case r.status == diskio.NotFound:
		return result{}
	case r.status != diskio.OK || n == nil:
		return r
	case n.isDir:
		return failed(saysIsDir)
	}
	d.changeName(nameChange{kind: unlink, dir: parent(name), name: name, node: n})
	d.dropped(n)
	return result{}
}

// dropped accounts for a file that lost a name, which may have been its last.
func (d *Disk) dropped(n *inode) {
	if n == nil {
		return
	}
	for _, name := range d.live.names {
		if d.live.get(name) == n {
			return
		}
	}
	d.used -= n.size
}

func (d *Disk) makeDir(name string) result {
	if diskio.ValidDir(name) && cleanDir(name) == "" {
		return result{}
	}
	n, r := d.resolve(name)
	switch {
	case r.status != diskio.OK:
		return r
	case n == nil:
		n = d.born(name)
		n.isDir = true
		d.changeName(nameChange{kind: link, dir: parent(name), name: name, node: n})
	case !n.isDir:
		return failed(saysSameName)
	}
	return result{}
}
