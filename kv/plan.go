// A transaction is planned before it runs: every compare, nested ones included, is evaluated
// against the state before it, which fixes the branches and flattens the whole into one list of
// operations. What can fail is checked on that list, so a transaction that starts always ends.
//
// Example: if(A){put x; if(B){del y}else{get z}} with A true and B false becomes
//
//	put x, begin(failed), get z, end
package kv

import (
	"bytes"
	"cmp"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/mvcc"
)

// preState is the state before a transaction: an engine or a view.
type preState interface {
	Revision() mvcc.Revision
	Compacted() mvcc.Revision
	Range(q *mvcc.Query, r *mvcc.Result) error
	MetaRange(key, end []byte, visit func(key []byte, m mvcc.Meta) bool)
}

// plannedOp is one operation of the flat list; opTxn opens a nested transaction and opNone closes
// the innermost one.
type plannedOp struct {
	kind    opKind
	request *requestOp

	succeeded bool // opTxn: the outcome of its compares
	revision  mvcc.Revision
	result    mvcc.Result // opRange
	prev      [][]byte    // opPut, opDelete: previous KeyValues, if asked for
	deleted   int64       // opDelete
}

type plan struct {
	pre       preState
	leases    *lease.Table // what puts may hold; nil if there are none
	succeeded bool
	ops       []plannedOp
}

// build evaluates the compares and lays out the operations. An error is the engine's: damage.
func (p *plan) build(t *txnRequest) error {
	ok, err := p.holds(t.compares)
	if err != nil {
		return err
	}
	p.succeeded = ok
	return p.branch(t, ok)
}

func (p *plan) branch(t *txnRequest, succeeded bool) error {
	ops := t.failure
	if succeeded {
		ops = t.success
	}
	for i := range ops {
		op := &ops[i]
		if op.kind != opTxn {
			p.ops = append(p.ops, plannedOp{kind: op.kind, request: op})
			continue
		}
		ok, err := p.holds(op.txn.compares)
		if err != nil {
			return err
		}
		p.ops = append(p.ops, plannedOp{kind: opTxn, succeeded: ok})
		if err := p.branch(op.txn, ok); err != nil {
			return err
		}
		p.ops = append(p.ops, plannedOp{kind: opNone})
	}
	return nil
}

