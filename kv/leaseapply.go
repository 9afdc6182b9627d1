// Apply of the entries about leases. What they do is decided by the log and the table alone: no
// clock is looked at, and the leader's schedule, if this member has one, is only told.
//
// The end of a lease deletes its keys, in key order, in one revision, and then the lease, in the
// same step in which that revision becomes visible. A lease without keys leaves no trace. An entry
// may end many leases, each with a revision of its own, and each of them may hold many keys, so
// this keeps a cursor: the keys that are still attached, and the leases that are still listed.
//
//	entryLeaseExpire      u64 index | n x u64 id
//	entryLeaseCheckpoint  u64 index | n x (u64 id | u64 remaining seconds, 0: all again)
//	LeaseGrant            u64 id | u64 effective time to live | the client's request
//
// The index is what the leader had applied when it decided. An ID whose lease was revoked and
// granted again since then means another lease, of which it had decided nothing.
//
// What a grant leaves open (the ID, the shortest time to live) is decided by the member that
// receives it, because members may be configured differently.
package kv

import (
	"encoding/binary"
	"fmt"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

const unitsPerLease = 2

// grantPrefix is the length of what precedes the client's request in the entry of a grant.
const grantPrefix = 16

// encodeGrant is the data of a grant's entry.
func encodeGrant(id lease.ID, ttl lease.Seconds, raw []byte) []byte {
	b := make([]byte, 0, grantPrefix+len(raw))
	b = binary.LittleEndian.AppendUint64(b, uint64(id))
	b = binary.LittleEndian.AppendUint64(b, uint64(ttl))
	return append(b, raw...)
}

// decodeGrant reads the data of a grant's entry; ok is false when nobody may have proposed it.
func decodeGrant(data []byte) (l lease.Lease, raw []byte, ok bool) {
	if len(data) < grantPrefix {
		return l, nil, false
	}
	l.ID = lease.ID(binary.LittleEndian.Uint64(data))
	l.TTL = lease.Seconds(binary.LittleEndian.Uint64(data[8:]))
	return l, data[grantPrefix:], l.ID != 0 && l.TTL >= 1 && l.TTL <= lease.MaxTTL
}

// DecodeGrant returns what the entry of a LeaseGrant grants, and the client's request in it; ok is
// false for every other entry. Observers use it.
func DecodeGrant(e *raft.Entry) (id, ttl int64, raw []byte, ok bool) {
	if e.Type != entryRequest+raft.EntryType(MethodLeaseGrant) {
		return 0, 0, nil, false
	}
	l, raw, ok := decodeGrant(e.Data)
	return int64(l.ID), int64(l.TTL), raw, ok
}

// validGrant says whether a forwarded grant may enter the log.
func (n *Node) validGrant(data []byte) bool {
	_, raw, ok := decodeGrant(data)
	return ok && Validate(MethodLeaseGrant, raw, &n.cfg.Limits) == OK
}

// decide makes what an entry decided part of the digest.
func (n *Node) decide(what uint64) { n.state.digest = mix(n.state.digest, what) }

func (n *Node) applyGrant(e *raft.Entry, token Token) {
	l, _, ok := decodeGrant(e.Data)
	if !ok {
		panic(fmt.Sprintf("kv: entry %d is not a grant, though it was validated", e.Index))
	}
	if n.state.leases.Has(l.ID) {
		n.decide(uint64(ErrLeaseExists))
		n.answer(token, ErrLeaseExists, nil, e.Index)
		return
	}
	l.Granted = uint64(e.Index)
	n.state.leases.Grant(l)
	n.leases.counts.Granted++
	n.counters.countGrant(int64(l.TTL))
	if s := n.leases.schedule; s != nil {
		s.Granted(l.ID, n.leases.clock)
	}
	n.decide(mix(uint64(l.ID), uint64(l.TTL)))
	if token != 0 {
		n.answer(token, OK, grantBody(n.headerAt(e), l), e.Index)
	}
}

// headerAt is the response header of an entry that is being applied.
func (n *Node) headerAt(e *raft.Entry) Header {
	h := n.header()
	h.Term = e.Term
	return h
}

// ending is what an execution that ends leases has done so far.
type ending struct {
	before  raft.Index // leases granted later are meant by nobody
	ids     []lease.ID
	at      int    // the lease whose keys are being deleted
	decided uint64 // joins the digest when all is done
	digest  uint64 // the node's before the entry
}

func (n *Node) startRevoke(e *raft.Entry, token Token) {
	id, err := parseVarint1(e.Data)
	if err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a revocation, though it was validated: %v", e.Index,
			err))
	}
	if !n.state.leases.Has(lease.ID(id)) {
		n.decide(uint64(ErrLeaseNotFound))
		n.answer(token, ErrLeaseNotFound, nil, e.Index)
		return
	}
	n.startEnding(e, token, e.Index, []lease.ID{lease.ID(id)})
}

