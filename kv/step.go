// One turn of the node: what happened goes in, then everything that follows from it is worked out
// in one fixed order, and leaves as effects.
//
// Messages, completions and requests come before ticks, so that a member that was paused hears its
// leader before it notices how late it is; of several ticks only the last counts.
package kv

import (
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc/revlog"
	"github.com/detcd/detcd/raft"
)

// Step takes one turn: every input that waited, then the effects. It does about a millisecond of
// work and asks for more through Effects.Again.
func (n *Node) Step(turn []Input, out *Effects) {
	out.reset()
	if n.phase == halted {
		out.Halt = n.haltedBy
		return
	}
	n.out = out
	n.views.fresh = false
	n.watching.hub.Begin()
	var tick *Input
	for i := range turn {
		if turn[i].Kind == InputTick {
			tick = &turn[i]
			continue
		}
		n.input(&turn[i])
	}
	if tick != nil {
		n.tick(tick)
	}
	if n.phase != halted {
		n.advance()
	}
	if n.phase == halted {
		out.Disk, out.Sends, out.Answers = out.Disk[:0], out.Sends[:0], out.Answers[:0]
		out.Reads, out.Applied, out.Again = out.Reads[:0], out.Applied[:0], false
		out.Watch = out.Watch[:0]
		out.Passwords = out.Passwords[:0]
		out.Halt = n.haltedBy
	}
	n.out = nil
}

func (n *Node) input(in *Input) {
	switch in.Kind {
	case InputMessage:
		if n.phase == running {
			n.message(in.Message)
		}
	case InputDisk:
		n.diskDone(*in.Done)
	case InputRequest:
		n.request(in.Request)
	case InputViewEnd:
		n.endView(in.View)
	case InputWatch:
		n.watchInput(in.Watch)
	case InputLeave:
		n.leave()
	case InputDamaged:
		n.damaged(in.Damage)
	case InputSpace:
		n.spaceLeft(in.Free)
	case InputPassword:
		n.passwordDone(in.Password)
	case InputAgain:
	default:
		panic(fmt.Sprintf("kv: unknown input kind %d", in.Kind))
	}
}

func (n *Node) message(m *raft.Message) {
	if m.To != n.cfg.Member || m.From == n.cfg.Member {
		return
	}
	if n.hear(m.From); n.refuseRemoved(m) {
		return
	}
	if n.apply != nil {
		n.probes[ProbeMessageMeanwhile]++
	}
	switch m.Type {
	case raft.MsgContact:
		n.receiveContact(m)
	case raft.MsgSnapshotOffer:
		n.receiveOffer(m)
	case raft.MsgSnapshotChunk:
		n.receiveChunk(m)
	case raft.MsgSnapshotAck:
		n.shipAck(m)
	case raft.MsgPropose:
		m.Entries = n.admitChanges(n.wellFormed(m))
		if len(m.Entries) > 0 {
			n.raft.Receive(*m)
		}
	case raft.MsgAsk:
		n.receiveAsk(m)
	case raft.MsgTell:
		n.receiveTell(m)
	default:
		n.raft.Receive(*m)
	}
}

// wellFormed selects the forwarded entries that may enter the log, from where every member has to
// be able to apply them. The others are dropped one by one: their neighbours are other clients'.
func (n *Node) wellFormed(m *raft.Message) []raft.Entry {
	kept := make([]raft.Entry, 0, len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Proposer == m.From && n.validEntry(e) {
			kept = append(kept, *e)
			continue
		}
		n.note(Warn, "dropped a malformed proposal", Field{"from", m.From.String()},
			Field{"type", fmt.Sprint(e.Type)})
	}
	return kept
}

func (n *Node) validEntry(e *raft.Entry) bool {
	if method, ok := requestMethod(e.Type); ok {
		return n.validRequest(method, e)
	}
	var err error
	switch e.Type {
	case raft.EntryConfig:
		var change raft.ConfigChange
		change, err = raft.DecodeChange(e.Data)
		for _, c := range change.Changes {
			if len(c.Context) > 0 && err == nil {
				_, err = decodeMember(c.Context)
			}
		}
	case entryPublish:
		_, err = decodeMember(e.Data)
	case entryVersion, entryDowngraded:
		_, _, ok := minorOf(string(e.Data))
		return ok
	case entryCompact:
		return Validate(MethodCompact, e.Data, &n.cfg.Limits) == OK
	default:
		return false
	}
	return err == nil
}

// request takes a client's request.
func (n *Node) request(r *Request) {
	if n.phase != running {
		if len(n.early) >= n.cfg.Limits.MaxPending {
			n.answer(r.Token, ErrTooManyRequests, nil, 0)
			return
		}
		n.early = append(n.early, *r)
		return
	}
	if n.expelled != 0 {
		n.answer(r.Token, ErrStopped, nil, 0)
		return
	}
	if n.isLearner() && !servedByLearner(r) {
		n.answer(r.Token, ErrNotLearner, nil, 0)
		return
	}
	if n.awaitsToken(r) || n.doubt(r) {
		return
	}
	if code := n.mayAsk(r); code != OK {
		n.answer(r.Token, code, nil, 0)
		return
	}
	n.route(r)
}

