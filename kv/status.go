package kv

import "fmt"

// memberListBody writes a MemberListResponse; cluster headers carry no revision.
func (n *Node) memberListBody() [][]byte {
	h := n.header()
	h.Revision = 0
	b := appendHeader(nil, h)
	for i := range n.state.members {
		b = appendBytes(b, 2, appendMember(nil, &n.state.members[i]))
	}
	return [][]byte{b}
}

func appendMember(b []byte, m *Member) []byte {
	b = appendVarint(b, 1, uint64(m.ID))
	b = appendString(b, 2, m.Name)
	for _, u := range m.PeerURLs {
		b = appendString(b, 3, u)
	}
	for _, u := range m.ClientURLs {
		b = appendString(b, 4, u)
	}
	return appendBool(b, 5, m.Learner == LearnerOnly)
}

// statusBody writes a StatusResponse.
func (n *Node) statusBody() [][]byte {
	files, inUse := n.store.Size()
	b := appendHeader(nil, n.header())
	b = appendString(b, 2, n.cfg.Version)
	b = appendVarint(b, 3, uint64(files))
	b = appendVarint(b, 4, uint64(n.leader))
	b = appendVarint(b, 5, uint64(n.raft.CommitIndex()))
	b = appendVarint(b, 6, uint64(n.term))
	b = appendVarint(b, 7, uint64(n.applied))
	if n.leader == 0 {
		b = appendString(b, 8, ErrNoLeader.Text())
	}
	for _, a := range n.state.alarms {
		text := fmt.Sprintf("alarm:%s ", a.Kind)
		if a.Member != 0 { // who raises one by hand may name nobody
			text = fmt.Sprintf("memberID:%d %s", uint64(a.Member), text)
		}
		b = appendString(b, 8, text)
	}
	b = appendVarint(b, 9, uint64(inUse))
	b = appendBool(b, 10, n.isLearner())
	b = appendString(b, 11, n.storageVersion())
	b = appendVarint(b, 12, uint64(max(n.cfg.Limits.QuotaBytes, 0)))
	return [][]byte{n.appendDowngradeInfo(b)}
}
