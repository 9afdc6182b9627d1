package mvcc

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func drawKeyValue(t *rapid.T) KeyValue {
	number := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 300), rapid.Int64())
	return KeyValue{
		Key:     rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "key"),
		Create:  Revision(number.Draw(t, "create")),
		Mod:     Revision(number.Draw(t, "mod")),
		Version: number.Draw(t, "version"),
		Value:   rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value"),
		Lease:   number.Draw(t, "lease"),
	}
}

func generated(kv *KeyValue) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Key: kv.Key, CreateRevision: int64(kv.Create),
		ModRevision: int64(kv.Mod), Version: kv.Version, Value: kv.Value, Lease: kv.Lease}
}

func TestWireFormIsTheGeneratedOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kv := drawKeyValue(t)
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(generated(&kv))
		require.NoError(t, err)
		wire := kv.AppendWire(nil)
		require.Equal(t, append([]byte{}, want...), append([]byte{}, wire...))
		require.Equal(t, len(wire), kv.WireSize())
		back, err := ParseKeyValue(wire)
		require.NoError(t, err)
		require.Equal(t, wire, back.AppendWire(nil))
	})
}

// FuzzParseKeyValue: what is accepted is canonical, and means the same to the generated parser.
func FuzzParseKeyValue(f *testing.F) {
	full := KeyValue{Key: []byte("k"), Create: 2, Mod: 300, Version: 3, Value: []byte("v"), Lease: -1}
	f.Add([]byte(nil))
	f.Add(full.AppendWire(nil))
	f.Add((&KeyValue{Key: []byte("tombstone")}).AppendWire(nil))
	// An explicit zero.
	f.Add([]byte{tagKey, 0})
	// A longer varint than needed.
	f.Add([]byte{tagCreate, 0x81, 0})
	// Descending fields.
	f.Add([]byte{tagMod, 1, tagCreate, 1})
	// A field twice.
	f.Add([]byte{tagKey, 1, 'a', tagKey, 1, 'b'})
	// Longer than what there is.
	f.Add([]byte{tagKey, 200, 1, 'a'})
	// Wrong wire type.
	f.Add([]byte{tagCreate | wireBytes, 1, 'a'})
	// An unknown field.
	f.Add([]byte{7 << 3, 1})
	// Overflow.
	f.Add([]byte{tagMod, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		kv, err := ParseKeyValue(b)
		if err != nil {
			return
		}
		require.Equal(t, append([]byte{}, b...), append([]byte{}, kv.AppendWire(nil)...))
		var other mvccpb.KeyValue
		require.NoError(t, proto.Unmarshal(b, &other))
		require.True(t, proto.Equal(generated(&kv), &other))
	})
}
