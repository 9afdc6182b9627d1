package kv

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/raft"
)

// join starts a machine for a member that was added, and returns its number.
func (w *world) join(id uint64) int {
	cfg := w.cfgs[0]
	i := len(w.cfgs)
	cfg.Member, cfg.Members, cfg.Start = raft.MemberID(id), nil, Join
	cfg.Name = fmt.Sprint("m", i)
	cfg.ClientURLs = []string{fmt.Sprintf("http://127.0.0.1:%d", 3379+i)}
	w.cfgs = append(w.cfgs, cfg)
	w.members = append(w.members, &member{world: w, disk: &memDisk{files: map[string][]byte{}}})
	w.start(i)
	return i
}

func (w *world) add(i int, url string, learner bool) (*pb.MemberAddResponse, Code) {
	var res pb.MemberAddResponse
	code := w.ask(i, MethodMemberAdd, &pb.MemberAddRequest{PeerURLs: []string{url},
		IsLearner: learner}, &res)
	return &res, code
}

func (w *world) dismiss(i int, id raft.MemberID) (*pb.MemberRemoveResponse, Code) {
	var res pb.MemberRemoveResponse
	code := w.ask(i, MethodMemberRemove, &pb.MemberRemoveRequest{ID: uint64(id)}, &res)
	return &res, code
}

func (w *world) promote(i int, id uint64) (*pb.MemberPromoteResponse, Code) {
	var res pb.MemberPromoteResponse
	code := w.ask(i, MethodMemberPromote, &pb.MemberPromoteRequest{ID: id}, &res)
	return &res, code
}

func (w *world) list(i int) []*pb.Member {
	var res pb.MemberListResponse
	require.Equal(w.t, OK, w.ask(i, MethodMemberList, &pb.MemberListRequest{Linearizable: true},
		&res))
	require.Zero(w.t, res.Header.Revision)
	return res.Members
}

// healthy lets so much time pass that every contact counts.
func (w *world) healthy() { w.leader(); w.run(60) }

func TestALearnerJoinsIsPromotedAndServes(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.healthy()
	for i := range 30 {
		w.put(0, fmt.Sprint("k", i), "v")
	}
	added, code := w.add(0, "http://127.0.0.1:9001", true)
	require.Equal(t, OK, code)
	require.True(t, added.Member.IsLearner)
	require.Len(t, added.Members, 2)
	require.Equal(t, uint64(newMemberID([]string{"http://127.0.0.1:9001"}, w.now)),
		added.Member.ID)
	_, code = w.promote(0, added.Member.ID)
	require.Equal(t, ErrLearnerNotReady, code)

	i := w.join(added.Member.ID)
	w.run(30)
	var res pb.RangeResponse
	require.Equal(t, ErrNotLearner, w.ask(i, MethodRange, &pb.RangeRequest{Key: []byte("k1")},
		&res))
	require.Equal(t, OK, w.ask(i, MethodRange, &pb.RangeRequest{Key: []byte("k1"),
		Serializable: true}, &res))
	require.Len(t, res.Kvs, 1)
	promoted, code := w.promote(0, added.Member.ID)
	require.Equal(t, OK, code)
	for _, m := range promoted.Members {
		require.False(t, m.IsLearner)
	}
	_, code = w.promote(0, added.Member.ID)
	require.Equal(t, ErrNotALearner, code)
	w.run(5)
	w.put(i, "from the newcomer", "v")
	require.Len(t, w.get(i, "k29").Kvs, 1)
	require.Equal(t, "m1", w.list(i)[slices.IndexFunc(w.list(i), func(m *pb.Member) bool {
		return m.ID == added.Member.ID
	})].Name)
	w.agree()
}

// A cluster of one grows by voters that are added before they exist; each restarts on its way.
func TestVotersJoinOneByOne(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.healthy()
	for k := range 2 {
		added, code := w.add(0, fmt.Sprintf("http://127.0.0.1:%d", 9000+k), false)
		require.Equal(t, OK, code)
		i := w.join(added.Member.ID)
		w.stop(i) // before it got its state
		w.start(i)
		w.healthy()
		w.put(i, "k", "v")
		w.stop(i)
		w.start(i)
		w.healthy()
	}
	require.Len(t, w.list(2), 3)
	w.stop(0)
	w.put(1+w.leader()%2, "without the founder", "v")
	w.start(0)
	w.agree()
}

