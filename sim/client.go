package sim

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// client is one session: it asks, waits for the answer or gives up, thinks, and asks again. A write
// is sent once, whatever happens to it; a read is sent again, to another member, until its time is
// up.
type client struct {
	world    *world
	index    int
	script   *Script
	admin    standing
	session  session
	die      die
	member   int // the member it talks to at present
	known    knowledge
	act      uint64 // how often it has come to its turn; number counts its requests
	number   int64
	pending  *call // nil while it thinks
	finished int
}

// call is one request from its sending to its end, with all that the world knows of it.
type call struct {
	accepted raft.Index // what the member had applied when it took the request in

	number  uint64
	client  int
	request request
	member  int   // asked last
	asked   uint8 // bit set of the members asked
	sent    int64 // of the first attempt
	tries   int
	ended   int64
	end     callEnd
	code    kv.Code
	// response is set when end is callAnswered with OK.
	response linearizability.Response
	// What the world knows: the index at which the request took effect (0 if it did not), what the
	// model answered there, and the revision after it.
	effective   raft.Index
	expected    linearizability.Response
	expectedErr string
	revision    int64
	changed     change
	order       int64 // its place among all writes, 0 if it did not take effect
	// granted is the request with what the store decided, if it is a grant that took effect.
	granted   *pb.LeaseGrantRequest
	appliedAt int64 // when the first member applied it
	// identity is the token that the client shows, and user whose it is; token is what a login
	// brought.
	identity *kv.Identity
	user     string
	token    string
	// answerer is the member that answered, and run its process.
	answerer int
	run      uint32
}

// change says whether a request that took effect left anything behind.
type change uint8

const (
	changedNothing change = iota
	changedStore          // a new revision, or a compaction
)

// callEnd says how a call ended for its client.
type callEnd uint8

const (
	callPending callEnd = iota
	callAnswered
	callLost // timed out, or the connection broke
)

func (c *call) describe() string {
	m := &c.request.modelled
	var text string
	switch {
	case m.Range != nil:
		text = "range " + m.Range.String()
	case m.Put != nil:
		text = fmt.Sprintf("put key:%q value:%d bytes prev_kv:%v ignore_value:%v", m.Put.Key,
			len(m.Put.Value), m.Put.PrevKv, m.Put.IgnoreValue)
	case m.DeleteRange != nil:
		text = "delete " + m.DeleteRange.String()
	case m.Txn != nil:
		text = "txn " + m.Txn.String()
	case m.Compact != nil:
		text = "compact " + m.Compact.String()
	case m.Grant != nil:
		text = "grant " + m.Grant.String()
	case m.Revoke != nil:
		text = "revoke " + m.Revoke.String()
	case m.KeepAlive != nil:
		text = "keep alive " + m.KeepAlive.String()
	case m.TimeToLive != nil:
		text = "time to live " + m.TimeToLive.String()
	default:
		text = fmt.Sprintf("method %d", c.request.method)
	}
	return shortened(text)
}

// shortened keeps texts for people at a length that they read.
func shortened(text string) string {
	if len(text) > 300 {
		return text[:300] + "..."
	}
	return text
}

func newClient(w *world, index int, s *Script) *client {
	c := &client{world: w, index: index, script: s, member: s.Home,
		die: newDie(w.plan.Seed, entityClient, uint64(index))}
	if w.plan.Auth.on() {
		c.session.user = clientUser(w.plan.Seed, index)
	}
	return c
}

// newAdmin returns the client that the world itself asks with: transfers during the chaos, and the
// final requests.
func newAdmin(w *world) *client {
	c := newClient(w, len(w.plan.Scripts)+1, &Script{Timeout: finalTimeout, Keys: 1})
	c.admin, c.session.user = asWorld, "root"
	return c
}

// admin is the client of newAdmin.
func (w *world) admin() *client { return w.clients[len(w.plan.Scripts)+1] }

// finalTimeout is how long the world waits for an answer to a request of its own.
const finalTimeout = 5 * second

// standing says on whose behalf a client asks.
type standing uint8

const (
	asClient standing = iota
	asWorld
	asAdministrator
	asOperator
)

