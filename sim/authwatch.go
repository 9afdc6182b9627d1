package sim

import (
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
)

// Watching clients have no login of their own: each shows the token of one of the other clients, as
// processes of one user do. Whether a watch was rightly created or refused is judged when the
// member answers; what it brings afterwards is not a matter of rights any more.

// watchAsked is a watch that a member was asked for and has not answered.
type watchAsked struct {
	identity *kv.Identity
	user     string
	spec     *pb.WatchCreateRequest
}

// watchIdentity is what a watching client shows. After the chaos it has to find everything out.
func (w *world) watchIdentity(c *watchConn) (id *kv.Identity, user string) {
	switch {
	case !w.plan.Auth.on():
		return nil, ""
	case w.heal.phase != chaos:
		return &kv.Identity{Own: true}, ""
	}
	s := &w.clients[c.client%len(w.plan.Scripts)].session
	if s.token == "" {
		return nil, ""
	}
	return &kv.Identity{Token: s.token}, s.user
}

// asksToWatch remembers what a member is asked for, and says on whose behalf.
func (m *member) asksToWatch(c *watchConn, raw []byte) *kv.Identity {
	id, user := m.world.watchIdentity(c)
	var r pb.WatchRequest
	if err := unmarshal(raw, &r); err == nil && r.GetCreateRequest() != nil {
		c.asked = append(c.asked, watchAsked{identity: id, user: user, spec: r.GetCreateRequest()})
	}
	return id
}

// judgeWatch checks that a watch was created, or refused, with reason.
func (o *oracles) judgeWatch(m *member, c *watchConn, body []byte) {
	var r pb.WatchResponse
	if unmarshal(body, &r) != nil || !r.Created || len(c.asked) == 0 {
		return // what does not decode fails elsewhere
	}
	asked := c.asked[0]
	c.asked = c.asked[1:]
	if asked.identity != nil && asked.identity.Own {
		return
	}
	key := asked.spec.Key
	if len(key) == 0 {
		key = []byte{0}
	}
	a := kv.Answer{Code: refusal(&r)}
	if r.Canceled && a.Code == kv.OK {
		return // refused for what it is, by whomever
	}
	k := &call{identity: asked.identity, user: asked.user, request: request{
		method: kv.MethodRange, modelled: linearizability.Request{
			Range: &pb.RangeRequest{Key: key, RangeEnd: asked.spec.RangeEnd}},
	}}
	o.judgeAccess(m, k, &a, m.before, m.applied)
}

// refusal is the outcome behind the text with which a watch is refused; OK for other texts.
func refusal(r *pb.WatchResponse) kv.Code {
	_, text, _ := strings.Cut(r.CancelReason, " desc = ")
	for _, c := range []kv.Code{kv.ErrPermissionDenied, kv.ErrUserEmpty, kv.ErrInvalidToken,
		kv.ErrAuthOld} {
		if c.Text() == text {
			return c
		}
	}
	return kv.OK
}

// refused ends the watcher that a refusal is about: the oldest that has no answer yet. It is asked
// for again later.
func (c *watcher) refused(r *pb.WatchResponse) bool {
	if !r.Created || !r.Canceled || refusal(r) == kv.OK {
		return false
	}
	for i, k := range c.records {
		if k.conn != c.conn || k.created || k.over {
			continue
		}
		if k.of != nil {
			k.of.current = nil
		}
		c.records = append(c.records[:i], c.records[i+1:]...)
		return true
	}
	return false
}