func TestARemovedMemberStops(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	lead := w.leader()
	removed, code := w.dismiss((lead+1)%3, w.cfgs[lead].Member)
	require.Equal(t, OK, code)
	require.Len(t, removed.Members, 2)
	w.run(30)
	require.Equal(t, Removed, w.members[lead].halted)
	_, code = w.dismiss((lead+1)%3, w.cfgs[lead].Member)
	require.Equal(t, ErrMemberNotFound, code)
	w.put((lead+1)%3, "k", "v")
	w.start(lead) // its own state tells it
	w.run(30)
	require.Equal(t, Removed, w.members[lead].halted)
}

// A member that was down while it was removed hears of it from the others.
func TestAMemberRemovedInItsAbsenceIsTold(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	gone := (w.leader() + 1) % 3
	w.stop(gone)
	w.run(40)
	_, code := w.dismiss(w.leader(), w.cfgs[gone].Member)
	require.Equal(t, OK, code)
	w.run(60)
	w.start(gone)
	w.run(60)
	require.Equal(t, Removed, w.members[gone].halted)
	w.put(w.leader(), "k", "v")
	// Under a new id its machine may come back.
	added, code := w.add(w.leader(), "http://127.0.0.1:9001", false)
	require.Equal(t, OK, code)
	w.members[gone] = w.members[w.join(added.Member.ID)]
	w.members, w.cfgs[gone] = w.members[:3], w.cfgs[3]
	w.cfgs = w.cfgs[:3]
	w.healthy()
	w.put(gone, "k", "w")
	w.agree()
}

func TestSenselessChangesAreRefused(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	_, code := w.add(0, "http://127.0.0.1:2381", false)
	require.Equal(t, ErrPeerURLExists, code)
	for _, bad := range []string{"", "x", "ftp://a:1", "http://a", "http://a:1/path", "http://::1:2"} {
		_, code = w.add(0, bad, false)
		require.Equal(t, ErrBadPeerURLs, code, bad)
	}
	_, code = w.dismiss(0, 77)
	require.Equal(t, ErrMemberNotFound, code)
	_, code = w.promote(0, 77)
	require.Equal(t, ErrMemberNotFound, code)
	_, code = w.promote(1, 2)
	require.Equal(t, ErrNotALearner, code)
	_, code = w.add(1, "http://127.0.0.1:9001", true)
	require.Equal(t, OK, code)
	_, code = w.add(2, "http://127.0.0.1:9002", true)
	require.Equal(t, ErrTooManyLearners, code)
	var res pb.MemberUpdateResponse
	require.Equal(t, ErrMemberNotFound, w.ask(0, MethodMemberUpdate,
		&pb.MemberUpdateRequest{ID: 77, PeerURLs: []string{"http://127.0.0.1:1"}}, &res))
	require.Equal(t, ErrPeerURLExists, w.ask(0, MethodMemberUpdate,
		&pb.MemberUpdateRequest{ID: 1, PeerURLs: []string{"http://127.0.0.1:2381"}}, &res))
	require.Equal(t, ErrBadPeerURLs, w.ask(0, MethodMemberUpdate,
		&pb.MemberUpdateRequest{ID: 1}, &res))
	require.Equal(t, OK, w.ask(2, MethodMemberUpdate,
		&pb.MemberUpdateRequest{ID: 1, PeerURLs: []string{"http://127.0.0.1:1"}}, &res))
	require.Equal(t, []string{"http://127.0.0.1:1"}, res.Members[0].PeerURLs)
	w.agree()
}

func TestStrictChecksGuardTheQuorum(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.leader()
	w.run(5)
	_, code := w.add(0, "http://127.0.0.1:9001", false)
	require.Equal(t, ErrUnhealthy, code, "no contact is 5 s old")
	w.healthy()
	_, code = w.add(0, "http://127.0.0.1:9001", false)
	require.Equal(t, OK, code)
	_, code = w.add(0, "http://127.0.0.1:9002", false)
	require.Equal(t, OK, code, "3 of 5 have started")
	_, code = w.add(0, "http://127.0.0.1:9003", false)
	require.Equal(t, ErrNotEnoughStarted, code, "4 of 6 would have to")
	_, code = w.dismiss(0, 1)
	require.Equal(t, ErrNotEnoughStarted, code, "3 of 4 would have to")

	alone := newWorld(t, 1, nil)
	alone.healthy()
	_, code = alone.dismiss(0, 1)
	require.Equal(t, ErrNotEnoughStarted, code)

	minority := newWorld(t, 3, nil)
	minority.healthy()
	minority.stop(1)
	minority.stop(2)
	minority.run(40)
	_, code = minority.add(0, "http://127.0.0.1:9001", false)
	require.Equal(t, ErrUnhealthy, code)
	_, code = minority.dismiss(0, 1)
	require.Equal(t, ErrUnhealthy, code)
}

