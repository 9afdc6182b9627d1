package sim

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/kv"
)

// Range streams: a member reads one chunk per event, other events come between them, and now and
// then it gives its view back and goes on with another one, as the edge does for a slow client.
// The chunks, one after the other, are the merged answer, which is judged like a plain Range's.

// openStream is a range stream in the middle of its answer.
type openStream struct {
	stream  *kv.RangeStream
	token   kv.Token // under which its client waits
	body    []byte   // the range responses so far
	resumed int      // how often the view was changed
}

// viewChangePPM is how often a stream changes its view after a chunk.
const viewChangePPM = 500_000

// streamed makes a drawn read a stream. Most are without what streams refuse, so that they stream.
func (a *author) streamed(r request) request {
	q := r.modelled.Range
	if a.die.chance(900_000) {
		q.MinModRevision, q.MaxModRevision = 0, 0
		q.MinCreateRevision, q.MaxCreateRevision = 0, 0
		q.SortOrder = pb.RangeRequest_NONE
	}
	target := q.SortTarget
	if q.SortOrder == pb.RangeRequest_NONE {
		q.SortTarget = pb.RangeRequest_KEY // a stream ignores a target without an order
	}
	r = marshalled(r)
	r.method = kv.MethodRangeStream
	if target != q.SortTarget {
		r.raw = protowire.AppendTag(r.raw, 6, protowire.VarintType)
		r.raw = protowire.AppendVarint(r.raw, uint64(target))
	}
	return r
}

// streamOf is the stream that a granted read begins or resumes.
func (m *member) streamOf(r *kv.Read) *openStream {
	for i, s := range m.resuming {
		if s.token == r.Token {
			m.resuming = append(m.resuming[:i], m.resuming[i+1:]...)
			s.stream.Resume(r)
			return s
		}
	}
	return &openStream{stream: r.Stream(), token: r.Token}
}

// stream reads a chunk, and lets the next one come, or answers.
func (m *member) stream(g grantedRead) {
	w := m.world
	s := g.stream
	if g.viewless {
		m.askView(s)
		return
	}
	var a kv.Answer
	var last bool
	if failed := guard(func() { a, last = s.stream.Next(&w.scratch) }); failed != "" {
		w.fail(OraclePanic, "member %d: panic in a stream: %s", m.index, failed)
		return
	}
	a.Token = s.token
	if a.Code == kv.OK && !m.addChunk(s, &a, last) {
		return
	}
	if !m.reportDamage(&a) {
		return
	}
	d := newDie(w.plan.Seed, entityStream, uint64(w.counts.Chunks))
	switch {
	case last:
		if a.Code == kv.ErrCompacted && s.resumed > 0 {
			w.probes.hits[probeStreamCompacted]++
			a.Code = kv.ErrTimeout // the present was compacted meanwhile: no statement about it
		}
		a.Body = [][]byte{s.body}
		a.Confirmed, a.Applied = g.read.Confirmed(), g.read.Applied()
		m.input(kv.Input{Kind: kv.InputViewEnd, View: s.stream.View()})
		m.reply(&a, g.read.Applied(), g.read.Applied())
	case d.chance(viewChangePPM):
		m.input(kv.Input{Kind: kv.InputViewEnd, View: s.stream.View()})
		g.viewless = true
		w.schedule(event{at: w.now + w.readDelay(&d), kind: eventRead, node: uint8(m.index),
			slot: w.reads.put(g)})
	default:
		w.schedule(event{at: w.now + w.readDelay(&d), kind: eventRead,
			node: uint8(m.index), slot: w.reads.put(g)})
	}
}

// addChunk takes a chunk over if it has the form that the API promises.
func (m *member) addChunk(s *openStream, a *kv.Answer, last bool) bool {
	w := m.world
	w.counts.Chunks++
	var chunk pb.RangeStreamResponse
	var wire []byte
	for _, piece := range a.Body {
		wire = append(wire, piece...)
	}
	if err := unmarshal(wire, &chunk); err != nil {
		w.fail(OracleCodec, "member %d sends a chunk that does not decode: %v", m.index, err)
		return false
	}
	r := chunk.RangeResponse
	ends := r.GetHeader() != nil
	switch {
	case ends != last:
		w.fail(OracleModel, "member %d: of chunk %d, last is %v, and has a header is %v", m.index,
			w.counts.Chunks, last, ends)
	case !last && (len(r.GetKvs()) == 0 || r.GetMore() || r.GetCount() != 0):
		w.fail(OracleModel, "member %d: a chunk in the middle has %d keys, more %v, count %d",
			m.index, len(r.GetKvs()), r.GetMore(), r.GetCount())
	case last && len(s.body) > 0 && len(r.GetKvs()) == 0:
		w.fail(OracleModel, "member %d: the last one of several chunks is empty", m.index)
	default:
		_, _, tag := protowire.ConsumeTag(wire)
		inner, _ := protowire.ConsumeBytes(wire[tag:])
		s.body = append(s.body, inner...)
		return true
	}
	return false
}

// askView asks for another view for a stream, under a new token.
func (m *member) askView(s *openStream) {
	w := m.world
	w.counts.Requests++
	w.counts.Resumed++
	w.probes.hits[probeStreamResumed]++
	token := kv.Token(w.counts.Requests)
	var who *kv.Identity
	for i := range m.waiting {
		if m.waiting[i].token == s.token {
			m.waiting[i].token = token
			who = w.calls[m.waiting[i].call-1].identity
		}
	}
	s.token = token
	s.resumed++
	m.resuming = append(m.resuming, s)
	m.input(kv.Input{Kind: kv.InputRequest, Request: &kv.Request{
		Token: token, Method: kv.MethodRangeStream, Raw: s.stream.Again(),
		Identity: who,
	}})
}
