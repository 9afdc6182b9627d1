package main

// Running a sequence: every step goes to both servers, then the two answers are compared, then what
// the run has to remember is taken from them. At the end comes an epilogue of reads that would show
// a state that differs without any answer having shown it.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/test/compat/servers"
)

// difference is what was found.
type difference struct {
	step  *step // nil: not the answer to one
	index int
	what  string
}

// run is one sequence on its way.
type run struct {
	pair      *pair
	coverage  *coverage
	methods   map[string]method
	revisions revisions
	auth      bool // users count, as far as the answers say
	asked     int
	// background are the calls that were begun and not finished, by number.
	background map[int]*background
}

// play performs the steps. A nil difference says that the two servers agree.
func (r *run) play(ctx context.Context, steps []*step) (*difference, error) {
	r.background = map[int]*background{}
	defer r.endBackground()
	if err := r.learnRevision(ctx); err != nil {
		return nil, err
	}
	for i, s := range slices.Concat(steps, r.epilogue()) {
		if s == nil {
			continue
		}
		d, err := r.one(ctx, s)
		if died := r.pair.died(); died != nil {
			return &difference{step: s, index: i, what: died.Error()}, nil
		}
		if err != nil {
			return nil, err
		}
		if d != nil {
			d.step, d.index = s, i
			return d, nil
		}
	}
	return r.settleAll(), nil
}

func (r *run) learnRevision(ctx context.Context) error {
	revisions := [2]int64{}
	for i, t := range r.pair.targets {
		response := &pb.RangeResponse{}
		if err := t.ask(ctx, pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("x")},
			response); err != nil {
			return err
		}
		revisions[i] = response.Header.Revision
	}
	if revisions[0] != revisions[1] {
		return fmt.Errorf("the revisions differ before the sequence: %d", revisions)
	}
	r.revisions.current = revisions[0]
	hash := &pb.HashKVResponse{}
	if err := r.pair.targets[0].ask(ctx, pb.Maintenance_HashKV_FullMethodName,
		&pb.HashKVRequest{}, hash); err != nil {
		return err
	}
	r.revisions.compacted = hash.CompactRevision
	return nil
}

// one performs a step on both servers.
func (r *run) one(ctx context.Context, s *step) (*difference, error) {
	if !servers.Served(s.method) {
		r.coverage.skipped[s.method]++
		return nil, nil
	}
	m, known := r.methods[s.method]
	if !known {
		m = method{name: s.method, response: r.methods[pb.KV_Range_FullMethodName].response}
	}
	r.asked++
	r.pair.steps++
	r.revisions.serial = r.pair.steps
	if r.needsQuiet(s) {
		if d := r.settleAll(); d != nil {
			return d, nil
		}
	}
	if err := r.refreshToken(ctx, s.as); err != nil {
		return nil, err
	}
	var data [2][]byte
	for i, t := range r.pair.targets {
		data[i] = s.raw
		if s.request != nil {
			resolved := t.ids.resolve(s.request, r.revisions, r.pair.limits)
			if i == 0 {
				r.coverage.request(s, resolved)
				r.coverage.edges(resolved, r.revisions, r.pair.limits)
			}
			var err error
			if data[i], err = proto.Marshal(resolved); err != nil {
				return nil, fmt.Errorf("encode %v: %w", s, err)
			}
		}
	}
	r.coverage.metadata(s, r.pair.targets[0])
	if d, done, err := r.special(ctx, s, m, data); done {
		return d, err
	}
	return r.callStep(ctx, s, m, data)
}

// needsQuiet says that a step could overtake events on their way, and change which ones come.
func (r *run) needsQuiet(s *step) bool {
	if s.kind == watchEnd || s.method == pb.KV_Compact_FullMethodName {
		return true
	}
	request, ok := s.request.(*pb.WatchRequest)
	return ok && request.GetCancelRequest() != nil
}

