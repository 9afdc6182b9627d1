// Apply: committed entries, in order, become changes of the store and answers.
//
// Apply is a function of the entries alone: no clock, no randomness, nothing this member knows by
// itself decides what an entry does. A step applies as much as its budget allows; an entry that
// is too large for one step keeps an execution in the node and goes on in the next, and its
// revision becomes visible when it is complete.
//
// Apply does not wait for the disk, but it does not outrun it either: while more than a bound waits
// to be written, nothing more is applied. Then requests pile up before it, up to their own bounds.
//
// An error of the engine here is damage. The node halts before the entry takes effect anywhere: a
// step that halts lets nothing of its work leave.
package kv

import (
	"fmt"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// applyBatchBytes bounds what one step takes from raft's log at a time.
const applyBatchBytes = 1 << 20

// Costs of apply in units of about a microsecond.
const (
	unitsPerEntry  = 2
	unitsPerDelete = 2
)

// execution is an entry whose effects need more than one step.
type execution struct {
	entry raft.Entry
	token Token         // of the client who waits here; 0 for nobody
	base  mvcc.Revision // the store's before it
	tx    *mvcc.Txn
	// plan is the transaction; a lone DeleteRange is a plan of one operation.
	plan   plan
	lone   bool
	at     int // the operation that runs
	cursor mvcc.DeleteCursor
	ending *ending // the entry ends leases; nil for all others
}

// applyCommitted applies what is committed, within budget units.
func (n *Node) applyCommitted(budget int) {
	if n.installing() {
		return
	}
	for budget > 0 && n.phase == running && !n.outrunsDisk() {
		if n.apply != nil {
			if !n.execute(&budget) {
				return
			}
			budget -= n.watching.hub.Cost()
			continue
		}
		if n.checkpointDue() && !n.checkpointNow() {
			return
		}
		entries := n.raft.NextCommitted(applyBatchBytes)
		if len(entries) == 0 {
			return
		}
		before := n.applied
		for i := range entries {
			n.applyEntry(&entries[i], &budget)
			budget -= n.watching.hub.Cost()
			if n.apply != nil || budget <= 0 || n.phase != running || n.checkpointDue() ||
				n.outrunsDisk() {
				break
			}
		}
		if n.applied > before {
			n.raft.Applied(n.applied)
		}
	}
}

// outrunsDisk says whether so much waits to be written that apply has to wait for it, too.
func (n *Node) outrunsDisk() bool { return n.store.Unwritten() > n.cfg.Limits.UnwrittenBytes }

// applyEntry applies one entry, or starts an execution of it.
func (n *Node) applyEntry(e *raft.Entry, budget *int) {
	if e.Index != n.applied+1 {
		panic(fmt.Sprintf("kv: entry %d applied after %d", e.Index, n.applied))
	}
	*budget -= unitsPerEntry + len(e.Data)/1024
	var token Token
	if e.Proposer == n.cfg.Member && e.Incarnation == n.incarnation {
		if pr := n.proposals.find(e.Sequence); pr != nil {
			token = pr.token
		}
	}
	// A configuration entry is in force already, whatever its name says.
	if e.Type != raft.EntryEmpty && !n.admit(e) && e.Type != raft.EntryConfig {
		n.noteSkipped(e)
		n.finish(e, skipped)
		return
	}
	n.verdict = OK
	inner, code := n.mayApply(e)
	if code != OK {
		n.answer(token, code, nil, e.Index)
	} else {
		n.perform(&inner, token)
	}
	if n.apply != nil {
		n.apply.entry = *e
		return
	}
	if n.phase == running {
		n.counters.countApplied(e, n.verdict)
		n.finish(e, tookEffect)
	}
}

// perform does what an entry asks for, or starts an execution of it.
func (n *Node) perform(e *raft.Entry, token Token) {
	if method, ok := requestMethod(e.Type); ok && changesAuth(method) {
		n.applyAuth(method, e, token)
		return
	}
	switch e.Type {
	case raft.EntryEmpty:
	case raft.EntryConfig:
		n.applyConfig(e, token)
	case entryPublish:
		n.applyPublish(e)
	case entryVersion:
		n.applyVersion(e)
	case entryDowngraded:
		n.applyDowngraded(e)
	case entryRequest + raft.EntryType(MethodAlarm):
		n.applyAlarm(e, token)
	case entryRequest + raft.EntryType(MethodDowngrade):
		n.applyDowngrade(e, token)
	case entryRequest + raft.EntryType(MethodPut):
		n.applyPut(e, token)
	case entryRequest + raft.EntryType(MethodDeleteRange):
		n.startDelete(e, token)
	case entryRequest + raft.EntryType(MethodTxn):
		n.startTxn(e, token)
	case entryCompact, entryRequest + raft.EntryType(MethodCompact):
		n.applyCompact(e, token)
	case entryRequest + raft.EntryType(MethodLeaseGrant):
		n.applyGrant(e, token)
	case entryRequest + raft.EntryType(MethodLeaseRevoke):
		n.startRevoke(e, token)
	case entryLeaseExpire:
		n.startExpire(e)
	case entryLeaseCheckpoint:
		n.applyNotes(e)
	default:
		n.halt(fmt.Sprintf("log entry %d has type %d, which this program does not know: "+
			"it was written by a newer version", e.Index, e.Type))
	}
}

// admit says whether a request may take effect: its member belongs to the cluster (the window of a
// removed one is gone), and it did not take effect before.
func (n *Node) admit(e *raft.Entry) bool {
	return n.state.member(e.Proposer) != nil &&
		n.state.window(e.Proposer).admit(e.Incarnation, e.Sequence)
}

// effect says whether an entry took effect or was a repetition.
type effect uint64

const (
	tookEffect effect = iota
	skipped
)

// finish makes an entry part of the applied state.
func (n *Node) finish(e *raft.Entry, what effect) {
	n.applied, n.appliedTerm = e.Index, e.Term
	n.checkpointBytes += int64(e.Size())
	s := &n.state
	s.digest = mix(mix(s.digest, uint64(e.Index)<<1|uint64(what)), uint64(e.Term))
	s.digest = mix(mix(s.digest, uint64(e.Proposer)), uint64(e.Sequence))
	n.views.fresh = false
	n.advanceWatches()
	if e.Proposer == n.cfg.Member && e.Incarnation == n.incarnation {
		n.proposals.overtaken = max(n.proposals.overtaken, e.Sequence)
		if pr := n.proposals.find(e.Sequence); pr != nil {
			if what == skipped { // it took effect in a state that was installed, or is removed
				n.answer(pr.token, ErrTimeout, nil, 0)
			}
			n.proposals.done(pr)
		}
	}
	if n.cfg.Observed == ObserveApplied {
		n.out.Applied = append(n.out.Applied, *e)
	}
}

func (n *Node) applyPut(e *raft.Entry, token Token) {
	var req putRequest
	if err := parsePut(e.Data, &req); err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a put, though it was validated: %v", e.Index, err))
	}
	if code := checkPut(n.store, n.state.leases, &req); code != OK {
		n.answer(token, code, nil, e.Index)
		return
	}
	tx := n.store.Begin()
	prev, err := put(tx, &req)
	if err != nil {
		n.halt(err.Error())
		return
	}
	tx.Commit()
	n.counters.countPut(&req)
	if token != 0 {
		h := n.header()
		h.Term = e.Term
		n.answer(token, OK, putBody(h, prev), e.Index)
	}
}