func (n *Node) startExpire(e *raft.Entry) {
	at, raw, ok := DecodeExpiry(e)
	if !ok {
		panic(fmt.Sprintf("kv: entry %d is not a list of leases: %d bytes", e.Index, len(e.Data)))
	}
	if code := n.alarmsAllow(MethodLeaseRevoke, e.Data); code != OK {
		n.probes[ProbeAlarmSparedLease]++
		n.decide(uint64(code)) // proposed again while the leases are there
		return
	}
	ids := make([]lease.ID, len(raw))
	for i, id := range raw {
		ids[i] = lease.ID(id)
	}
	n.startEnding(e, 0, at, ids)
}

func (n *Node) startEnding(e *raft.Entry, token Token, before raft.Index, ids []lease.ID) {
	n.apply = &execution{entry: *e, token: token, base: n.store.Revision(),
		ending: &ending{before: before, ids: ids, digest: n.digest()}}
}

// endLeases goes on with the open execution, which ends leases; false says that the budget is used
// up.
func (n *Node) endLeases(budget *int) bool {
	x := n.apply
	if !n.endListed(x, budget) {
		return false
	}
	n.decide(x.ending.decided)
	n.counters.countApplied(&x.entry, OK)
	n.apply = nil
	if x.token != 0 {
		n.answer(x.token, OK, headerBody(n.headerAt(&x.entry)), x.entry.Index)
	}
	n.finish(&x.entry, tookEffect)
	n.raft.Applied(n.applied)
	return true
}

// endListed ends the leases of an execution, one after the other, and says whether all are.
func (n *Node) endListed(x *execution, budget *int) bool {
	for k := x.ending; k.at < len(k.ids); {
		if *budget <= 0 {
			n.probes[ProbeLeaseEndsInParts]++
			return false
		}
		*budget -= unitsPerLease
		id := k.ids[k.at]
		if !n.state.leases.Lived(id, uint64(k.before)) { // ended meanwhile, or listed twice
			n.probes[ProbeLeaseSpared]++
			k.at++
			continue
		}
		if x.tx == nil {
			x.tx = n.store.Begin()
		}
		deleted, done := x.tx.DeleteAttached(int64(id), 1+*budget/unitsPerDelete)
		*budget -= unitsPerDelete * deleted
		n.counters.Deletes += uint64(deleted)
		if !done {
			continue
		}
		x.tx.Commit()
		n.advanceWatches() // each lease's end is a revision of its own
		x.tx, n.views.fresh = nil, false
		n.state.leases.Revoke(id)
		n.leases.counts.Ended++
		if x.entry.Type == entryLeaseExpire {
			n.leases.counts.Expired++
		}
		if s := n.leases.schedule; s != nil {
			s.Gone(id)
		}
		k.decided = mix(k.decided, uint64(id))
		k.at++
	}
	return true
}

// applyNotes writes down what is left of leases.
func (n *Node) applyNotes(e *raft.Entry) {
	if len(e.Data)%16 != 8 {
		panic(fmt.Sprintf("kv: entry %d is no checkpoint of leases: %d bytes", e.Index,
			len(e.Data)))
	}
	decided := uint64(0)
	at := binary.LittleEndian.Uint64(e.Data)
	for b := e.Data[8:]; len(b) > 0; b = b[16:] {
		id := lease.ID(binary.LittleEndian.Uint64(b))
		remaining := lease.Seconds(binary.LittleEndian.Uint64(b[8:]))
		if !n.state.leases.Checkpoint(id, remaining, at) {
			continue
		}
		decided = mix(decided, mix(uint64(id), uint64(remaining)))
		if s := n.leases.schedule; s != nil && remaining == 0 {
			s.Restored(id)
		}
	}
	n.decide(decided)
}
