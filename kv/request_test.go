package kv

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/mvcc"
)

// drawRequestOp draws an operation of any kind, transactions nested up to depth.
func drawRequestOp(t *rapid.T, depth int) *pb.RequestOp {
	kinds := 3
	if depth > 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 1:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: drawRange(t)}}
	case 2:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: drawPut(t)}}
	case 3:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: drawDelete(t)}}
	case 4:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: drawTxn(t, depth-1)}}
	}
	return &pb.RequestOp{}
}

func drawBytes(t *rapid.T) []byte {
	return rapid.SliceOfN(rapid.ByteRange('a', 'd'), 0, 3).Draw(t, "bytes")
}

func drawRange(t *rapid.T) *pb.RangeRequest {
	n := rapid.Int64Range(-2, 9)
	return &pb.RangeRequest{
		Key: drawBytes(t), RangeEnd: drawBytes(t), Limit: n.Draw(t, "limit"),
		Revision:     n.Draw(t, "revision"),
		SortOrder:    pb.RangeRequest_SortOrder(rapid.Int32Range(-1, 4).Draw(t, "order")),
		SortTarget:   pb.RangeRequest_SortTarget(rapid.Int32Range(-1, 6).Draw(t, "target")),
		Serializable: rapid.Bool().Draw(t, "serializable"),
		KeysOnly:     rapid.Bool().Draw(t, "keys only"), CountOnly: rapid.Bool().Draw(t, "count"),
		MinModRevision: n.Draw(t, "min mod"), MaxModRevision: n.Draw(t, "max mod"),
		MinCreateRevision: n.Draw(t, "min create"), MaxCreateRevision: n.Draw(t, "max create"),
	}
}

func drawPut(t *rapid.T) *pb.PutRequest {
	return &pb.PutRequest{
		Key: drawBytes(t), Value: drawBytes(t), Lease: rapid.Int64Range(0, 1).Draw(t, "lease"),
		PrevKv: rapid.Bool().Draw(t, "prev"), IgnoreValue: rapid.Bool().Draw(t, "ignore value"),
		IgnoreLease: rapid.Bool().Draw(t, "ignore lease"),
	}
}

func drawDelete(t *rapid.T) *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: drawBytes(t), RangeEnd: drawBytes(t),
		PrevKv: rapid.Bool().Draw(t, "prev")}
}

func drawCompare(t *rapid.T) *pb.Compare {
	c := &pb.Compare{
		Result: pb.Compare_CompareResult(rapid.Int32Range(-1, 5).Draw(t, "result")),
		Target: pb.Compare_CompareTarget(rapid.Int32Range(-1, 6).Draw(t, "target")),
		Key:    drawBytes(t), RangeEnd: drawBytes(t),
	}
	n := rapid.Int64Range(-2, 9).Draw(t, "number")
	switch rapid.IntRange(0, 5).Draw(t, "union") {
	case 1:
		c.TargetUnion = &pb.Compare_Version{Version: n}
	case 2:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: n}
	case 3:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: n}
	case 4:
		c.TargetUnion = &pb.Compare_Value{Value: drawBytes(t)}
	case 5:
		c.TargetUnion = &pb.Compare_Lease{Lease: n}
	}
	return c
}

func drawTxn(t *rapid.T, depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range rapid.IntRange(0, 2).Draw(t, "compares") {
		r.Compare = append(r.Compare, drawCompare(t))
	}
	for range rapid.IntRange(0, 3).Draw(t, "success") {
		r.Success = append(r.Success, drawRequestOp(t, depth))
	}
	for range rapid.IntRange(0, 2).Draw(t, "failure") {
		r.Failure = append(r.Failure, drawRequestOp(t, depth))
	}
	return r
}

func sameRange(t require.TestingT, want *pb.RangeRequest, got *rangeRequest) {
	q := &got.query
	require.Equal(t, want.GetKey(), nilIfEmpty(q.Key))
	require.Equal(t, want.GetRangeEnd(), nilIfEmpty(q.End))
	require.Equal(t, []int64{want.GetLimit(), want.GetRevision(), want.GetMinModRevision(),
		want.GetMaxModRevision(), want.GetMinCreateRevision(), want.GetMaxCreateRevision()},
		[]int64{q.Limit, int64(q.Rev), int64(q.MinMod), int64(q.MaxMod), int64(q.MinCreate),
			int64(q.MaxCreate)})
	require.Equal(t, mvcc.Order(want.GetSortOrder()), q.Order)
	require.Equal(t, mvcc.Target(want.GetSortTarget()), q.Target)
	require.Equal(t, [3]bool{want.GetSerializable(), want.GetKeysOnly(), want.GetCountOnly()},
		[3]bool{got.serializable, q.KeysOnly, q.CountOnly})
}

