package wal

import (
	"fmt"

	"github.com/detcd/detcd/raft"
)

// DamageError says that acknowledged history is damaged: what the file holds is not what was
// written and synced. The node must not serve from this log; cutting it would forget promises.
type DamageError struct {
	File   string
	Offset int64
	Reason string // what was expected there, with position and type where they are known
}

// Error implements error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("wal: damaged log file %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// FormatError says that a file was written by a version of the program, or with a cipher, that
// this one does not know. The file is intact.
type FormatError struct {
	File    string
	Version uint32
	Cipher  uint32
}

// Error implements error.
func (e *FormatError) Error() string {
	return fmt.Sprintf("wal: log file %s has format version %d and cipher %d, "+
		"this program reads version %d and cipher %d", e.File, e.Version, e.Cipher,
		formatVersion, cipherNone)
}

// IdentityError says that a file belongs to another cluster or another member.
type IdentityError struct {
	File        string
	Cluster     uint64
	Member      raft.MemberID
	WantCluster uint64
	WantMember  raft.MemberID
}

// Error implements error.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("wal: log file %s belongs to cluster %x member %v, expected %x and %v",
		e.File, e.Cluster, e.Member, e.WantCluster, e.WantMember)
}
