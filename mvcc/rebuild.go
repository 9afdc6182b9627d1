package mvcc

// A rebuild makes an index from records in revision order: those that Open finds in the segments,
// or those that arrive in a shipment.
//
// Everything comes from the records but three numbers, which only the checkpoint knows: the current
// and the compacted revision, and the digest. In particular the current revision is never taken
// from the newest record: that may have been a tombstone that a compaction dropped, and the
// revision would go back.

import (
	"fmt"

	"github.com/detcd/detcd/mvcc/revlog"
)

type rebuild struct {
	index      index
	checkpoint revlog.Checkpoint
	last       Rev // of the newest record so far
}

func newRebuild(c revlog.Checkpoint, opt Options) *rebuild {
	return &rebuild{index: newIndex(opt.BlockKeys), checkpoint: c, last: Rev{Sub: -1}}
}

// add takes the next record.
func (b *rebuild) add(r revlog.Record) error {
	kv, err := ParseKeyValue(r.KV)
	if err != nil {
		return refuse(r.Rev, err.Error())
	}
	if !b.last.Less(r.Rev) || r.Rev.Main > b.checkpoint.Current {
		return refuse(r.Rev, fmt.Sprintf("out of order: after %d.%d, current revision %d",
			b.last.Main, b.last.Sub, b.checkpoint.Current))
	}
	b.last = r.Rev
	v := version{main: r.Rev.Main, sub: r.Rev.Sub}
	switch {
	case len(kv.Key) == 0:
		return refuse(r.Rev, "no key")
	case r.Kind == revlog.Tombstone:
		if kv.Mod != 0 || kv.Create != 0 {
			return refuse(r.Rev, "a tombstone with revisions")
		}
	case r.Kind != revlog.Put:
		return refuse(r.Rev, fmt.Sprintf("unknown kind %d", r.Kind))
	case kv.Mod != r.Rev.Main || kv.Create <= 0 || kv.Create > kv.Mod || kv.Version <= 0:
		return refuse(r.Rev, fmt.Sprintf("create %d, mod %d, version %d",
			kv.Create, kv.Mod, kv.Version))
	default:
		v.create, v.number, v.lease = kv.Create, kv.Version, kv.Lease
	}
	b.index.put(kv.Key, v)
	return nil
}

// recordError says that a record is whole but cannot have been written by an engine.
type recordError struct {
	rev    Rev
	reason string
}

func refuse(rev Rev, reason string) error { return &recordError{rev, reason} }

func (e *recordError) Error() string {
	return fmt.Sprintf("record of revision %d.%d: %s", e.rev.Main, e.rev.Sub, e.reason)
}
