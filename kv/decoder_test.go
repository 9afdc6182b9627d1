package kv

// The hand-written decoders against the generated ones: on any bytes whatever, what is accepted,
// what is refused, and what is read must be equal, because a request is judged by ours and may be
// looked at by anybody else's.

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// sameOnAnyBytes reads raw as every kind of request that has a decoder of ours.
func sameOnAnyBytes(t require.TestingT, raw []byte) {
	var rangeOurs rangeRequest
	var rangeTheirs pb.RangeRequest
	if sameVerdict(t, raw, &rangeTheirs, parseRange(raw, &rangeOurs)) {
		sameRange(t, &rangeTheirs, &rangeOurs)
	}
	var putOurs putRequest
	var putTheirs pb.PutRequest
	if sameVerdict(t, raw, &putTheirs, parsePut(raw, &putOurs)) {
		samePut(t, &putTheirs, &putOurs)
	}
	var deleteOurs deleteRequest
	var deleteTheirs pb.DeleteRangeRequest
	if sameVerdict(t, raw, &deleteTheirs, parseDelete(raw, &deleteOurs)) {
		sameDelete(t, &deleteTheirs, &deleteOurs)
	}
	var txnOurs txnRequest
	var txnTheirs pb.TxnRequest
	if sameVerdict(t, raw, &txnTheirs, parseTxn(raw, &txnOurs, 0)) {
		sameTxn(t, &txnTheirs, &txnOurs)
	}
	var compactOurs compactRequest
	var compactTheirs pb.CompactionRequest
	if sameVerdict(t, raw, &compactTheirs, parseCompact(raw, &compactOurs)) {
		require.Equal(t, compactTheirs.GetRevision(), int64(compactOurs.revision))
		require.Equal(t, compactTheirs.GetPhysical(), compactOurs.physical)
	}
	target, err := parseVarint1(raw)
	var moveTheirs pb.MoveLeaderRequest
	if sameVerdict(t, raw, &moveTheirs, err) {
		require.Equal(t, moveTheirs.GetTargetID(), target)
	}
}

// sameVerdict demands that both decoders accept raw, or none, and says which.
func sameVerdict(t require.TestingT, raw []byte, theirs proto.Message, ours error) bool {
	err := proto.Unmarshal(raw, theirs)
	if (err == nil) != (ours == nil) {
		require.Fail(t, "one decoder accepts what the other refuses", "%T %x: ours %v, theirs %v",
			theirs, raw, ours, err)
	}
	return err == nil
}

func samePut(t require.TestingT, want *pb.PutRequest, got *putRequest) {
	require.True(t, bytes.Equal(want.GetKey(), got.key))
	require.True(t, bytes.Equal(want.GetValue(), got.value))
	require.Equal(t, want.GetLease(), got.lease)
	require.Equal(t, [3]bool{want.GetPrevKv(), want.GetIgnoreValue(), want.GetIgnoreLease()},
		[3]bool{got.prevKV, got.ignoreValue, got.ignoreLease})
}

func sameDelete(t require.TestingT, want *pb.DeleteRangeRequest, got *deleteRequest) {
	require.True(t, bytes.Equal(want.GetKey(), got.key))
	require.True(t, bytes.Equal(want.GetRangeEnd(), got.end))
	require.Equal(t, want.GetPrevKv(), got.prevKV)
}

// drawWire draws bytes that are nearly a message: numbers that mean something, every wire type,
// messages inside, fields that occur twice, and now and then a cut end.
func drawWire(t *rapid.T, depth int) []byte {
	numbers := []int32{1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 64, 65,
		int32(protowire.MaxValidNumber)}
	var b []byte
	for range rapid.IntRange(0, 5).Draw(t, "fields") {
		num := protowire.Number(rapid.SampledFrom(numbers).Draw(t, "number"))
		typ := protowire.BytesType
		if rapid.IntRange(0, 2).Draw(t, "other type") == 0 {
			typ = protowire.Type(rapid.IntRange(0, 5).Draw(t, "type"))
		}
		if rapid.IntRange(0, 60).Draw(t, "bad tag") == 0 {
			tag := rapid.SampledFrom([]uint64{0, 7, 1<<32 | 2, 1 << 35}).Draw(t, "tag")
			b = protowire.AppendVarint(b, tag)
		} else {
			b = protowire.AppendTag(b, num, typ)
		}
		b = drawPayload(t, b, num, typ, depth)
	}
	if rapid.IntRange(0, 15).Draw(t, "cut") == 0 && len(b) > 0 {
		b = b[:rapid.IntRange(0, len(b)-1).Draw(t, "length")]
	}
	return b
}