func (c *client) endpoint() netsim.Endpoint {
	if c.admin == asAdministrator { // its place is behind those who watch
		return c.world.watchEndpoint(len(c.world.plan.Watchers))
	}
	return netsim.Endpoint(c.world.plan.Members + c.index)
}

// issue draws the next request and sends it. What it draws depends on the number of the act, not on
// the acts before, so that leaving one out changes none of the others.
func (c *client) issue() {
	w := c.world
	if c.pending != nil || w.heal.phase != chaos {
		return
	}
	c.act++
	c.die = newDie(w.plan.Seed, entityClient, uint64(c.index)<<32|c.act)
	if !c.script.sends(c.act) {
		c.think()
		return
	}
	if c.die.chance(int64(c.script.RoamPPM)) {
		c.member = int(c.die.below(int64(w.plan.Members)))
	}
	if r, ok := c.mustLogIn(); ok {
		c.ask(r, c.member, c.script.Timeout)
		return
	}
	if c.admin == asAdministrator {
		c.ask(c.administrate(), c.member, c.script.Timeout)
		return
	}
	c.number++
	a := author{die: c.die, client: c.index, number: c.number, script: c.script, known: &c.known,
		limits: &w.plan.Limits}
	r := a.draw()
	c.die = a.die
	c.ask(r, c.member, c.script.Timeout)
}

// ask sends a request as a new call, and waits for its end.
func (c *client) ask(r request, member int, timeout int64) *call {
	k := c.send(r, member, timeout)
	c.pending = k
	return k
}

// send sends a request as a new call that nobody waits for.
func (c *client) send(r request, member int, timeout int64) *call {
	w := c.world
	k := &call{number: uint64(len(w.calls) + 1), client: c.index, request: r, sent: w.now}
	k.request.raw = appendMark(r.raw, k.number)
	w.calls = append(w.calls, k)
	c.identify(k)
	w.counts.Calls++
	w.trace.add(k.number)
	w.trace.addBytes(k.request.raw)
	c.attempt(k, member)
	if k.readOnly() {
		timeout /= 3
	}
	w.schedule(event{at: w.now + timeout, kind: eventTimeout, node: uint8(c.index), arg: k.number,
		slot: 1})
	return k
}

func (c *client) attempt(k *call, member int) {
	k.member = member
	k.asked |= 1 << member
	k.tries++
	c.world.send(eventRequest, member, 0, letter{
		from: c.endpoint(), to: netsim.Endpoint(member), call: k.number,
	})
}

// readOnly says whether asking twice is harmless.
func (k *call) readOnly() bool {
	switch k.request.method {
	case kv.MethodRange, kv.MethodRangeStream, kv.MethodHashKV, kv.MethodMemberList,
		kv.MethodStatus, kv.MethodLeaseKeepAlive, kv.MethodLeaseTimeToLive, kv.MethodLeaseLeases,
		kv.MethodSnapshot:
		return true
	}
	return k.request.modelled.Txn != nil && k.request.modelled.ReadOnly()
}

// timeout gives up an attempt: a read is tried elsewhere, twice at most.
func (c *client) timeout(k *call, attempt int) {
	if k.end != callPending || attempt != k.tries {
		return
	}
	c.retryOrLose(k)
}

func (c *client) retryOrLose(k *call) {
	w := c.world
	if !k.readOnly() || k.tries >= 3 {
		c.finish(k, callLost)
		return
	}
	next := (k.member + 1) % w.plan.Members
	c.attempt(k, next)
	w.schedule(event{at: w.now + c.script.Timeout/3, kind: eventTimeout, node: uint8(c.index),
		arg: k.number, slot: uint32(k.tries)})
}

