package sim

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/diskio/keyed"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// Membership changes. Some seeds have machines outside the cluster, and an operator who adds,
// promotes, moves and removes members while everything else goes wrong. A machine belongs to one
// member for ever: one that was removed never comes back, and what comes back in its place is the
// next machine under an id of its own, as when an operator replaces hardware.
//
// The operator asks; what becomes of it the world learns from the log: the first member that
// applies an addition lets the machine with that URL start, with an empty disk and the id that the
// entry gives it. So an addition whose answer was lost is followed up, and one that never came
// about is not.

// Reshape is one planned act of the operator. Whom it concerns is resolved when it is due.
type Reshape struct {
	Kind Reshaping
	At   int64
	Pick uint64 // chooses among those whom it may concern
	Via  uint64 // chooses the member that is asked
}

// Reshaping is the closed set of what an operator does.
type Reshaping uint8

// The acts.
const (
	AddVoter Reshaping = iota + 1
	AddLearner
	Promote
	RemoveAny
	RemoveLeader
	Move // the member gets another URL, which nobody minds here
	numReshapings
)

// String names the act.
func (r Reshaping) String() string {
	names := [...]string{"?", "add voter", "add learner", "promote", "remove", "remove leader",
		"move"}
	if int(r) < len(names) {
		return names[r]
	}
	return "reshaping(?)"
}

// String is the act as one line of a plan.
func (r Reshape) String() string {
	return fmt.Sprintf("operator at %s: %s, pick %d via %d", clockTime(r.At), r.Kind, r.Pick, r.Via)
}

// maxMachines bounds the machines of a world: calls keep whom they asked in a byte.
const maxMachines = 8

// generateMembership draws the machines outside the cluster and what the operator does, for a part
// of the seeds. Members must be the initial number.
func generateMembership(p *Plan) {
	p.Founders = p.Members
	d := newDie(p.Seed, entityOperator, 0)
	if !d.chance(450_000) {
		return
	}
	p.Members += int(d.within(1, int64(min(4, maxMachines-p.Founders))))
	if d.chance(250_000) {
		p.Strictness = kv.Strict
	} else {
		p.Strictness = kv.Lenient
	}
	p.Limits.MaxLearners = int(d.within(1, 3))
	weights := [numReshapings]uint16{AddVoter: 6, AddLearner: 6, Promote: 8, RemoveAny: 4,
		RemoveLeader: 3, Move: 1}
	at := d.within(2, 8) * second
	for at < p.Chaos-2*second {
		r := Reshape{Kind: Reshaping(d.weighted(weights[:])), At: at,
			Pick: d.rand.Uint64() % 1000, Via: d.rand.Uint64() % 1000}
		p.Reshapes = append(p.Reshapes, r)
		if r.Kind == AddVoter && d.chance(500_000) {
			// Two that may be counted together.
			r.At, r.Pick = r.At+d.spread(1, 500)*millisecond, r.Pick+1
			p.Reshapes = append(p.Reshapes, r)
		}
		at += d.spread(20, 8000) * millisecond
	}
}

// joins says whether a voter is added right after another one.
func (r *Reshape) joins(before *Reshape) bool {
	return r.Kind == AddVoter && before.Kind == AddVoter && r.At-before.At < second
}

// machineURL is where the others reach a machine.
func machineURL(i int) string { return fmt.Sprintf("http://10.0.0.%d:2380", i+1) }

// machineOf says which machine belongs to a member, -1 for ids that nobody has.
func (w *world) machineOf(id raft.MemberID) int {
	for _, m := range w.members {
		if m.id == id && id != 0 {
			return m.index
		}
	}
	return -1
}

// machineAt says which machine has a URL, -1 for none.
func (w *world) machineAt(url string) int {
	for i := range w.members {
		if url == machineURL(i) {
			return i
		}
	}
	return -1
}

// outside makes a machine one that belongs to no member yet.
func (m *member) outside() {
	m.id, m.life, m.haltReason = 0, gone, "outside the cluster"
	m.config.Members, m.config.Start = nil, kv.Join
}

// enlist gives a machine to the member that was added at its URL, and starts it some time later.
func (w *world) enlist(id raft.MemberID, urls []string) {
	i := -1
	if len(urls) == 1 {
		i = w.machineAt(urls[0])
	}
	if i < 0 || w.members[i].id != 0 {
		w.fail(OracleModel, "member %s was added at %v, where no free machine is", id, urls)
		return
	}
	m := w.members[i]
	m.id, m.config.Member, m.life = id, id, down
	for _, f := range w.oracle.membership.now().members {
		m.config.Members = append(m.config.Members, kv.Member{ID: f.id, PeerURLs: f.urls})
	}
	wait := int64(0)
	if w.heal.phase == chaos {
		d := newDie(w.plan.Seed, entityOperator, uint64(i)+1)
		wait = d.spread(1, 3000) * millisecond
		if keyed.Hash(w.plan.Seed, uint64(entityOperator))%4 != 0 {
			wait = 2*second - w.now%(2*second) // all that were added lately, at once
		}
	}
	m.scheduleRestart(w.now + wait)
}

