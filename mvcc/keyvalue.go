package mvcc

// A KeyValue travels in one encoding, protobuf's wire form of mvccpb.KeyValue, from the write that
// makes it to every reader: segments, answers, events, hashes and shipments share its bytes. This
// file makes and reads that form by hand, because the engine needs neither reflection nor a second
// copy, and because hashes need the form to be canonical: fields ascending, each at most once, zero
// values left out. Reading refuses everything else, so that a record that was accepted once means
// the same to every parser.

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// KeyValue is the content of one version of a key. A tombstone's has only a key.
type KeyValue struct {
	Key     []byte
	Create  Revision // the revision that began the key's present life
	Mod     Revision
	Version int64 // counts the puts of the present life, from 1
	Value   []byte
	Lease   int64
}

// The tags of mvccpb.KeyValue: field number and wire type in one byte.
const (
	tagKey     = 1<<3 | wireBytes
	tagCreate  = 2<<3 | wireVarint
	tagMod     = 3<<3 | wireVarint
	tagVersion = 4<<3 | wireVarint
	tagValue   = 5<<3 | wireBytes
	tagLease   = 6<<3 | wireVarint

	wireVarint = 0
	wireBytes  = 2
)

var errKeyValue = errors.New("mvcc: not a canonical KeyValue")

// appendVarint appends a varint field, nothing when x is zero.
func appendVarint(dst []byte, tag byte, x int64) []byte {
	if x == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag), uint64(x))
}

// appendBytesHead appends what precedes the content of a bytes field, nothing when n is zero.
func appendBytesHead(dst []byte, tag byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag), uint64(n))
}

// AppendWire appends the wire form of kv.
func (kv *KeyValue) AppendWire(dst []byte) []byte {
	dst = append(appendBytesHead(dst, tagKey, len(kv.Key)), kv.Key...)
	dst = appendVarint(dst, tagCreate, int64(kv.Create))
	dst = appendVarint(dst, tagMod, int64(kv.Mod))
	dst = appendVarint(dst, tagVersion, kv.Version)
	dst = append(appendBytesHead(dst, tagValue, len(kv.Value)), kv.Value...)
	return appendVarint(dst, tagLease, kv.Lease)
}

// WireSize is the length of kv's wire form.
func (kv *KeyValue) WireSize() int {
	return bytesSize(len(kv.Key)) + varintSize(int64(kv.Create)) + varintSize(int64(kv.Mod)) +
		varintSize(kv.Version) + bytesSize(len(kv.Value)) + varintSize(kv.Lease)
}

func varintSize(x int64) int {
	if x == 0 {
		return 0
	}
	return 1 + (bits.Len64(uint64(x))+6)/7
}

func bytesSize(n int) int {
	if n == 0 {
		return 0
	}
	return varintSize(int64(n)) + n
}

// ParseKeyValue reads a wire form. Key and Value lie inside b. It accepts exactly what AppendWire
// makes.
func ParseKeyValue(b []byte) (kv KeyValue, err error) {
	rest := b
	last := byte(0)
	for len(rest) > 0 {
		tag := rest[0]
		if tag <= last {
			return KeyValue{}, errKeyValue
		}
		last = tag
		x, n := binary.Uvarint(rest[1:])
		if n <= 0 || x == 0 || n != (bits.Len64(x)+6)/7 {
			return KeyValue{}, errKeyValue
		}
		rest = rest[1+n:]
		if tag&7 == wireBytes {
			if x > uint64(len(rest)) {
				return KeyValue{}, errKeyValue
			}
			field := rest[:x:x]
			rest = rest[x:]
			switch tag {
			case tagKey:
				kv.Key = field
			case tagValue:
				kv.Value = field
			default:
				return KeyValue{}, errKeyValue
			}
			continue
		}
		switch tag {
		case tagCreate:
			kv.Create = Revision(x)
		case tagMod:
			kv.Mod = Revision(x)
		case tagVersion:
			kv.Version = int64(x)
		case tagLease:
			kv.Lease = int64(x)
		default:
			return KeyValue{}, errKeyValue
		}
	}
	return kv, nil
}