// route hands a request that may be asked to whom it concerns.
func (n *Node) route(r *Request) {
	switch r.Method {
	case MethodPut, MethodDeleteRange, MethodCompact:
		n.write(r)
	case MethodTxn:
		n.requestTxn(r)
	case MethodRange, MethodRangeStream:
		n.requestRange(r)
	case MethodMemberList:
		linearizable, err := parseVarint1(r.Raw)
		if err != nil {
			n.answer(r.Token, ErrMalformed, nil, 0)
			return
		}
		n.requestRead(r, linearizable == 0)
	case MethodHash, MethodHashKV:
		n.requestRead(r, true)
	case MethodAuthStatus, MethodAuthenticate, MethodUserGet, MethodUserList, MethodRoleGet,
		MethodRoleList:
		n.requestRead(r, false)
	case MethodAuthEnable, MethodAuthDisable, MethodUserDelete, MethodUserGrantRole,
		MethodUserRevokeRole, MethodRoleAdd, MethodRoleDelete, MethodRoleGrantPermission,
		MethodRoleRevokePermission:
		n.write(r)
	case MethodUserAdd, MethodUserChangePassword:
		n.hashPassword(r)
	case MethodSnapshot:
		n.snapshotRequest(r)
	case MethodStatus:
		n.answer(r.Token, OK, n.statusBody(), 0)
	case MethodDefragment:
		n.defragment(r)
	case MethodMoveLeader:
		n.moveLeader(r)
	case MethodLeaseGrant, MethodLeaseRevoke, MethodLeaseKeepAlive, MethodLeaseTimeToLive,
		MethodLeaseLeases:
		n.requestLease(r)
	case MethodMemberAdd, MethodMemberRemove, MethodMemberUpdate, MethodMemberPromote:
		n.requestChange(r)
	case MethodAlarm:
		n.requestAlarm(r)
	case MethodDowngrade:
		n.requestDowngrade(r)
	default:
		panic(fmt.Sprintf("kv: unknown method %d", r.Method))
	}
}

// servedByLearner says whether a member that does not vote answers a request. It may ask itself
// whether the cluster answers, and what its data hashes to; its clients may not.
func servedByLearner(r *Request) bool {
	var req rangeRequest
	own := r.Identity != nil && r.Identity.Own
	return r.Method == MethodStatus || r.Method == MethodSnapshot ||
		r.Method == MethodHashKV && own ||
		r.Method == MethodRange && parseRange(r.Raw, &req) == nil && (req.serializable || own)
}

func (n *Node) write(r *Request) {
	if code := n.admitWrite(r); code != OK {
		n.answer(r.Token, code, nil, 0)
		return
	}
	typ, data, code := n.seal(r, r.Raw)
	if code != OK {
		n.answer(r.Token, code, nil, 0)
		return
	}
	n.propose(r.Token, typ, data)
}

// requestTxn routes a transaction: one that only reads takes no log entry.
func (n *Node) requestTxn(r *Request) {
	var t txnRequest
	if err := parseTxn(r.Raw, &t, 0); err != nil {
		n.answer(r.Token, ErrMalformed, nil, 0)
		return
	}
	if t.isReadOnly() {
		n.requestRead(r, t.isSerializable())
		return
	}
	n.write(r)
}

func (n *Node) requestRange(r *Request) {
	var req rangeRequest
	if err := parseRange(r.Raw, &req); err != nil {
		n.answer(r.Token, ErrMalformed, nil, 0)
		return
	}
	n.requestRead(r, req.serializable)
}

// requestRead routes a read: a local one is served at once.
func (n *Node) requestRead(r *Request, local bool) {
	if !local {
		n.read(r)
		return
	}
	n.serve(&readRequest{token: r.Token, method: r.Method, raw: r.Raw, identity: r.Identity})
}

// fetch is a read of old entries on its way.
type fetch struct {
	ticket   diskio.Ticket
	id       uint64
	lo, hi   raft.Index
	maxBytes int
}

func (n *Node) diskDone(c diskio.Completion) {
	var err error
	n.noticeFull(&c)
	switch c.Ticket & ticketSpace {
	case ticketLog:
		var durable raft.Ticket
		if durable, err = n.log.Complete(c); err == nil && durable > 0 {
			n.raft.Synced(durable)
		}
	case ticketFetch:
		err = n.fetched(c)
	case ticketReserve:
		err = n.reserveDone(c)
	case ticketStore:
		if c.Ticket-ticketStore >= revlog.ReceiverTickets {
			err = n.completeReceiving(c)
		} else {
			err = n.store.Complete(c)
		}
	default:
		panic(fmt.Sprintf("kv: completion of an unknown operation %x", c.Ticket))
	}
	if err != nil {
		n.halt(err.Error())
	}
}