// answered takes what comes back. Only the first answer to a call counts; later ones meet a client
// that has gone on.
func (c *client) answered(k *call, r *reply) {
	if k.end != callPending {
		return
	}
	if r.broken == broken {
		if r.member == k.member {
			c.retryOrLose(k)
		}
		return
	}
	k.code, k.answerer, k.run = r.code, r.member, r.run
	if r.code == kv.OK {
		err := k.decode(r.body)
		switch k.request.method {
		case kv.MethodHashKV, kv.MethodSnapshot:
			err = c.world.hashed(r.member, r.body)
		case kv.MethodAuthenticate:
			var res pb.AuthenticateResponse
			err = proto.Unmarshal(r.body, &res)
			k.token = res.GetToken()
		}
		if err != nil {
			c.world.fail(OracleCodec, "the answer of member %d to call %d does not decode: %v",
				r.member,
				k.number, err)
			return
		}
	}
	if r.code != kv.OK && k.readOnly() && k.tries < 3 && r.code.Maybe() {
		c.retryOrLose(k)
		return
	}
	c.finish(k, callAnswered)
}

// decode reads the response of a modelled request.
func (k *call) decode(body []byte) error {
	m, res := &k.request.modelled, &k.response
	var into proto.Message
	switch {
	case m.Range != nil:
		res.Range = &pb.RangeResponse{}
		into = res.Range
	case m.Put != nil:
		res.Put = &pb.PutResponse{}
		into = res.Put
	case m.DeleteRange != nil:
		res.DeleteRange = &pb.DeleteRangeResponse{}
		into = res.DeleteRange
	case m.Txn != nil:
		res.Txn = &pb.TxnResponse{}
		into = res.Txn
	case m.Compact != nil:
		res.Compact = &pb.CompactionResponse{}
		into = res.Compact
	case m.Grant != nil:
		res.Grant = &pb.LeaseGrantResponse{}
		into = res.Grant
	case m.Revoke != nil:
		res.Revoke = &pb.LeaseRevokeResponse{}
		into = res.Revoke
	case m.KeepAlive != nil:
		res.KeepAlive = &pb.LeaseKeepAliveResponse{}
		into = res.KeepAlive
	case m.TimeToLive != nil:
		res.TimeToLive = &pb.LeaseTimeToLiveResponse{}
		into = res.TimeToLive
	default:
		return nil
	}
	return proto.Unmarshal(body, into)
}

// finish ends a call; the client thinks and goes on, elsewhere if this went wrong.
func (c *client) finish(k *call, end callEnd) {
	w := c.world
	k.end, k.ended = end, w.now
	waited := c.pending == k
	if waited {
		c.pending = nil
	}
	c.finished++
	c.noticeStanding(k)
	if end == callLost {
		w.counts.Lost++
		c.member = (k.member + 1 + int(c.die.below(int64(w.plan.Members)))) % w.plan.Members
	} else if k.code == kv.OK {
		w.counts.Answered++
		c.known.learn(&k.response)
		c.known.learnLease(&k.request.modelled, &k.response)
		if k.response.KeepAlive != nil {
			w.oracle.leases.renewed(w, k)
		}
	} else {
		w.counts.Refused++
	}
	if c.admin == asWorld {
		w.adminDone(k)
		return
	}
	if waited && w.heal.phase == chaos && c.admin != asOperator {
		c.think()
	}
}

// think lets some time pass before the next request.
func (c *client) think() {
	think := c.script.Think/2 + int64(c.die.rand.Exp(uint64(c.script.Think/2)))
	if c.die.chance(10_000) {
		think += c.die.spread(100, 5000) * millisecond // a lull
	}
	c.world.schedule(event{at: c.world.now + think, kind: eventIssue, node: uint8(c.index)})
}

// actAsRoot lets a client that has no login of its own show the administrator's token.
func (c *client) actAsRoot() {
	if w := c.world; w.plan.Auth.on() {
		c.session.user, c.session.token = "root", w.clients[len(w.clients)-1].session.token
	}
}

// transfer asks the leader to hand over to some member.
func (c *client) transfer(to netsim.Set) {
	leader := c.world.oracle.leader()
	if c.pending != nil || leader < 0 {
		return
	}
	c.actAsRoot()
	target := 0
	for i := range c.world.members {
		if to.Has(netsim.Endpoint(i)) {
			target = i
		}
	}
	if target == leader {
		target = (target + 1) % c.world.plan.Members
	}
	raw, err := marshal(&pb.MoveLeaderRequest{TargetID: uint64(c.world.members[target].id)})
	if err != nil {
		panic(err)
	}
	c.ask(request{method: kv.MethodMoveLeader, raw: raw}, leader, c.script.Timeout)
}
