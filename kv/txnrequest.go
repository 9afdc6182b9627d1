// A transaction as it was asked: compares, two branches, and transactions inside branches.
package kv

import (
	"google.golang.org/protobuf/encoding/protowire"
)

type opKind uint8

const (
	opNone opKind = iota // a RequestOp with nothing set
	opRange
	opPut
	opDelete
	opTxn
)

// requestOp is one operation of a branch; only the field of its kind is set.
type requestOp struct {
	kind opKind
	rng  rangeRequest
	put  putRequest
	del  deleteRequest
	txn  *txnRequest
}

type txnRequest struct {
	compares []compare
	success  []requestOp
	failure  []requestOp
}

// compareTarget has etcd's numbers.
type compareTarget int32

const (
	compareVersion compareTarget = iota
	compareCreate
	compareMod
	compareValue
	compareLease
)

// compareResult has etcd's numbers.
type compareResult int32

const (
	compareEqual compareResult = iota
	compareGreater
	compareLess
	compareNotEqual
)

type compare struct {
	result compareResult
	target compareTarget
	key    []byte
	end    []byte
	// number and value are what the target union holds, if it is the member that target names;
	// otherwise they stay zero, as etcd's getters answer.
	number int64
	value  []byte
}

// parseTxn reads a transaction that lies inside depth other messages.
func parseTxn(raw []byte, t *txnRequest, depth int) error {
	if depth >= maxNesting {
		return errMalformed
	}
	return fields(raw, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		if typ != protowire.BytesType {
			return nil
		}
		switch num {
		case 1:
			var c compare
			if err := parseCompare(b, &c); err != nil || depth+1 >= maxNesting {
				return errMalformed
			}
			t.compares = append(t.compares, c)
		case 2, 3:
			var op requestOp
			if err := parseOp(b, &op, depth+1); err != nil {
				return err
			}
			if num == 2 {
				t.success = append(t.success, op)
			} else {
				t.failure = append(t.failure, op)
			}
		}
		return nil
	})
}

func parseOp(raw []byte, op *requestOp, depth int) error {
	if depth >= maxNesting {
		return errMalformed
	}
	return fields(raw, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		if typ != protowire.BytesType || num < 1 || num > 4 {
			return nil
		}
		if depth+1 >= maxNesting {
			return errMalformed
		}
		if op.kind != opKind(num) {
			*op = requestOp{kind: opKind(num)}
		}
		switch op.kind {
		case opRange:
			return parseRange(b, &op.rng)
		case opPut:
			return parsePut(b, &op.put)
		case opDelete:
			return parseDelete(b, &op.del)
		}
		if op.txn == nil {
			op.txn = &txnRequest{}
		}
		return parseTxn(b, op.txn, depth+1)
	})
}

func parseCompare(raw []byte, c *compare) error {
	// The union's field number is the target's number plus 4.
	var union protowire.Number
	var number uint64
	var value []byte
	err := fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case typ == protowire.VarintType && num == 1:
			c.result = compareResult(v)
		case typ == protowire.VarintType && num == 2:
			c.target = compareTarget(v)
		case typ == protowire.BytesType && num == 3:
			c.key = b
		case typ == protowire.BytesType && num == 64:
			c.end = b
		case typ == protowire.BytesType && num == 7:
			union, value = num, b
		case typ == protowire.VarintType && (num >= 4 && num <= 6 || num == 8):
			union, number = num, v
		}
		return nil
	})
	if union == protowire.Number(c.target)+4 {
		c.number = int64(number)
		if union == 7 {
			c.value = value
		}
	}
	return err
}

// isReadOnly says whether the transaction is a read: all of its top-level operations, in both
// branches, are ranges.
func (t *txnRequest) isReadOnly() bool {
	for _, branch := range [2][]requestOp{t.success, t.failure} {
		for i := range branch {
			if branch[i].kind != opRange {
				return false
			}
		}
	}
	return true
}

// isSerializable says whether a read-only transaction may be served without a quorum: every range
// of it says so.
func (t *txnRequest) isSerializable() bool {
	for _, branch := range [2][]requestOp{t.success, t.failure} {
		for i := range branch {
			if !branch[i].rng.serializable {
				return false
			}
		}
	}
	return true
}
