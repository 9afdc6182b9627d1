package client

// What operators do: maintenance, backups, alarms, downgrades, who leads, who is a member.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"

	"github.com/detcd/detcd/test/compat/servers"
)

// maintenance asks every member for its state and its hash, defragments and compacts.
func maintenance(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	round := func(ctx context.Context) error {
		put, err := c.Put(ctx, "x", "y")
		if err != nil {
			return err
		}
		rev := put.Header.Revision
		hashes := map[uint32]bool{}
		for _, endpoint := range c.Endpoints() {
			s, err := c.Status(ctx, endpoint)
			if err != nil {
				return err
			}
			if s.Version == "" || s.DbSize <= 0 || s.RaftIndex == 0 {
				return wrong("the status of %s is %+v", endpoint, s)
			}
			h, err := c.HashKV(ctx, endpoint, rev)
			if err != nil {
				return err
			}
			hashes[h.Hash] = true
			if _, err := c.Defragment(ctx, endpoint); err != nil {
				return err
			}
		}
		if len(hashes) != 1 {
			return wrong("%d hashes at revision %d", len(hashes), rev)
		}
		if _, err := c.Compact(ctx, rev, clientv3.WithCompactPhysical()); err != nil {
			return err
		}
		if _, err := c.Get(ctx, "x", clientv3.WithRev(rev-1)); !errors.Is(err, rpctypes.ErrCompacted) {
			if err == nil {
				return wrong("revision %d is there after a compaction at %d", rev-1, rev)
			}
			return err
		}
		r, err := c.Get(ctx, "x", clientv3.WithRev(rev))
		if err == nil && len(r.Kvs) != 1 {
			return wrong("nothing at revision %d", rev)
		}
		return err
	}
	return repeat(ctx, 20*time.Millisecond, round)
}

// snapshots are whole whatever happens meanwhile; in the end they hold what was written before.
func snapshots(ctx context.Context, t *testing.T, all *cluster, c *clientv3.Client) judge {
	dir := t.TempDir()
	round := func(ctx context.Context) ([]string, error) {
		stream, err := c.SnapshotWithVersion(ctx)
		if err != nil {
			return nil, err
		}
		first, err := keep(stream.Snapshot, filepath.Join(dir, "first"))
		if err != nil {
			return nil, err
		}
		if stream.Version == "" {
			return nil, wrong("a snapshot of version %q", stream.Version)
		}
		old, err := c.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		second, err := keep(old, filepath.Join(dir, "second"))
		if err != nil {
			return nil, err
		}
		config := all.config()
		config.Endpoints = config.Endpoints[:1]
		third := filepath.Join(dir, "third")
		version, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), config, third)
		if err == nil && version != stream.Version {
			err = wrong("version %q and %q", version, stream.Version)
		}
		return []string{first, second, third}, err
	}
	verdict := repeat(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		files, err := round(ctx)
		if err != nil {
			return err
		}
		return whole(files, "")
	})
	return func(ctx context.Context) error {
		if err := verdict(ctx); err != nil {
			return err
		}
		mark := fmt.Sprint("marked at ", time.Now())
		return again(ctx, func(ctx context.Context) error {
			if _, err := c.Put(ctx, "mark", mark); err != nil {
				return err
			}
			files, err := round(ctx)
			if err != nil {
				return err
			}
			return whole(files, mark)
		})
	}
}

func keep(r io.ReadCloser, path string) (string, error) {
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, data, 0o600)
}

// whole checks the digest of saved files, and that their databases hold a value.
func whole(files []string, mark string) error {
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n := len(data) - sha256.Size
		if n <= 0 {
			return wrong("a snapshot of %d bytes", len(data))
		}
		if sum := sha256.Sum256(data[:n]); !bytes.Equal(sum[:], data[n:]) {
			return wrong("the digest of %d bytes is wrong", n)
		}
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			return wrong("open: %v", err)
		}
		found := false
		err = db.View(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("key")).ForEach(func(_, value []byte) error {
				found = found || bytes.Contains(value, []byte(mark))
				return nil
			})
		})
		if err := errors.Join(err, db.Close()); err != nil {
			return wrong("read: %v", err)
		}
		if !found {
			return fmt.Errorf("%s does not hold %q", path, mark)
		}
	}
	return nil
}