func drawPayload(t *rapid.T, b []byte, num protowire.Number, typ protowire.Type,
	depth int) []byte {
	switch typ {
	case protowire.VarintType:
		v := rapid.OneOf(rapid.Uint64Range(0, 6), rapid.Uint64(),
			rapid.Just(uint64(1<<32)), rapid.Just(uint64(1<<32|1))).Draw(t, "value")
		return protowire.AppendVarint(b, v)
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(b, 7)
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(b, 7)
	case protowire.StartGroupType:
		b = protowire.AppendTag(b, num, protowire.VarintType)
		b = protowire.AppendVarint(b, 1)
		return protowire.AppendTag(b, num, protowire.EndGroupType)
	case protowire.BytesType:
		inner := rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "bytes")
		if depth > 0 && rapid.IntRange(0, 3).Draw(t, "message") > 0 {
			inner = drawWire(t, depth-1)
		}
		return protowire.AppendBytes(b, inner)
	}
	return b // an end of a group that never began
}

func TestDecodersAgreeOnAnyWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { sameOnAnyBytes(t, drawWire(t, 4)) })
}

// Of a oneof, the same member is merged and another one replaces it.
func TestOneofMembersMergeAndReplace(t *testing.T) {
	field := func(num protowire.Number, inner []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), inner)
	}
	key, value := field(1, []byte("k")), field(2, []byte("v"))
	for name, op := range map[string][]byte{
		"put merged":           append(field(2, key), field(2, value)...),
		"put replaced":         append(field(2, key), field(1, value)...),
		"replaced and back":    bytes.Join([][]byte{field(2, key), field(3, key), field(2, value)}, nil),
		"transactions merged":  append(field(4, field(2, field(2, key))), field(4, field(2, nil))...),
		"transaction replaced": bytes.Join([][]byte{field(4, field(2, nil)), field(1, key), field(4, nil)}, nil),
	} {
		t.Run(name, func(t *testing.T) { sameOnAnyBytes(t, field(2, op)) })
	}
	var got txnRequest
	require.NoError(t, parseTxn(field(2, append(field(2, key), field(2, value)...)), &got, 0))
	require.Equal(t, "k", string(got.success[0].put.key))
	require.Equal(t, "v", string(got.success[0].put.value))
}

// Both decoders give up at the same depth.
func TestNestingIsBoundedAsGenerated(t *testing.T) {
	for _, leaf := range []byte{0, 1, 2} { // nothing, a compare, an operation inside the last one
		for levels := maxNesting/2 - 3; levels <= maxNesting/2+2; levels++ {
			var raw []byte
			if leaf > 0 {
				raw = []byte{leaf<<3 | 2, 0}
			}
			for range levels {
				op := protowire.AppendBytes([]byte{4<<3 | 2}, raw)
				raw = protowire.AppendBytes([]byte{2<<3 | 2}, op)
			}
			var ours txnRequest
			sameVerdict(t, raw, &pb.TxnRequest{}, parseTxn(raw, &ours, 0))
		}
	}
}

func FuzzDecoders(f *testing.F) {
	seed, err := proto.Marshal(&pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("k"), Target: pb.Compare_MOD,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: 7}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: []byte("k"), SortOrder: 2, MinModRevision: 9}}}},
	})
	require.NoError(f, err)
	f.Add(seed)
	f.Add([]byte{0x0a})                                           // a length without its bytes
	f.Add([]byte{0x12, 0x02, 0x22, 0x00})                         // an empty nested transaction
	f.Add([]byte{0x12, 0x06, 0x12, 0x01, 0x0a, 0x12, 0x01, 0x12}) // two puts in one oneof, cut
	f.Add([]byte{0x28, 0x80, 0x80, 0x80, 0x80, 0x10})             // an enum beyond 32 bits
	f.Add([]byte{0x0b, 0x08, 0x01, 0x0c})                         // a group
	f.Add([]byte{0xf8, 0xff, 0xff, 0xff, 0x1f, 0x00})             // a number beyond the largest
	f.Fuzz(func(t *testing.T, raw []byte) { sameOnAnyBytes(t, raw) })
}
