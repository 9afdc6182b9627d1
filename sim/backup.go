package sim

// Backups in the simulated world: a client asks a member for one, and the world restores it into a
// disk of its own, as the offline tool does. What comes out has to be whole and to have the hashes
// of the store that was backed up, at its newest revision, at its oldest, and at one between.

import (
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/simdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
)

// backup evaluates a granted backup of member m. Its answer is that of a HashKV of the restored
// store at its newest revision, so that the client compares it like any other.
func (w *world) backup(m *member, r *kv.Read) kv.Answer {
	a := kv.Answer{Token: r.Token}
	b, err := r.Backup()
	if err == nil {
		var body []byte
		if body, err = restoreAndHash(w.plan, b); err == nil {
			a.Body, a.Revision = [][]byte{body}, b.View.Revision()
			return a
		}
	}
	if damage := (*mvcc.DamageError)(nil); errors.As(err, &damage) {
		a.Code, a.Body = kv.ErrDamaged, [][]byte{[]byte(err.Error())}
		return a
	}
	w.fail(OracleHash, "a backup of member %d does not become a store: %v", m.index, err)
	return a
}

// restoreAndHash makes a store of a backup and returns the wire form of its HashKV.
func restoreAndHash(p *Plan, b *kv.Backup) ([]byte, error) {
	disk := simdisk.New(simdisk.Options{Seed: p.Seed, Sector: 512})
	f := kv.Founding{Image: b.Image, Revision: b.View.Revision(), Compacted: b.View.Compacted(),
		Limits: p.Limits, Members: []kv.Member{{ID: memberID(0)}}}
	r, err := kv.NewRestore(disk, &f)
	if err != nil {
		return nil, err
	}
	step := func() error {
		for _, op := range r.Flush(nil) {
			disk.Submit(op)
		}
		if _, some := disk.Begin(diskio.LaneEngine); !some {
			return nil
		}
		return r.Complete(disk.Finish(diskio.LaneEngine))
	}
	err = b.View.History().Read(func(record mvcc.Record) error {
		if err := r.Add(record); err != nil {
			return err
		}
		return step()
	})
	if err != nil {
		return nil, err
	}
	r.Finish()
	for {
		if e, durable := r.Finished(); durable {
			return compareHashes(e, b.View)
		}
		if err := step(); err != nil {
			return nil, err
		}
	}
}

// compareHashes judges a restored store by the view that it was made from, and returns the wire
// form of its HashKV.
func compareHashes(e *mvcc.Engine, from *mvcc.View) ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	v := e.View()
	defer e.Release(v)
	if v.Revision() != from.Revision() || v.Compacted() != from.Compacted() {
		return nil, fmt.Errorf("restored to revision %d, compacted at %d, from %d and %d",
			v.Revision(), v.Compacted(), from.Revision(), from.Compacted())
	}
	oldest, newest := max(v.Compacted(), 1), v.Revision()
	res := &pb.HashKVResponse{CompactRevision: int64(v.Compacted())}
	for _, rev := range [...]mvcc.Revision{oldest, oldest + (newest-oldest)/2, newest} {
		want, _, err := from.Hash(rev)
		if err != nil {
			return nil, err
		}
		have, _, err := v.Hash(rev)
		if err != nil {
			return nil, err
		}
		if have != want {
			return nil, fmt.Errorf("revision %d hashes to %x after a restore, to %x before", rev,
				have, want)
		}
		res.Hash, res.HashRevision = have, int64(rev)
	}
	return marshal(res)
}