// alarms stop writes until they are disarmed. The library cannot raise one.
func alarms(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	all := &clientv3.AlarmMember{}
	verdict := repeat(ctx, 300*time.Millisecond, func(ctx context.Context) error {
		if _, err := c.AlarmDisarm(ctx, all); err != nil {
			return err
		}
		members, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		who := members.Members[0].ID
		raw := pb.NewMaintenanceClient(c.ActiveConnection())
		if _, err := raw.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE,
			MemberID: who, Alarm: pb.AlarmType_NOSPACE}); err != nil {
			return err
		}
		list, err := c.AlarmList(ctx)
		if err != nil {
			return err
		}
		if len(list.Alarms) != 1 || list.Alarms[0].MemberID != who {
			return wrong("the alarms are %v", list.Alarms)
		}
		if _, err := c.Put(ctx, "alarmed", "x"); err == nil {
			return wrong("a put was taken while there is no space")
		} else if !errors.Is(err, rpctypes.ErrNoSpace) {
			return err
		}
		_, err = c.AlarmDisarm(ctx, all)
		return err
	})
	return func(ctx context.Context) error {
		if err := verdict(ctx); err != nil {
			return err
		}
		return again(ctx, func(ctx context.Context) error {
			if _, err := c.AlarmDisarm(ctx, all); err != nil {
				return err
			}
			list, err := c.AlarmList(ctx)
			if err == nil && len(list.Alarms) > 0 {
				err = fmt.Errorf("the alarms are %v", list.Alarms)
			}
			return errors.Join(err, ctx.Err())
		})
	}
}

// downgrades are looked at, begun and given up.
func downgrades(ctx context.Context, _ *testing.T, c *clientv3.Client) judge {
	return repeat(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		_, err := c.Downgrade(ctx, clientv3.DowngradeCancel, "")
		if err != nil && !errors.Is(err, rpctypes.ErrNoInflightDowngrade) {
			return err
		}
		for _, action := range []clientv3.DowngradeAction{clientv3.DowngradeValidate,
			clientv3.DowngradeEnable, clientv3.DowngradeCancel} {
			r, err := c.Downgrade(ctx, action, "3.6.0")
			if err != nil {
				return err
			}
			if r.Version == "" {
				return wrong("downgrade %v of no version", action)
			}
		}
		return nil
	})
}

// moveLeader asks the leader to hand over to the next member.
func moveLeader(ctx context.Context, _ *testing.T, all *cluster, c *clientv3.Client) judge {
	return repeat(ctx, 500*time.Millisecond, func(ctx context.Context) error {
		leader := all.leader(ctx, c)
		if leader == nil {
			return errors.New("nobody leads")
		}
		next := all.members[(slices.Index(all.members, leader)+1)%members]
		target, err := c.Status(ctx, next.ClientURL)
		if err != nil {
			return err
		}
		config := all.config()
		config.Endpoints = []string{leader.ClientURL}
		at, err := clientv3.New(config)
		if err != nil {
			return err
		}
		defer at.Close()
		id := target.Header.MemberId
		if _, err := at.MoveLeader(ctx, id); err != nil {
			return err
		}
		now, err := c.Status(ctx, next.ClientURL)
		if err == nil && now.Leader != id {
			err = fmt.Errorf("%x leads and not %x", now.Leader, id)
		}
		return err
	})
}

// membership has a fourth member join, vote and leave, and others come and go without being started.
func membership(ctx context.Context, t *testing.T, all *cluster, c *clientv3.Client) judge {
	round := func(ctx context.Context) error {
		if err := ghosts(ctx, c, (*clientv3.Client).MemberAddAsLearner); err != nil {
			return err
		}
		return ghosts(ctx, c, func(c *clientv3.Client, ctx context.Context, urls []string) (
			*clientv3.MemberAddResponse, error,
		) {
			return c.MemberAdd(ctx, urls)
		})
	}
	long, cancel := context.WithTimeout(context.WithoutCancel(ctx), healTime)
	defer cancel()
	if err := fourth(long, t, all, c); err != nil {
		return func(context.Context) error { return fmt.Errorf("a fourth member: %w", err) }
	}
	worked := false
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, callTime)
		err := round(call)
		cancel()
		if errors.As(err, &wrongError{}) {
			return func(context.Context) error { return err }
		}
		worked = worked || err == nil
		pause(ctx, 50*time.Millisecond)
	}
	t.Logf("others came and went meanwhile: %v", worked)
	return func(ctx context.Context) error { return again(ctx, round) }
}

