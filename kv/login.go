// Logins: an Authenticate from its comparison to its token.
package kv

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv/auth"
	"github.com/detcd/detcd/raft"
)

// login takes an Authenticate at the moment when its read is confirmed.
func (n *Node) login(r *readRequest) {
	n.compare(&Request{Token: r.token, Method: r.method, Raw: r.raw, Random: r.random}, r.deadline)
}

// compare begins the comparison of a password with its user's hash as of now.
func (n *Node) compare(r *Request, deadline int64) {
	var login pb.AuthenticateRequest
	if proto.Unmarshal(r.Raw, &login) != nil {
		n.answer(r.Token, ErrMalformed, nil, 0)
		return
	}
	s := &n.state.auth
	u := s.User(login.GetName())
	switch {
	case !s.Enabled():
		n.answer(r.Token, ErrAuthDisabled, nil, 0)
	case u == nil || n.cfg.Tokens == NoTokens:
		n.answer(r.Token, ErrAuthFailed, nil, 0)
	case u.NoPassword:
		n.answer(r.Token, ErrNoPasswordUser, nil, 0)
	case len(u.Hash) == 0:
		n.answer(r.Token, ErrAuthFailed, nil, 0)
	default:
		n.openPassword(passwordWork{request: *r, deadline: deadline, user: u.Name,
			revision: s.Revision(), job: PasswordJob{Password: []byte(login.GetPassword()),
				Hash: u.Hash}})
	}
}

// proposeLogin proposes the token of a password that fits.
func (n *Node) proposeLogin(w *passwordWork) {
	if code := n.admitWrite(&w.request); code != OK {
		n.answer(w.request.Token, code, nil, 0)
		n.passwords.drop(w.job.ID)
		return
	}
	w.stage, w.job.Password = passwordProposed, nil
	typ, data := sealed(MethodAuthenticate, auth.Subject{User: w.user, Revision: w.revision},
		[]byte(drawLetters(w.request.Random)))
	n.propose(w.request.Token, typ, data)
}

// applyAuthenticate makes a token known, unless the store has changed since its password was
// compared; then the member that was asked compares it again.
func (n *Node) applyAuthenticate(e *raft.Entry, token Token) {
	inner, who, _ := unseal(e)
	s := &n.state.auth
	code := OK
	switch {
	case !s.Enabled():
		code = ErrAuthDisabled
	case who.Revision != s.Revision():
		code = ErrAuthOld
	case s.User(who.User) == nil:
		code = ErrAuthFailed
	}
	n.state.digest = mix(n.state.digest, uint64(code))
	if code == OK && n.cfg.Tokens == SimpleTokens {
		n.tokens.add(simpleToken{index: e.Index, letters: string(inner.Data), user: who.User,
			used: n.mono})
	}
	if token != 0 {
		n.answerLogin(e, &inner, token, code)
	}
}

// answerLogin tells the client who waits here what came of its Authenticate.
func (n *Node) answerLogin(e, inner *raft.Entry, token Token, code Code) {
	work, known := n.passwords.takeProposed(token)
	if code == ErrAuthOld && known {
		n.probes[ProbeLoginRepeated]++
		n.compare(&work.request, work.deadline)
		return
	}
	if code != OK {
		n.answer(token, code, nil, e.Index)
		return
	}
	h := n.header()
	h.Term = e.Term
	body := appendHeader(nil, h)
	if n.cfg.Tokens == SimpleTokens {
		body = appendString(body, 2, tokenText(string(inner.Data), e.Index))
	}
	n.answer(token, OK, [][]byte{body}, e.Index)
	n.out.Answers[len(n.out.Answers)-1].Auth = n.state.auth.Revision()
}

// takeProposed takes out the login whose entry was proposed for a client.
func (p *passwords) takeProposed(token Token) (passwordWork, bool) {
	i := slices.IndexFunc(p.open, func(w passwordWork) bool {
		return w.stage == passwordProposed && w.request.Token == token
	})
	if i < 0 {
		return passwordWork{}, false
	}
	w := p.open[i]
	p.open = slices.Delete(p.open, i, i+1)
	return w, true
}
