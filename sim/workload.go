package sim

import (
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
)

// The workload draws every request at the moment it is sent, from the client's own die and from
// what that client has seen: revisions, keys, versions. Nothing is prepared in advance and nothing
// is registered with the oracles first, so the requests are as blind as those of real clients.
//
// Two key spaces exist. A few hot keys are created, updated and deleted by everyone all the time;
// a prefix per client grows by appended keys and shrinks by range deletes, so that lists become
// long, blocks of the index split, and tombstones pile up.

// shape is a kind of request.
type shape uint8

const (
	shapePut shape = iota
	shapePutOptions
	shapeAppend // a new key under the client's prefix
	shapeGet
	shapeList
	shapeListOptions
	shapeListOld
	shapeSerializable
	shapeDelete
	shapeDeleteRange
	shapeUpdate // transaction: put if the key was not modified since it was read
	shapeCreate // transaction: put if the key does not exist
	shapeTxn    // transaction of anything
	shapeReadTxn
	shapeCompact
	shapeHash
	shapeMembers
	shapeStatus
	shapeBad
	shapeGrant
	shapeLeasePut
	shapeKeepAlive
	shapeTimeToLive
	shapeRevoke
	shapeLeases
	shapeBackup
	numShapes
)

// generateMix draws one of several characters: a writer, a reader, a mixed one, an erratic one.
func generateMix(d *die) Mix {
	m := Mix{
		shapePut: 20, shapePutOptions: 4, shapeAppend: 10, shapeGet: 20, shapeList: 5,
		shapeListOptions: 5, shapeListOld: 4, shapeSerializable: 3, shapeDelete: 6,
		shapeDeleteRange: 2, shapeUpdate: 8, shapeCreate: 5, shapeTxn: 8, shapeReadTxn: 4,
		shapeCompact: 2, shapeHash: 1, shapeMembers: 1, shapeStatus: 1, shapeBad: 1,
		shapeGrant: 4, shapeLeasePut: 8, shapeKeepAlive: 8, shapeTimeToLive: 3, shapeRevoke: 1,
		shapeLeases: 1,
		shapeBackup: 1,
	}
	switch d.below(4) {
	case 0:
		m[shapePut], m[shapeAppend], m[shapeUpdate] = 60, 30, 20
	case 1:
		m[shapeGet], m[shapeReadTxn], m[shapeList] = 80, 20, 15
	case 2:
		for i := range m {
			m[i] = uint16(d.within(0, 10))
		}
		m[shapePut]++
	}
	return m
}

// knowledge is what a client remembers of the answers that it got.
type knowledge struct {
	revision int64 // the highest in any header
	compact  int64 // the highest compacted revision it asked for
	appended int64 // keys it has put under its prefix
	// lastKey was seen with lastMod: what a guarded update compares with.
	lastKey []byte
	lastMod int64
	leases  []int64 // granted to it, the newest last
}

// author draws requests for one client.
type author struct {
	die    die
	client int
	number int64 // of the operation; makes values unique
	script *Script
	known  *knowledge
	limits *kv.Limits
}

// request is one drawn request: exactly one of the fields of Modelled, or a method without a
// model.
type request struct {
	method   kv.Method
	modelled linearizability.Request
	auth     proto.Message // a request about users, nil for all others
	raw      []byte
}

func (a *author) draw() request {
	var r request
	switch s := shape(a.die.weighted(a.script.Mix[:])); s {
	case shapePut, shapePutOptions, shapeAppend:
		r.modelled.Put = a.put(s)
	case shapeGet, shapeList, shapeListOptions, shapeListOld, shapeSerializable:
		r.modelled.Range = a.list(s)
		if a.die.chance(150_000) {
			return a.streamed(r)
		}
	case shapeDelete, shapeDeleteRange:
		r.modelled.DeleteRange = a.delete(s)
	case shapeUpdate, shapeCreate:
		r.modelled.Txn = a.guarded(s)
	case shapeTxn:
		r.modelled.Txn = a.txn(0)
	case shapeReadTxn:
		r.modelled.Txn = a.readTxn()
	case shapeCompact:
		r.modelled.Compact = a.compact()
	case shapeBad:
		a.bad(&r.modelled)
	case shapeGrant, shapeLeasePut, shapeKeepAlive, shapeTimeToLive, shapeRevoke, shapeLeases:
		return a.leased(s)
	default:
		return a.unmodelled(s)
	}
	return marshalled(r)
}

// marshalled fills in the method and the wire form of a modelled request.
func marshalled(r request) request {
	m := &r.modelled
	var err error
	switch {
	case m.Range != nil:
		r.method = kv.MethodRange
		r.raw, err = marshal(m.Range)
	case m.Put != nil:
		r.method = kv.MethodPut
		r.raw, err = marshal(m.Put)
	case m.DeleteRange != nil:
		r.method = kv.MethodDeleteRange
		r.raw, err = marshal(m.DeleteRange)
	case m.Txn != nil:
		r.method = kv.MethodTxn
		r.raw, err = marshal(m.Txn)
	case m.Compact != nil:
		r.method = kv.MethodCompact
		r.raw, err = marshal(m.Compact)
	case m.Grant != nil:
		r.method = kv.MethodLeaseGrant
		r.raw, err = marshal(m.Grant)
	case m.Revoke != nil:
		r.method = kv.MethodLeaseRevoke
		r.raw, err = marshal(m.Revoke)
	case m.KeepAlive != nil:
		r.method = kv.MethodLeaseKeepAlive
		r.raw, err = marshal(m.KeepAlive)
	case m.TimeToLive != nil:
		r.method = kv.MethodLeaseTimeToLive
		r.raw, err = marshal(m.TimeToLive)
	}
	if err != nil {
		panic(fmt.Sprintf("sim: a request does not marshal: %v", err))
	}
	return r
}