const nowhere = "http://127.0.0.1:"

var ghost atomic.Int64

// ghosts adds a member that nobody starts, moves it and removes it.
func ghosts(
	ctx context.Context, c *clientv3.Client,
	add func(*clientv3.Client, context.Context, []string) (*clientv3.MemberAddResponse, error),
) error {
	list, err := c.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Members { // what a round before could not end
		if m.Name == "" {
			if _, err := c.MemberRemove(ctx, m.ID); err != nil {
				return fmt.Errorf("remove the ghost %x of before: %w", m.ID, err)
			}
		}
	}
	// An address that comes again within a second is the same id, which has been removed for good.
	port := ghost.Add(2)
	r, err := add(c, ctx, []string{fmt.Sprint(nowhere, port)})
	if err != nil {
		return fmt.Errorf("add: %w", err)
	}
	id := r.Member.ID
	moved := []string{fmt.Sprint(nowhere, port+1)}
	if _, err := c.MemberUpdate(ctx, id, moved); err != nil {
		return fmt.Errorf("update %x: %w", id, err)
	}
	if list, err = c.MemberList(ctx); err != nil {
		return err
	}
	at := slices.IndexFunc(list.Members, func(m *pb.Member) bool { return m.ID == id })
	if at < 0 || !slices.Equal(list.Members[at].PeerURLs, moved) {
		return wrong("%x was added and moved: %v", id, list.Members)
	}
	removed, err := c.MemberRemove(ctx, id)
	if err != nil {
		return fmt.Errorf("remove %x: %w", id, err)
	}
	if err == nil && len(removed.Members) != members {
		err = wrong("%d members are left", len(removed.Members))
	}
	return err
}

// fourth has a real member join, vote and leave while others die.
func fourth(ctx context.Context, t *testing.T, all *cluster, c *clientv3.Client) error {
	joining, peer, err := servers.Join(all.programs.Detcd, t.TempDir(), "n4", all.members)
	if err != nil {
		return err
	}
	var id uint64
	if err := again(ctx, func(ctx context.Context) error {
		list, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, m := range list.Members { // an answer may have been lost
			if slices.Contains(m.PeerURLs, peer) {
				id = m.ID
				return nil
			}
		}
		r, err := c.MemberAddAsLearner(ctx, []string{peer})
		if err == nil {
			id = r.Member.ID
		}
		return err
	}); err != nil {
		return err
	}
	if err := joining.Start(); err != nil {
		return err
	}
	defer func() { _ = joining.Kill() }() // it has been removed
	if err := again(ctx, func(ctx context.Context) error {
		if joining.Died() != nil { // the member it asked did not know of it yet, as with etcd
			if err := errors.Join(joining.Kill(), joining.Start()); err != nil {
				return err
			}
		}
		_, err := c.MemberPromote(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotLearner) {
			return nil
		}
		return err
	}); err != nil {
		return errors.Join(err, joining.Died())
	}
	if err := synced(ctx, all, joining); err != nil {
		return err
	}
	return again(ctx, func(ctx context.Context) error {
		_, err := c.MemberRemove(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		return err
	})
}

// synced asks the cluster for its members, and works through the new one alone.
func synced(ctx context.Context, all *cluster, joined *servers.Server) error {
	c, err := clientv3.New(all.config())
	if err != nil {
		return err
	}
	defer c.Close()
	return again(ctx, func(ctx context.Context) error {
		if err := c.Sync(ctx); err != nil {
			return err
		}
		if !slices.Contains(c.Endpoints(), joined.ClientURL) {
			return fmt.Errorf("%s is not among %v", joined.ClientURL, c.Endpoints())
		}
		c.SetEndpoints(joined.ClientURL)
		defer c.SetEndpoints(all.endpoints()...)
		if _, err := c.Put(ctx, "joined", joined.Name); err != nil {
			return err
		}
		r, err := c.Get(ctx, "joined")
		if err == nil && (len(r.Kvs) != 1 || string(r.Kvs[0].Value) != joined.Name) {
			err = wrong("the new member reads %v", r.Kvs)
		}
		return err
	})
}
