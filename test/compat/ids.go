package main

// The ids that one server drew by itself, leases' and members', and what symbols stand for them.
// Answers are compared with every drawn id replaced by the number of its draw, so the two servers'
// may differ while everything that refers to them has to agree.

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const slots = 4 // leases, members, owners that steps can refer to

// absent is what an empty slot means: an id that nothing has.
const absent = 0x5ca1ab1e

// owner is what a lock or a campaign got.
type owner struct {
	key      []byte
	revision int64
}

// ids are those of one server.
type ids struct {
	own     uint64
	drawn   map[int64]int64 // by id: the number of the draw
	leases  [slots]int64
	members [slots]int64
	owners  [slots]owner
	count   [3]int // leases, members, owners so far
}

func newIDs(own uint64) *ids {
	d := &ids{own: own, drawn: map[int64]int64{}}
	d.forget()
	return d
}

// forget empties all slots. The drawn ids stay known: a late answer may still name one.
func (d *ids) forget() {
	*d = ids{own: d.own, drawn: d.drawn}
	d.members[0] = int64(d.own)
}

func (d *ids) draw(id int64) {
	if _, known := d.drawn[id]; !known {
		d.drawn[id] = int64(len(d.drawn)) + 1
	}
}

func (d *ids) addLease(id int64) {
	d.draw(id)
	d.leases[d.count[0]%slots] = id
	d.count[0]++
}

func (d *ids) addMember(id uint64) {
	d.draw(int64(id))
	d.members[1+d.count[1]%(slots-1)] = int64(id)
	d.count[1]++
}

// drawFromKey notes the lease that a server drew for a lock or a campaign: the key ends with it.
func (d *ids) drawFromKey(key []byte) {
	slash := bytes.LastIndexByte(key, '/')
	if id, err := strconv.ParseUint(string(key[slash+1:]), 16, 64); err == nil {
		d.draw(int64(id))
	}
}

func (d *ids) addOwner(key []byte, revision int64) {
	d.owners[d.count[2]%slots] = owner{bytes.Clone(key), revision}
	d.count[2]++
}

// revisions are the store's, the same on both servers or a difference was found already.
type revisions struct {
	current, compacted int64
	serial             int // of the step, counted over the life of the pair
}

func (d *ids) number(v int64, r revisions) int64 {
	kind, offset, ok := splitSymbol(v)
	if !ok {
		return v
	}
	slot := int(offset) & (slots - 1)
	switch kind {
	case symRevision:
		return r.current + offset
	case symCompact:
		return r.compacted + offset
	case symLease:
		return orAbsent(d.leases[slot])
	case symMember:
		return orAbsent(d.members[slot])
	}
	return d.owners[slot].revision
}

func orAbsent(id int64) int64 {
	if id == 0 {
		return absent
	}
	return id
}

// resolve returns the request with symbols replaced by what they mean for this server.
func (d *ids) resolve(m proto.Message, r revisions, l limits) proto.Message {
	m = proto.Clone(m)
	walk(m.ProtoReflect(), func(_ protoreflect.Message, f protoreflect.FieldDescriptor,
		v protoreflect.Value,
	) protoreflect.Value {
		switch {
		case isInteger(f):
			return integerValue(f, d.number(integer(f, v), r))
		case f.Kind() == protoreflect.BytesKind:
			return protoreflect.ValueOfBytes(d.bytes(v.Bytes(), l))
		case f.Kind() == protoreflect.StringKind && v.String() == newPeer:
			return protoreflect.ValueOfString(fmt.Sprintf("http://127.0.0.1:%d",
				10_000+r.serial%50_000))
		}
		return v
	})
	return m
}

func (d *ids) bytes(v []byte, l limits) []byte {
	if n, ok := bytesSymbol(v, sizePrefix); ok {
		return bytes.Repeat([]byte{'v'}, l.request+n)
	}
	if n, ok := bytesSymbol(v, ownerPrefix); ok {
		if key := d.owners[n&(slots-1)].key; key != nil {
			return key
		}
		return []byte("no owner")
	}
	return v
}

// isDrawn says that an id must be one that a server drew: for a lock or a campaign, perhaps, that
// nobody got.
func isDrawn(id int64) bool {
	_, _, named := splitSymbol(id)
	return id > drawnAtLeast && id != math.MaxInt64 && !named
}

// hideDrawn replaces all ids of leases that a server drew in an event: they are seen before anybody
// knows which draw they come from.
func hideDrawn(e *mvccpb.Event) {
	(&ids{}).hide(e)
	for _, kv := range []*mvccpb.KeyValue{e.Kv, e.PrevKv} {
		if kv != nil && isDrawn(kv.Lease) {
			kv.Lease = symbol(symLease, 0)
		}
	}
}

// hideAlarm replaces the drawn id of a member in the text of an alarm.
func (d *ids) hideAlarm(text string) string {
	rest, ok := strings.CutPrefix(text, "memberID:")
	number, kind, _ := strings.Cut(rest, " ")
	id, err := strconv.ParseUint(number, 10, 64)
	if n, drawn := d.drawn[int64(id)]; ok && err == nil && drawn {
		return fmt.Sprintf("member drawn %d %s", n, kind)
	}
	return text
}

// hide replaces drawn ids in an answer, as numbers and in hexadecimal inside keys, which is how
// locks and elections name them.
func (d *ids) hide(m proto.Message) {
	walk(m.ProtoReflect(), func(_ protoreflect.Message, f protoreflect.FieldDescriptor,
		v protoreflect.Value,
	) protoreflect.Value {
		switch {
		case isInteger(f):
			if n, ok := d.drawn[integer(f, v)]; ok {
				return integerValue(f, symbol(symLease, n))
			}
		case f.Kind() == protoreflect.BytesKind && len(v.Bytes()) < 1000:
			key := v.Bytes()
			slash := bytes.LastIndexByte(key, '/')
			id, err := strconv.ParseUint(string(key[slash+1:]), 16, 64)
			n, ok := d.drawn[int64(id)]
			if err == nil && slash >= 0 && (ok || isDrawn(int64(id))) {
				hidden := append(bytes.Clone(key[:slash+1]), "lease "...)
				return protoreflect.ValueOfBytes(strconv.AppendInt(hidden, n, 10))
			}
		}
		return v
	})
}
