package linearizability

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// This file takes an operation apart into what it says about each key: what the key held, and
// what it holds afterwards. Only what follows from the values in request and response counts; a
// fact that needs revisions to be understood is left out. Leaving out is always sound: it can
// hide a violation from this checker, never invent one.

// fact is one thing that an operation saw or did to a key.
type fact struct {
	kind  factKind
	value string
}

type factKind uint8

const (
	isAbsent   factKind = iota
	isPresent           // with any value
	isValue             // with exactly this value
	isNotValue          // absent, or with another value
	sets
	removes
)

// keyOperation is what an operation, executed as one, saw and did to one key, in order.
type keyOperation struct {
	op           *Operation
	call, finish int64
	facts        []fact
	// removals and replacements count the hidden writes of the key that were called until finish.
	removals, replacements int
}

// projection sorts a history by keys.
type projection struct {
	// keys are sorted: all that anybody names, but for those that a lease may take away.
	keys []string
	// operations by position in keys, each in the order of the history.
	operations [][]keyOperation
	op         *Operation // being projected
}

func project(history []Operation) *projection {
	p := &projection{}
	for i := range history {
		p.name(&history[i])
	}
	slices.Sort(p.keys)
	p.keys = slices.Compact(p.keys)
	vanishing := leased(history)
	p.keys = slices.DeleteFunc(p.keys, func(key string) bool { return vanishing[key] })
	p.operations = make([][]keyOperation, len(p.keys))
	for i := range history {
		op := &history[i]
		p.op = op
		switch {
		case op.Request.Serializable():
			// Old values say nothing about the order.
		case op.Outcome == OK:
			p.answered(&op.Request, &op.Response)
		case op.Outcome == Unknown || op.Outcome == Applied:
			p.lost(&op.Request)
		}
	}
	return p
}

// name collects the keys that are written or returned; of others nobody ever sees a value.
func (p *projection) name(op *Operation) {
	req, resp := &op.Request, &op.Response
	if req.Put != nil {
		p.keys = append(p.keys, string(req.Put.Key))
	}
	if req.Txn != nil {
		p.nameOps(req.Txn.Success)
		p.nameOps(req.Txn.Failure)
		for _, r := range resp.Txn.GetResponses() {
			p.nameRecords(r.GetResponseRange().GetKvs())
		}
	}
	if req.DeleteRange != nil && len(req.DeleteRange.RangeEnd) == 0 {
		p.keys = append(p.keys, string(req.DeleteRange.Key))
	}
	p.nameRecords(resp.Range.GetKvs())
}

func (p *projection) nameOps(ops []*pb.RequestOp) {
	for _, op := range ops {
		if put := op.GetRequestPut(); put != nil {
			p.keys = append(p.keys, string(put.Key))
		}
		if nested := op.GetRequestTxn(); nested != nil {
			p.nameOps(nested.Success)
			p.nameOps(nested.Failure)
		}
	}
}

func (p *projection) nameRecords(kvs []*mvccpb.KeyValue) {
	for _, kv := range kvs {
		p.keys = append(p.keys, string(kv.Key))
	}
}

// each visits the positions of the known keys in an interval.
func (p *projection) each(key, end []byte, visit func(at int)) {
	from, _ := slices.BinarySearch(p.keys, string(key))
	for at := from; at < len(p.keys) && contains(key, end, []byte(p.keys[at])); at++ {
		visit(at)
	}
}

// add notes a fact of the current operation.
func (p *projection) add(at int, kind factKind, value []byte) {
	ops := p.operations[at]
	if n := len(ops); n == 0 || ops[n-1].op != p.op {
		ops = append(ops, keyOperation{op: p.op, call: p.op.Call, finish: p.op.Return})
	}
	last := &ops[len(ops)-1]
	last.facts = append(last.facts, fact{kind, string(value)})
	p.operations[at] = ops
}

// addAll notes the same for every known key of an interval.
func (p *projection) addAll(key, end []byte, kind factKind, value []byte) {
	p.each(key, end, func(at int) { p.add(at, kind, value) })
}

// addRecord notes what a returned record says of its key.
func (p *projection) addRecord(at int, kv *mvccpb.KeyValue) {
	if kv == nil {
		p.add(at, isAbsent, nil)
	} else {
		p.add(at, isValue, kv.Value)
	}
}

// lost notes what an operation whose answer was lost may have done. Each write of each branch
// stands alone as one that may have happened or not; that they share one fate is not used.
func (p *projection) lost(req *Request) {
	switch {
	case req.Put != nil:
		p.lostWrite(req.Put, nil)
	case req.DeleteRange != nil:
		p.lostWrite(nil, req.DeleteRange)
	case req.Txn != nil:
		p.lostOps(req.Txn.Success)
		p.lostOps(req.Txn.Failure)
	}
}

func (p *projection) lostOps(ops []*pb.RequestOp) {
	for _, op := range ops {
		p.lostWrite(op.GetRequestPut(), op.GetRequestDeleteRange())
		if nested := op.GetRequestTxn(); nested != nil {
			p.lostOps(nested.Success)
			p.lostOps(nested.Failure)
		}
	}
}

func (p *projection) lostWrite(put *pb.PutRequest, del *pb.DeleteRangeRequest) {
	var key, end []byte
	f := fact{kind: removes}
	switch {
	case put != nil && !put.IgnoreValue:
		key, f = put.Key, fact{sets, string(put.Value)}
	case del != nil:
		key, end = del.Key, del.RangeEnd
	default:
		return
	}
	p.each(key, end, func(at int) {
		p.operations[at] = append(p.operations[at], keyOperation{
			op: p.op, call: p.op.Call, finish: Never, facts: []fact{f},
		})
	})
}
