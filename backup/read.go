package backup

// Reading a backup, ours or etcd's: a look at the pages (sound.go), bbolt's own check of the tree,
// then the content. A restore verifies the hash before, unless it is told to skip that.

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
)

// ErrNoHash says that a file ends with its database.
var ErrNoHash = errors.New("snapshot missing hash but --skip-hash-check=false")

// HashError says that a file is not what was saved.
type HashError struct{ Want, Have [hashBytes]byte }

// Error has etcd's words.
func (e *HashError) Error() string {
	return fmt.Sprintf("expected sha256 %v, got %v", e.Want[:], e.Have[:])
}

// VerifyHash compares the database in a file with the hash behind it.
func VerifyHash(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A database is whole pages; what is left over is the hash.
	if info.Size()%512 != hashBytes {
		return ErrNoHash
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, info.Size()-hashBytes); err != nil {
		return err
	}
	var e HashError
	if _, err := io.ReadFull(f, e.Want[:]); err != nil {
		return err
	}
	if sum.Sum(e.Have[:0]); e.Want != e.Have {
		return &e
	}
	return nil
}

// File is an open backup.
type File struct {
	Content
	db *bolt.DB
	tx *bolt.Tx
}

// Open reads everything of a backup but the records, after checking all pages.
func Open(path string) (*File, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	if err := sound(path); err != nil {
		return nil, fmt.Errorf("backup: %s: %w", path, err)
	}
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: lockPatience})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("backup: %s is in use: stop the process that has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("backup: open %s: %w", path, err)
	}
	tx, err := db.Begin(false)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	f := &File{db: db, tx: tx, Content: Content{Revision: 1, Compacted: -1}}
	if err := f.check(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("backup: %s: %w", path, err), f.Close())
	}
	return f, nil
}

// lockPatience is how long another process may hold the file.
const lockPatience = time.Second

// Bytes is the length of the database.
func (f *File) Bytes() int64 { return f.tx.Size() }

// Close gives the file back.
func (f *File) Close() error { return errors.Join(f.tx.Rollback(), f.db.Close()) }

// check has bbolt look at every page.
func (f *File) check() error {
	var flaws []string
	for flaw := range f.tx.Check() {
		flaws = append(flaws, flaw.Error())
	}
	if len(flaws) == 0 {
		return nil
	}
	return fmt.Errorf("snapshot file integrity check failed. %d errors found.\n%s", len(flaws),
		strings.Join(flaws, "\n"))
}

// load fills in the content.
func (f *File) load() error {
	if f.tx.Bucket([]byte(bucketKey)) == nil || f.tx.Bucket([]byte(bucketMeta)) == nil {
		return errors.New("no database of etcd: it has no records or no meta bucket")
	}
	for _, b := range []struct {
		name string
		read func(key, value []byte) error
	}{
		{bucketMeta, f.readMeta},
		{bucketAlarm, func(key, _ []byte) error { return f.readAlarm(key) }},
		{bucketLease, func(_, value []byte) error { return f.readLease(value) }},
		{bucketMembers, f.readMember},
		{bucketRemoved, f.readRemoved},
		{bucketCluster, f.readCluster},
		{bucketAuth, f.readAuth},
		{bucketUsers, func(key, value []byte) error { return keep(&f.Auth.Users, key, value) }},
		{bucketRoles, func(key, value []byte) error { return keep(&f.Auth.Roles, key, value) }},
	} {
		bucket := f.tx.Bucket([]byte(b.name))
		if bucket == nil {
			continue // releases differ in when they make a bucket
		}
		err := bucket.ForEach(func(key, value []byte) error {
			if err := b.read(key, value); err != nil {
				return fmt.Errorf("bucket %s, key %q: %w", b.name, key, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(f.Members, func(a, b kv.Member) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(f.Removed)
	slices.SortFunc(f.Leases, func(a, b kv.LeaseImage) int { return cmp.Compare(a.ID, b.ID) })
	return f.loadRevision()
}

// loadRevision finds the newest revision: the last record's, unless a compaction dropped that.
func (f *File) loadRevision() error {
	key, _ := f.tx.Bucket([]byte(bucketKey)).Cursor().Last()
	if key != nil {
		rev, _, err := parseRowKey(key)
		if err != nil {
			return err
		}
		f.Revision = max(f.Revision, rev.Main)
	}
	f.Revision = max(f.Revision, f.Compacted)
	return nil
}

func (f *File) readRemoved(key, _ []byte) error {
	id, err := parseMemberKey(key)
	f.Removed = append(f.Removed, id)
	return err
}

func keep(list *[]kv.NamedImage, key, value []byte) error {
	*list = append(*list, kv.NamedImage{Name: string(key), Wire: bytes.Clone(value)})
	return nil
}

// Read visits the records. A KV is valid until the file is closed.
func (f *File) Read(visit func(r mvcc.Record) error) error {
	return f.all(func(r mvcc.Record) error {
		if len(r.KV) == 0 {
			return nil // etcd's restore raises the newest revision with a row that says nothing
		}
		return visit(r)
	})
}

// Verify reads every record and demands of each what a store writes: a KeyValue under its own
// revision, and none without a key.
func (f *File) Verify() error {
	return f.Read(func(r mvcc.Record) error {
		kv, err := mvcc.ParseKeyValue(r.KV)
		switch {
		case err != nil:
		case len(kv.Key) == 0:
			err = errors.New("it has no key")
		case r.Kind == mvcc.PutRecord && kv.Mod != r.Rev.Main:
			err = fmt.Errorf("it says that it is of revision %d", kv.Mod)
		}
		if err != nil {
			return fmt.Errorf("backup: record of revision %d.%d: %w", r.Rev.Main, r.Rev.Sub, err)
		}
		return nil
	})
}

// all is Read with the rows that say nothing.
func (f *File) all(visit func(r mvcc.Record) error) error {
	return f.tx.Bucket([]byte(bucketKey)).ForEach(func(key, value []byte) error {
		rev, kind, err := parseRowKey(key)
		if err != nil {
			return err
		}
		return visit(mvcc.Record{Rev: rev, Kind: kind, KV: value})
	})
}

// parseRowKey is the inverse of appendRowKey.
func parseRowKey(key []byte) (mvcc.Rev, mvcc.RecordKind, error) {
	kind := mvcc.PutRecord
	switch {
	case len(key) == tombstoneKeyBytes && key[rowKeyBytes] == 't':
		kind = mvcc.TombstoneRecord
	case len(key) != rowKeyBytes:
		return mvcc.Rev{}, 0, fmt.Errorf("not the key of a record: %x", key)
	}
	main, sub := binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[9:])
	if key[8] != '_' || main>>63 != 0 || sub>>31 != 0 {
		return mvcc.Rev{}, 0, fmt.Errorf("not the key of a record: %x", key)
	}
	return mvcc.Rev{Main: mvcc.Revision(main), Sub: int32(sub)}, kind, nil
}
