// The quota: how many bytes of revisions a member retains before it raises NOSPACE.
//
// What counts is what a compaction would leave: the records that some reader may still ask for.
// Files that reclaim has not given back yet are the member's own affair. What a request would add
// is estimated as etcd does, by the larger branch of a transaction.
package kv

// Estimated cost of keeping one key beside its bytes, and of a lease.
const (
	keyCost   = 256
	leaseCost = 64
)

// overQuota says whether a request would grow the store to its quota.
func (n *Node) overQuota(r *Request) bool {
	cost := r.cost()
	if cost == 0 {
		return false
	}
	_, inUse := n.store.Size()
	return inUse+int64(cost) >= n.cfg.Limits.QuotaBytes
}

// cost estimates by how many bytes a request would grow the store; 0 if by none.
func (r *Request) cost() int {
	switch r.Method {
	case MethodPut:
		return keyCost + len(r.Raw)
	case MethodLeaseGrant:
		return leaseCost
	case MethodTxn:
		var t txnRequest
		if parseTxn(r.Raw, &t, 0) == nil {
			return txnCost(&t)
		}
	}
	return 0
}

func txnCost(t *txnRequest) int {
	return max(branchCost(t.success), branchCost(t.failure))
}

func branchCost(ops []requestOp) (cost int) {
	for i := range ops {
		switch op := &ops[i]; op.kind {
		case opPut:
			cost += keyCost + len(op.put.key) + len(op.put.value)
		case opTxn:
			cost += txnCost(op.txn)
		}
	}
	return cost
}