// Of two members that want the same at once one gets it and the other learns why not, although both
// looked when it made sense.
func TestRivalChangesAreSettledByTheLog(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	for i, name := range []string{"http://127.0.0.1:9001", "http://127.0.0.1:9001"} {
		n := w.members[i].driver.Node
		m := Member{ID: raft.MemberID(100 + i), PeerURLs: []string{name}}
		change := raft.Change{Kind: raft.AddLearner, Member: m.ID, Context: encodeMember(&m)}
		require.Equal(t, OK, n.judgeChange(&change))
		n.propose(Token(1000+i), raft.EntryConfig, raft.EncodeChange(nil,
			raft.ConfigChange{Changes: []raft.Change{change}}))
	}
	w.run(60)
	codes := []Code{w.answers[1000].Code, w.answers[1001].Code}
	slices.Sort(codes)
	require.Equal(t, []Code{OK, ErrPeerURLExists}, codes)
	require.Len(t, w.list(0), 4)
}

// A change that was sent, lost and overtaken by a rival is answered only when its name is used up:
// when it turns up late, it is taken no more.
func TestALateChangeIsNotMade(t *testing.T) {
	w := newWorld(t, 3, nil)
	w.healthy()
	lead := w.leader()
	other := (lead + 1) % 3
	n := w.members[other].driver.Node
	m := Member{ID: 100, PeerURLs: []string{"http://127.0.0.1:9001"}}
	late := raft.EncodeChange(nil, raft.ConfigChange{Changes: []raft.Change{{Kind: raft.AddLearner,
		Member: m.ID, Context: encodeMember(&m)}}})
	n.propose(1000, raft.EntryConfig, late)
	pr := &n.proposals.queue[len(n.proposals.queue)-1]
	pr.status, pr.sent = proposalSent, n.mono // sent, and held up
	e := raft.Entry{Type: raft.EntryConfig, Proposer: n.cfg.Member, Incarnation: n.incarnation,
		Sequence: pr.sequence, Data: late}

	added, code := w.add(lead, "http://127.0.0.1:9001", true)
	require.Equal(t, OK, code)
	w.run(30)
	require.Equal(t, ErrPeerURLExists, w.answers[1000].Code)
	_, code = w.dismiss(lead, raft.MemberID(added.Member.ID))
	require.Equal(t, OK, code)
	leader := w.members[w.leader()]
	leader.inbox = append(leader.inbox, Input{Kind: InputMessage, Message: &raft.Message{
		Type: raft.MsgPropose, From: n.cfg.Member, To: w.cfgs[w.leader()].Member,
		FromIncarnation: n.incarnation, Term: leader.driver.Node.term,
		Entries: []raft.Entry{e}}})
	w.run(10)
	require.Len(t, w.list(lead), 3)
	w.agree()
}

// Random changes at random members, some of them cut off: what was answered is what the list says,
// and all members agree.
func TestRandomChangesEqualTheirTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 3, func(l *Limits) { l.MaxLearners = 3 })
		for i := range w.cfgs {
			w.members[i].driver.Node.cfg.Strictness = Lenient
			w.cfgs[i].Strictness = Lenient
		}
		w.leader()
		w.run(10)
		twin := map[uint64]string{1: "http://127.0.0.1:2380", 2: "http://127.0.0.1:2381",
			3: "http://127.0.0.1:2382"}
		for step := range rapid.IntRange(1, 8).Draw(rt, "steps") {
			i := rapid.IntRange(0, 2).Draw(rt, "member")
			w.cut = map[raft.MemberID]bool{}
			if c := rapid.IntRange(0, 5).Draw(rt, "cut"); c < 3 && c != i {
				w.cut[w.cfgs[c].Member] = true
			}
			url := fmt.Sprintf("http://127.0.0.1:%d", 9000+step)
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				if res, code := w.add(i, url, true); code == OK {
					twin[res.Member.ID] = url
				}
			case 1:
				var res pb.MemberUpdateResponse
				if w.ask(i, MethodMemberUpdate, &pb.MemberUpdateRequest{ID: uint64(i + 1),
					PeerURLs: []string{url}}, &res) == OK {
					twin[uint64(i+1)] = url
				}
			case 2:
				for id := range twin {
					if id > 3 {
						if _, code := w.dismiss(i, raft.MemberID(id)); code == OK {
							delete(twin, id)
						}
						break
					}
				}
			}
			w.cut = map[raft.MemberID]bool{}
			w.run(20)
		}
		got := map[uint64]string{}
		for _, m := range w.list(0) {
			got[m.ID] = m.PeerURLs[0]
		}
		require.Equal(rt, twin, got)
		w.agree()
	})
}
