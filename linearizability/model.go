package linearizability

import (
	"bytes"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// The reference store: etcd's KV semantics in the most obvious form. A State is immutable and
// shares what did not change with the state before it, so that a search may keep thousands of
// them; the keys are one sorted slice of pointers, copied by every write. That is linear in the
// number of keys and meant to be: tests have tens to hundreds of keys, and there is nothing here
// to get wrong.
//
// A state keeps the states before it, which is how a read at an old revision is answered. Each
// knows its parent and one ancestor further back, placed so that any revision is found in
// logarithmically many steps.
//
//	revision   1   2   3   4   5   6   7   8   9
//	jumps to   -   1   2   1   4   5   4   1   8   (from 9, revision 3 is 9 8 7 4 3)

// The errors of the store, by their text on the wire.
const (
	ErrEmptyKey          = "etcdserver: key is not provided"
	ErrKeyNotFound       = "etcdserver: key not found"
	ErrValueProvided     = "etcdserver: value is provided"
	ErrLeaseProvided     = "etcdserver: lease is provided"
	ErrTooManyOps        = "etcdserver: too many operations in txn request"
	ErrDuplicateKey      = "etcdserver: duplicate key given in txn request"
	ErrInvalidSortOption = "etcdserver: invalid sort option"
	ErrLeaseNotFound     = "etcdserver: requested lease not found"
	ErrLeaseExists       = "etcdserver: lease already exists"
	ErrCompacted         = "etcdserver: mvcc: required revision has been compacted"
	ErrFutureRev         = "etcdserver: mvcc: required revision is a future revision"
)

// modelled lists the errors that the model predicts; a Failed operation with another one, such as
// a refusal because of load, is no statement about the store's content.
var modelled = [...]string{
	ErrEmptyKey, ErrKeyNotFound, ErrValueProvided, ErrLeaseProvided, ErrTooManyOps,
	ErrDuplicateKey, ErrInvalidSortOption, ErrLeaseNotFound, ErrLeaseExists, ErrCompacted,
	ErrFutureRev,
}

func isModelled(err string) bool {
	for _, e := range modelled {
		if e == err {
			return true
		}
	}
	return false
}

// State is the whole store after some sequence of requests. It is immutable.
type State struct {
	revision int64
	// compacted is the last compacted revision, -1 before the first compaction.
	compacted int64
	kvs       keyValues
	leases    []int64 // sorted, shared
	// parent is the state at revision-1 and jump an older one; nil for the first state, or when
	// the state was made from a dump.
	parent, jump *State
	// changed lists what the revision's changes left of their keys, in order; a removal has only
	// the key.
	changed []*mvccpb.KeyValue
	// digest identifies the history of the content: equal digests mean equal states at every
	// revision, up to a collision of 64-bit hashes.
	digest uint64
}

// NewState is the state of a virgin store.
func NewState() *State {
	return &State{revision: 1, compacted: -1}
}

// Revision is the store's revision.
func (s *State) Revision() int64 { return s.revision }

// KeyValues are the live keys in order, not to be changed.
func (s *State) KeyValues() []*mvccpb.KeyValue { return s.kvs }

// at is the state when the revision was rev, or nil when that is unknown.
func (s *State) at(rev int64) *State {
	for s != nil && s.revision > rev {
		if s.jump != nil && s.jump.revision >= rev {
			s = s.jump
		} else {
			s = s.parent
		}
	}
	return s
}

// compact is s with another compacted revision.
func (s *State) compact(rev int64) *State {
	next := *s
	next.compacted = rev
	return &next
}

// keyValues is a set of keys, sorted, shared and never changed in place.
type keyValues []*mvccpb.KeyValue

// find is the position of key in kvs, or where it would be.
func (s keyValues) find(key []byte) (int, bool) {
	i := sort.Search(len(s), func(i int) bool { return bytes.Compare(s[i].Key, key) >= 0 })
	return i, i < len(s) && bytes.Equal(s[i].Key, key)
}

// interval is the live keys of etcd's interval (key, end): one key when end is empty, everything
// from key on when end is a zero byte, [key, end) otherwise. The result shares memory with s.
func (s keyValues) interval(key, end []byte) keyValues {
	i, found := s.find(key)
	switch {
	case len(end) == 0 && found:
		return s[i : i+1]
	case len(end) == 0:
		return nil
	case len(end) == 1 && end[0] == 0:
		return s[i:]
	}
	j, _ := s.find(end)
	return s[i:max(i, j)]
}

// contains says whether key lies in the interval (from, end).
func contains(from, end, key []byte) bool {
	switch {
	case len(end) == 0:
		return bytes.Equal(from, key)
	case len(end) == 1 && end[0] == 0:
		return bytes.Compare(key, from) >= 0
	}
	return bytes.Compare(key, from) >= 0 && bytes.Compare(key, end) < 0
}

// Apply executes req on s, as the next entry of the log would be. The state after it is s itself
// when nothing changed; an error, one of the Err constants or empty, has no effect and no answer.
func (s *State) Apply(req *Request) (*State, Response, string) {
	next, res, err := s.apply(req)
	if err != "" {
		return s, Response{}, err
	}
	return next, res.response(), ""
}

// apply is Apply with a result that knows which answers are allowed, not just one of them.
func (s *State) apply(req *Request) (*State, result, string) {
	if err := validate(req); err != "" {
		return s, result{}, err
	}
	switch {
	case req.Compact != nil:
		return s.applyCompact(req.Compact)
	case req.Grant != nil:
		return s.applyGrant(req.Grant)
	case req.Revoke != nil:
		return s.applyRevoke(req.Revoke)
	case req.KeepAlive != nil:
		exists := s.hasLease(req.KeepAlive.ID)
		return s, result{renewable: &exists}, ""
	case req.TimeToLive != nil:
		return s, result{timeToLive: s.timeToLive(req.TimeToLive)}, ""
	}
	w := writer{base: s, kvs: s.kvs}
	var res result
	var err string
	switch {
	case req.Range != nil:
		res.rng, err = w.rangeKeys(req.Range)
	case req.Put != nil:
		res.put, err = w.put(req.Put)
	case req.DeleteRange != nil:
		res.del = w.deleteRange(req.DeleteRange)
	case req.Txn != nil:
		res.txn, err = w.txn(req.Txn)
	}
	if err != "" {
		return s, result{}, err
	}
	return w.finish(), res, ""
}

func (s *State) applyCompact(req *pb.CompactionRequest) (*State, result, string) {
	switch {
	case req.Revision <= s.compacted:
		return s, result{}, ErrCompacted
	case req.Revision > s.revision:
		return s, result{}, ErrFutureRev
	}
	res := result{compact: &pb.CompactionResponse{Header: header(s.revision)}}
	return s.compact(req.Revision), res, ""
}

func header(rev int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: rev} }

// equal says whether two states answer every request alike.
func (s *State) equal(o *State) bool {
	if s == o {
		return true
	}
	return s.revision == o.revision && s.compacted == o.compacted && s.digest == o.digest &&
		slices.Equal(s.leases, o.leases) && sameKeyValues(s.kvs, o.kvs)
}

// hash is equal for equal states.
func (s *State) hash() uint64 {
	h := mix(s.digest, uint64(s.compacted))
	for _, id := range s.leases {
		h = mix(h, uint64(id))
	}
	return h
}
