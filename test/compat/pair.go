package main

// A pair is etcd and detcd, one member each, started with the same flags. It serves many sequences,
// because starting servers is slow: after each one everything that it left is removed, and the pair
// is replaced when that fails, when the two differ, or when it has served a hundred.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/test/compat/servers"
)

const (
	sequencesPerPair = 100
	callLimit        = 10 * time.Second
)

// limits are what the servers are told and the values of requests are sized by.
type limits struct {
	txnOps  int
	request int
}

// Every second pair has small limits, so that crossing them is cheap.
var (
	defaultLimits = limits{txnOps: 128, request: 1.5 * 1024 * 1024}
	smallLimits   = limits{txnOps: 6, request: 16 << 10}
)

// The kinds of pair: odd ones have small limits, and the upper half signs its tokens, which then
// are old as soon as anybody's rights have changed.
const (
	numKinds  = 4
	kindSmall = 1
	kindSigns = 2
)

// noticeInterval is the shortest that etcd allows.
const noticeInterval = 100 * time.Millisecond

// rawCodec passes bytes through, so that a request may be anything.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// target is one of the two servers and what the run knows of it.
type target struct {
	server *servers.Server
	conn   *grpc.ClientConn
	ids    *ids
	tokens [numIdentities]string
	watch  map[int]*watchStream
}

// pair is both servers: etcd first.
type pair struct {
	targets [2]*target
	limits  limits
	steps   int // requests served
	// tainted says that ids which the servers drew are in what is stored: hashes differ for ever.
	tainted bool
}

func startPair(
	ctx context.Context, programs servers.Programs, dir string, kind int,
) (*pair, error) {
	p := &pair{limits: defaultLimits}
	if kind&kindSmall != 0 {
		p.limits = smallLimits
	}
	flags := []string{"--max-txn-ops", strconv.Itoa(p.limits.txnOps),
		"--max-request-bytes", strconv.Itoa(p.limits.request),
		"--watch-progress-notify-interval", noticeInterval.String()}
	if servers.Served("/etcdserverpb.Auth/UserAdd") {
		flags = append(flags, "--bcrypt-cost", "4")
	}
	if kind&kindSigns != 0 {
		key, err := signingKey(dir)
		if err != nil {
			return nil, err
		}
		flags = append(flags, "--auth-token", "jwt,sign-method=HS256,ttl=1h,priv-key="+key)
	}
	var errs [2]error
	var wait sync.WaitGroup
	for i, program := range []servers.Program{programs.Etcd, programs.Detcd} {
		wait.Go(func() { p.targets[i], errs[i] = startTarget(ctx, program, dir, flags) })
	}
	wait.Wait()
	err := errors.Join(errs[:]...)
	if err == nil {
		err = p.both(func(t *target) error { return t.server.WaitVersion(ctx) })
	}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// signingKey writes the key of a pair to a file.
func signingKey(dir string) (name string, err error) {
	f, err := os.CreateTemp(dir, "key-")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString("a secret that both servers share")
	return f.Name(), errors.Join(err, f.Close())
}

func startTarget(
	ctx context.Context, program servers.Program, dir string, flags []string,
) (*target, error) {
	s, err := servers.Single(ctx, program, dir, flags...)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+s.Address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}),
			grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	t := &target{server: s, conn: conn, watch: map[int]*watchStream{}}
	list := &pb.MemberListResponse{}
	if err := t.ask(ctx, pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{},
		list); err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	t.ids = newIDs(list.Members[0].ID)
	return t, nil
}

// ask is a request that is no part of a sequence.
func (t *target) ask(ctx context.Context, method string, request, response proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	data, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	var answer []byte
	if err := t.conn.Invoke(t.identify(ctx, asRoot, inToken), method, data, &answer); err != nil {
		return fmt.Errorf("%s %s: %w", t.server.Program.Name, method, err)
	}
	return proto.Unmarshal(answer, response)
}

// both performs f for each target at once.
func (p *pair) both(f func(*target) error) error {
	var errs [2]error
	var wait sync.WaitGroup
	for i, t := range p.targets {
		wait.Go(func() { errs[i] = f(t) })
	}
	wait.Wait()
	return errors.Join(errs[:]...)
}

// died says whether a server ended on its own.
func (p *pair) died() error {
	return errors.Join(p.targets[0].server.Died(), p.targets[1].server.Died())
}

// stop ends the servers and deletes what they stored.
func (p *pair) stop() error {
	var errs []error
	for _, t := range p.targets {
		if t == nil {
			continue
		}
		t.endWatches()
		errs = append(errs, t.conn.Close(), t.server.Kill(), t.server.Remove())
	}
	return errors.Join(errs...)
}

