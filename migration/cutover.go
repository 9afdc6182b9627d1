package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Result is what a cutover came to.
type Result struct {
	// Revision is the last of the source; the target's next is the one after it.
	Revision int64 `json:"revision"`
	// Frozen is how long the source had refused writes when the target was ready to take them.
	Frozen time.Duration `json:"frozenNanoseconds"`
	// Keys is how many live.
	Keys int64 `json:"keys"`
	// Compared is the revision at which all data was compared, shortly before the freeze. Hash is
	// its HashKV, 0 if the stores' compactions made hashes incomparable and every key was compared.
	Compared int64  `json:"comparedRevision"`
	Hash     uint32 `json:"hash"`
}

// nearly is how many revisions the target may lack when the source is frozen.
const nearly = 20

// Cutover follows until the target is near, compares all data, freezes the source and follows to
// its end. A comparison reads both stores, so it comes before the freeze; what comes after it is
// few revisions, each of which says itself where it belongs. When anything fails the source takes
// writes again, and nothing has changed for anybody; when it succeeds the source stays frozen, and
// clients may write to the target.
func (f *Follower) Cutover(ctx context.Context) (Result, error) {
	if err := f.sameUsers(ctx); err != nil {
		return Result{}, err
	}
	var result Result
	if err := f.approach(ctx); err != nil {
		return result, err
	}
	if err := f.compareNow(ctx, &result); err != nil {
		return result, err
	}
	if err := f.approach(ctx); err != nil {
		return result, err
	}
	began := time.Now()
	thaw, err := f.freeze(ctx)
	if err == nil {
		frozen, cancel := context.WithTimeout(ctx, frozenAtMost)
		defer cancel()
		if err = f.finish(frozen, began, &result); err == nil {
			return result, nil
		}
	}
	if thaw == nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if failed := thaw(ctx); failed != nil {
		f.Log.Error("the cutover has failed, and the source may refuse writes: disarm its alarm "+
			"CORRUPT (etcdctl alarm disarm)", zap.Error(err))
		return result, errors.Join(err, failed)
	}
	f.Log.Error("the cutover has failed: the source takes writes again", zap.Error(err))
	return result, err
}

// approach follows until the target lacks few revisions.
func (f *Follower) approach(ctx context.Context) error {
	newest, err := f.From.revision(ctx)
	if err != nil {
		return err
	}
	return f.Follow(ctx, func() bool { return f.done >= max(newest, f.heard)-nearly })
}

// finish brings the target to the frozen source's last revision.
func (f *Follower) finish(ctx context.Context, began time.Time, r *Result) error {
	from, err := f.From.count(ctx)
	if err != nil {
		return err
	}
	r.Revision, r.Keys = from.Header.Revision, from.Count
	if f.done < r.Revision {
		err = f.Follow(ctx, func() bool { return f.done >= r.Revision })
		if err != nil {
			return err
		}
	}
	to, err := f.To.count(ctx)
	if err != nil {
		return err
	}
	if to.Header.Revision != r.Revision || to.Count != r.Keys {
		return fmt.Errorf("the target is at revision %d with %d keys, the source at %d with %d",
			to.Header.Revision, to.Count, r.Revision, r.Keys)
	}
	if err := f.leases.settle(ctx, f); err != nil {
		return err
	}
	if err := f.sameUsers(ctx); err != nil {
		return err
	}
	r.Frozen = time.Since(began)
	f.leases.stop() // their owners renew them here from now on
	return nil
}

// comparisons is how often a comparison begins anew because the source was compacted under it.
const comparisons = 5

// compareNow compares all data as of the target's newest revision.
func (f *Follower) compareNow(ctx context.Context, r *Result) error {
	for try := 1; ; try++ {
		r.Compared = f.done
		err := f.compare(ctx, r)
		if !errors.Is(err, rpctypes.ErrCompacted) || try == comparisons {
			return err
		}
		if err := f.approach(ctx); err != nil {
			return err
		}
	}
}

// sameUsers demands that no user or role has changed since the snapshot.
func (f *Follower) sameUsers(ctx context.Context) error {
	from, err := f.From.AuthStatus(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	to, err := f.To.AuthStatus(ctx)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if from.AuthRevision != to.AuthRevision || from.Enabled != to.Enabled {
		return fmt.Errorf("users or roles have changed at the source (auth revision %d, at the "+
			"target %d): make the same changes at the target, or begin with a newer snapshot",
			from.AuthRevision, to.AuthRevision)
	}
	return nil
}

// compare demands that both stores are the same, by their hashes if their compactions allow it,
// else key by key.
func (f *Follower) compare(ctx context.Context, r *Result) error {
	from, err := f.From.hash(ctx, r.Compared)
	if err != nil {
		return err
	}
	to, err := f.To.hash(ctx, r.Compared)
	if err != nil {
		return err
	}
	if from.CompactRevision > to.CompactRevision {
		_, err := f.To.Compact(ctx, from.CompactRevision)
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return fmt.Errorf("target: compact: %w", err)
		}
		if to, err = f.To.hash(ctx, r.Compared); err != nil {
			return err
		}
	}
	if from.CompactRevision != to.CompactRevision || from.CompactRevision == r.Compared {
		return f.compareKeys(ctx, r) // a hash at its own compaction is of before it
	}
	if from.Hash != to.Hash {
		return fmt.Errorf("the stores differ at revision %d: hash %08x at the source, %08x at the "+
			"target", r.Compared, from.Hash, to.Hash)
	}
	r.Hash = from.Hash
	f.Log.Info("the stores are the same", zap.Int64("revision", r.Compared),
		zap.Uint32("hash", r.Hash))
	return nil
}

// hash asks the store's first endpoint, which may have to catch up.
func (s *Store) hash(ctx context.Context, revision int64) (*clientv3.HashKVResponse, error) {
	for {
		h, err := s.HashKV(ctx, s.Endpoints()[0], revision)
		if errors.Is(err, rpctypes.ErrFutureRev) {
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: hash: %w", s.Name, err)
		}
		return h, nil
	}
}

// pageKeys is how many keys are compared at a time.
const pageKeys = 1000

func (f *Follower) compareKeys(ctx context.Context, r *Result) error {
	for key := everything; ; {
		var pages [2]*clientv3.GetResponse
		for i, s := range []*Store{&f.From, &f.To} {
			got, err := s.Get(ctx, key, clientv3.WithRange(everything),
				clientv3.WithLimit(pageKeys), clientv3.WithRev(r.Compared))
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			pages[i] = got
		}
		if len(pages[0].Kvs) != len(pages[1].Kvs) {
			return fmt.Errorf("the stores differ at revision %d behind key %q", r.Compared, key)
		}
		for i, pair := range pages[0].Kvs {
			if !proto.Equal(pair, pages[1].Kvs[i]) {
				return fmt.Errorf("the stores differ at revision %d in key %q", r.Compared,
					pair.Key)
			}
		}
		if !pages[0].More {
			return nil
		}
		key = string(pages[0].Kvs[len(pages[0].Kvs)-1].Key) + "\x00"
	}
}

// grantAs grants a lease under a given id.
func (s *Store) grantAs(ctx context.Context, id clientv3.LeaseID, ttl int64) (
	*pb.LeaseGrantResponse, error) {
	r, err := pb.NewLeaseClient(s.ActiveConnection()).LeaseGrant(ctx,
		&pb.LeaseGrantRequest{ID: int64(id), TTL: ttl})
	return r, rpctypes.Error(err)
}
