package linearizability

import (
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

// disjoint says whether no execution of ops puts a key twice, or puts and deletes one.
func disjoint(ops []*pb.RequestOp) bool {
	for _, p := range paths(ops) {
		seen := map[string]bool{}
		for _, put := range p.puts {
			if seen[string(put.Key)] {
				return false
			}
			seen[string(put.Key)] = true
			for _, del := range p.dels {
				if contains(del.Key, del.RangeEnd, put.Key) {
					return false
				}
			}
		}
	}
	return true
}

// paths lists every choice of branches. That is exponential in the number of nested Txns, of
// which a test has one or two.
func paths(ops []*pb.RequestOp) []path {
	all := []path{{}}
	for _, op := range ops {
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			for i := range all {
				all[i].puts = append(all[i].puts, r.RequestPut)
			}
		case *pb.RequestOp_RequestDeleteRange:
			for i := range all {
				all[i].dels = append(all[i].dels, r.RequestDeleteRange)
			}
		case *pb.RequestOp_RequestTxn:
			nested := append(paths(r.RequestTxn.Success), paths(r.RequestTxn.Failure)...)
			var joined []path
			for _, a := range all {
				for _, n := range nested {
					joined = append(joined, path{
						puts: append(a.puts[:len(a.puts):len(a.puts)], n.puts...),
						dels: append(a.dels[:len(a.dels):len(a.dels)], n.dels...),
					})
				}
			}
			all = joined
		}
	}
	return all
}
