package migration

// Applying revisions. Many transactions are under way at once, or the target's disk would decide
// how fast it follows; but each says itself where it belongs. It compares that the revision before
// it is there, by a key that was put in it, and that it itself is not, by a key of its own. So one
// that overtakes another does nothing, and one that is repeated after an outcome that nobody heard
// does nothing either.
//
//	revision 42: put b, delete c
//	if mod(a) == 41 and mod(b) < 42 then put b, delete c
//
// They leave in waves, in order, over one connection to the target's leader. It takes them in about
// that order, and what comes behind one that was overtaken is sent again with the next wave. Waves
// grow while they succeed. A revision that only deletes leaves no key to compare with, so a wave
// ends with it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// window is how many transactions are under way at once at most.
const window = 128

// change is one revision of the source.
type change struct {
	revision int64
	events   []*clientv3.Event
	// after is a key that the revision before has put; empty if that is known to be there.
	after string
}

// lastPut is a key that the revision puts, empty if it only deletes.
func (c *change) lastPut() string {
	for i := len(c.events) - 1; i >= 0; i-- {
		if c.events[i].Type == clientv3.EventTypePut {
			return string(c.events[i].Kv.Key)
		}
	}
	return ""
}

// revisions splits events into the revisions that they belong to.
func revisions(events []*clientv3.Event) (changes []change) {
	for _, e := range events {
		n := len(changes)
		if n == 0 || changes[n-1].revision != e.Kv.ModRevision {
			changes = append(changes, change{revision: e.Kv.ModRevision})
			n++
		}
		changes[n-1].events = append(changes[n-1].events, e)
	}
	return changes
}

