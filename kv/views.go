// Views: immutable states of the store on loan to the edge.
//
// A view is made at most once per turn, and only if a read asks. Each read on it is counted; when
// the last one ends the view goes back to the engine, so a pin is a plain counter. The edge owes
// an InputViewEnd for every Read it was handed, and an InputDamaged for one that met damage.
package kv

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

type openView struct {
	id    ViewID
	view  *mvcc.View
	reads int // Reads handed out and not yet ended
}

type views struct {
	open   []openView
	nextID ViewID
	// fresh says that the newest open view was made in this step and shows the current state.
	fresh bool
}

// Read is a read that the edge evaluates off the loop: Run on any goroutine, then hand in an
// InputViewEnd with View. All reads of one turn share a view.
type Read struct {
	Token Token
	View  ViewID

	view    *mvcc.View
	method  Method
	raw     []byte
	header  Header
	applied raft.Index // of the view
	// confirmed is the read index of a linearizable read, 0 if it is not known.
	confirmed raft.Index
	auth      uint64 // see AuthRevision
	chunk     int    // bytes of records in one chunk of a stream
	state     []byte // the replicated state, for a backup only
}

// AuthRevision is the auth revision at which the read was granted; 0 while auth is off. An answer
// that takes long ends when it has moved.
func (r *Read) AuthRevision() uint64 { return r.auth }

// Applied is the index whose state the read sees, for observers.
func (r *Read) Applied() raft.Index { return r.applied }

// Confirmed is the read index that permitted the read, 0 if it needed none or it is not known any
// more, for observers.
func (r *Read) Confirmed() raft.Index { return r.confirmed }

// grant hands a read to the edge, on this turn's view.
func (n *Node) grant(r *readRequest) {
	v := &n.views
	if !v.fresh {
		v.nextID++
		v.open = append(v.open, openView{id: v.nextID, view: n.store.View()})
		v.fresh = true
	}
	last := &v.open[len(v.open)-1]
	last.reads++
	n.out.Reads = append(n.out.Reads, Read{Token: r.token, View: last.id, view: last.view,
		method: r.method, raw: r.raw, header: n.header(), applied: n.applied,
		confirmed: n.reads.serving,
		auth:      n.authRevision(),
		chunk:     n.cfg.Limits.ChunkBytes})
}

// endView counts a read's end; the last one gives the view back.
func (n *Node) endView(id ViewID) {
	for i := range n.views.open {
		v := &n.views.open[i]
		if v.id != id {
			continue
		}
		v.reads--
		if v.reads == 0 {
			n.store.Release(v.view)
			n.views.open = append(n.views.open[:i], n.views.open[i+1:]...)
		}
		return
	}
	panic(fmt.Sprintf("kv: view %d ended more often than it was granted", id))
}

// damaged stops the node. Whoever asked has been told; nobody else shall get an answer that rests
// on this disk.
func (n *Node) damaged(words string) {
	n.note(Error, "stored data is damaged", Field{"member", n.cfg.Member.String()},
		Field{"error", words})
	n.halt("a read found damaged data: " + words)
}

// Run evaluates the read. It may take long and runs on any goroutine; scratch is its own meanwhile.
// A Code of ErrDamaged says that stored bytes are not what was written; Body then holds the words
// of the InputDamaged that the edge owes.
func (r *Read) Run(scratch *mvcc.Scratch) Answer { return r.answer(r.run(scratch)) }

// answer is the outcome of what was read.
func (r *Read) answer(body [][]byte, err error) Answer {
	a := Answer{Token: r.Token, Body: body, Revision: r.header.Revision}
	if err == nil {
		return a
	}
	code, ok := codeOf(err)
	if !ok {
		code = ErrDamaged
		a.Body = [][]byte{[]byte(err.Error())}
	}
	a.Code = code
	return a
}

// Damage takes the words for the node out of an answer; empty unless the read met damage.
func (a *Answer) Damage() string {
	if a.Code != ErrDamaged || len(a.Body) == 0 {
		return ""
	}
	words := string(a.Body[0])
	a.Body = nil
	return words
}

func (r *Read) run(scratch *mvcc.Scratch) ([][]byte, error) {
	switch r.method {
	case MethodRange:
		var req rangeRequest
		if err := parseRange(r.raw, &req); err != nil {
			return nil, err
		}
		return r.list(&req.query, scratch)
	case MethodTxn:
		var t txnRequest
		if err := parseTxn(r.raw, &t, 0); err != nil {
			return nil, err
		}
		return r.txn(&t)
	case MethodHash, MethodHashKV:
		return r.hash()
	}
	panic(fmt.Sprintf("kv: method %d is not read from a view", r.method))
}

// listPieceBytes is how much of a list is read from the engine at a time.
const listPieceBytes = 1 << 20

// fieldKVs is the tag of a RangeResponse's repeated KeyValue.
const fieldKVs = 2<<3 | byte(protowire.BytesType)

// list writes a RangeResponse. In natural order it goes piece by piece, so that only the answer
// itself is ever held whole.
func (r *Read) list(q *mvcc.Query, scratch *mvcc.Scratch) ([][]byte, error) {
	if q.Lists() {
		body, count, more, err := r.view.List(q, fieldKVs, appendHeader(nil, r.header),
			gatherBytes, scratch)
		if err != nil {
			return nil, err
		}
		last := &body[len(body)-1]
		*last = appendBool(*last, 3, more)
		*last = appendVarint(*last, 4, uint64(count))
		return body, nil
	}
	if !q.Walks() {
		var res mvcc.Result
		if err := r.view.Range(q, &res); err != nil {
			return nil, err
		}
		return rangeBody(r.header, &res), nil
	}
	p := pieces{open: appendHeader(nil, r.header)}
	var cursor mvcc.WalkCursor
	for !cursor.Done {
		kvs, err := r.view.Walk(q, &cursor, listPieceBytes)
		if err != nil {
			return nil, err
		}
		for _, kv := range kvs {
			p.gather(2, kv)
		}
	}
	p.open = appendBool(p.open, 3, cursor.More)
	p.open = appendVarint(p.open, 4, uint64(cursor.Count))
	return p.finish(), nil
}

// txn evaluates a read-only transaction.
func (r *Read) txn(t *txnRequest) ([][]byte, error) {
	p := plan{pre: r.view}
	if err := p.build(t); err != nil {
		return nil, err
	}
	switch code, err := p.check(); {
	case err != nil:
		return nil, err
	case code == ErrFutureRev:
		return nil, mvcc.ErrFuture
	case code == ErrCompacted:
		return nil, mvcc.ErrCompacted
	}
	for i := range p.ops {
		op := &p.ops[i]
		if op.kind != opRange {
			continue
		}
		if err := r.view.Range(&op.request.rng.query, &op.result); err != nil {
			return nil, err
		}
		op.revision = r.header.Revision
	}
	return p.body(r.header), nil
}

func (r *Read) hash() ([][]byte, error) {
	asked, err := parseVarint1(r.raw)
	if err != nil {
		return nil, err
	}
	revision := mvcc.Revision(asked)
	if r.method == MethodHash {
		revision = 0
	}
	hash, at, err := r.view.Hash(revision)
	if err != nil {
		return nil, err
	}
	if revision < 0 {
		hash, at = mvcc.HashOfNothing(), revision // as with etcd: nothing lies below zero
	}
	b := appendHeader(nil, r.header)
	b = appendVarint(b, 2, uint64(hash))
	if r.method == MethodHashKV {
		b = appendVarint(b, 3, uint64(r.view.Compacted()))
		b = protowire.AppendTag(b, 4, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(at))
	}
	return [][]byte{b}, nil
}
