// Package backup writes and reads backups: files in the form in which etcd saves its own, so that
// each store's tools restore what the other has saved.
//
// Such a file is a bbolt database, a B+tree in pages, with the records of the store under their
// revisions and everything else in small buckets, and behind it the SHA-256 of all that precedes.
//
// Writing does not use bbolt. A database that is built front to back would need a temporary file as
// large as the store, written to the disk whose log must not wait. But the records come in key
// order, and their sizes are known before they are read: so the whole tree is laid out first
// (layout.go), and then pages leave in the order of the file, one at a time, straight to the
// client (write.go). Nothing is written to the disk, a few bytes per 32 KiB are held, and the total
// is known before the first byte. Twin: bbolt itself, whose check and whose readers judge the
// result in tests.
//
// Reading does use bbolt (read.go): it happens offline, and the file may be anybody's.
//
// It does not handle etcd's log or its data directories beyond that one file.
package backup

import (
	"crypto/sha256"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
)

// StorageVersion is the version of the layout that is written, as etcd numbers it.
const StorageVersion = "3.7.0"

// hashBytes is the length of what follows the database in a saved file.
const hashBytes = sha256.Size

// Content is everything in a backup but the records.
type Content struct {
	// Image is the replicated state that is not a revision.
	kv.Image
	// Revision is the newest one, Compacted the last compaction's (-1: never).
	Revision, Compacted mvcc.Revision
	// StorageVersion is that of the layout, empty for releases that do not say.
	StorageVersion string
}

// Rows is the records of a store, in the order of their revisions: all that compaction keeps.
// Sizes and Read visit the same ones.
type Rows interface {
	// Sizes visits the records without reading them; size is the KeyValue's.
	Sizes(visit func(rev mvcc.Rev, kind mvcc.RecordKind, size int))
	// Read visits the records; a KV is valid until visit returns.
	Read(visit func(r mvcc.Record) error) error
}

// The buckets of a database.
const (
	bucketAlarm   = "alarm"
	bucketAuth    = "auth"
	bucketRoles   = "authRoles"
	bucketUsers   = "authUsers"
	bucketCluster = "cluster"
	bucketKey     = "key"
	bucketLease   = "lease"
	bucketMembers = "members"
	bucketRemoved = "members_removed"
	bucketMeta    = "meta"
)

// The keys of single values.
const (
	keyAuthEnabled    = "authEnabled"
	keyAuthRevision   = "authRevision"
	keyClusterVersion = "clusterVersion"
	keyConfState      = "confState"
	keyDowngrade      = "downgrade"
	keyIndex          = "consistent_index"
	keyFinished       = "finishedCompactRev"
	keyScheduled      = "scheduledCompactRev"
	keyStorageVersion = "storageVersion"
	keyTerm           = "term"
)