// apply brings the target to the newest revision of the events.
func (f *Follower) apply(ctx context.Context, events []*clientv3.Event) error {
	changes := revisions(events)
	for len(changes) > 0 {
		n := f.batch(changes)
		if err := f.leases.know(ctx, f, changes[:n]); err != nil {
			return err
		}
		if err := f.applyTogether(ctx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// batch gives the changes that can be under way together their places, and counts them.
func (f *Follower) batch(changes []change) (n int) {
	after := f.lastPut
	for n < len(changes) && n < window && (n == 0 || after != "") {
		changes[n].after = after
		after = changes[n].lastPut()
		n++
	}
	return n
}

// applyTogether sends the changes until all are there.
func (f *Follower) applyTogether(ctx context.Context, changes []change) error {
	for i := range changes {
		if want := f.done + 1 + int64(i); changes[i].revision != want {
			return fmt.Errorf("the source's watch goes on with revision %d, not %d",
				changes[i].revision, want)
		}
	}
	for len(changes) > 0 {
		n := min(max(f.wave, 1), len(changes))
		done, err := f.send(ctx, changes[:n])
		if done > 0 {
			last := &changes[done-1]
			f.done, f.lastPut = last.revision, last.lastPut()
		}
		if err != nil {
			return err
		}
		f.wave = min(2*done+1, window)
		changes = changes[done:]
	}
	return nil
}

// send is one wave. It says how many of its changes, from the first on, are there.
func (f *Follower) send(ctx context.Context, wave []change) (done int, err error) {
	conn, err := f.leader(ctx)
	if err != nil {
		return 0, err
	}
	// What is not answered when the wave has failed is nobody's any more.
	ctx, cancel := context.WithTimeout(ctx, waveTimeout)
	defer cancel()
	streams := make([]grpc.ClientStream, len(wave))
	for i := range wave {
		streams[i], err = conn.NewStream(ctx, &grpc.StreamDesc{}, pb.KV_Txn_FullMethodName)
		if err == nil {
			err = streams[i].SendMsg(wave[i].transaction())
		}
		if err != nil && !errors.Is(err, io.EOF) { // the reason of an EOF is with the answer
			return 0, f.lost(wave[i].revision, err)
		}
	}
	for i := range wave {
		there, err := f.outcome(streams[i], &wave[i])
		switch {
		case err != nil:
			return done, err
		case there && done == i:
			done++
		case !there && wave[i].after == "", !there && i == 0:
			return done, foreignError{wave[i].revision, f.done + int64(done)}
		}
	}
	return done, nil
}

// waveTimeout bounds a wave.
const waveTimeout = 15 * time.Second

// outcome waits for the answer to a change, and says whether it is there now.
func (f *Follower) outcome(stream grpc.ClientStream, c *change) (there bool, err error) {
	var r pb.TxnResponse
	err = rpctypes.Error(stream.RecvMsg(&r))
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps), errors.Is(err, rpctypes.ErrRequestTooLarge),
		err != nil && strings.Contains(err.Error(), "message larger than max"):
		return false, limitError{c.revision, len(c.events), err}
	case err != nil:
		return false, f.lost(c.revision, err)
	case r.Succeeded && r.Header.Revision != c.revision:
		return false, foreignError{c.revision, r.Header.Revision}
	}
	return r.Succeeded || r.Header.Revision >= c.revision, nil
}

// lost gives up the connection to the leader: there may be another one.
func (f *Follower) lost(revision int64, err error) error {
	if f.conn != nil {
		_ = f.conn.Close() // it is of no use any more
		f.conn = nil
	}
	return fmt.Errorf("target: revision %d: %w", revision, err)
}

// leader connects to the target's leader, or to whoever answers if that is nobody's endpoint.
func (f *Follower) leader(ctx context.Context) (*grpc.ClientConn, error) {
	if f.conn != nil {
		return f.conn, nil
	}
	found := ""
	var failed error
	for _, endpoint := range f.To.Endpoints() {
		ask, cancel := context.WithTimeout(ctx, statusTimeout)
		status, err := f.To.Status(ask, endpoint)
		cancel()
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if found == "" || status.Leader == status.Header.MemberId {
			found = endpoint
		}
	}
	if found == "" {
		return nil, fmt.Errorf("target: %w", failed)
	}
	conn, err := f.To.Dial(found)
	if err != nil {
		return nil, fmt.Errorf("target: %s: %w", found, err)
	}
	f.conn = conn
	return conn, nil
}

const statusTimeout = 3 * time.Second

// foreignError says that the target is not what the follower has made.
type foreignError struct{ revision, target int64 }

func (e foreignError) Error() string {
	return fmt.Sprintf("revision %d cannot be made: the target is at revision %d, and differs "+
		"from the source: begin with a newer snapshot", e.revision, e.target)
}

// limitError says that a revision is larger than the target allows.
type limitError struct {
	revision int64
	changes  int
	err      error
}

func (e limitError) Error() string {
	return fmt.Sprintf("revision %d has %d changes, which the target refuses: start it with a "+
		"larger --max-txn-ops and --max-request-bytes: %v", e.revision, e.changes, e.err)
}

// isOwnMistake says whether trying again changes nothing.
func isOwnMistake(err error) bool {
	return errors.As(err, new(foreignError)) || errors.As(err, new(limitError))
}

// transaction is what makes a revision in the target, and only there.
func (c *change) transaction() *pb.TxnRequest {
	t := &pb.TxnRequest{}
	if c.after != "" {
		t.Compare = append(t.Compare, modCompare(c.after, pb.Compare_EQUAL, c.revision-1))
	}
	first := c.events[0]
	t.Compare = append(t.Compare, modCompare(string(first.Kv.Key), pb.Compare_LESS, c.revision))
	if first.Type == clientv3.EventTypeDelete {
		t.Compare = append(t.Compare, &pb.Compare{Key: first.Kv.Key, Target: pb.Compare_VERSION,
			Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_Version{Version: 0}})
	}
	for _, e := range c.events {
		op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
			Key: e.Kv.Key, Value: e.Kv.Value, Lease: e.Kv.Lease}}}
		if e.Type == clientv3.EventTypeDelete {
			op = &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
				RequestDeleteRange: &pb.DeleteRangeRequest{Key: e.Kv.Key}}}
		}
		t.Success = append(t.Success, op)
	}
	return t
}

func modCompare(key string, result pb.Compare_CompareResult, revision int64) *pb.Compare {
	return &pb.Compare{Key: []byte(key), Target: pb.Compare_MOD, Result: result,
		TargetUnion: &pb.Compare_ModRevision{ModRevision: revision}}
}