func (r *run) refreshToken(ctx context.Context, as identity) error {
	if !r.auth || as == nobody || as == wrongToken {
		return nil
	}
	for _, t := range r.pair.targets {
		if t.tokens[as] == "" {
			// Who does not exist or has another password goes without a token, on both servers.
			if err := t.authenticate(ctx, as); err != nil && ctx.Err() != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) ask(ctx context.Context, s *step, m method, data [2][]byte) (answers [2]*answer) {
	p := &patience{}
	ctx, cancel := p.limited(ctx, s)
	defer cancel()
	var wait sync.WaitGroup
	for i, t := range r.pair.targets {
		wait.Go(func() {
			if s.method == pb.Maintenance_Snapshot_FullMethodName {
				answers[i] = t.snapshot(t.dress(ctx, s))
				return
			}
			answers[i] = t.perform(ctx, s, m, data[i], p)
		})
	}
	wait.Wait()
	return answers
}

func (r *run) callStep(
	ctx context.Context, s *step, m method, data [2][]byte,
) (*difference, error) {
	switch s.kind {
	case expiry:
		if d := r.awaitExpiry(ctx, s); d != nil {
			return d, nil
		}
	case second:
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(afterSecond)))
	}
	answers := r.ask(ctx, s, m, data)
	if s.blocks && !m.serverStream && (gaveUp(answers[0]) || gaveUp(answers[1])) {
		if err := r.clearAbandoned(ctx, s); err != nil {
			return nil, err
		}
		r.awaitEqualRevisions(ctx)
	}
	for i, t := range r.pair.targets {
		r.learn(t, s, answers[i])
		if stale(answers[i]) {
			r.pair.forgetToken(s.as)
		}
	}
	r.coverage.answer(s, answers[0])
	if r.pair.tainted && lagging[s.method] {
		return nil, nil
	}
	d := r.compare(s, answers[0], answers[1])
	if d != nil && sortsChunks(s) {
		return r.compareUnsorted(ctx, s, m, answers[1])
	}
	for end := time.Now().Add(watchLimit); d != nil && lagging[s.method]; {
		if time.Now().After(end) {
			break
		}
		time.Sleep(20 * poll)
		if err := r.refreshToken(ctx, s.as); err != nil {
			return nil, err
		}
		answers = r.ask(ctx, s, m, data)
		d = r.compare(s, answers[0], answers[1])
	}
	return d, nil
}

// compareUnsorted compares what detcd answered to a stream that etcd sorts by chunks with etcd's
// answer to the same stream without a target.
func (r *run) compareUnsorted(
	ctx context.Context, s *step, m method, detcd *answer,
) (*difference, error) {
	etcd := r.pair.targets[0]
	plain := unsorted(s)
	data, err := proto.Marshal(etcd.ids.resolve(plain.request, r.revisions, r.pair.limits))
	if err != nil {
		return nil, err
	}
	d := r.compare(plain, etcd.perform(ctx, plain, m, data, &patience{}), detcd)
	if d == nil {
		r.coverage.deviations[sortedStreams]++
	}
	return d, nil
}

// lagging are the methods that show what etcd does behind an answer that it has given: a compaction
// goes on, and an alarm or a version reaches the disk. They are asked again until both agree.
var lagging = map[string]bool{
	pb.Maintenance_HashKV_FullMethodName: true, pb.Maintenance_Snapshot_FullMethodName: true,
}

// gaveUp says that nobody knows yet what a caller has left behind.
func gaveUp(a *answer) bool { return a.code == codes.Canceled }

// stale says that whoever asked needs a new token.
func stale(a *answer) bool {
	return a.code == codes.Unauthenticated || a.text == kv.ErrAuthOld.Text()
}

// forgetToken makes the next step of an identity get a new token, from both servers.
func (p *pair) forgetToken(as identity) {
	for _, t := range p.targets {
		t.tokens[as] = ""
	}
}

// afterSecond is the beginning of the next second and what detcd's clock may lag behind.
const afterSecond = time.Second + 300*time.Millisecond

// learn takes from an answer what later steps refer to.
func (r *run) learn(t *target, s *step, a *answer) {
	if a.code != codes.OK || len(a.messages) != 1 || s.request == nil {
		return
	}
	switch m := a.messages[0].(type) {
	case *pb.LeaseGrantResponse:
		if s.request.(*pb.LeaseGrantRequest).ID == 0 {
			t.ids.addLease(m.ID)
		}
	case *pb.MemberAddResponse:
		t.ids.addMember(m.Member.GetID())
	case *lockpb.LockResponse:
		if s.request.(*lockpb.LockRequest).Lease == 0 {
			t.ids.drawFromKey(m.Key)
			r.pair.tainted = true
		}
		t.ids.addOwner(m.Key, m.Header.GetRevision())
	case *electionpb.CampaignResponse:
		if s.request.(*electionpb.CampaignRequest).Lease == 0 {
			t.ids.drawFromKey(m.Leader.GetKey())
			r.pair.tainted = true
		}
		t.ids.addOwner(m.Leader.GetKey(), m.Leader.GetRev())
	case *pb.AuthenticateResponse:
		for i, name := range users {
			if name != "" && name == s.request.(*pb.AuthenticateRequest).Name {
				t.tokens[i] = m.Token
			}
		}
	case *pb.AuthEnableResponse:
		r.auth = true
	case *pb.AuthDisableResponse:
		r.auth = false
		t.tokens = [numIdentities]string{}
	case *pb.CompactionResponse:
		r.revisions.compacted = t.ids.number(s.request.(*pb.CompactionRequest).Revision,
			r.revisions)
	}
	if h := headerOf(a.messages[0]); h != nil {
		r.revisions.current = max(r.revisions.current, h.Revision)
	}
}

