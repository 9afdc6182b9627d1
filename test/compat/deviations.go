package main

// What is allowed to differ, each with its reason. The list is meant to shrink.

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
)

// deviation is a difference that is meant to be. Where it applies, the two answers count as equal.
type deviation struct {
	name   string
	reason string
	holds  func(s *step, etcd, detcd *answer) bool
}

const (
	zombieWatchers = "zombie watchers"
	sortedStreams  = "streams with a sort target"
	abandonedLocks = "abandoned locks"
)

var deviations = []deviation{
	{
		name: zombieWatchers,
		reason: "etcd keeps the id of a watcher that was compacted away until the client cancels " +
			"it, and gives the stream no progress answer meanwhile; detcd has forgotten it",
		holds: func(*step, *answer, *answer) bool { return false }, // see haunted
	},
	{
		name: sortedStreams,
		reason: "of a stream that names a sort target but no order, etcd sorts every chunk by itself " +
			"and goes on behind its last key, so that keys come twice or never; detcd answers as " +
			"both do without the target, which is compared",
		holds: func(*step, *answer, *answer) bool { return false }, // see sortsChunks
	},
	{
		name: abandonedLocks,
		reason: "etcd forgets on whose behalf it waits for a lock when it clears up behind a caller " +
			"who gave up, so that where users count the key stays until its lease ends; detcd " +
			"deletes it",
		holds: func(*step, *answer, *answer) bool { return false }, // see clearAbandoned
	},
	{
		name: "nobody's transactions that do nothing",
		reason: "a transaction with another one inside is a write, and detcd takes none of a stranger " +
			"into its log; etcd asks for rights only where a key is named",
		holds: func(s *step, etcd, detcd *answer) bool {
			txn, ok := s.request.(*pb.TxnRequest)
			return ok && touchesNothing(txn) && etcd.code == codes.OK &&
				detcd.text == kv.ErrUserEmpty.Text()
		},
	},
	{
		name:   "large requests of nobody",
		reason: "what is too large is refused before its token is looked at; etcd looks at the token",
		holds: func(_ *step, etcd, detcd *answer) bool {
			return detcd.text == kv.ErrRequestTooLarge.Text() &&
				etcd.text == kv.ErrInvalidToken.Text()
		},
	},
	{
		name: "time that stood still",
		reason: "a detcd that the system lets wait does not age its leases meanwhile, so that more " +
			"time may be left, never less",
		holds: func(_ *step, etcd, detcd *answer) bool {
			a, ok := only[*pb.LeaseTimeToLiveResponse](etcd)
			b, ok2 := only[*pb.LeaseTimeToLiveResponse](detcd)
			if !ok || !ok2 || a.TTL <= 0 || b.TTL <= a.TTL || b.TTL > b.GrantedTTL {
				return false
			}
			same := proto.Clone(b).(*pb.LeaseTimeToLiveResponse)
			same.TTL = a.TTL
			return proto.Equal(a, same)
		},
	},
	{
		name:   "malformed",
		reason: "the text names the field that the generated decoder stumbled over; code Internal",
		holds: func(s *step, etcd, detcd *answer) bool {
			return s.raw != nil && etcd.code == codes.Internal && detcd.code == codes.Internal
		},
	},
	{
		name: "remembered hashes",
		reason: "etcd remembers hashes that it made while compacting, of what was there before; " +
			"detcd makes each from what is there",
		holds: func(_ *step, etcd, detcd *answer) bool {
			a, ok := only[*pb.HashKVResponse](etcd)
			if ok && a.HashRevision > 0 && detcd.text == kv.ErrCompacted.Text() {
				return true
			}
			b, ok2 := only[*pb.HashKVResponse](detcd)
			return ok && ok2 && a.HashRevision == b.HashRevision && a.HashRevision > 0 &&
				a.CompactRevision < b.CompactRevision && b.CompactRevision >= a.HashRevision
		},
	},
}

// touchesNothing says that no operation or comparison of a transaction names a key.
func touchesNothing(txn *pb.TxnRequest) bool {
	for _, op := range slices.Concat(txn.Success, txn.Failure) {
		if inner := op.GetRequestTxn(); inner == nil || !touchesNothing(inner) {
			return false
		}
	}
	return len(txn.Compare) == 0
}

// sortsChunks says whether a request is one whose chunks etcd sorts.
func sortsChunks(s *step) bool {
	q, ok := s.request.(*pb.RangeRequest)
	return ok && s.method == pb.KV_RangeStream_FullMethodName &&
		q.SortOrder == pb.RangeRequest_NONE && q.SortTarget != pb.RangeRequest_KEY
}

// unsorted is the same request without the target.
func unsorted(s *step) *step {
	q := proto.Clone(s.request).(*pb.RangeRequest)
	q.SortTarget = pb.RangeRequest_KEY
	plain := *s
	plain.request = q
	return &plain
}

// only is the answer's one message, if it is of that type.
func only[T any](a *answer) (m T, ok bool) {
	if len(a.messages) != 1 {
		return m, false
	}
	m, ok = a.messages[0].(T)
	return m, ok
}

func deviates(s *step, etcd, detcd *answer) *deviation {
	for i := range deviations {
		if deviations[i].holds(s, etcd, detcd) {
			return &deviations[i]
		}
	}
	return nil
}
