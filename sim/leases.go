package sim

import (
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/raft"
)

// Leases in the workload, and what is promised of them.
//
// Which leases exist is part of the reference model, and so is which keys hold one. When a lease
// ends is a promise about time, which only the world can judge, because only it knows true time:
//
//   - A lease does not end for want of renewal before its time to live has passed, counted from the
//     moment when the first member applied the grant, or a client sent a renewal that succeeded.
//     The leader's clock may be fast, by as much as the plan's machines drift.
//   - A renewal that succeeds says that the lease lives that long, so one that had ended before is
//     a failure when the answer comes, too.
//   - Once all faults have ended and nobody renews any more, a lease is gone within the bound of
//     recovery: see healing.
//
// The end itself is no request of any client. The history gets it as a revocation of nobody.

// Leases are in their own keys, because those may vanish: a checker that knows nothing of leases
// could say nothing of them.
const (
	leaseKeys = 12
	// hotLeases have IDs that every client may ask for.
	hotLeases   = 4
	firstHotID  = 100
	knownLeases = 8 // that a client remembers
	// briefTTL bounds the leases that have to be gone when the cluster has recovered.
	briefTTL = 10
)

// leased draws a request about leases.
func (a *author) leased(s shape) request {
	var r request
	m := &r.modelled
	switch s {
	case shapeGrant:
		m.Grant = &pb.LeaseGrantRequest{TTL: a.die.within(0, 5)}
		if a.die.chance(100_000) {
			m.Grant.TTL = oneOf[int64](&a.die, 20, 60, 3600)
		}
		if a.die.chance(400_000) {
			m.Grant.ID = firstHotID + a.die.below(hotLeases)
		}
	case shapeLeasePut:
		a.leasePut(m)
	case shapeKeepAlive:
		m.KeepAlive = &pb.LeaseKeepAliveRequest{ID: a.lease()}
	case shapeTimeToLive:
		m.TimeToLive = &pb.LeaseTimeToLiveRequest{ID: a.lease(), Keys: a.die.chance(700_000)}
	case shapeRevoke:
		m.Revoke = &pb.LeaseRevokeRequest{ID: a.lease()}
	default:
		return request{method: kv.MethodLeaseLeases}
	}
	return marshalled(r)
}

// lease is one that the client knows, or that anybody may have granted; not every one exists.
func (a *author) lease() int64 {
	if n := len(a.known.leases); n > 0 && a.die.chance(600_000) {
		return a.known.leases[a.die.below(int64(n))]
	}
	return firstHotID + a.die.below(hotLeases)
}

func (a *author) leaseKey() []byte { return fmt.Appendf(nil, "l%d", a.die.below(leaseKeys)) }

// leasePut draws a put with a lease, alone or several in a transaction.
func (a *author) leasePut(m *linearizability.Request) {
	id := a.lease()
	if a.die.chance(700_000) {
		m.Put = &pb.PutRequest{Key: a.leaseKey(), Value: a.value(), Lease: id,
			PrevKv: a.die.chance(200_000)}
		switch a.die.below(8) {
		case 0:
			m.Put.Lease = 0
		case 1:
			m.Put.Lease, m.Put.IgnoreLease = 0, true
		}
		return
	}
	m.Txn = &pb.TxnRequest{}
	if a.die.chance(300_000) {
		m.Txn.Compare = append(m.Txn.Compare, a.compare())
	}
	for i := range a.die.within(2, leaseKeys) {
		put := &pb.PutRequest{Key: fmt.Appendf(nil, "l%d", i), Value: a.value(), Lease: id}
		m.Txn.Success = append(m.Txn.Success, putOp(put))
	}
}

// learnLease takes over what an answer teaches of leases.
func (k *knowledge) learnLease(m *linearizability.Request, res *linearizability.Response) {
	switch {
	case res.Grant != nil:
		k.leases = append(k.leases, res.Grant.ID)
		if len(k.leases) > knownLeases {
			k.leases = k.leases[1:]
		}
	case res.KeepAlive != nil && res.KeepAlive.TTL == 0:
		if i := slices.Index(k.leases, m.KeepAlive.ID); i >= 0 {
			k.leases = slices.Delete(k.leases, i, i+1)
		}
	}
}

// life is one lease from its grant to its end. An ID may have several, one after the other.
type life struct {
	id      int64
	index   raft.Index // of the grant
	ttl     int64      // seconds, as granted
	began   int64      // when the first member applied the grant
	until   int64      // it is promised to live until then
	ended   int64      // when the first member applied its end, 0 while it lives
	expired expiry
}

// expiry says whether a lease ended for want of renewal.
type expiry uint8

const (
	revoked expiry = iota
	expired
)

// leaseOracle knows every lease there ever was.
type leaseOracle struct {
	lives map[int64][]*life // by ID, in order
	// ends are the ends that no client asked for, as operations of the history.
	ends []nobodysEnd
}

// nobodysEnd is the end of a lease for want of renewal.
type nobodysEnd struct {
	id       int64
	began    int64
	ended    int64
	revision int64 // of the model after it
	order    int64
}

func newLeaseOracle() leaseOracle { return leaseOracle{lives: make(map[int64][]*life)} }

// current is the lease that has an ID now, nil if there is none.
func (o *leaseOracle) current(id int64) *life {
	all := o.lives[id]
	if len(all) == 0 || all[len(all)-1].ended != 0 {
		return nil
	}
	return all[len(all)-1]
}

// lasts is how long a time to live lasts at least, if the leader's clock is as fast as any may be.
func (w *world) lasts(ttl int64) int64 {
	fastest := int64(0)
	for i := range w.plan.Machines {
		fastest = max(fastest, w.plan.Machines[i].DriftPPM)
	}
	return ttl * second / (million + fastest) * million
}

