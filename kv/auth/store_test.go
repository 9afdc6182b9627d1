package auth_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/kv/auth"
	"github.com/detcd/detcd/linearizability"
)

var texts = map[auth.Outcome]string{
	auth.Done:                 "",
	auth.RootUserMissing:      linearizability.ErrRootUserMissing,
	auth.RootRoleMissing:      linearizability.ErrRootRoleMissing,
	auth.UserExists:           linearizability.ErrUserExists,
	auth.UserEmpty:            linearizability.ErrUserEmpty,
	auth.UserNotFound:         linearizability.ErrUserNotFound,
	auth.RoleExists:           linearizability.ErrRoleExists,
	auth.RoleNotFound:         linearizability.ErrRoleNotFound,
	auth.RoleEmpty:            linearizability.ErrRoleEmpty,
	auth.PermissionMissing:    linearizability.ErrPermissionMissing,
	auth.Denied:               linearizability.ErrPermissionDenied,
	auth.RoleNotGranted:       linearizability.ErrRoleNotGranted,
	auth.PermissionNotGranted: linearizability.ErrPermissionNotGranted,
	auth.Management:           linearizability.ErrAuthManagement,
	auth.Old:                  linearizability.ErrAuthOld,
}

func name(t *rapid.T, kind string) string {
	return rapid.SampledFrom([]string{"root", "a", "b", "c", ""}).Draw(t, kind)
}

// key draws from so few letters that intervals touch, nest and repeat all the time.
func key(t *rapid.T) []byte {
	letters := rapid.SampledFrom([]byte{0, 'a', 'b', 'c', 0xff})
	return rapid.SliceOfN(letters, 1, 2).Draw(t, "key")
}

func end(t *rapid.T, key []byte) []byte {
	switch rapid.IntRange(0, 4).Draw(t, "kind of end") {
	case 0:
		return nil
	case 1:
		return []byte{0}
	case 2:
		return append(append([]byte(nil), key...), 0)
	}
	letters := rapid.SampledFrom([]byte{0, 'a', 'b', 'c', 0xff})
	return rapid.SliceOfN(letters, 1, 2).Draw(t, "end")
}

// change draws a request and makes it to the store.
func change(t *rapid.T, s *auth.Store) (proto.Message, auth.Outcome) {
	user, role := name(t, "user"), name(t, "role")
	switch rapid.IntRange(0, 10).Draw(t, "change") {
	case 0:
		return &pb.AuthEnableRequest{}, s.Enable()
	case 1:
		return &pb.AuthDisableRequest{}, s.Disable()
	case 2:
		return &pb.AuthUserAddRequest{Name: user},
			s.AddUser(auth.User{Name: user, Hash: []byte("h")})
	case 3:
		return &pb.AuthUserDeleteRequest{Name: user}, s.DeleteUser(user)
	case 4:
		return &pb.AuthUserChangePasswordRequest{Name: user}, s.ChangePassword(user, []byte("i"))
	case 5:
		return &pb.AuthUserRevokeRoleRequest{Name: user, Role: role}, s.RevokeRole(user, role)
	case 6:
		return &pb.AuthRoleAddRequest{Name: role}, s.AddRole(role)
	case 7:
		return &pb.AuthRoleDeleteRequest{Role: role}, s.DeleteRole(role)
	case 8:
		k := key(t)
		e := end(t, k)
		return &pb.AuthRoleRevokePermissionRequest{Role: role, Key: k, RangeEnd: e},
			s.RevokePermission(role, k, e)
	case 9:
		return &pb.AuthUserGrantRoleRequest{User: user, Role: role}, s.GrantRole(user, role)
	}
	k := key(t)
	p := &authpb.Permission{Key: k, RangeEnd: end(t, k),
		PermType: authpb.Permission_Type(rapid.IntRange(0, 3).Draw(t, "access"))}
	return &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: p}, s.GrantPermission(role,
		&auth.Permission{Key: p.Key, End: p.RangeEnd, Access: auth.Access(p.PermType)})
}

func TestStoreDoesWhatTheModelDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := auth.New(), linearizability.NewRights()
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			request, got := change(t, &s)
			var want string
			model, want = model.Change(request)
			require.Equal(t, want, texts[got], "step %d: %v", i, request)
			require.Equal(t, model.Revision, s.Revision())
			require.Equal(t, model.Enabled, s.Enabled())
			ask(t, &s, model)
			require.NoError(t, s.Check())
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				digest := s.Digest()
				restored, err := auth.Decode(s.Encode(nil))
				require.NoError(t, err)
				require.Equal(t, digest, restored.Digest())
				require.Equal(t, s.Encode(nil), restored.Encode(nil))
				s = restored
			}
		}
	})
}