// reset removes what a sequence left: users and alarms first, because they refuse the rest.
func (p *pair) reset(ctx context.Context) error {
	return p.both(func(t *target) error {
		t.endWatches()
		for _, remove := range []struct {
			method string
			f      func(context.Context, *target) error
		}{
			{"/etcdserverpb.Auth/AuthEnable", resetAuth},
			{"/etcdserverpb.Maintenance/Alarm", resetAlarms},
			{"/etcdserverpb.Lease/LeaseGrant", resetLeases},
			{"/etcdserverpb.Cluster/MemberAdd", resetMembers},
			{"/etcdserverpb.KV/Put", resetKeys},
		} {
			if !servers.Served(remove.method) {
				continue
			}
			if err := remove.f(ctx, t); err != nil {
				return err
			}
		}
		t.ids.forget()
		return nil
	})
}

// same says whether the two are equal again; etcd may still be compacting.
func (p *pair) same(ctx context.Context) bool {
	return await(watchLimit, func() bool { return p.sameNow(ctx) })
}

func (p *pair) sameNow(ctx context.Context) bool {
	var hashes [2]*pb.HashKVResponse
	err := p.both(func(t *target) error {
		h := &pb.HashKVResponse{}
		hashes[slices.Index(p.targets[:], t)] = h
		return t.ask(ctx, pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}, h)
	})
	a, b := hashes[0], hashes[1]
	return err == nil && a.Hash == b.Hash && a.HashRevision == b.HashRevision &&
		a.CompactRevision == b.CompactRevision
}

func resetKeys(ctx context.Context, t *target) error {
	return t.ask(ctx, pb.KV_DeleteRange_FullMethodName,
		&pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}, &pb.DeleteRangeResponse{})
}

func resetAuth(ctx context.Context, t *target) error {
	defer func() { t.tokens = [numIdentities]string{} }()
	status := &pb.AuthStatusResponse{}
	err := t.ask(ctx, pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{}, status)
	if err != nil {
		return err
	}
	if status.Enabled {
		t.tokens = [numIdentities]string{}
		if err := t.authenticate(ctx, asRoot); err != nil {
			return err
		}
		if err := t.ask(ctx, pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{},
			&pb.AuthDisableResponse{}); err != nil {
			return err
		}
	}
	list := &pb.AuthUserListResponse{}
	if err := t.ask(ctx, pb.Auth_UserList_FullMethodName, &pb.AuthUserListRequest{},
		list); err != nil {
		return err
	}
	for _, name := range list.Users {
		if err := t.ask(ctx, pb.Auth_UserDelete_FullMethodName,
			&pb.AuthUserDeleteRequest{Name: name}, &pb.AuthUserDeleteResponse{}); err != nil {
			return err
		}
	}
	roles := &pb.AuthRoleListResponse{}
	if err := t.ask(ctx, pb.Auth_RoleList_FullMethodName, &pb.AuthRoleListRequest{},
		roles); err != nil {
		return err
	}
	for _, name := range roles.Roles {
		if err := t.ask(ctx, pb.Auth_RoleDelete_FullMethodName,
			&pb.AuthRoleDeleteRequest{Role: name}, &pb.AuthRoleDeleteResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func resetAlarms(ctx context.Context, t *target) error {
	list := &pb.AlarmResponse{}
	err := t.ask(ctx, pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{}, list)
	if err != nil {
		return err
	}
	for _, a := range list.Alarms {
		if err := t.ask(ctx, pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{
			Action: pb.AlarmRequest_DEACTIVATE, MemberID: a.MemberID, Alarm: a.Alarm,
		}, &pb.AlarmResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func resetLeases(ctx context.Context, t *target) error {
	list := &pb.LeaseLeasesResponse{}
	err := t.ask(ctx, pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{}, list)
	if err != nil {
		return err
	}
	// In the order of their ids each server would revoke in an order of its own, and the revisions
	// must stay equal: the keys go first, then the order does not matter.
	if err := resetKeys(ctx, t); err != nil {
		return err
	}
	for _, l := range list.Leases {
		if err := t.ask(ctx, pb.Lease_LeaseRevoke_FullMethodName,
			&pb.LeaseRevokeRequest{ID: l.ID}, &pb.LeaseRevokeResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func resetMembers(ctx context.Context, t *target) error {
	list := &pb.MemberListResponse{}
	err := t.ask(ctx, pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{}, list)
	if err != nil {
		return err
	}
	own := slices.IndexFunc(list.Members, func(m *pb.Member) bool { return m.ID == t.ids.own })
	if own < 0 {
		return fmt.Errorf("%s is not in its own member list", t.server.Program.Name)
	}
	for _, m := range slices.Delete(slices.Clone(list.Members), own, own+1) {
		if err := t.ask(ctx, pb.Cluster_MemberRemove_FullMethodName,
			&pb.MemberRemoveRequest{ID: m.ID}, &pb.MemberRemoveResponse{}); err != nil {
			return err
		}
	}
	return nil
}
