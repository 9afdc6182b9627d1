// Requests are read here, by hand, from their protobuf wire form.
//
// A request's bytes travel undecoded from the client into the log and to every member, so each
// member reads them at apply; the generated decoder would allocate a tree of messages for each.
// Parsed values alias the raw bytes and cost nothing but the walk. What is accepted, and what it
// means, equals the generated decoder's verdict, which a fuzz test compares: fields that are
// unknown, or known with another wire type, are skipped; the last value of a repeated scalar wins;
// a member of a oneof replaces another one and is merged with the same one.
package kv

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/mvcc"
)

var errMalformed = errors.New("kv: malformed request message")

// maxNesting is how many messages may lie inside each other, the request itself included; the
// generated decoder's bound.
const maxNesting = protowire.DefaultRecursionLimit

type rangeRequest struct {
	query        mvcc.Query
	serializable bool
}

type putRequest struct {
	key, value               []byte
	lease                    int64
	prevKV                   bool
	ignoreValue, ignoreLease bool
}

type deleteRequest struct {
	key, end []byte
	prevKV   bool
}

type compactRequest struct {
	revision mvcc.Revision
	physical bool
}

// fields walks the fields of one message. visit gets the number, the wire type, the varint value
// or the bytes; fixed-width fields are skipped as unknown.
func fields(raw []byte, visit func(num protowire.Number, typ protowire.Type, v uint64,
	b []byte) error) error {
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		if n < 0 || num > protowire.MaxValidNumber {
			return errMalformed
		}
		raw = raw[n:]
		var v uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(raw)
		default:
			n = protowire.ConsumeFieldValue(num, typ, raw)
		}
		if n < 0 {
			return errMalformed
		}
		raw = raw[n:]
		if err := visit(num, typ, v, b); err != nil {
			return err
		}
	}
	return nil
}

func parseRange(raw []byte, r *rangeRequest) error {
	q := &r.query
	return fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case typ == protowire.BytesType && num == 1:
			q.Key = b
		case typ == protowire.BytesType && num == 2:
			q.End = b
		case typ != protowire.VarintType:
		case num == 3:
			q.Limit = int64(v)
		case num == 4:
			q.Rev = mvcc.Revision(v)
		case num == 5:
			q.Order = mvcc.Order(v)
		case num == 6:
			q.Target = mvcc.Target(v)
		case num == 7:
			r.serializable = v != 0
		case num == 8:
			q.KeysOnly = v != 0
		case num == 9:
			q.CountOnly = v != 0
		case num == 10:
			q.MinMod = mvcc.Revision(v)
		case num == 11:
			q.MaxMod = mvcc.Revision(v)
		case num == 12:
			q.MinCreate = mvcc.Revision(v)
		case num == 13:
			q.MaxCreate = mvcc.Revision(v)
		}
		return nil
	})
}

func parsePut(raw []byte, p *putRequest) error {
	return fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case typ == protowire.BytesType && num == 1:
			p.key = b
		case typ == protowire.BytesType && num == 2:
			p.value = b
		case typ != protowire.VarintType:
		case num == 3:
			p.lease = int64(v)
		case num == 4:
			p.prevKV = v != 0
		case num == 5:
			p.ignoreValue = v != 0
		case num == 6:
			p.ignoreLease = v != 0
		}
		return nil
	})
}

func parseDelete(raw []byte, d *deleteRequest) error {
	return fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case typ == protowire.BytesType && num == 1:
			d.key = b
		case typ == protowire.BytesType && num == 2:
			d.end = b
		case typ == protowire.VarintType && num == 3:
			d.prevKV = v != 0
		}
		return nil
	})
}

func parseCompact(raw []byte, c *compactRequest) error {
	return fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case typ != protowire.VarintType:
		case num == 1:
			c.revision = mvcc.Revision(v)
		case num == 2:
			c.physical = v != 0
		}
		return nil
	})
}

// parseText1 reads messages whose only field that matters is a text numbered 1.
func parseText1(raw []byte) (string, error) {
	var text string
	err := fields(raw, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		if num == 1 && typ == protowire.BytesType {
			text = string(b)
		}
		return nil
	})
	return text, err
}

// parseVarint1 reads messages whose only field is a varint numbered 1.
func parseVarint1(raw []byte) (uint64, error) {
	var value uint64
	err := fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, _ []byte) error {
		if num == 1 && typ == protowire.VarintType {
			value = v
		}
		return nil
	})
	return value, err
}
