// Members as the cluster knows them: configuration changes, names and addresses.
package kv

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/detcd/detcd/raft"
)

// applyConfig makes a committed configuration change part of the members' list. Raft itself
// adopted it when it was appended.
func (n *Node) applyConfig(e *raft.Entry, token Token) {
	change, err := raft.DecodeChange(e.Data)
	if err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a configuration change: %v", e.Index, err))
	}
	for _, c := range change.Changes {
		switch c.Kind {
		case raft.RemoveMember:
			n.state.removeMember(c.Member)
			n.note(Info, "removed member", Field{"removed-remote-peer-id", c.Member.String()})
			if c.Member == n.cfg.Member {
				n.expel()
			}
		case raft.AddVoter, raft.AddLearner, raft.UpdateMember:
			n.changeMember(c)
		case raft.LeaveJoint:
		default:
			n.halt(fmt.Sprintf("log entry %d changes the configuration in a way (%d) that this "+
				"program does not know", e.Index, c.Kind))
		}
	}
	if n.state.config, err = n.state.config.Apply(change); err != nil {
		panic(fmt.Sprintf("kv: entry %d was committed, but %v", e.Index, err))
	}
	n.checkSeclusion(e.Index)
	n.decide(n.state.roster())
	n.answerChange(e, &change.Changes[0], token)
	n.proposals.dirty = n.proposals.unanswered > 0 // the next change may go
}

func (n *Node) changeMember(c raft.Change) {
	m := Member{ID: c.Member}
	message := "added member"
	if old := n.state.member(c.Member); old != nil {
		m = *old
		message = "promote member"
	}
	if len(c.Context) > 0 {
		sent, err := decodeMember(c.Context)
		if err != nil {
			panic(fmt.Sprintf("kv: change of member %s has a malformed context: %v",
				c.Member, err))
		}
		m.PeerURLs = sent.PeerURLs
		if c.Kind != raft.UpdateMember {
			m.Learner = sent.Learner
		}
	}
	switch c.Kind {
	case raft.UpdateMember:
		message = "updated member"
	case raft.AddVoter:
		m.Learner = Voting
	}
	n.state.setMember(m)
	if isVoid(&c) {
		return
	}
	n.note(Info, message, Field{"member-id", c.Member.String()},
		Field{"peer-urls", strings.Join(m.PeerURLs, ",")},
		Field{"is-learner", strconv.FormatBool(m.Learner == LearnerOnly)})
}

// applyPublish records a member's name and client addresses.
func (n *Node) applyPublish(e *raft.Entry) {
	sent, err := decodeMember(e.Data)
	if err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a member's attributes: %v", e.Index, err))
	}
	m := n.state.member(sent.ID)
	if m == nil {
		return // removed meanwhile
	}
	m.Name, m.ClientURLs, m.Release = sent.Name, sent.ClientURLs, sent.Release
	n.decide(n.state.roster())
	if sent.ID == n.cfg.Member {
		n.note(Info, "published local member to cluster through raft",
			Field{"local-member-id", n.cfg.Member.String()})
	}
}

// publish proposes what the cluster should know of this member, and, as the leader, the version.
func (n *Node) publish() {
	if n.leader == 0 || n.phase != running || n.state.member(n.cfg.Member) == nil {
		return // nobody would publish, or nobody is there yet, or any more
	}
	if !n.published() && !n.proposing(entryPublish) {
		m := Member{ID: n.cfg.Member, Name: n.cfg.Name, ClientURLs: n.cfg.ClientURLs,
			Release: n.release}
		n.propose(0, entryPublish, encodeMember(&m))
	}
	if n.role == raft.Leader {
		n.agreeOnVersion()
	}
}

// proposing says whether an open proposal has this type.
func (n *Node) proposing(typ raft.EntryType) bool {
	for i := range n.proposals.queue {
		pr := &n.proposals.queue[i]
		if pr.typ == typ && pr.status != proposalDone {
			return true
		}
	}
	return false
}

// transfer is a MoveLeader on its way.
type transfer struct {
	token    Token
	to       raft.MemberID
	deadline int64 // mono
}

// moveLeader starts handing leadership to a voter.
func (n *Node) moveLeader(r *Request) {
	id, err := parseVarint1(r.Raw)
	to := raft.MemberID(id)
	switch {
	case err != nil:
		n.answer(r.Token, ErrMalformed, nil, 0)
	case n.role != raft.Leader:
		n.answer(r.Token, ErrNotLeader, nil, 0)
	case !n.state.config.IsVoter(to):
		n.answer(r.Token, ErrBadTransferee, nil, 0)
	case to == n.cfg.Member:
		n.answer(r.Token, OK, [][]byte{}, 0)
	default:
		n.endTransfer(ErrTransferTimeout)
		n.transfer = transfer{token: r.Token, to: to, deadline: n.mono + n.requestTimeout()}
		n.raft.Transfer(to)
	}
}

func (n *Node) endTransfer(code Code) {
	if n.transfer.to == 0 {
		return
	}
	n.answer(n.transfer.token, code, [][]byte{}, 0)
	n.transfer = transfer{}
}

// watchTransfer answers a MoveLeader when it succeeded or took too long.
func (n *Node) watchTransfer() {
	switch {
	case n.transfer.to == 0:
	case n.leader == n.transfer.to:
		n.endTransfer(OK)
	case n.mono >= n.transfer.deadline:
		n.probes[ProbeMoveTimedOut]++
		n.endTransfer(ErrTransferTimeout)
	}
}

// leave hands leadership to the voter that is furthest along, because the process will stop.
func (n *Node) leave() {
	if n.role != raft.Leader {
		return
	}
	var best raft.MemberID
	var match raft.Index
	for _, id := range n.state.config.Voters {
		p, ok := n.raft.Progress(id)
		if id != n.cfg.Member && ok && p.Active && (best == 0 || p.Match > match) {
			best, match = id, p.Match
		}
	}
	if best != 0 {
		n.note(Info, "leadership transfer starting", Field{"transferee", best.String()})
		n.raft.Transfer(best)
	}
}
