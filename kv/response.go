// Answers are written here, by hand, in protobuf wire form.
//
// A stored KeyValue is already in wire form, so an answer is a list of pieces: framing bytes that
// are written here and KeyValues that are handed on as they lie.
package kv

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/mvcc"
)

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendVarint(b, num, 1)
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

func appendString(b []byte, num protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, v)
}

func appendHeaderBody(b []byte, h Header) []byte {
	b = appendVarint(b, 1, h.Cluster)
	b = appendVarint(b, 2, uint64(h.Member))
	b = appendVarint(b, 3, uint64(h.Revision))
	return appendVarint(b, 4, uint64(h.Term))
}

func headerSize(h Header) int {
	return varintSize(h.Cluster) + varintSize(uint64(h.Member)) +
		varintSize(uint64(h.Revision)) + varintSize(uint64(h.Term))
}

func varintSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// appendHeader writes h as field 1, which every response has.
func appendHeader(b []byte, h Header) []byte {
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(headerSize(h)))
	return appendHeaderBody(b, h)
}

// pieces gathers a body: small things are copied together, large ones are referred to.
type pieces struct {
	done [][]byte
	open []byte
}

// inlineBytes is the size up to which copying a KeyValue is cheaper than carrying it as a piece of
// its own (a slice header, and an element of the vector that the transport writes).
const inlineBytes = 512

// gatherBytes is the size of the buffers into which large lists are gathered.
const gatherBytes = 32 << 10

func (p *pieces) framed(num protowire.Number, b []byte) {
	p.open = protowire.AppendTag(p.open, num, protowire.BytesType)
	p.open = protowire.AppendVarint(p.open, uint64(len(b)))
	p.raw(b)
}

// raw adds bytes that are already framed.
func (p *pieces) raw(b []byte) {
	if len(b) <= inlineBytes {
		p.open = append(p.open, b...)
		return
	}
	if len(p.open) > 0 {
		p.done = append(p.done, p.open)
		p.open = nil
	}
	p.done = append(p.done, b)
}

func (p *pieces) finish() [][]byte {
	if len(p.open) > 0 {
		p.done = append(p.done, p.open)
	}
	return p.done
}

func (p *pieces) size() int {
	n := len(p.open)
	for _, b := range p.done {
		n += len(b)
	}
	return n
}

// rangeBody writes a RangeResponse.
func rangeBody(h Header, r *mvcc.Result) [][]byte {
	var p pieces
	size := headerSize(h) + 24
	if len(r.KVs) > 0 && len(r.KVs[0]) <= inlineBytes {
		size += len(r.KVs[0]) + 8
	}
	p.open = appendHeader(make([]byte, 0, size), h)
	for _, kv := range r.KVs {
		p.gather(2, kv)
	}
	p.open = appendBool(p.open, 3, r.More)
	p.open = appendVarint(p.open, 4, uint64(r.Count))
	return p.finish()
}

// gather adds a KeyValue of a list: lists are copied into large buffers, because a transport pays
// more for a piece than for copying a kilobyte.
func (p *pieces) gather(num protowire.Number, kv []byte) {
	need := len(kv) + 12
	if len(p.open)+need > cap(p.open) && len(p.open) > inlineBytes {
		p.done = append(p.done, p.open)
		p.open = nil
	}
	if p.open == nil {
		p.open = make([]byte, 0, max(gatherBytes, need))
	}
	p.open = appendBytes(p.open, num, kv)
}

// putBody writes a PutResponse; prev is nil unless it was asked for and exists.
func putBody(h Header, prev []byte) [][]byte {
	b := appendHeader(make([]byte, 0, headerSize(h)+4), h)
	if prev == nil {
		return [][]byte{b}
	}
	p := pieces{open: b}
	p.framed(2, prev)
	return p.finish()
}

// deleteBody writes a DeleteRangeResponse.
func deleteBody(h Header, deleted int64, prev [][]byte) [][]byte {
	p := pieces{open: appendHeader(make([]byte, 0, headerSize(h)+16), h)}
	p.open = appendVarint(p.open, 2, uint64(deleted))
	for _, kv := range prev {
		p.gather(3, kv)
	}
	return p.finish()
}

// headerBody writes a response that is only a header.
func headerBody(h Header) [][]byte {
	return [][]byte{appendHeader(make([]byte, 0, headerSize(h)+4), h)}
}