// put performs one put and returns the previous KeyValue if the request asks for it.
func put(tx *mvcc.Txn, req *putRequest) (prev []byte, err error) {
	value, lease := req.value, req.lease
	if req.prevKV || req.ignoreValue || req.ignoreLease {
		kv, meta, found, err := tx.Get(req.key)
		if err != nil {
			return nil, err
		}
		if found && req.ignoreValue {
			value = valueOf(kv)
		}
		if found && req.ignoreLease {
			lease = meta.Lease
		}
		if found && req.prevKV {
			prev = kv
		}
	}
	return prev, tx.Put(req.key, value, lease)
}

func (n *Node) startDelete(e *raft.Entry, token Token) {
	op := requestOp{kind: opDelete}
	if err := parseDelete(e.Data, &op.del); err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a delete, though it was validated: %v",
			e.Index, err))
	}
	x := &execution{entry: *e, token: token, base: n.store.Revision(), lone: true}
	x.plan.ops = []plannedOp{{kind: opDelete, request: &op}}
	x.tx = n.store.Begin()
	n.apply = x
}

func (n *Node) startTxn(e *raft.Entry, token Token) {
	var t txnRequest
	if err := parseTxn(e.Data, &t, 0); err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a transaction, though it was validated: %v",
			e.Index, err))
	}
	x := &execution{entry: *e, token: token, base: n.store.Revision()}
	x.plan.pre, x.plan.leases = n.store, n.state.leases
	if err := x.plan.build(&t); err != nil {
		n.halt(err.Error())
		return
	}
	code, err := x.plan.check()
	if err != nil {
		n.halt(err.Error())
		return
	}
	if code != OK {
		n.answer(token, code, nil, e.Index)
		return
	}
	x.tx = n.store.Begin()
	n.apply = x
}

