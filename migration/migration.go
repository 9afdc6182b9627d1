// Package migration moves a running store to another one, etcd to detcd or back, while clients go
// on writing: every revision of the source becomes the same revision of the target.
//
// The target begins as a restored snapshot of the source, so it has the source's revisions up to
// some R. The source's watch tells what each later revision changed, and since every revision
// changed something, a transaction per revision in the same order gives every key the same create
// and mod revision and the same version. So there is nothing to remember: a follower that is
// started again goes on behind the target's newest revision.
//
//	source   ... 41: put a    42: put b, delete c    43: put a
//	target   ... 41: put a    42: txn(put b, delete c)   <- at 42, the next is 43
//
// Leases keep their ids and times to live, and the follower renews them at the target, where their
// owners are not yet.
//
// The cutover freezes the source: it raises the alarm CORRUPT there, which every release of both
// stores answers by refusing all writes and serving reads. What was refused was not done, so its
// client repeats it at the target. Then the follower finishes, and the stores are compared.
//
// It does not follow changes of users and roles, which no watch tells: a cutover with such a change
// is refused before anything is frozen. Nobody but the follower may write to the target until then.
package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Store is a cluster as a client sees it.
type Store struct {
	*clientv3.Client
	Name string // source or target, for messages
}

// Follower brings a target to a source's revisions and keeps it there.
type Follower struct {
	Log  *zap.Logger
	From Store
	To   Store

	leases leases
	// done is the newest revision that the target is known to have.
	done int64
	// lastPut is a key that revision done has put, empty if it only deleted.
	lastPut string
	wave    int              // how many transactions leave together
	conn    *grpc.ClientConn // to the target's leader; nil if there is none
	// heard is the newest revision that the source's watch has told of.
	heard int64
}

// errBehind says that the source does not have what the target lacks.
var errBehind = errors.New("the source has compacted revisions that the target lacks: begin with " +
	"a newer snapshot")

// everything is the range of all keys.
const everything = "\x00"

// quiet is how long nothing may be heard from the source until it is asked whether there is news.
const quiet = 500 * time.Millisecond

// Begin finds out where the target is.
func (f *Follower) Begin(ctx context.Context) error {
	at, err := f.To.revision(ctx)
	if err != nil {
		return err
	}
	newest, err := f.From.revision(ctx)
	if err != nil {
		return err
	}
	if at > newest {
		return fmt.Errorf("the target is at revision %d, the source at %d only: somebody else has "+
			"written to the target, or it is another store's", at, newest)
	}
	f.done, f.lastPut, f.heard = at, "", at
	f.Log.Info("following", zap.Int64("target-revision", at), zap.Int64("source-revision", newest))
	return f.leases.begin(ctx, f)
}

// revision is the store's newest, confirmed by its cluster.
func (s *Store) revision(ctx context.Context) (int64, error) {
	got, err := s.Get(ctx, everything, clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.Name, err)
	}
	return got.Header.Revision, nil
}

// count is how many keys live, confirmed by the cluster.
func (s *Store) count(ctx context.Context) (*clientv3.GetResponse, error) {
	got, err := s.Get(ctx, everything, clientv3.WithRange(everything), clientv3.WithCountOnly())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return got, nil
}

// Done is the newest revision that the target has.
func (f *Follower) Done() int64 { return f.done }

// Behind is how many revisions the source was heard of that the target lacks.
func (f *Follower) Behind() int64 { return max(0, f.heard-f.done) }

// Follow applies what the source's watch tells until enough says so, of which it asks after every
// response and now and then. Trouble with either store is tried again until ctx ends.
func (f *Follower) Follow(ctx context.Context, enough func() bool) error {
	for {
		err := f.watch(ctx, enough)
		switch {
		case err == nil || errors.Is(err, errBehind) || ctx.Err() != nil:
			return err
		case isOwnMistake(err):
			return err
		}
		f.Log.Warn("following is interrupted", zap.Error(err), zap.Int64("revision", f.done))
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		if err := f.resume(ctx); err != nil {
			return err
		}
	}
}

// resume finds out where the target is, for what was under way may have been done.
func (f *Follower) resume(ctx context.Context) error {
	for {
		at, err := f.To.revision(ctx)
		if err == nil {
			f.done, f.lastPut = at, ""
			err = f.leases.begin(ctx, f)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// watch follows one watch of the source.
func (f *Follower) watch(ctx context.Context, enough func() bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := f.From.Watch(clientv3.WithRequireLeader(ctx), everything,
		clientv3.WithRange(everything), clientv3.WithRev(f.done+1), clientv3.WithFragment())
	look := time.NewTicker(quiet)
	defer look.Stop()
	for !enough() {
		select {
		case w, ok := <-news:
			if !ok {
				return errors.Join(errors.New("the source's watch has ended"), ctx.Err())
			}
			if w.CompactRevision > f.done+1 {
				return errBehind
			}
			if err := w.Err(); err != nil {
				return err
			}
			f.heard = max(f.heard, w.Header.Revision)
			if err := f.apply(ctx, w.Events); err != nil {
				return err
			}
		case <-look.C:
		}
	}
	return nil
}

// frozenAtMost is how long the source may refuse writes before a cutover is given up.
const frozenAtMost = 30 * time.Second

// freeze makes the source refuse all writes, and returns what makes it take them again; that is nil
// if nothing was asked of the source. When freezing fails it may have happened all the same.
func (f *Follower) freeze(ctx context.Context) (thaw func(context.Context) error, err error) {
	status, err := f.From.Status(ctx, f.From.Endpoints()[0])
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	id := status.Header.MemberId
	alarm := func(ctx context.Context, action pb.AlarmRequest_AlarmAction) error {
		_, err := pb.NewMaintenanceClient(f.From.ActiveConnection()).Alarm(ctx, &pb.AlarmRequest{
			Action: action, MemberID: id, Alarm: pb.AlarmType_CORRUPT})
		return err
	}
	thaw = func(ctx context.Context) error {
		for {
			err := alarm(ctx, pb.AlarmRequest_DEACTIVATE)
			if err == nil {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("thaw the source: %w", err)
			case <-time.After(time.Second):
			}
		}
	}
	if err := alarm(ctx, pb.AlarmRequest_ACTIVATE); err != nil {
		return thaw, fmt.Errorf("freeze the source: %w", err)
	}
	return thaw, nil
}
