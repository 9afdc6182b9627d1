package sim

// Backups in the simulated world: a client asks a member for one, and the world restores it into a
// disk of its own, as the offline tool does, and hashes what came out. The hash has to be the one
// that members give at the same revisions, the store whole, and the state that of the entry.

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
			a.Body, a.Revision = [][]byte{body}, b.Revision
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
	f := kv.Founding{Image: b.Image, Revision: b.Revision, Compacted: b.Compacted,
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
	err = b.History.Read(func(record mvcc.Record) error {
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
			return hashOf(e, b)
		}
		if err := step(); err != nil {
			return nil, err
		}
	}
}

func hashOf(e *mvcc.Engine, b *kv.Backup) ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	if e.Revision() != b.Revision || e.Compacted() != b.Compacted {
		return nil, fmt.Errorf("restored to revision %d, compacted at %d, from %d and %d",
			e.Revision(), e.Compacted(), b.Revision, b.Compacted)
	}
	v := e.View()
	defer e.Release(v)
	hash, at, err := v.Hash(0)
	if err != nil {
		return nil, err
	}
	return marshal(&pb.HashKVResponse{Hash: hash, HashRevision: int64(at),
		CompactRevision: int64(e.Compacted())})
}