func (n *Node) fetched(c diskio.Completion) error {
	for i, f := range n.fetches {
		if f.ticket != c.Ticket {
			continue
		}
		n.fetches = append(n.fetches[:i], n.fetches[i+1:]...)
		entries, err := n.log.Fetched(c, f.lo, f.hi, f.maxBytes)
		if err != nil {
			return err
		}
		n.raft.Fetched(f.id, entries)
		return nil
	}
	panic(fmt.Sprintf("kv: completion of an unknown fetch %x", c.Ticket))
}

func (n *Node) fetch(f raft.Fetch) {
	n.fetchSeq++
	ticket := ticketFetch + diskio.Ticket(n.fetchSeq)
	op, ok := n.log.Fetch(ticket, f.Lo, f.Hi, f.MaxBytes)
	if !ok {
		n.raft.Fetched(f.ID, nil)
		return
	}
	n.fetches = append(n.fetches, fetch{ticket: ticket, id: f.ID, lo: f.Lo, hi: f.Hi,
		maxBytes: f.MaxBytes})
	n.out.Disk = append(n.out.Disk, op)
}

func (n *Node) tick(in *Input) {
	if in.Mono > n.mono {
		n.leases.pass(in.Mono-n.mono, n.cfg.TickNanos)
		n.mono = in.Mono
	}
	n.wall = in.Wall
	n.log.Mark()
	n.pace()
	n.tickSpace()
	if n.space.low {
		n.raiseAlarm(AlarmNoSpace)
	}
	if n.phase != running {
		return
	}
	n.raft.Tick(n.wall)
	n.tickExpelled()
	n.tickContacts()
	n.tickProposals()
	n.tickReads()
	n.tickTokens()
	n.tickPasswords()
	n.tickAsks()
	n.tickLeases()
	n.tickShipping()
	n.tickReceiving()
	n.watchTransfer()
	n.watching.hub.Tick(n.watchEnv())
	n.tickAutoCompact()
	n.tickVoters()
	n.publish()
}

// advance works out everything that follows from the inputs, in one fixed order.
func (n *Node) advance() {
	n.start()
	if n.phase == running {
		n.noticeLeader()
		n.sendAsks()
		n.proposeWaiting()
		n.askReads()
		n.install()
		n.applyCommitted(n.cfg.Limits.StepUnits)
		n.resumeWaiting()
		n.takeRaft()
		n.leadLeases()
		n.serveReads()
		n.advanceListings()
		n.grantBackups()
		n.compactLog()
	}
	if n.phase == halted {
		return
	}
	more := n.store.Work(n.cfg.Limits.StepUnits)
	more = n.workWatches() || more
	n.answerPhysical()
	n.advanceDefragments()
	n.flush()
	n.out.Again = n.out.Again || more || n.phase == running && !n.installing() &&
		n.canApply()
}

// canApply says whether the next step would apply something without a further input.
func (n *Node) canApply() bool {
	if n.apply == nil && n.checkpointDue() && n.applied > n.raft.Durable() || n.outrunsDisk() {
		n.probes[ProbeApplyWaits]++
		return false // apply waits for the disk, whose completion is an input
	}
	return n.apply != nil || n.raft.HasCommitted()
}

// flush lets the log and the engine issue what they can.
func (n *Node) flush() {
	n.out.Disk = n.log.Flush(n.out.Disk)
	n.out.Disk = n.store.Flush(n.out.Disk)
	n.flushReceiving()
}

// takeRaft carries what raft wants done to where it is done. What the handling itself causes
// (a transfer that cannot start, a fetch that is answered at once, a round of reads that waited for
// the answer to another) is taken in the same step.
func (n *Node) takeRaft() {
	for range 3 {
		n.raft.Take(&n.raftOut)
		o := &n.raftOut
		for i := range o.Appends {
			n.log.Append(o.Appends[i])
		}
		n.out.Sends = append(n.out.Sends, o.Messages...)
		n.confirmReads(o.Reads)
		n.dropped(o.Dropped)
		for _, f := range o.Fetches {
			n.fetch(f)
		}
		for _, to := range o.Snapshots {
			n.ship(to)
		}
		asked := len(o.Reads) > 0 && n.askReads()
		if len(o.Fetches)+len(o.Snapshots) == 0 && !asked {
			break
		}
	}
	n.noticeLeader()
}

// noticeLeader reacts to a change of leader, term or role.
func (n *Node) noticeLeader() {
	leader, term, role := n.raft.Leadership()
	if leader == n.leader && term == n.term && role == n.role {
		return
	}
	n.retireLeases(role, term)
	if leader != n.leader {
		n.leaderSince = n.mono
		if leader != 0 {
			n.counters.LeaderChanges++
		}
		n.note(Info, "leader changed", Field{"leader", leader.String()},
			Field{"term", fmt.Sprint(uint64(term))})
	}
	if leader != n.leader || term != n.term {
		n.reproposeAll()
		n.askAll()
		n.out.Again = n.out.Again || leader != 0
	}
	n.leader, n.term, n.role = leader, term, role
	n.watchTransfer()
	n.publish()
}