func (a *author) unmodelled(s shape) request {
	switch s {
	case shapeHash:
		raw, err := marshal(&pb.HashKVRequest{Revision: a.oldRevision()})
		if err != nil {
			panic(err)
		}
		return request{method: kv.MethodHashKV, raw: raw}
	case shapeMembers:
		return request{method: kv.MethodMemberList}
	case shapeBackup:
		return request{method: kv.MethodSnapshot}
	}
	return request{method: kv.MethodStatus}
}

// hotKey is one of the few keys that everyone fights over.
func (a *author) hotKey() []byte {
	return fmt.Appendf(nil, "k%d", a.die.below(int64(a.script.Keys)))
}

// prefix is the client's own prefix, or sometimes another one's.
func (a *author) prefix() []byte {
	client := a.client
	if a.die.chance(300_000) {
		client = int(a.die.below(8))
	}
	return fmt.Appendf(nil, "p%d/", client)
}

// anyKey is a hot key or one of the growing prefixes; not every one exists.
func (a *author) anyKey() []byte {
	if a.die.chance(600_000) {
		return a.hotKey()
	}
	return fmt.Appendf(a.prefix(), "%05d", a.die.below(a.known.appended+2))
}

// value is unique, so that whoever reads it knows whose it is; its length varies over blocks and
// sectors.
func (a *author) value() []byte {
	v := fmt.Appendf(nil, "c%d-%d", a.client, a.number)
	if a.die.chance(200_000) {
		pad := a.die.spread(1, 1200)
		for i := range pad {
			v = append(v, byte('a'+(a.number+i)%26))
		}
	}
	return v
}

func (a *author) put(s shape) *pb.PutRequest {
	switch s {
	case shapeAppend:
		a.known.appended++
		key := fmt.Appendf(nil, "p%d/%05d", a.client, a.known.appended)
		return &pb.PutRequest{Key: key, Value: a.value()}
	case shapePutOptions:
		r := &pb.PutRequest{Key: a.anyKey(), PrevKv: a.die.chance(700_000)}
		r.IgnoreLease = a.die.chance(200_000)
		if r.IgnoreValue = a.die.chance(300_000); !r.IgnoreValue {
			r.Value = a.value()
			if a.die.chance(50_000) {
				r.Value = nil
			}
		}
		return r
	}
	return &pb.PutRequest{Key: a.hotKey(), Value: a.value()}
}

func (a *author) delete(s shape) *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{Key: a.anyKey(), PrevKv: a.die.chance(500_000)}
	if s == shapeDeleteRange {
		r.Key, r.RangeEnd = a.interval()
	}
	return r
}

// interval is some interval: a prefix, a part of one, everything, from a key on, or an empty one.
func (a *author) interval() (key, end []byte) {
	switch a.die.below(10) {
	case 0:
		return []byte{0}, []byte{0}
	case 1:
		return a.anyKey(), []byte{0}
	case 2:
		return a.anyKey(), a.anyKey()
	case 3, 4:
		return []byte("k"), []byte("l")
	}
	key = a.prefix()
	end = append([]byte(nil), key...)
	end[len(end)-1]++
	if a.die.chance(400_000) {
		key = fmt.Appendf(key, "%05d", a.die.below(a.known.appended+2))
	}
	return key, end
}

// oldRevision is a revision to read at: the present one (0), a recent one, the newest seen, an old
// one, or one that does not exist yet.
func (a *author) oldRevision() int64 {
	newest := max(a.known.revision, 1)
	switch a.die.below(8) {
	case 0:
		return 0
	case 1:
		return newest
	case 2:
		return newest + a.die.within(1, 3)
	case 3:
		return a.die.within(1, newest)
	case 4:
		return max(a.known.compact+a.die.within(-1, 1), 1)
	}
	return max(newest-a.die.within(0, 20), 1)
}

// compact asks for a revision at which something may just have happened: the present one, one of
// the last few, or one already gone.
func (a *author) compact() *pb.CompactionRequest {
	newest := max(a.known.revision, 1)
	rev := newest - a.die.within(0, 30)
	switch a.die.below(8) {
	case 0, 1:
		rev = newest
	case 2:
		rev = newest + 1
	case 3:
		rev = a.known.compact
	}
	a.known.compact = max(a.known.compact, rev)
	return &pb.CompactionRequest{Revision: rev, Physical: a.die.chance(300_000)}
}

// learn takes over what an answer teaches.
func (k *knowledge) learn(res *linearizability.Response) {
	k.revision = max(k.revision, res.Revision())
	if res.Range != nil {
		for _, pair := range res.Range.Kvs {
			k.see(pair)
		}
	}
}

func (k *knowledge) see(pair *mvccpb.KeyValue) {
	k.lastKey, k.lastMod = pair.Key, pair.ModRevision
}

// A request carries the number of its operation as an unknown field at its very end, which every
// protobuf reader skips. So equal requests differ in the log, and the commit oracle can say whose
// request an entry is.
var markTag = [3]byte{0xf9, 0xff, 0x03} // field 8191, wire type fixed64

const markBytes = len(markTag) + 8

func appendMark(raw []byte, operation uint64) []byte {
	raw = append(raw, markTag[:]...)
	return binary.LittleEndian.AppendUint64(raw, operation)
}

// markOf returns the number that appendMark put at the end of a request.
func markOf(raw []byte) (operation uint64, ok bool) {
	if len(raw) < markBytes || [3]byte(raw[len(raw)-markBytes:]) != markTag {
		return 0, false
	}
	return binary.LittleEndian.Uint64(raw[len(raw)-8:]), true
}