func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func sameTxn(t require.TestingT, want *pb.TxnRequest, got *txnRequest) {
	require.Len(t, got.compares, len(want.GetCompare()))
	for i, c := range want.GetCompare() {
		g := &got.compares[i]
		require.Equal(t, compareResult(c.GetResult()), g.result)
		require.Equal(t, compareTarget(c.GetTarget()), g.target)
		require.Equal(t, c.GetKey(), nilIfEmpty(g.key))
		require.Equal(t, c.GetRangeEnd(), nilIfEmpty(g.end))
		switch g.target {
		case compareVersion:
			require.Equal(t, c.GetVersion(), g.number)
		case compareCreate:
			require.Equal(t, c.GetCreateRevision(), g.number)
		case compareMod:
			require.Equal(t, c.GetModRevision(), g.number)
		case compareLease:
			require.Equal(t, c.GetLease(), g.number)
		case compareValue:
			require.Equal(t, nilIfEmpty(c.GetValue()), nilIfEmpty(g.value))
		}
	}
	sameOps(t, want.GetSuccess(), got.success)
	sameOps(t, want.GetFailure(), got.failure)
}

func sameOps(t require.TestingT, want []*pb.RequestOp, got []requestOp) {
	require.Len(t, got, len(want))
	for i, op := range want {
		g := &got[i]
		switch r := op.GetRequest().(type) {
		case nil:
			require.Equal(t, opNone, g.kind)
		case *pb.RequestOp_RequestRange:
			sameRange(t, r.RequestRange, &g.rng)
		case *pb.RequestOp_RequestPut:
			require.Equal(t, r.RequestPut.GetKey(), nilIfEmpty(g.put.key))
			require.Equal(t, r.RequestPut.GetValue(), nilIfEmpty(g.put.value))
			require.Equal(t, r.RequestPut.GetLease(), g.put.lease)
			require.Equal(t, [3]bool{r.RequestPut.GetPrevKv(), r.RequestPut.GetIgnoreValue(),
				r.RequestPut.GetIgnoreLease()},
				[3]bool{g.put.prevKV, g.put.ignoreValue, g.put.ignoreLease})
		case *pb.RequestOp_RequestDeleteRange:
			require.Equal(t, r.RequestDeleteRange.GetKey(), nilIfEmpty(g.del.key))
			require.Equal(t, r.RequestDeleteRange.GetRangeEnd(), nilIfEmpty(g.del.end))
			require.Equal(t, r.RequestDeleteRange.GetPrevKv(), g.del.prevKV)
		case *pb.RequestOp_RequestTxn:
			sameTxn(t, r.RequestTxn, g.txn)
		}
	}
}

// The hand-written decoder reads what the generated encoder writes.
func TestParseEqualsGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTxn(t, 2)
		raw, err := proto.Marshal(want)
		require.NoError(t, err)
		// The round trip through the generated decoder turns empty slices to nil.
		require.NoError(t, proto.Unmarshal(raw, want))
		var got txnRequest
		require.NoError(t, parseTxn(raw, &got, 0))
		sameTxn(t, want, &got)
	})
}

func TestValidateKnowsDuplicateKeys(t *testing.T) {
	put := func(k string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(k)}}}
	}
	del := func(k, end string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(k), RangeEnd: []byte(end)}}}
	}
	nested := func(then, otherwise []*pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{
			RequestTxn: &pb.TxnRequest{Success: then, Failure: otherwise}}}
	}
	ops := func(list ...*pb.RequestOp) []*pb.RequestOp { return list }
	for name, c := range map[string]struct {
		ops  []*pb.RequestOp
		want Code
	}{
		"two keys":                  {ops(put("a"), put("b")), OK},
		"one key twice":             {ops(put("a"), put("a")), ErrDuplicateKey},
		"put in a delete":           {ops(put("b"), del("a", "c")), ErrDuplicateKey},
		"put beside a delete":       {ops(put("c"), del("a", "c")), OK},
		"deletes overlap":           {ops(del("a", "c"), del("b", "d")), OK},
		"branches share a key":      {ops(nested(ops(put("a")), ops(put("a")))), OK},
		"nested and outer":          {ops(put("a"), nested(ops(put("a")), nil)), ErrDuplicateKey},
		"nested delete, outer put":  {ops(nested(ops(del("a", "")), nil), put("a")), ErrDuplicateKey},
		"two nested with one key":   {ops(nested(ops(put("a")), nil), nested(nil, ops(put("a")))), ErrDuplicateKey},
		"operation with nothing":    {ops(&pb.RequestOp{}), ErrKeyNotFound},
		"nested put without a key":  {ops(nested(ops(put("")), nil)), ErrEmptyKey},
		"failure branch duplicated": {nil, OK},
	} {
		raw, err := proto.Marshal(&pb.TxnRequest{Success: c.ops})
		require.NoError(t, err)
		lim := DefaultLimits()
		require.Equal(t, c.want, Validate(MethodTxn, raw, &lim), name)
	}
}
