package kv

import (
	"crypto/sha1"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/detcd/detcd/raft"
)

// MemberIDFor is etcd's member id: the first 8 bytes, big-endian, of the SHA-1 of the sorted peer
// URLs followed by the cluster token.
func MemberIDFor(peerURLs []string, token string) raft.MemberID {
	sorted := slices.Sorted(slices.Values(peerURLs))
	var b []byte
	for _, u := range sorted {
		b = append(b, u...)
	}
	sum := sha1.Sum(append(b, token...))
	return raft.MemberID(binary.BigEndian.Uint64(sum[:8]))
}

// newMemberID is etcd's id of a member that is added: as MemberIDFor, with the second in which it
// is added, as a decimal number, in the token's place.
func newMemberID(peerURLs []string, wall int64) raft.MemberID {
	return MemberIDFor(peerURLs, strconv.FormatInt(wall/1_000_000_000, 10))
}

// ClusterIDFor is etcd's cluster id: the first 8 bytes of the SHA-1 of the members' ids, 8 bytes
// big-endian each, ascending.
func ClusterIDFor(ids []raft.MemberID) uint64 {
	sorted := slices.Sorted(slices.Values(ids))
	var b []byte
	for _, id := range sorted {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	sum := sha1.Sum(b)
	return binary.BigEndian.Uint64(sum[:8])
}
