// Replaying the log of a stopped etcd: what its database does not hold yet.
//
// An entry of etcd's log is a request that its members apply in the log's order, and so does the
// node here: each is proposed by itself and applied before the next. What etcd refused when it
// applied it (a lease that was gone, a permission that was missing) is refused alike, because
// requests are decided by the same state in the same order. Entries about members and versions are
// passed: a store that moves has new ones.
package server

import (
	"encoding/base64"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/backup/etcdwal"
	"github.com/detcd/detcd/kv"
)

// rootUser may do everything; what etcd does by itself while users count, it does in this name.
const rootUser = "root"

// replay applies the entries of an etcd's log.
func (o *offline) replay(entries []etcdwal.Entry, limits *kv.Limits, p Progress) error {
	for i := range entries {
		e := &entries[i]
		r, err := requestOf(e)
		if err != nil {
			return fmt.Errorf("entry %d of etcd's log: %w", e.Index, err)
		}
		p.report(int64(i), int64(len(entries)))
		if r == nil {
			continue
		}
		if o.hash, err = hashIn(r); err != nil {
			return fmt.Errorf("entry %d of etcd's log: %w", e.Index, err)
		}
		code := kv.Validate(r.Method, r.Raw, limits)
		if code == kv.OK {
			code, err = o.call(*r, nil)
		}
		if err != nil {
			return fmt.Errorf("entry %d of etcd's log: %w", e.Index, err)
		}
		if unfit(code) {
			return fmt.Errorf("entry %d of etcd's log, which etcd has taken, is refused: %s",
				e.Index, code.Text())
		}
	}
	return nil
}

// unfit says whether a refusal is one that etcd cannot have made when it applied an entry.
func unfit(code kv.Code) bool {
	switch code {
	case kv.ErrMalformed, kv.ErrEmptyKey, kv.ErrTooManyOps, kv.ErrDuplicateKey,
		kv.ErrRequestTooLarge, kv.ErrTooManyRequests, kv.ErrNoLeader, kv.ErrTimeout,
		kv.ErrDeadline, kv.ErrStopped, kv.ErrUnknownMethod, kv.ErrInvalidToken:
		return true
	}
	return false
}

// requestOf is the request in an entry, nil if there is none that would change a store.
func requestOf(e *etcdwal.Entry) (*kv.Request, error) {
	if e.Type != etcdwal.EntryNormal || len(e.Data) == 0 {
		return nil, nil
	}
	var in pb.InternalRaftRequest
	if err := proto.Unmarshal(e.Data, &in); err != nil {
		return nil, err
	}
	method, m := changeIn(&in)
	if m == nil {
		return nil, nil
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	var who *kv.Identity // nobody: with users enabled etcd refused it when it was applied
	switch h := in.GetHeader(); {
	case h.GetUsername() != "":
		who = &kv.Identity{User: h.GetUsername(), Revision: h.GetAuthRevision()}
	case in.Compaction != nil, in.LeaseGrant != nil, in.Alarm != nil:
		who = &kv.Identity{User: rootUser} // etcd asks nobody's rights when it applies these
	}
	return &kv.Request{Method: method, Raw: raw, Identity: who}, nil
}

// changeIn picks the request that an entry holds.
func changeIn(in *pb.InternalRaftRequest) (kv.Method, proto.Message) {
	switch {
	case in.Put != nil:
		return kv.MethodPut, in.Put
	case in.DeleteRange != nil:
		return kv.MethodDeleteRange, in.DeleteRange
	case in.Txn != nil:
		return kv.MethodTxn, in.Txn
	case in.Compaction != nil:
		return kv.MethodCompact, &pb.CompactionRequest{Revision: in.Compaction.GetRevision()}
	case in.LeaseGrant != nil:
		return kv.MethodLeaseGrant, in.LeaseGrant
	case in.LeaseRevoke != nil:
		return kv.MethodLeaseRevoke, in.LeaseRevoke
	case in.Alarm != nil && in.Alarm.GetAction() != pb.AlarmRequest_GET:
		return kv.MethodAlarm, in.Alarm
	}
	return authChangeIn(in)
}

// authChangeIn picks a change of users and roles.
func authChangeIn(in *pb.InternalRaftRequest) (kv.Method, proto.Message) {
	switch {
	case in.AuthEnable != nil:
		return kv.MethodAuthEnable, in.AuthEnable
	case in.AuthDisable != nil:
		return kv.MethodAuthDisable, in.AuthDisable
	case in.AuthUserAdd != nil:
		return kv.MethodUserAdd, in.AuthUserAdd
	case in.AuthUserDelete != nil:
		return kv.MethodUserDelete, in.AuthUserDelete
	case in.AuthUserChangePassword != nil:
		return kv.MethodUserChangePassword, in.AuthUserChangePassword
	case in.AuthUserGrantRole != nil:
		return kv.MethodUserGrantRole, in.AuthUserGrantRole
	case in.AuthUserRevokeRole != nil:
		return kv.MethodUserRevokeRole, in.AuthUserRevokeRole
	case in.AuthRoleAdd != nil:
		return kv.MethodRoleAdd, in.AuthRoleAdd
	case in.AuthRoleDelete != nil:
		return kv.MethodRoleDelete, in.AuthRoleDelete
	case in.AuthRoleGrantPermission != nil:
		return kv.MethodRoleGrantPermission, in.AuthRoleGrantPermission
	case in.AuthRoleRevokePermission != nil:
		return kv.MethodRoleRevokePermission, in.AuthRoleRevokePermission
	}
	return 0, nil
}

// hashIn is the hash that an entry holds in a password's place: etcd, too, hashes before it logs.
func hashIn(r *kv.Request) ([]byte, error) {
	if r.Method != kv.MethodUserAdd {
		return nil, nil
	}
	var add pb.AuthUserAddRequest
	if err := proto.Unmarshal(r.Raw, &add); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(add.GetHashedPassword())
}
