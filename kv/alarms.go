// Alarms: a member that has no room left, or bytes that contradict the others', stops the writes of
// the whole cluster until an operator has looked.
//
// An alarm is a pair of member and kind, replicated like everything else: it is raised and disarmed
// by entries, and what it forbids is decided when an entry is applied, by the alarms as of that
// entry. A member raises NOSPACE for itself when a request that would grow the store comes to it
// and its quota has no room for that. Being below the quota again disarms nothing.
//
//	NOSPACE   no Put, LeaseGrant, or Txn with a put in any branch
//	CORRUPT   no write at all, Compact and LeaseRevoke included
package kv

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/raft"
)

// AlarmKind is etcd's AlarmType; kinds that are unknown here are kept as they come.
type AlarmKind uint32

// The kinds of alarm.
const (
	AlarmNone AlarmKind = iota
	AlarmNoSpace
	AlarmCorrupt
)

// Alarm is one alarm of one member. The member need not exist.
type Alarm struct {
	Member raft.MemberID
	Kind   AlarmKind
}

func compareAlarms(a, b Alarm) int {
	if a.Kind != b.Kind {
		return cmp.Compare(a.Kind, b.Kind)
	}
	return cmp.Compare(a.Member, b.Member)
}

// The actions of an AlarmRequest.
const (
	alarmGet = iota
	alarmActivate
	alarmDeactivate
)

type alarmRequest struct {
	action uint64
	alarm  Alarm
}

func parseAlarm(raw []byte) (r alarmRequest, err error) {
	err = fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, _ []byte) error {
		switch {
		case typ != protowire.VarintType:
		case num == 1:
			r.action = v
		case num == 2:
			r.alarm.Member = raft.MemberID(v)
		case num == 3:
			r.alarm.Kind = AlarmKind(v)
		}
		return nil
	})
	return r, err
}

func validateAlarm(raw []byte) Code {
	switch r, err := parseAlarm(raw); {
	case err != nil:
		return ErrMalformed
	case r.action > alarmDeactivate:
		return ErrUnknownMethod
	}
	return OK
}

// requestAlarm reads the list as of now, or proposes to change it.
func (n *Node) requestAlarm(r *Request) {
	if req, err := parseAlarm(r.Raw); err == nil && req.action == alarmGet {
		n.read(r)
		return
	}
	n.write(r)
}

// listAlarms selects the alarms that a request asks for.
func (n *Node) listAlarms(raw []byte) (list []Alarm) {
	req, err := parseAlarm(raw)
	if err != nil {
		panic(fmt.Sprintf("kv: an alarm request that was validated is malformed: %v", err))
	}
	for _, a := range n.state.alarms {
		if req.alarm.Kind == AlarmNone || req.alarm.Kind == a.Kind {
			list = append(list, a)
		}
	}
	return list
}

// maxAlarms bounds the list: a client may name members that do not exist.
const maxAlarms = 10_000

// applyAlarm raises or disarms one alarm. The answer names it if it is, or was, there.
func (n *Node) applyAlarm(e *raft.Entry, token Token) {
	req, err := parseAlarm(e.Data)
	if err != nil {
		panic(fmt.Sprintf("kv: entry %d is not an alarm, though it was validated: %v", e.Index,
			err))
	}
	s := &n.state
	i, found := slices.BinarySearchFunc(s.alarms, req.alarm, compareAlarms)
	var affected []Alarm
	switch {
	case req.action == alarmActivate && req.alarm.Kind == AlarmNone:
	case req.action == alarmActivate && !found && len(s.alarms) >= maxAlarms:
		n.answer(token, ErrTooManyRequests, nil, e.Index)
		return
	case req.action == alarmActivate:
		if !found {
			s.alarms = slices.Insert(s.alarms, i, req.alarm)
			n.note(Warn, "alarm raised", Field{"alarm", req.alarm.Kind.String()},
				Field{"from", req.alarm.Member.String()})
		}
		affected = []Alarm{req.alarm}
	case req.action == alarmDeactivate && found:
		s.alarms = slices.Delete(s.alarms, i, i+1)
		affected = []Alarm{req.alarm}
		n.note(Info, "alarm disarmed", Field{"alarm", req.alarm.Kind.String()},
			Field{"from", req.alarm.Member.String()})
	}
	n.decide(s.roster())
	h := n.header()
	h.Term = e.Term
	n.answer(token, OK, n.alarmBody(h, affected), e.Index)
}