func (p *plan) holds(compares []compare) (bool, error) {
	for i := range compares {
		if ok, err := p.compare(&compares[i]); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare evaluates one compare: every key of its interval must satisfy it. An empty interval
// compares as zeros, except that a value never compares true on it.
func (p *plan) compare(c *compare) (bool, error) {
	if c.target == compareValue {
		return p.compareValues(c)
	}
	all, any := true, false
	p.pre.MetaRange(c.key, c.end, func(_ []byte, m mvcc.Meta) bool {
		any = true
		all = c.accepts(c.order(m))
		return all
	})
	if !any {
		return c.accepts(c.order(mvcc.Meta{})), nil
	}
	return all, nil
}

// compareValues reads the interval in pieces and ends at the first value that does not fit.
func (p *plan) compareValues(c *compare) (bool, error) {
	q := mvcc.Query{Key: c.key, End: c.end, Limit: comparePiece}
	any := false
	for {
		var res mvcc.Result
		if err := p.pre.Range(&q, &res); err != nil {
			return false, err
		}
		for _, kv := range res.KVs {
			if !c.accepts(bytes.Compare(valueOf(kv), c.value)) {
				return false, nil
			}
			any = true
		}
		if !res.More {
			return any, nil
		}
		last := fieldOf(res.KVs[len(res.KVs)-1], 1)
		q.Key = append(append([]byte(nil), last...), 0)
	}
}

// comparePiece is the number of values that a compare over an interval reads at a time.
const comparePiece = 64

// order compares what c targets in m with what c asks for.
func (c *compare) order(m mvcc.Meta) int {
	switch c.target {
	case compareVersion:
		return cmp.Compare(m.Version, c.number)
	case compareCreate:
		return cmp.Compare(int64(m.Create), c.number)
	case compareMod:
		return cmp.Compare(int64(m.Mod.Main), c.number)
	case compareLease:
		return cmp.Compare(m.Lease, c.number)
	}
	return 0 // an unknown target compares as equal
}

func (c *compare) accepts(order int) bool {
	switch c.result {
	case compareEqual:
		return order == 0
	case compareNotEqual:
		return order != 0
	case compareGreater:
		return order > 0
	case compareLess:
		return order < 0
	}
	return true // an unknown result accepts everything
}

// valueOf returns the value field of a KeyValue in wire form.
func valueOf(kv []byte) []byte { return fieldOf(kv, 5) }

// fieldOf returns a bytes field of a KeyValue in wire form.
func fieldOf(kv []byte, want protowire.Number) []byte {
	var value []byte
	err := fields(kv, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		if num == want && typ == protowire.BytesType {
			value = b
		}
		return nil
	})
	if err != nil {
		panic("kv: the engine returned a malformed KeyValue")
	}
	return value
}

// check finds what would make the transaction fail, in the order in which it would meet it. The
// state before it decides: a key put in a transaction cannot also be deleted in it.
func (p *plan) check() (Code, error) {
	for i := range p.ops {
		op := &p.ops[i]
		switch op.kind {
		case opRange:
			rev := op.request.rng.query.Rev
			if rev > p.pre.Revision() {
				return ErrFutureRev, nil
			}
			// A negative revision is the newest elsewhere; here etcd takes it at its word.
			if rev != 0 && rev < p.pre.Compacted() {
				return ErrCompacted, nil
			}
		case opPut:
			if code := checkPut(p.pre, p.leases, &op.request.put); code != OK {
				return code, nil
			}
		}
	}
	return OK, nil
}

// checkPut refuses a put that leans on a lease, or on a key, that is not there.
func checkPut(pre preState, leases *lease.Table, put *putRequest) Code {
	if put.lease != 0 && !leases.Has(lease.ID(put.lease)) {
		return ErrLeaseNotFound
	}
	if !put.ignoreValue && !put.ignoreLease {
		return OK
	}
	code := ErrKeyNotFound
	pre.MetaRange(put.key, nil, func([]byte, mvcc.Meta) bool {
		code = OK
		return false
	})
	return code
}

// body writes the TxnResponse of a plan that has run.
func (p *plan) body(h Header) [][]byte {
	var out pieces
	out.open = appendHeader(make([]byte, 0, headerSize(h)+32), h)
	out.open = appendBool(out.open, 2, p.succeeded)
	for i := 0; i < len(p.ops); {
		i = p.appendOp(&out, i)
	}
	return out.finish()
}

// appendOp writes the ResponseOp of operation i into a TxnResponse and returns the next operation
// of the same level.
func (p *plan) appendOp(out *pieces, i int) (next int) {
	op := &p.ops[i]
	var inner pieces
	next = i + 1
	switch op.kind {
	case opRange:
		inner.done = rangeBody(Header{Revision: op.revision}, &op.result)
	case opPut:
		var prev []byte
		if len(op.prev) > 0 {
			prev = op.prev[0]
		}
		inner.done = putBody(Header{Revision: op.revision}, prev)
	case opDelete:
		inner.done = deleteBody(Header{Revision: op.revision}, op.deleted, op.prev)
	case opTxn:
		inner.open = appendHeader(nil, Header{})
		inner.open = appendBool(inner.open, 2, op.succeeded)
		for p.ops[next].kind != opNone {
			next = p.appendOp(&inner, next)
		}
		next++
	}
	size := inner.size()
	tagged := varintFieldSize(size) // the ResponseOp around it: one tag, one length
	out.open = protowire.AppendTag(out.open, 3, protowire.BytesType)
	out.open = protowire.AppendVarint(out.open, uint64(size+tagged))
	out.open = protowire.AppendTag(out.open, protowire.Number(op.kind), protowire.BytesType)
	out.open = protowire.AppendVarint(out.open, uint64(size))
	for _, b := range inner.finish() {
		out.raw(b)
	}
	return next
}

func varintFieldSize(size int) int { return 1 + protowire.SizeVarint(uint64(size)) }
