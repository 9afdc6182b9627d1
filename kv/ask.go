// Asks: what only the leader can answer, a member asks it on its client's behalf.
//
// An ask is sent again when nothing was heard for askRetry, and when the leader changed, so a
// leader may get it more than once: only what is harmless to repeat is asked. The leader's answer
// is the client's; a member that does not lead answers "not leader", and then the asker waits for
// the next leader.
//
//	ask   u8 method | request message
//	tell  Hint is the Code, Data the response message
package kv

import (
	"cmp"
	"slices"

	"github.com/detcd/detcd/raft"
)

// askRetry is how long an ask may stay unanswered before it is sent again, in nanoseconds.
const askRetry = readRetry

// remoteToken marks the tokens of requests that came from another member; the edge's are below it.
const remoteToken Token = 1 << 63

// ask is a request of ours that waits for the leader's answer.
type ask struct {
	id       raft.ReadID
	request  Request
	deadline int64 // mono
	sent     int64 // mono; when it was last sent, -1 when it is to be sent
}

// remoteAsk is a request of another member that this one answers as the leader.
type remoteAsk struct {
	token Token
	from  raft.MemberID
	start raft.Incarnation // of the asker, for which the answer is meant
	id    raft.ReadID
}

type asks struct {
	open      []ask // in order of id
	nextID    raft.ReadID
	remote    []remoteAsk // in order of token
	newest    []remoteAsk // the newest of each member
	nextToken Token
}

// askLeader lets the leader answer a request: this member, if it leads.
func (n *Node) askLeader(r *Request) {
	if n.role == raft.Leader {
		n.leaderRequest(r)
		return
	}
	a := &n.asks
	if len(a.open) >= readsPerWrite*n.cfg.Limits.MaxPending {
		n.answer(r.Token, ErrTooManyRequests, nil, 0)
		return
	}
	a.nextID++
	a.open = append(a.open, ask{id: a.nextID, request: *r, sent: -1,
		deadline: n.mono + n.requestTimeout()})
}

// sendAsks sends what waits to be asked, or takes it over when this member has come to lead.
func (n *Node) sendAsks() {
	a := &n.asks
	if len(a.open) == 0 || n.leader == 0 {
		return
	}
	if n.role == raft.Leader {
		open := a.open
		a.open = nil
		for i := range open {
			n.leaderRequest(&open[i].request)
		}
		return
	}
	for i := range a.open {
		k := &a.open[i]
		if k.sent >= 0 {
			continue
		}
		k.sent = n.mono
		n.send(raft.Message{Type: raft.MsgAsk, To: n.leader, Read: k.id,
			Data: append([]byte{byte(k.request.Method)}, k.request.Raw...)})
	}
}

// askAll sends every open ask again: the leader changed.
func (n *Node) askAll() {
	for i := range n.asks.open {
		n.asks.open[i].sent = -1
	}
}

// tickAsks repeats what was lost, and gives up on what is too old.
func (n *Node) tickAsks() {
	open := n.asks.open
	kept := open[:0]
	for i := range open {
		k := open[i]
		if k.deadline <= n.mono {
			n.answer(k.request.Token, n.askTimeout(), nil, 0)
			continue
		}
		if k.sent >= 0 && n.mono-k.sent >= askRetry {
			k.sent = -1
		}
		kept = append(kept, k)
	}
	clear(open[len(kept):])
	n.asks.open = kept
}

// askTimeout is etcd's word for an ask of which nothing was heard.
func (n *Node) askTimeout() Code {
	if n.leader == 0 {
		return ErrNoLeader
	}
	return ErrTimeout
}

// receiveAsk takes a request of another member.
func (n *Node) receiveAsk(m *raft.Message) {
	a := &n.asks
	switch {
	case len(m.Data) == 0 || len(m.Data) > n.cfg.Limits.MaxRequestBytes:
		return
	case n.role != raft.Leader:
		n.probes[ProbeAskStray]++
		n.tellAsker(m.From, m.FromIncarnation, m.Read, ErrNotLeader, nil)
		return
	case len(a.remote) >= readsPerWrite*n.cfg.Limits.MaxPending:
		n.tellAsker(m.From, m.FromIncarnation, m.Read, ErrTooManyRequests, nil)
		return
	}
	if a.repeats(m) {
		n.probes[ProbeAskRepeated]++
		return // it is being answered
	}
	a.nextToken++
	token := remoteToken | a.nextToken
	a.remote = append(a.remote, remoteAsk{token: token, from: m.From, start: m.FromIncarnation,
		id: m.Read})
	r := Request{Token: token, Method: Method(m.Data[0]), Raw: m.Data[1:]}
	if code := Validate(r.Method, r.Raw, &n.cfg.Limits); code != OK {
		n.answer(token, code, nil, 0)
		return
	}
	n.leaderRequest(&r)
}

