package watch

// What watchers get, in protobuf wire form. A response is made once for all who get it: everything
// but the watch_id (field 2), which is the only thing that differs. Protobuf does not care for the
// order of fields, so whoever sends a response puts each recipient's watch_id in front of the
// shared bytes.
//
//	WatchResponse  1 header, 2 watch_id, 3 created, 4 canceled, 5 compact_revision,
//	               6 cancel_reason, 7 fragment, 11 events
//	Event          1 type (1 is DELETE), 2 kv, 3 prev_kv

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/mvcc"
)

// Header is the content of a response header.
type Header struct {
	Cluster, Member uint64
	Revision        mvcc.Revision
	Term            uint64
}

// Delivery is one response on its way to those who get it. To is lent until the next step, what
// Body leads to is immutable for ever.
type Delivery struct {
	To []Recipient
	// Body, its pieces joined, is the WatchResponse without its watch_id.
	Body [][]byte
	// Charge is what each recipient's stream is charged until its edge reports the response as
	// consumed.
	Charge int
	Events int // that Body carries
}

// AppendID appends the field that makes a Delivery's body a recipient's response.
func AppendID(b []byte, id int64) []byte { return appendVarint(b, 2, uint64(id)) }

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func varintSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func appendHeader(b []byte, h Header) []byte {
	size := varintSize(h.Cluster) + varintSize(h.Member) + varintSize(uint64(h.Revision)) +
		varintSize(h.Term)
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendVarint(b, 1, h.Cluster)
	b = appendVarint(b, 2, h.Member)
	b = appendVarint(b, 3, uint64(h.Revision))
	return appendVarint(b, 4, h.Term)
}

// headerRoom is more than a header takes.
const headerRoom = 48

// notice is a response without events.
type notice struct {
	created, canceled bool
	compacted         mvcc.Revision
	reason            string
}

func (n notice) encode(h Header) []byte {
	b := appendHeader(make([]byte, 0, headerRoom+len(n.reason)+24), h)
	if n.created {
		b = appendVarint(b, 3, 1)
	}
	if n.canceled {
		b = appendVarint(b, 4, 1)
	}
	b = appendVarint(b, 5, uint64(n.compacted))
	if n.reason != "" {
		b = protowire.AppendTag(b, 6, protowire.BytesType)
		b = protowire.AppendString(b, n.reason)
	}
	return b
}

// Tags of the fields of an event, all of one byte.
const (
	tagEvents = byte(11)<<3 | byte(protowire.BytesType)
	tagType   = byte(1)<<3 | byte(protowire.VarintType)
	tagKV     = byte(2)<<3 | byte(protowire.BytesType)
	tagPrev   = byte(3)<<3 | byte(protowire.BytesType)
	tagKey    = byte(1)<<3 | byte(protowire.BytesType)
	tagMod    = byte(3)<<3 | byte(protowire.VarintType)
)

// encodeEvent writes an event as a field of a WatchResponse. kv is the change's KeyValue as it is
// stored; prev is the KeyValue before it, nil if there is none or it is not wanted. A stored
// tombstone has only the key; the event of a deletion has its revision, too.
func encodeEvent(c mvcc.Change, rev mvcc.Revision, prev []byte) []byte {
	kv, stamp := len(c.KV), 0
	deleted := c.Kind == mvcc.TombstoneRecord
	body := 0
	if deleted {
		stamp = 1 + protowire.SizeVarint(uint64(rev))
		kv += stamp
		body += 2
	}
	body += 1 + protowire.SizeBytes(kv)
	if prev != nil {
		body += 1 + protowire.SizeBytes(len(prev))
	}
	b := make([]byte, 0, 1+protowire.SizeBytes(body))
	b = protowire.AppendVarint(append(b, tagEvents), uint64(body))
	if deleted {
		b = append(b, tagType, 1)
	}
	b = protowire.AppendVarint(append(b, tagKV), uint64(kv))
	b = append(b, c.KV...)
	if deleted {
		b = protowire.AppendVarint(append(b, tagMod), uint64(rev))
	}
	if prev != nil {
		b = protowire.AppendBytes(append(b, tagPrev), prev)
	}
	return b
}

const (
	// inlineBytes is the size up to which copying an event costs less than carrying it as a piece.
	inlineBytes = 512
	// pieceBytes is the size of the pieces into which small events are copied.
	pieceBytes = 32 << 10
)

// fragmented says whether a response is followed by more of the same.
type fragmented byte

const (
	whole fragmented = iota
	fragment
)

// encodeEvents writes a response with events.
func encodeEvents(head []byte, events []event, size int, f fragmented) [][]byte {
	open := make([]byte, 0, len(head)+2+min(size, pieceBytes))
	open = append(open, head...)
	if f == fragment {
		open = appendVarint(open, 7, 1)
	}
	var body [][]byte
	for i := range events {
		e := events[i].bytes
		if len(e) <= inlineBytes {
			if len(open)+len(e) > cap(open) && len(open) > 0 {
				body = append(body, open)
				open = make([]byte, 0, pieceBytes)
			}
			open = append(open, e...)
			continue
		}
		if len(open) > 0 {
			body = append(body, open)
			open = nil
		}
		body = append(body, e)
	}
	if len(open) > 0 {
		body = append(body, open)
	}
	return body
}
