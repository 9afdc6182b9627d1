// Package osdisk is the operating system's disk behind the disk door.
//
// Each lane is one goroutine that performs its operations in order, so that a slow sync of the log
// delays nothing but the log. Writes of one lane that follow each other without a gap are gathered
// into one system call. Files are kept open in a bounded cache, because opening a file for every
// positional read costs more than the read.
//
// Every read is a positional read into the caller's buffer. Nothing is mapped: a page fault would
// hold a scheduler thread, and a media error under a mapping is a signal that cannot be caught.
//
// Retrying is left out on purpose: after a failed sync the kernel may have dropped what it could
// not write, so a second sync proves nothing. The status says Failed, and the node must stop.
package osdisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/detcd/detcd/diskio"
)

// sectorSize is the unit in which modern drives write as a whole at best. A drive with smaller
// sectors keeps the promise as well.
const sectorSize = 4096

// Options are the parameters of a Disk; the zero value is usable.
type Options struct {
	// Handles bounds the files that are kept open, in number; 0 means 256. Files with unsynced
	// writes stay open even beyond it, so that no writeback error is missed.
	Handles int
	// Observe, when set, is called after each system call that a lane makes for a Write (once for
	// all that were gathered), Sync, Allocate or SyncDir. It is called on the lane's goroutine.
	Observe func(Observation)
}

// Observation describes one timed step of a lane, for metrics.
type Observation struct {
	Lane     diskio.Lane
	Kind     diskio.Kind
	File     string
	Bytes    int // Write: of all gathered operations
	Ops      int // operations that the step completed
	Duration time.Duration
}

// LaneStats counts what a lane has done since Open.
type LaneStats struct {
	Ops         uint64 // completed operations
	Failures    uint64 // of those, with a status that is not OK
	Syncs       uint64 // Sync and SyncDir, successful or not
	Writes      uint64 // Write operations
	WriteCalls  uint64 // system calls made for them, short writes aside
	WriteBytes  uint64
	Outstanding int64 // submitted and not completed
}

// Disk is a data directory. All its methods are safe for concurrent use.
type Disk struct {
	dir   string
	opt   Options
	done  func(diskio.Completion)
	files handles
	lanes [diskio.NumLanes]*lane
	group sync.WaitGroup
}

var _ diskio.Disk = (*Disk)(nil)

// lane is one queue and the counters of its goroutine.
type lane struct {
	id     diskio.Lane
	mu     sync.Mutex
	filled sync.Cond
	queue  []diskio.Op
	closed bool

	ops, failures, syncs, writes, writeCalls, writeBytes atomic.Uint64
	outstanding                                          atomic.Int64
}

// Open serves the files below dir, which must exist. Each completion is handed to done on the
// goroutine of its lane; done must not block for long, for the lane waits for it.
func Open(dir string, opt Options, done func(diskio.Completion)) (*Disk, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("osdisk: open data directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("osdisk: data directory %s is not a directory", dir)
	}
	if opt.Handles <= 0 {
		opt.Handles = 256
	}
	d := &Disk{dir: dir, opt: opt, done: done}
	d.files.init(opt.Handles)
	for id := range d.lanes {
		l := &lane{id: diskio.Lane(id)}
		l.filled.L = &l.mu
		d.lanes[id] = l
		d.group.Go(func() { d.run(l) })
	}
	return d, nil
}

// Submit queues op in its lane. It must not be called after Close.
func (d *Disk) Submit(op diskio.Op) {
	if op.Lane >= diskio.NumLanes {
		panic(fmt.Sprintf("osdisk: submit of %v in unknown lane %d", op, op.Lane))
	}
	l := d.lanes[op.Lane]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		panic(fmt.Sprintf("osdisk: submit of %v after close", op))
	}
	l.outstanding.Add(1)
	l.queue = append(l.queue, op)
	if len(l.queue) == 1 {
		l.filled.Signal()
	}
}

