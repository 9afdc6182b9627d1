package linearizability

import (
	"bytes"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// maxTxnOps is etcd's default budget of operations and compares per level of a Txn.
const maxTxnOps = 128

// validate is what the store says of a request without looking at its content; empty is fine.
func validate(req *Request) string {
	switch {
	case req.Range != nil:
		return validateRange(req.Range)
	case req.Put != nil:
		return validatePut(req.Put)
	case req.DeleteRange != nil:
		return validateDelete(req.DeleteRange)
	case req.Txn != nil:
		if err := validateTxn(req.Txn, maxTxnOps); err != "" {
			return err
		}
		if !disjoint(req.Txn.Success) || !disjoint(req.Txn.Failure) {
			return ErrDuplicateKey
		}
	}
	return ""
}

func validateRange(req *pb.RangeRequest) string {
	_, order := pb.RangeRequest_SortOrder_name[int32(req.SortOrder)]
	_, target := pb.RangeRequest_SortTarget_name[int32(req.SortTarget)]
	switch {
	case len(req.Key) == 0:
		return ErrEmptyKey
	case !order || !target:
		return ErrInvalidSortOption
	}
	return ""
}

func validatePut(req *pb.PutRequest) string {
	switch {
	case len(req.Key) == 0:
		return ErrEmptyKey
	case req.IgnoreValue && len(req.Value) != 0:
		return ErrValueProvided
	case req.IgnoreLease && req.Lease != 0:
		return ErrLeaseProvided
	}
	return ""
}

func validateDelete(req *pb.DeleteRangeRequest) string {
	if len(req.Key) == 0 {
		return ErrEmptyKey
	}
	return ""
}

func validateTxn(req *pb.TxnRequest, budget int) string {
	used := max(len(req.Compare), len(req.Success), len(req.Failure))
	if used > budget {
		return ErrTooManyOps
	}
	for _, c := range req.Compare {
		if len(c.Key) == 0 {
			return ErrEmptyKey
		}
	}
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		for _, op := range ops {
			if err := validateOp(op, budget-used); err != "" {
				return err
			}
		}
	}
	return ""
}

func validateOp(op *pb.RequestOp, budget int) string {
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return validateRange(r.RequestRange)
	case *pb.RequestOp_RequestPut:
		return validatePut(r.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return validateDelete(r.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return validateTxn(r.RequestTxn, budget)
	}
	return ErrKeyNotFound
}

// path is one choice of a branch in every nested Txn: the writes that could execute together.
type path struct {
	puts []*pb.PutRequest
	dels []*pb.DeleteRangeRequest
}

// collides says whether a put touches what the path puts or deletes.
func (p *path) collides(put *pb.PutRequest) bool {
	for _, other := range p.puts {
		if bytes.Equal(other.Key, put.Key) {
			return true
		}
	}
	for _, del := range p.dels {
		if contains(del.Key, del.RangeEnd, put.Key) {
			return true
		}
	}
	return false
}

// disjoint says whether no execution of ops puts a key twice, or puts and deletes one, as far as
// etcd looks: a put inside a nested Txn is not compared with the deletes inside a later nested Txn
// of the same level.
func disjoint(ops []*pb.RequestOp) bool {
	_, ok := paths(ops)
	return ok
}

// paths lists every choice of branches; ok is false when one of them collides. That is exponential
// in the number of nested Txns, of which a test has one or two.
func paths(ops []*pb.RequestOp) (all []path, ok bool) {
	all = []path{{}}
	for _, op := range ops {
		if del := op.GetRequestDeleteRange(); del != nil {
			all[0].dels = append(all[0].dels, del)
		}
	}
	for _, op := range ops {
		nested := op.GetRequestTxn()
		if nested == nil {
			continue
		}
		success, okSuccess := paths(nested.Success)
		failure, okFailure := paths(nested.Failure)
		if !okSuccess || !okFailure {
			return nil, false
		}
		var joined []path
		for _, before := range all {
			for _, branch := range append(success, failure...) {
				for _, put := range branch.puts {
					if before.collides(put) {
						return nil, false
					}
				}
				joined = append(joined, path{
					puts: slices.Concat(before.puts, branch.puts),
					dels: slices.Concat(before.dels, branch.dels),
				})
			}
		}
		all = joined
	}
	for _, op := range ops {
		put := op.GetRequestPut()
		for i := range all {
			if put != nil && all[i].collides(put) {
				return nil, false
			}
			if put != nil {
				all[i].puts = append(all[i].puts, put)
			}
		}
	}
	return all, true
}