// reshape lets the operator do what is planned, if it makes any sense now and he is not busy.
func (w *world) reshape(k int) {
	r, op := &w.plan.Reshapes[k], w.operator()
	if w.heal.phase != chaos {
		return
	}
	if op.pending != nil {
		w.schedule(event{at: w.now + 300*millisecond, kind: eventReshape, slot: uint32(k)})
		return
	}
	request, seeks, ok := w.act(r)
	if !ok {
		return
	}
	via := make([]int, 0, len(w.members))
	for _, m := range w.members {
		if m.life == up {
			via = append(via, m.index)
		}
	}
	if len(via) == 0 {
		return
	}
	w.counts.Reshapes++
	op.actAsRoot()
	op.ask(request, via[r.Via%uint64(len(via))], op.script.Timeout)
	if seeks != nil {
		seeks.sought = op.pending
	}
}

// free says whether a machine belongs to nobody, and cannot come to belong to anybody by what the
// operator has asked so far.
func (m *member) free() bool {
	k := m.sought
	return m.id == 0 && (k == nil || k.end == callAnswered && !k.code.Maybe())
}

// act makes the request of a planned act; seeks is the machine of a member that it adds.
func (w *world) act(r *Reshape) (q request, seeks *member, ok bool) {
	now := w.oracle.membership.now()
	var free, learners, all []uint64
	for _, m := range w.members {
		if m.free() {
			free = append(free, uint64(m.index))
		}
	}
	for _, m := range now.members {
		all = append(all, uint64(m.id))
		if m.learner {
			learners = append(learners, uint64(m.id))
		}
	}
	switch r.Kind {
	case AddVoter, AddLearner:
		if len(free) == 0 {
			return request{}, nil, false
		}
		seeks = w.members[free[r.Pick%uint64(len(free))]]
		return changeRequest(kv.MethodMemberAdd, &pb.MemberAddRequest{
			PeerURLs: []string{machineURL(seeks.index)}, IsLearner: r.Kind == AddLearner,
		}), seeks, true
	case Promote:
		if len(learners) == 0 {
			return request{}, nil, false
		}
		return changeRequest(kv.MethodMemberPromote,
			&pb.MemberPromoteRequest{ID: learners[r.Pick%uint64(len(learners))]}), nil, true
	case RemoveAny, RemoveLeader:
		id := all[r.Pick%uint64(len(all))]
		if lead := w.oracle.leader(); r.Kind == RemoveLeader && lead >= 0 {
			id = uint64(w.members[lead].id)
		}
		if len(now.voters()) == 1 && slices.Contains(now.voters(), raft.MemberID(id)) {
			return request{}, nil, false // nobody would be left
		}
		return changeRequest(kv.MethodMemberRemove, &pb.MemberRemoveRequest{ID: id}), nil, true
	}
	id := all[r.Pick%uint64(len(all))]
	return changeRequest(kv.MethodMemberUpdate, &pb.MemberUpdateRequest{ID: id,
		PeerURLs: []string{fmt.Sprintf("http://10.0.1.%d:2380", r.Pick%200)}}), nil, true
}

func changeRequest(method kv.Method, m proto.Message) request {
	raw, err := marshal(m)
	if err != nil {
		panic(fmt.Sprintf("sim: a request does not marshal: %v", err))
	}
	return request{method: method, raw: raw}
}

// isChange says whether a request changes the membership.
func (r *request) isChange() bool {
	switch r.method {
	case kv.MethodMemberAdd, kv.MethodMemberRemove, kv.MethodMemberUpdate, kv.MethodMemberPromote:
		return true
	}
	return false
}

// operator is the client that changes the membership.
func (w *world) operator() *client { return w.clients[len(w.plan.Scripts)] }

// newOperator returns it.
func newOperator(w *world) *client {
	c := newClient(w, len(w.plan.Scripts), &Script{Timeout: finalTimeout, Keys: 1})
	c.admin = asOperator
	return c
}

// expelled judges a node that stopped because it was removed.
func (m *member) expelled() {
	w := m.world
	if !w.oracle.membership.now().wasRemoved(m.id) {
		w.fail(OraclePanic, "member %d stops as removed, and was not", m.index)
		return
	}
	m.stop(powerStays)
	m.life = gone
}

// forlorn says whether a member was removed, and nobody whom it knows, or was told about before it
// had any state, is a member any more: it cannot hear of its removal. An operator would stop it.
func (m *member) forlorn() bool {
	now := m.world.oracle.membership.now()
	if m.life != up || !now.wasRemoved(m.id) {
		return false
	}
	known := m.config.Members
	if s := m.driver.Node.State(); s.Applied > 0 {
		known = s.Members
	}
	for _, k := range known {
		if k.ID != m.id && !now.wasRemoved(k.ID) {
			return false
		}
	}
	return true
}

// nextServing is a machine, or once the chaos has ended the next one from there on whose member
// serves everything: by then whoever asks would have gone through all that do not.
func (w *world) nextServing(i int) int {
	for range w.members {
		if m := w.members[i]; w.heal.phase == chaos || m.life == up && !w.learns(m) {
			return i
		}
		i = (i + 1) % len(w.members)
	}
	return i
}
