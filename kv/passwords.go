// Passwords: hashing and comparing one takes long by design, so the edge does it off the loop.
//
// A member that takes a password in hashes it before anything enters the log; the log and the store
// see hashes only. An Authenticate is a linearizable read of the user's hash, a comparison, and an
// entry that makes the token. The entry names the auth revision at which the hash was read: when
// the store has moved on before it is applied, the comparison begins again, because the password or
// the user may be gone.
//
// At most passwordsAtOnce jobs are with the edge, and at most passwordsWaiting requests are open.
package kv

import (
	"encoding/base64"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const (
	passwordsAtOnce  = 16
	passwordsWaiting = 256
	// maxPassword is the longest password in bytes that bcrypt looks at whole.
	maxPassword = 72
)

// PasswordJob asks the edge to hash Password, when Hash is empty, or to say whether it fits Hash.
type PasswordJob struct {
	ID       uint64
	Password []byte
	Hash     []byte
}

// PasswordResult is the outcome of the job with this ID.
type PasswordResult struct {
	ID   uint64
	Hash []byte // of the password; empty if it could not be hashed
	Fits bool   // the password and the job's hash belong together
}

// passwordWork is a request whose password is with the edge, waits to be, or, for an Authenticate,
// has been and whose entry is on its way.
type passwordWork struct {
	job      PasswordJob
	request  Request
	stage    passwordStage
	deadline int64 // mono
	// user and revision are what an Authenticate is about: whom, and when the hash was read.
	user     string
	revision uint64
}

type passwordStage uint8

const (
	passwordWaiting  passwordStage = iota
	passwordGiven                  // to the edge
	passwordLate                   // given to the edge, and its request was answered meanwhile
	passwordProposed               // it fits; the entry that makes the token is in the proposals
)

type passwords struct {
	open   []passwordWork // in order of their coming
	given  int            // how many are with the edge
	nextID uint64
}

func (p *passwords) drop(id uint64) {
	p.open = slices.DeleteFunc(p.open, func(w passwordWork) bool { return w.job.ID == id })
}

// hashPassword takes a request that sets a password.
func (n *Node) hashPassword(r *Request) {
	m, password, ok := passwordRequest(r)
	switch {
	case !ok:
		n.answer(r.Token, ErrMalformed, nil, 0)
	case password == nil:
		n.writeInstead(r, m)
	default:
		n.openPassword(passwordWork{request: *r, job: PasswordJob{Password: password}})
	}
}

// passwordRequest reads a request that sets a password. The password is nil when there is none to
// be hashed; the message is without it.
func passwordRequest(r *Request) (m proto.Message, password []byte, ok bool) {
	if r.Method == MethodUserAdd {
		var add pb.AuthUserAddRequest
		ok = proto.Unmarshal(r.Raw, &add) == nil
		if !add.GetOptions().GetNoPassword() {
			password = []byte(add.GetPassword())
			add.HashedPassword = ""
		}
		add.Password = ""
		return &add, password, ok
	}
	var change pb.AuthUserChangePasswordRequest
	ok = proto.Unmarshal(r.Raw, &change) == nil
	if change.GetPassword() != "" {
		password = []byte(change.GetPassword())
	}
	change.Password = ""
	return &change, password, ok
}

// writeInstead goes on with a request in which a message has taken the place of the client's.
func (n *Node) writeInstead(r *Request, m proto.Message) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		n.answer(r.Token, ErrMalformed, nil, 0)
		return
	}
	changed := *r
	changed.Raw = raw
	n.write(&changed)
}

// openPassword queues a password for the edge. A stranger's is not worth the work.
func (n *Node) openPassword(w passwordWork) {
	p := &n.passwords
	if w.request.Method != MethodAuthenticate {
		if code := n.mustBeSomebody(w.request.Identity); code != OK {
			n.answer(w.request.Token, code, nil, 0)
			return
		}
	}
	if len(p.open) >= passwordsWaiting {
		n.answer(w.request.Token, ErrTooManyRequests, nil, 0)
		return
	}
	if w.deadline == 0 {
		w.deadline = n.mono + n.requestTimeout()
	}
	p.nextID++
	w.job.ID, w.stage = p.nextID, passwordWaiting
	p.open = append(p.open, w)
	n.givePasswords()
}

// givePasswords hands waiting passwords to the edge.
func (n *Node) givePasswords() {
	p := &n.passwords
	for i := range p.open {
		if p.given >= passwordsAtOnce {
			return
		}
		if w := &p.open[i]; w.stage == passwordWaiting {
			w.stage = passwordGiven
			p.given++
			n.out.Passwords = append(n.out.Passwords, w.job)
		}
	}
}

// passwordDone takes what the edge says of a password.
func (n *Node) passwordDone(res *PasswordResult) {
	p := &n.passwords
	i := slices.IndexFunc(p.open, func(w passwordWork) bool {
		return w.job.ID == res.ID && (w.stage == passwordGiven || w.stage == passwordLate)
	})
	if i < 0 {
		panic("kv: a password comes back that was never given")
	}
	p.given--
	w := p.open[i]
	switch {
	case w.stage == passwordLate:
		n.probes[ProbePasswordLate]++
		p.drop(w.job.ID)
	case w.request.Method == MethodAuthenticate && res.Fits:
		n.proposeLogin(&p.open[i])
	default:
		p.drop(w.job.ID)
		n.passwordKnown(&w, res)
	}
	n.givePasswords()
}

// passwordKnown goes on with a request whose password is hashed, or does not fit.
func (n *Node) passwordKnown(w *passwordWork, res *PasswordResult) {
	r := &w.request
	switch {
	case r.Method == MethodAuthenticate:
		n.answer(r.Token, ErrAuthFailed, nil, 0)
		return
	case len(res.Hash) == 0:
		n.answer(r.Token, ErrPasswordTooLong, nil, 0)
		return
	}
	m, _, _ := passwordRequest(r)
	hash := base64.StdEncoding.EncodeToString(res.Hash)
	switch m := m.(type) {
	case *pb.AuthUserAddRequest:
		m.HashedPassword = hash
	case *pb.AuthUserChangePasswordRequest:
		m.HashedPassword = hash
	}
	n.writeInstead(r, m)
}

// tickPasswords gives up on what is too old. What is with the edge comes back all the same; a login
// whose entry is proposed is answered with its proposal.
func (n *Node) tickPasswords() {
	p := &n.passwords
	kept := p.open[:0]
	for _, w := range p.open {
		if w.deadline > n.mono || w.stage == passwordLate {
			kept = append(kept, w)
			continue
		}
		switch w.stage {
		case passwordWaiting:
			n.answer(w.request.Token, ErrTimeout, nil, 0)
		case passwordGiven:
			n.answer(w.request.Token, ErrTimeout, nil, 0)
			w.stage = passwordLate
			kept = append(kept, w)
		}
	}
	clear(p.open[len(kept):])
	p.open = kept
}
