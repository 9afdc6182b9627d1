// Reads: linearizable ones wait for a confirmed index, then all are served from applied state.
//
// Linearizable reads share ReadIndex rounds: while roundsAhead of them are unanswered, what comes
// gathers for the next one, because a round costs every member messages and a turn, however many
// reads share it. A read never joins a round that was asked before it came. A round that failed, or
// of which nothing was heard, is asked again under a new name: a read may always be confirmed later
// than need be, never earlier than it came. Single keys are answered on the loop; everything larger
// gets the turn's view, which the edge reads on its own.
package kv

import (
	"slices"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

type readRequest struct {
	token    Token
	method   Method
	raw      []byte
	identity *Identity
	random   [2]uint64 // of an Authenticate
	deadline int64     // mono
	doubted  bool      // a write by somebody who is not known here: see doubt
	// after is a proposal of ours that has to be applied first, 0 for none.
	after raft.Sequence
}

// readRound is a set of reads that share one ReadIndex request.
type readRound struct {
	// ids are the names under which it was asked, newest last. An answer to any of them confirms
	// it: all were asked after its reads had come.
	ids   []raft.ReadID
	sent  int64      // mono; when it was last asked
	index raft.Index // 0 until confirmed
	again bool       // failed; to be asked again at the next tick
	reads []readRequest
}

type reads struct {
	fresh  []readRequest // came since the last round was asked for
	rounds []readRound   // oldest first
	held   []readRequest // confirmed, but an entry is half applied, or to be applied first
	spare  []readRequest // an empty list with room, for the next round
	// serving is the read index of the round that is being served, 0 between rounds.
	serving raft.Index
	nextID  raft.ReadID
}

// roundsAhead is how many rounds may be unanswered before the next one waits. A second one keeps
// the wait of a read that just missed the first within half a round trip.
const roundsAhead = 2

// readRetry is how long a round may stay unanswered before it is asked again, in nanoseconds.
const readRetry = 500_000_000

// readsPerWrite is how many reads may wait for each write that may.
const readsPerWrite = 4

// read queues a linearizable read.
func (n *Node) read(r *Request) {
	if n.reads.waiting() >= readsPerWrite*n.cfg.Limits.MaxPending {
		n.answer(r.Token, ErrTooManyRequests, nil, 0)
		return
	}
	n.reads.fresh = append(n.reads.fresh, readRequest{token: r.Token, method: r.Method,
		raw: r.Raw, identity: r.Identity, random: r.Random,
		deadline: n.mono + n.requestTimeout()})
}

// waiting counts the reads without an answer.
func (rs *reads) waiting() int {
	count := len(rs.fresh) + len(rs.held)
	for i := range rs.rounds {
		count += len(rs.rounds[i].reads)
	}
	return count
}

// askReads starts a round for the reads that have gathered. A round or its answer may be lost: when
// none was asked since the last tick, the unanswered ones hold nobody up. It says whether it asked.
func (n *Node) askReads() bool {
	rs := &n.reads
	if len(rs.fresh) == 0 || n.leader == 0 || rs.unanswered(n.mono) >= roundsAhead {
		return false
	}
	rs.nextID++
	rs.rounds = append(rs.rounds, readRound{ids: []raft.ReadID{rs.nextID}, sent: n.mono,
		reads: rs.fresh})
	rs.fresh, rs.spare = rs.spare, nil
	n.raft.ReadIndex(rs.nextID)
	return true
}

// unanswered counts the rounds asked since the last tick that have no answer.
func (rs *reads) unanswered(tick int64) (count int) {
	for i := len(rs.rounds) - 1; i >= 0 && rs.rounds[i].sent == tick; i-- {
		if rs.rounds[i].index == 0 && !rs.rounds[i].again {
			count++
		}
	}
	return count
}

// confirmReads takes what raft says of rounds.
func (n *Node) confirmReads(ready []raft.ReadReady) {
	for _, r := range ready {
		for i := range n.reads.rounds {
			round := &n.reads.rounds[i]
			if round.index != 0 || !slices.Contains(round.ids, r.ID) {
				continue
			}
			round.index = r.Index
			round.again = r.Index == 0 && r.ID == round.ids[len(round.ids)-1]
		}
	}
}

// serveReads answers the rounds whose index is applied.
func (n *Node) serveReads() {
	rounds := n.reads.rounds
	kept := rounds[:0]
	for i := range rounds {
		round := &rounds[i]
		if round.index == 0 || round.index > n.applied {
			kept = append(kept, *round)
			continue
		}
		n.reads.serving = round.index
		for j := range round.reads {
			n.serve(&round.reads[j])
		}
		n.reads.serving = 0
		n.reads.recycle(round.reads)
	}
	clear(rounds[len(kept):])
	n.reads.rounds = kept
}

// spareReads is the room that an empty list of reads may keep.
const spareReads = 4096

// recycle keeps the list of a served round for a later one.
func (rs *reads) recycle(list []readRequest) {
	if cap(list) <= spareReads && cap(list) > cap(rs.spare) {
		clear(list)
		rs.spare = list[:0]
	}
}

// tickReads asks failed and silent rounds again, and gives up on reads that are too old.
func (n *Node) tickReads() {
	rs := &n.reads
	expired := func(r readRequest) bool {
		if r.deadline > n.mono {
			return false
		}
		n.counters.ReadsFailed++
		n.answer(r.token, n.readTimeout(&r), nil, 0)
		return true
	}
	rs.fresh, rs.held = removeReads(rs.fresh, expired), removeReads(rs.held, expired)
	rounds := rs.rounds
	kept := rounds[:0]
	for i := range rounds {
		round := rounds[i]
		round.reads = removeReads(round.reads, expired)
		if len(round.reads) == 0 {
			continue
		}
		if round.index == 0 && (round.again || n.mono-round.sent >= readRetry) {
			n.askAgain(&round)
		}
		kept = append(kept, round)
	}
	clear(rounds[len(kept):])
	rs.rounds = kept
}

// readTimeout is etcd's word for a read that took too long.
func (n *Node) readTimeout(r *readRequest) Code {
	if r.method == MethodLeaseKeepAlive || r.method == MethodLeaseTimeToLive {
		return n.askTimeout()
	}
	return ErrTimeout
}

// askAgain repeats an unanswered round under a further name.
func (n *Node) askAgain(round *readRound) {
	round.again = n.leader == 0
	if round.again {
		return
	}
	n.probes[ProbeRoundRepeated]++
	n.counters.ReadsSlow++
	n.reads.nextID++
	round.ids, round.sent = append(round.ids, n.reads.nextID), n.mono
	n.raft.ReadIndex(n.reads.nextID)
}

func removeReads(list []readRequest, gone func(r readRequest) bool) []readRequest {
	kept := list[:0]
	for i := range list {
		if !gone(list[i]) {
			kept = append(kept, list[i])
		}
	}
	clear(list[len(kept):])
	return kept
}

// serve answers one read from the applied state, or grants it a view.
func (n *Node) serve(r *readRequest) {
	if r.doubted {
		n.undoubt(r)
		return
	}
	if code := n.mayRead(r); code != OK {
		n.answer(r.token, code, nil, 0)
		return
	}
	switch r.method {
	case MethodAuthStatus, MethodUserGet, MethodUserList, MethodRoleGet, MethodRoleList:
		body, code := n.authBody(r)
		n.answer(r.token, code, body, 0)
		return
	case MethodAuthenticate:
		n.login(r)
		return
	case MethodMemberList:
		n.answer(r.token, OK, n.memberListBody(), 0)
		return
	case MethodLeaseKeepAlive, MethodLeaseTimeToLive, MethodLeaseLeases:
		n.serveLease(r)
		return
	case MethodMemberAdd, MethodMemberRemove, MethodMemberUpdate, MethodMemberPromote:
		n.reconfigure(r)
		return
	case MethodAlarm:
		n.answer(r.token, OK, n.alarmBody(n.header(), n.listAlarms(r.raw)), 0)
		return
	case MethodDowngrade:
		n.validateDowngrade(r)
		return
	case MethodRange:
		var req rangeRequest
		if err := parseRange(r.raw, &req); err != nil {
			n.answer(r.token, ErrMalformed, nil, 0)
			return
		}
		n.counters.Ranges++
		if len(req.query.End) == 0 {
			n.serveSingle(r.token, &req.query)
			return
		}
	}
	n.grant(r)
}

func (n *Node) serveSingle(token Token, q *mvcc.Query) {
	var res mvcc.Result
	if err := n.store.Range(q, &res); err != nil {
		if code, ok := codeOf(err); ok {
			n.answer(token, code, nil, 0)
			return
		}
		n.halt(err.Error())
		return
	}
	n.answer(token, OK, rangeBody(n.header(), &res), 0)
}

// codeOf translates the engine's errors that are about the question; ok is false for all others.
func codeOf(err error) (Code, bool) {
	switch err {
	case mvcc.ErrCompacted:
		return ErrCompacted, true
	case mvcc.ErrFuture:
		return ErrFutureRev, true
	}
	return OK, false
}
