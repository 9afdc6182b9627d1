package mvcc

// An import builds a store from the records of another one, as a backup holds them, instead of from
// transactions: records keep their revisions, which have gaps where compaction dropped something.
// Everything that Open would refuse is refused here, so a damaged or invented backup never becomes
// a data directory.

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc/revlog"
)

// Import is a store in the making. It performs no I/O: operations leave through Flush and come back
// through Complete, as with an Engine.
type Import struct {
	opt     Options
	log     *revlog.Log
	rebuild *rebuild
	digest  digest
	ending  bool // its checkpoint has been started
}

// ImportError says that a record cannot have been written by a store.
type ImportError struct {
	Rev    Rev
	Reason string
}

// Error says what is wrong, where.
func (e *ImportError) Error() string {
	return fmt.Sprintf("record of revision %d.%d: %s", e.Rev.Main, e.Rev.Sub, e.Reason)
}

// maxImportBytes bounds a record; no request that makes one may be nearly as long.
const maxImportBytes = 1 << 29

// NewImport begins a store whose newest revision and compacted revision (-1: never) are given. The
// directory must not hold a store.
func NewImport(disk diskio.Reader, opt Options, current, compacted Revision) (*Import, error) {
	if current < firstRevision || compacted > current || compacted < neverCompacted {
		return nil, fmt.Errorf("mvcc: import of revision %d, compacted at %d: impossible", current,
			compacted)
	}
	log, found, err := revlog.Open(disk, opt.log())
	if err != nil {
		return nil, fmt.Errorf("mvcc: import: %w", err)
	}
	if !found.Empty {
		return nil, fmt.Errorf("mvcc: import: directory %s holds a store of revision %d already",
			opt.Dir, found.Checkpoint.Current)
	}
	c := revlog.Checkpoint{Current: current, Compacted: compacted}
	return &Import{opt: opt, log: log, rebuild: newRebuild(c, opt)}, nil
}

// Add takes the next record; they come in the order of their revisions. An error is an
// *ImportError; the import cannot go on then.
func (im *Import) Add(r Record) error {
	if len(r.KV) > maxImportBytes {
		return &ImportError{r.Rev, fmt.Sprintf("%d bytes", len(r.KV))}
	}
	if _, err := ParseKeyValue(r.KV); err != nil {
		return &ImportError{r.Rev, err.Error()}
	}
	if r.Rev.Main <= 0 || r.Rev.Sub < 0 || !im.rebuild.last.Less(r.Rev) {
		last := im.rebuild.last
		return &ImportError{r.Rev, fmt.Sprintf("follows %d.%d", last.Main, last.Sub)}
	}
	r.KV = im.log.Append(r.Rev, r.Kind, r.KV)
	if err := im.rebuild.add(r); err != nil {
		if bad := (*recordError)(nil); errors.As(err, &bad) {
			return &ImportError{bad.rev, bad.reason}
		}
		return err
	}
	im.digest.change(uint8(r.Kind), r.Rev, r.KV)
	return nil
}

// Unwritten is the number of bytes of records that are not written yet, for flow control.
func (im *Import) Unwritten() int64 { return im.log.Unwritten() }

// Flush appends the operations that can be issued now.
func (im *Import) Flush(ops []diskio.Op) []diskio.Op { return im.log.Flush(ops) }

// Complete handles the completion of an operation; after an error the import cannot go on.
func (im *Import) Complete(c diskio.Completion) error { return im.log.Complete(c) }

// Finish starts the checkpoint that makes the records a store.
func (im *Import) Finish(c Checkpoint) {
	b := &im.rebuild.checkpoint
	if b.Compacted > neverCompacted {
		im.digest.compaction(b.Compacted)
	}
	b.Applied, b.Term, b.Digest, b.State = c.Applied, c.Term, uint64(im.digest), c.State
	im.log.StartCheckpoint(*b)
	im.ending = true
}

// Finished returns the store once its checkpoint is durable.
func (im *Import) Finished() (*Engine, bool) {
	if !im.ending || im.log.Checkpointing() {
		return nil, false
	}
	return newEngine(im.opt, im.log, im.rebuild), true
}