// Close performs everything that was submitted, delivers its completions, stops the lanes and
// closes the files. It reports the first file that could not be closed. It may be called once.
func (d *Disk) Close() error {
	for _, l := range d.lanes {
		l.mu.Lock()
		l.closed = true
		l.filled.Signal()
		l.mu.Unlock()
	}
	d.group.Wait()
	return d.files.closeAll()
}

// Free is how many bytes the file system has left for us; errors.ErrUnsupported where nobody says.
// It may take as long as the device likes.
func (d *Disk) Free() (int64, error) {
	free, err := freeBytes(d.dir)
	if err != nil {
		return 0, fmt.Errorf("osdisk: free space of %s: %w", d.dir, err)
	}
	return free, nil
}

// Stats returns the counters of one lane.
func (d *Disk) Stats(id diskio.Lane) LaneStats {
	l := d.lanes[id]
	return LaneStats{
		Ops: l.ops.Load(), Failures: l.failures.Load(), Syncs: l.syncs.Load(),
		Writes: l.writes.Load(), WriteCalls: l.writeCalls.Load(),
		WriteBytes: l.writeBytes.Load(), Outstanding: l.outstanding.Load(),
	}
}

// run is a lane's goroutine.
func (d *Disk) run(l *lane) {
	var batch []diskio.Op
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.closed {
			l.filled.Wait()
		}
		batch, l.queue = l.queue, batch[:0]
		l.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for rest := batch; len(rest) > 0; {
			n := gather(rest)
			d.perform(l, rest[:n])
			rest = rest[n:]
		}
		// The data of finished writes must not live as long as the queue's array.
		clear(batch)
	}
}

// perform does the first operation of ops, or all of them when they are gathered writes.
func (d *Disk) perform(l *lane, ops []diskio.Op) {
	if ops[0].Kind == diskio.Write {
		d.performWrites(l, ops)
		return
	}
	op := ops[0]
	started := time.Now()
	data, err := d.performOne(op)
	switch op.Kind {
	case diskio.Sync, diskio.SyncDir:
		l.syncs.Add(1)
		d.observe(l, &op, started, 0, 1)
	case diskio.Allocate:
		d.observe(l, &op, started, 0, 1)
	}
	d.complete(l, op, data, err)
}

func (d *Disk) observe(l *lane, op *diskio.Op, started time.Time, bytes, ops int) {
	if d.opt.Observe != nil {
		d.opt.Observe(Observation{Lane: l.id, Kind: op.Kind, File: op.File, Bytes: bytes, Ops: ops,
			Duration: time.Since(started)})
	}
}

func (d *Disk) complete(l *lane, op diskio.Op, data []byte, err error) {
	c := diskio.Completion{Ticket: op.Ticket, Lane: op.Lane, Kind: op.Kind, File: op.File,
		Data: data}
	if err != nil {
		c.Status, c.Detail = statusOf(err), err.Error()
		l.failures.Add(1)
	}
	l.ops.Add(1)
	l.outstanding.Add(-1)
	d.done(c)
}

// statusOf maps the operating system's errors to the door's outcomes.
func statusOf(err error) diskio.Status {
	switch {
	case err == nil:
		return diskio.OK
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return diskio.NoSpace
	case errors.Is(err, os.ErrNotExist):
		return diskio.NotFound
	}
	return diskio.Failed
}

// errName refuses a name that could leave the data directory.
var errName = errors.New("not a valid name in the data directory")

// path returns where the file of that name is.
func (d *Disk) path(name string) (string, error) {
	if !diskio.ValidFile(name) {
		return "", fmt.Errorf("%w: %q", errName, name)
	}
	return filepath.Join(d.dir, filepath.FromSlash(name)), nil
}

// dirPath returns where the directory of that name is.
func (d *Disk) dirPath(name string) (string, error) {
	if !diskio.ValidDir(name) {
		return "", fmt.Errorf("%w: %q", errName, name)
	}
	return filepath.Join(d.dir, filepath.FromSlash(name)), nil
}