// execute goes on with the open execution; false says that the budget is used up or the node
// halted.
func (n *Node) execute(budget *int) bool {
	x := n.apply
	if x.ending != nil {
		return n.endLeases(budget)
	}
	for x.at < len(x.plan.ops) {
		if *budget <= 0 {
			return false
		}
		done, err := x.step(budget)
		if err != nil {
			n.halt(err.Error())
			return false
		}
		if !done {
			n.probes[ProbeDeleteInParts]++
			continue
		}
		x.at++
		x.cursor = mvcc.DeleteCursor{}
	}
	x.tx.Commit()
	n.counters.countPlan(x.plan.ops)
	n.counters.countApplied(&x.entry, OK)
	n.apply = nil
	if x.token != 0 {
		h := n.header()
		h.Term = x.entry.Term
		var body [][]byte
		if x.lone {
			body = deleteBody(h, x.plan.ops[0].deleted, x.plan.ops[0].prev)
		} else {
			body = x.plan.body(h)
		}
		n.answer(x.token, OK, body, x.entry.Index)
	}
	n.finish(&x.entry, tookEffect)
	n.raft.Applied(n.applied)
	return true
}

// step performs a bounded piece of the current operation and says whether it is complete.
func (x *execution) step(budget *int) (done bool, err error) {
	op := &x.plan.ops[x.at]
	done = true
	switch op.kind {
	case opRange:
		*budget -= unitsPerEntry
		if x.token != 0 { // only the client's member needs the answer
			err = x.tx.Range(&op.request.rng.query, &op.result)
			*budget -= len(op.result.KVs)
		}
	case opPut:
		*budget -= unitsPerEntry + len(op.request.put.value)/1024
		var prev []byte
		prev, err = put(x.tx, &op.request.put)
		if prev != nil && x.token != 0 {
			op.prev = [][]byte{prev}
		}
	case opDelete:
		var prev *[][]byte
		if op.request.del.prevKV && x.token != 0 {
			prev = &op.prev
		}
		before := x.cursor.Deleted
		err = x.tx.DeleteRange(op.request.del.key, op.request.del.end, &x.cursor,
			1+*budget/unitsPerDelete, prev)
		*budget -= unitsPerEntry + unitsPerDelete*int(x.cursor.Deleted-before)
		op.deleted, done = x.cursor.Deleted, x.cursor.Done
	}
	op.revision = x.base
	if x.tx.Changes() > 0 {
		op.revision++
	}
	return done, err
}

func (n *Node) applyCompact(e *raft.Entry, token Token) {
	var req compactRequest
	if err := parseCompact(e.Data, &req); err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a compaction, though it was validated: %v",
			e.Index, err))
	}
	if err := n.store.Compact(req.revision); err != nil {
		code, ok := codeOf(err)
		if !ok {
			n.halt(err.Error())
			return
		}
		n.answer(token, code, nil, e.Index)
		return
	}
	if req.physical && token != 0 {
		n.physical = append(n.physical, waiter{token: token, index: e.Index,
			body: headerBody(n.header())})
		return
	}
	n.answer(token, OK, headerBody(n.header()), e.Index)
}

// answerPhysical answers physical compactions once what they dropped is reclaimed.
func (n *Node) answerPhysical() {
	if len(n.physical) == 0 || n.store.Compacting() {
		return
	}
	for _, w := range n.physical {
		n.answer(w.token, OK, w.body, w.index)
	}
	n.physical = nil
}