func headerOf(m proto.Message) *pb.ResponseHeader {
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		return h.GetHeader()
	}
	return nil
}

// watchStep sends a message on a watch stream and, where an answer is certain, waits for it.
func (r *run) watchStep(ctx context.Context, s *step, data [2][]byte) (*difference, error) {
	if s.kind == watchEnd {
		for _, t := range r.pair.targets {
			if w := t.watch[s.stream]; w != nil {
				w.cancel()
				delete(t.watch, s.stream)
			}
		}
		return nil, nil
	}
	request := r.pair.targets[0].ids.resolve(s.request, r.revisions,
		r.pair.limits).(*pb.WatchRequest)
	for i, t := range r.pair.targets {
		w, err := t.openWatch(ctx, s)
		if err != nil {
			return nil, err
		}
		if i == 0 && w.haunted(request) {
			r.coverage.deviations[zombieWatchers]++
			return nil, nil
		}
		before := look(w, func() int {
			w.notify = request.GetCreateRequest().GetProgressNotify()
			return w.created
		})
		if err := w.stream.SendMsg(data[i]); err != nil {
			continue // the receiver knows why
		}
		name := t.server.Program.Name
		switch {
		case request.GetCreateRequest() != nil:
			if !await(watchLimit, func() bool {
				return look(w, func() bool { return w.created > before || w.ended != "" })
			}) {
				return &difference{what: name + " does not answer the creation"}, nil
			}
			w.noteCreation(request.GetCreateRequest(), r.revisions.current)
		case request.GetCancelRequest() != nil:
			id := request.GetCancelRequest().WatchId
			if !await(watchLimit, func() bool { return w.gone(id) }) {
				return &difference{what: name + " does not answer the cancellation"}, nil
			}
		}
	}
	return r.compareTranscripts(s.stream), nil
}

// noteCreation remembers that a watcher waits for the future.
func (w *watchStream) noteCreation(c *pb.WatchCreateRequest, current int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.StartRevision <= current {
		return
	}
	if x := w.watchers[w.newest]; x != nil && x.live {
		x.future = c.StartRevision
	}
}

func (w *watchStream) gone(id int64) bool {
	return look(w, func() bool {
		x := w.watchers[id]
		if x != nil && !x.live {
			x.zombie = false
		}
		return x == nil || !x.live || w.ended != ""
	})
}

// haunted says that etcd would treat a request otherwise because it keeps a watcher that was
// compacted away: a new one would get another id, or none, and a cancellation an answer.
func (w *watchStream) haunted(request *pb.WatchRequest) bool {
	return look(w, func() bool {
		for known, x := range w.watchers {
			if !x.zombie {
				continue
			}
			create, cancel := request.GetCreateRequest(), request.GetCancelRequest()
			if create != nil && (create.WatchId == 0 || create.WatchId == known) ||
				cancel != nil && cancel.WatchId == known {
				return true
			}
		}
		return false
	})
}

func (r *run) compareTranscripts(id int) *difference {
	a, b := r.pair.targets[0].watch[id], r.pair.targets[1].watch[id]
	if await(watchLimit, func() bool { return slices.Equal(a.transcript(), b.transcript()) }) {
		return nil
	}
	return transcriptDifference(fmt.Sprintf("watch stream %d", id), a.transcript(), b.transcript())
}

func (r *run) settleAll() *difference {
	var streams []int
	for id := range r.pair.targets[0].watch {
		streams = append(streams, id)
	}
	slices.Sort(streams)
	for _, id := range streams {
		d := r.pair.settle(id, r.revisions.current)
		r.coverage.watches(r.pair.targets[0].watch[id], r.revisions.current)
		if d != nil {
			return d
		}
	}
	return nil
}

// String prints the sequence up to the difference, and the two answers.
func (d *difference) report(steps []*step) string {
	var b strings.Builder
	b.WriteString("the shortest sequence:\n")
	const last = 80 // steps that are printed
	for i, s := range steps {
		if i > d.index {
			break
		}
		if i+last < min(len(steps), d.index) {
			continue
		}
		fmt.Fprintf(&b, "  %3d  %v\n", i+1, s)
	}
	if d.step != nil && d.index >= len(steps) {
		fmt.Fprintf(&b, "  then %v\n", d.step)
	}
	fmt.Fprintf(&b, "what differs: %s\n", d.what)
	return b.String()
}