// repeats says whether an ask is one of those that are being answered. Members number their asks,
// so only what is not newer than all before can be.
func (a *asks) repeats(m *raft.Message) bool {
	i := slices.IndexFunc(a.newest, func(k remoteAsk) bool { return k.from == m.From })
	if i < 0 {
		i = len(a.newest)
		a.newest = append(a.newest, remoteAsk{from: m.From})
	}
	if k := &a.newest[i]; k.start != m.FromIncarnation || k.id < m.Read {
		k.start, k.id = m.FromIncarnation, m.Read
		return false
	}
	return slices.ContainsFunc(a.remote, func(k remoteAsk) bool {
		return k.from == m.From && k.start == m.FromIncarnation && k.id == m.Read
	})
}

// leaderRequest serves what only a leader can, for its own clients and other members'.
func (n *Node) leaderRequest(r *Request) {
	switch r.Method {
	case MethodLeaseKeepAlive, MethodLeaseTimeToLive:
		n.read(r)
	case MethodMemberPromote:
		n.conclude(r, n.learnerReady(r), nil)
	default:
		n.answer(r.Token, ErrUnknownMethod, nil, 0)
	}
}

// conclude ends a leader's request: the asker goes on from there, be it this member or another one.
func (n *Node) conclude(r *Request, code Code, body []byte) {
	if r.Token&remoteToken == 0 {
		n.told(r, code, body)
		return
	}
	n.answer(r.Token, code, [][]byte{body}, 0)
}

// answerRemote sends an answer to the member whose request it was.
func (n *Node) answerRemote(token Token, code Code, body [][]byte) {
	a := &n.asks
	i, found := slices.BinarySearchFunc(a.remote, token, func(k remoteAsk, token Token) int {
		return cmp.Compare(k.token, token)
	})
	if !found {
		return
	}
	k := a.remote[i]
	a.remote = without(a.remote, i)
	n.tellAsker(k.from, k.start, k.id, code, body)
}

// without is a list without element i. Most are answered in order, so the front costs nothing.
func without[T any](list []T, i int) []T {
	var zero T
	if i == 0 {
		list[0] = zero
		return list[1:]
	}
	return slices.Delete(list, i, i+1)
}

func (n *Node) tellAsker(to raft.MemberID, start raft.Incarnation, id raft.ReadID, code Code,
	body [][]byte) {
	var data []byte
	for _, piece := range body {
		data = append(data, piece...)
	}
	n.send(raft.Message{Type: raft.MsgTell, To: to, ToIncarnation: start, Read: id,
		Hint: raft.Index(code), Data: data})
}

// receiveTell hands the leader's answer to the client that waits for it.
func (n *Node) receiveTell(m *raft.Message) {
	if m.ToIncarnation != n.incarnation || m.Hint >= raft.Index(NumCodes) {
		return
	}
	open := n.asks.open
	i, found := slices.BinarySearchFunc(open, m.Read, func(k ask, id raft.ReadID) int {
		return cmp.Compare(k.id, id)
	})
	if !found || Code(m.Hint) == ErrNotLeader {
		return // it is over, or the retry will find who leads
	}
	r := open[i].request
	n.asks.open = without(open, i)
	n.told(&r, Code(m.Hint), m.Data)
}

// told completes a request with what the leader said of it.
func (n *Node) told(r *Request, code Code, body []byte) {
	if code == OK && r.Method == MethodMemberPromote {
		n.read(r) // the learner is ready: change the membership
		return
	}
	if code == OK && (r.Method == MethodLeaseKeepAlive || r.Method == MethodLeaseTimeToLive) {
		n.answer(r.Token, code, n.underOwnHeader(body), 0)
		return
	}
	n.answer(r.Token, code, [][]byte{body}, 0)
}