// String is etcd's name of the kind.
func (k AlarmKind) String() string {
	switch k {
	case AlarmNone:
		return "NONE"
	case AlarmNoSpace:
		return "NOSPACE"
	case AlarmCorrupt:
		return "CORRUPT"
	}
	return fmt.Sprint(uint32(k))
}

// alarmBody writes an AlarmResponse.
func (n *Node) alarmBody(h Header, alarms []Alarm) [][]byte {
	b := appendHeader(nil, h)
	for _, a := range alarms {
		b = appendBytes(b, 2, appendAlarm(nil, a))
	}
	return [][]byte{b}
}

// appendAlarm writes an AlarmMember.
func appendAlarm(b []byte, a Alarm) []byte {
	b = appendVarint(b, 1, uint64(a.Member))
	return appendVarint(b, 2, uint64(a.Kind))
}

// raiseAlarm proposes an alarm of this member, unless it is raised or about to be.
func (n *Node) raiseAlarm(kind AlarmKind) {
	a := Alarm{Member: n.cfg.Member, Kind: kind}
	_, found := slices.BinarySearchFunc(n.state.alarms, a, compareAlarms)
	typ := entryRequest + raft.EntryType(MethodAlarm)
	if found || n.proposing(typ) || n.phase != running {
		return
	}
	n.propose(0, typ, appendVarint(appendVarint(appendVarint(nil, 1, alarmActivate), 2,
		uint64(a.Member)), 3, uint64(a.Kind)))
}

// alarmed says whether any member has an alarm of this kind.
func (n *Node) alarmed(kind AlarmKind) bool {
	return slices.ContainsFunc(n.state.alarms, func(a Alarm) bool { return a.Kind == kind })
}

// alarmsAllow is what the alarms say to a write. A CORRUPT alarm stops all of them, NOSPACE those
// that make the store grow.
func (n *Node) alarmsAllow(method Method, raw []byte) Code {
	if len(n.state.alarms) == 0 {
		return OK
	}
	grows := method == MethodPut || method == MethodLeaseGrant
	switch method {
	case MethodPut, MethodLeaseGrant, MethodDeleteRange, MethodCompact, MethodLeaseRevoke:
	case MethodTxn:
		var t txnRequest
		if err := parseTxn(raw, &t, 0); err != nil {
			panic(fmt.Sprintf("kv: a transaction that was validated is malformed: %v", err))
		}
		grows = putsAnything(&t)
	default:
		return OK
	}
	switch {
	case n.alarmed(AlarmCorrupt):
		return ErrCorrupt
	case grows && n.alarmed(AlarmNoSpace):
		return ErrNoSpace
	}
	return OK
}

// alarmsFirst is why a write is refused that somebody without a name, or for a time that is too
// long, asks for: an alarm is the reason that is given first.
func (n *Node) alarmsFirst(method Method, raw []byte, code Code) Code {
	if code == ErrInvalidToken || method == MethodCompact {
		return code // it is found out before everything else who asks, or whether he may compact
	}
	if alarm := n.alarmsAllow(method, raw); alarm != OK {
		return alarm
	}
	return code
}

// appendAlarms is the section of the state file.
func appendAlarms(b []byte, alarms []Alarm) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(alarms)))
	for _, a := range alarms {
		b = binary.LittleEndian.AppendUint64(b, uint64(a.Member))
		b = binary.LittleEndian.AppendUint32(b, uint32(a.Kind))
	}
	return b
}

func readAlarms(d *decoder) (alarms []Alarm) {
	for range d.u32() {
		a := Alarm{Member: raft.MemberID(d.u64()), Kind: AlarmKind(d.u32())}
		if d.err != nil {
			break
		}
		alarms = append(alarms, a)
	}
	return alarms
}
