// Restoring: a backup becomes the first state of a member of a new cluster.
//
// The result is what a first start leaves when it is cut short between the checkpoint of the
// initial members and the log: a generation at bootstrapIndex, no log. An ordinary start goes on
// from there, and every member that restores the same backup with the same members begins with the
// same state, so their logs join.
package kv

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc"
)

// Restore is a restoring under way. It performs no I/O: operations leave through Flush and come
// back through Complete.
type Restore struct {
	store *mvcc.Import
	state replicated
}

// Founding is what a restore begins with.
type Founding struct {
	Image               Image
	Members             []Member // of the new cluster
	Revision, Compacted mvcc.Revision
	Limits              Limits // sizes of the files to write
}

// NewRestore begins to restore into a data directory that holds no store.
func NewRestore(disk diskio.Reader, f *Founding) (*Restore, error) {
	if len(f.Members) == 0 {
		return nil, fmt.Errorf("kv: restore a cluster without members")
	}
	state, err := f.Image.founded(f.Members)
	if err != nil {
		return nil, err
	}
	store, err := mvcc.NewImport(disk, storeOptions(&f.Limits), f.Revision, f.Compacted)
	if err != nil {
		return nil, fmt.Errorf("kv: restore: %w", err)
	}
	return &Restore{store: store, state: state}, nil
}

// Add takes the next record, in the order of revisions.
func (r *Restore) Add(record mvcc.Record) error { return r.store.Add(record) }

// Unwritten is the number of bytes of records that are not written yet, for flow control.
func (r *Restore) Unwritten() int64 { return r.store.Unwritten() }

// Flush appends the operations that can be issued now.
func (r *Restore) Flush(ops []diskio.Op) []diskio.Op { return r.store.Flush(ops) }

// Complete handles the completion of an operation; after an error the restore has failed.
func (r *Restore) Complete(c diskio.Completion) error { return r.store.Complete(c) }

// Finish says that all records were added.
func (r *Restore) Finish() {
	r.store.Finish(mvcc.Checkpoint{Applied: uint64(bootstrapIndex), Term: uint64(bootstrapTerm),
		State: r.state.encode()})
}

// Finished returns the store once it is durable.
func (r *Restore) Finished() (*mvcc.Engine, bool) { return r.store.Finished() }

// storeOptions are the options of a member's engine.
func storeOptions(lim *Limits) mvcc.Options {
	return mvcc.Options{Dir: dataDir, SegmentBytes: lim.DataSegmentBytes,
		StepBytes: int64(lim.ChunkBytes), CacheBytes: lim.CacheBytes, TicketBase: ticketStore,
		BlockKeys: lim.BlockKeys}
}