// granted begins a life.
func (o *leaseOracle) granted(w *world, at raft.Index, id, ttl int64) {
	o.lives[id] = append(o.lives[id], &life{id: id, index: at, ttl: ttl, began: w.now,
		until: w.now + w.lasts(ttl)})
}

// over ends a life, and objects if that was promised to go on.
func (o *leaseOracle) over(w *world, id int64, how expiry) {
	l := o.current(id)
	if l == nil {
		w.fail(OracleModel, "lease %x ends and does not exist", id)
		return
	}
	l.ended, l.expired = max(w.now, 1), how
	if how == expired && w.now < l.until {
		w.fail(OracleModel, "lease %x of %d s ends at %s, though it was to live until %s", id,
			l.ttl, clockTime(w.now), clockTime(l.until))
	}
}

// renewed takes an answer to a renewal. Whose life it prolongs is certain if only one lease had the
// ID since the renewal was sent.
func (o *leaseOracle) renewed(w *world, k *call) {
	ttl := k.response.KeepAlive.TTL
	if ttl <= 0 {
		return
	}
	var prolonged *life
	for _, l := range o.lives[k.request.modelled.KeepAlive.ID] {
		if l.ended != 0 && l.ended < k.sent {
			continue
		}
		if prolonged != nil {
			return
		}
		prolonged = l
	}
	switch {
	case prolonged == nil:
		w.fail(OracleModel, "call %d renews a lease that is none: %s", k.number, k.describe())
		return
	case ttl != prolonged.ttl:
		w.fail(OracleModel, "call %d renews a lease of %d s for %d s: %s", k.number, prolonged.ttl,
			ttl, k.describe())
		return
	}
	prolonged.until = max(prolonged.until, k.sent+w.lasts(ttl))
	if l := prolonged; l.ended != 0 && l.expired == expired && l.ended < l.until {
		w.fail(OracleModel, "lease %x of %d s ended at %s, though call %d had renewed it until %s",
			l.id, l.ttl, clockTime(l.ended), k.number, clockTime(l.until))
	}
}

// lingering names a brief lease that still exists.
func (w *world) lingering() string {
	if w.oracle.commit.corrupt() {
		return "" // no lease ends before the operator has disarmed that
	}
	for _, id := range w.oracle.commit.state.Leases() {
		if l := w.oracle.leases.current(id); l != nil && l.ttl <= briefTTL {
			return fmt.Sprintf("lease %x of %d s still exists", id, l.ttl)
		}
	}
	return ""
}

// orderOf is a place in the order of writes: the entry's, and inside of the entry the lease's.
func orderOf(i raft.Index, k int) int64 { return int64(i)<<20 | int64(k) }

// expire does to the model what an entry that ends leases must do.
func (c *commitOracle) expire(w *world, e *raft.Entry, at raft.Index, ids []int64) {
	if c.corrupt() {
		return // proposed again while the leases are there
	}
	for k, id := range ids {
		if l := w.oracle.leases.current(id); l == nil || l.index > at {
			continue // another lease, granted after this was decided
		}
		before := c.state
		request := linearizability.Request{Revoke: &pb.LeaseRevokeRequest{ID: id}}
		c.state, _, _ = before.Apply(&request)
		if c.state == before {
			continue // it had ended meanwhile
		}
		o := &w.oracle.leases
		if l := o.current(id); l != nil {
			o.ends = append(o.ends, nobodysEnd{id: id, began: l.began, ended: w.now,
				revision: c.state.Revision(), order: orderOf(e.Index, k)})
		}
		o.over(w, id, expired)
	}
}

// seenFrom is the earliest time at which a revision of an entry can have been seen. The revisions
// of one that ends several leases are seen one after the other, before the entry is complete.
func (c *commitOracle) seenFrom(w *world, e *raft.Entry) int64 {
	if _, _, several := kv.DecodeExpiry(e); several {
		return c.newest
	}
	return w.now
}

// follow keeps the lives in step with a request that took effect.
func (o *leaseOracle) follow(w *world, at raft.Index, m *linearizability.Request, ttl int64) {
	switch {
	case m.Grant != nil:
		o.granted(w, at, m.Grant.ID, ttl)
	case m.Revoke != nil:
		o.over(w, m.Revoke.ID, revoked)
	}
}

// grants returns the request that the entry of a grant stands for: what the store decided is in it.
func (c *commitOracle) grants(w *world, e *raft.Entry, asked *pb.LeaseGrantRequest) (
	granted *pb.LeaseGrantRequest, ttl int64) {
	id, ttl, _, ok := kv.DecodeGrant(e)
	if !ok || asked.ID != 0 && asked.ID != id || ttl < asked.TTL {
		w.fail(OracleRaft, "the entry at index %d grants lease %x for %d s, asked was %s", e.Index,
			id, ttl, asked)
	}
	return &pb.LeaseGrantRequest{ID: id, TTL: asked.TTL}, ttl
}

// nobody appends the ends that no client asked for to a history.
func (w *world) nobody(ops []linearizability.Operation, commits []linearizability.Commit) (
	[]linearizability.Operation, []linearizability.Commit) {
	for _, end := range w.oracle.leases.ends {
		commits = append(commits, linearizability.Commit{Op: len(ops), Revision: end.revision,
			Time: end.ended})
		ops = append(ops, linearizability.Operation{
			Client: len(w.clients), Call: end.began, Return: linearizability.Never,
			Request: linearizability.Request{Revoke: &pb.LeaseRevokeRequest{ID: end.id}},
			Outcome: linearizability.Unknown, Order: end.order,
		})
	}
	return ops, commits
}
