// The requests of the cluster service, and what a member's URL may look like.
package kv

import (
	"net/url" //detcd:allow import: it reads text and touches no network
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/raft"
)

// Numbers of the fields of the responses: an addition names the new member before the list.
const (
	fieldMember       protowire.Number = 2
	fieldMembers      protowire.Number = 2
	fieldMembersAdded protowire.Number = 3
)

// maxPeerURLs bounds the peer URLs of one member.
const maxPeerURLs = 64

// parseMember reads a MemberAddRequest or MemberUpdateRequest. The URLs of a member to be added are
// sorted, because its id is made of them.
func parseMember(r *Request, m *Member) error {
	urls, learner := protowire.Number(1), protowire.Number(2)
	if r.Method == MethodMemberUpdate {
		urls, learner = 2, 0
	}
	err := fields(r.Raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case typ == protowire.BytesType && num == urls:
			m.PeerURLs = append(m.PeerURLs, strings.TrimSpace(string(b)))
		case typ != protowire.VarintType:
		case num == learner:
			m.Learner = Voting
			if v != 0 {
				m.Learner = LearnerOnly
			}
		case num == 1 && r.Method == MethodMemberUpdate:
			m.ID = raft.MemberID(v)
		}
		return nil
	})
	if r.Method == MethodMemberAdd {
		slices.Sort(m.PeerURLs)
	}
	return err
}

// validateMember refuses URLs under which nobody could be reached.
func validateMember(method Method, raw []byte) Code {
	var m Member
	if parseMember(&Request{Method: method, Raw: raw}, &m) != nil {
		return ErrMalformed
	}
	if len(m.PeerURLs) == 0 || len(m.PeerURLs) > maxPeerURLs {
		return ErrBadPeerURLs
	}
	for _, u := range m.PeerURLs {
		if !validPeerURL(u) {
			return ErrBadPeerURLs
		}
	}
	return OK
}

// validPeerURL says whether a URL names a host and a port, or a socket, and nothing beyond.
func validPeerURL(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "unix", "unixs":
		return true
	case "http", "https":
		return u.Path == "" && splitsIntoHostAndPort(u.Host)
	}
	return false
}

// splitsIntoHostAndPort says whether text is host:port, an IPv6 address in brackets.
func splitsIntoHostAndPort(text string) bool {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return false
	}
	host := text[:i]
	if strings.HasPrefix(host, "[") {
		return strings.IndexByte(host, ']') == len(host)-1
	}
	return !strings.ContainsAny(host, ":[]")
}

// shareURL says whether two members claim the same URL.
func shareURL(a, b []string) bool {
	return slices.ContainsFunc(a, func(u string) bool { return slices.Contains(b, u) })
}