// ask compares some questions about rights.
func ask(t *rapid.T, s *auth.Store, model *linearizability.Rights) {
	for range 4 {
		user := name(t, "who")
		revision := s.Revision()
		if rapid.IntRange(0, 9).Draw(t, "old") == 0 {
			revision--
		}
		who := auth.Subject{User: user, Revision: revision}
		require.Equal(t, model.Admin(user), texts[s.Admin(who)])
		k := key(t)
		e := end(t, k)
		access := rapid.IntRange(0, 1).Draw(t, "want")
		want := model.May(user, revision, authpb.Permission_Type(access), k, e)
		got := s.May(who, auth.Access(access), k, e)
		require.Equal(t, want, texts[got], "%q access %d to %q..%q", user, access, k, e)
	}
}

func TestEveryRightIsWhatItSays(t *testing.T) {
	s := auth.New()
	require.Equal(t, auth.Done, s.AddUser(auth.User{Name: "root"}))
	require.Equal(t, auth.RootRoleMissing, s.Enable())
	require.Equal(t, auth.Done, s.GrantRole("root", "root"))
	require.Equal(t, auth.Done, s.AddUser(auth.User{Name: "a"}))
	require.Equal(t, auth.Done, s.AddRole("r"))
	require.Equal(t, auth.Done, s.GrantRole("a", "r"))
	for _, p := range []auth.Permission{
		{Key: []byte("one"), Access: auth.ReadWrite},
		{Key: []byte("a"), End: []byte("c"), Access: auth.Read},
		{Key: []byte("c"), End: []byte("e"), Access: auth.ReadWrite},
		{Key: []byte("x"), End: []byte{0}, Access: auth.Write},
	} {
		require.Equal(t, auth.Done, s.GrantPermission("r", &p))
	}
	require.Equal(t, auth.Done, s.Enable())
	who := auth.Subject{User: "a", Revision: s.Revision()}
	for _, c := range []struct {
		access   auth.Access
		key, end string
		want     auth.Outcome
	}{
		{auth.Read, "one", "", auth.Done},
		{auth.Read, "one", "\x00", auth.Denied}, // a key is not all keys from it on
		{auth.Read, "one", "onf", auth.Denied},
		{auth.Read, "one", "one\x00", auth.Done},
		{auth.Read, "a", "e", auth.Done}, // two permissions that touch are one
		{auth.Read, "a", "e\x00", auth.Denied},
		{auth.Write, "b", "d", auth.Denied},
		{auth.Write, "c", "d", auth.Done},
		{auth.Write, "y", "\x00", auth.Done},
		{auth.Write, "w", "\x00", auth.Denied},
		{auth.Read, "y", "", auth.Denied},
		{auth.Read, "\x00", "\x00", auth.Denied},
		{auth.Read, "a", "a", auth.Done}, // no key, but where it would be is granted
		{auth.Read, "d", "a", auth.Done},
		{auth.Write, "a", "a", auth.Denied},
		{auth.Read, "e", "e", auth.Denied},
	} {
		require.Equal(t, c.want, s.May(who, c.access, []byte(c.key), []byte(c.end)), "%+v", c)
	}
	who.Revision--
	require.Equal(t, auth.Old, s.May(who, auth.Read, []byte("one"), nil))
	require.Equal(t, auth.UserEmpty, s.May(auth.Subject{}, auth.Read, []byte("one"), nil))
}

func TestDecodeRefusesDamage(t *testing.T) {
	s := auth.New()
	require.Equal(t, auth.Done, s.AddUser(auth.User{Name: "root", Hash: []byte("h")}))
	require.Equal(t, auth.Done, s.AddRole("r"))
	require.Equal(t, auth.Done, s.GrantPermission("r", &auth.Permission{Key: []byte("k")}))
	whole := s.Encode(nil)
	for n := range whole {
		_, err := auth.Decode(whole[:n])
		require.Error(t, err, fmt.Sprint(n))
	}
	_, err := auth.Decode(append(whole, 0))
	require.Error(t, err)
}
