package kv

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv/auth"
)

// authImage is users and roles as a backup carries them: etcd's own messages.
func authImage(s *auth.Store) AuthImage {
	im := AuthImage{Enabled: s.Enabled(), Revision: s.Revision()}
	for i := range s.Users() {
		u := &s.Users()[i]
		im.Users = append(im.Users, NamedImage{Name: u.Name, Wire: wireOf(&authpb.User{
			Name: []byte(u.Name), Password: u.Hash, Roles: u.Roles,
			Options: &authpb.UserAddOptions{NoPassword: u.NoPassword}})})
	}
	for i := range s.Roles() {
		r := &s.Roles()[i]
		m := &authpb.Role{Name: []byte(r.Name)}
		for _, p := range r.Permissions {
			m.KeyPermission = append(m.KeyPermission, &authpb.Permission{
				PermType: authpb.Permission_Type(p.Access), Key: p.Key, RangeEnd: p.End})
		}
		im.Roles = append(im.Roles, NamedImage{Name: r.Name, Wire: wireOf(m)})
	}
	return im
}

func wireOf(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("kv: a message of the store's own does not marshal: %v", err))
	}
	return b
}

// store is the way back.
func (im *AuthImage) store() (auth.Store, error) {
	var users []auth.User
	var roles []auth.Role
	for _, each := range im.Users {
		var m authpb.User
		if err := proto.Unmarshal(each.Wire, &m); err != nil {
			return auth.Store{}, fmt.Errorf("kv: user %q: %w", each.Name, err)
		}
		users = append(users, auth.User{Name: string(m.GetName()), Hash: m.GetPassword(),
			NoPassword: m.GetOptions().GetNoPassword(), Roles: m.GetRoles()})
	}
	for _, each := range im.Roles {
		var m authpb.Role
		if err := proto.Unmarshal(each.Wire, &m); err != nil {
			return auth.Store{}, fmt.Errorf("kv: role %q: %w", each.Name, err)
		}
		role := auth.Role{Name: string(m.GetName())}
		for _, p := range m.GetKeyPermission() {
			role.Permissions = append(role.Permissions, auth.Permission{Key: p.GetKey(),
				End: p.GetRangeEnd(), Access: auth.Access(p.GetPermType())})
		}
		roles = append(roles, role)
	}
	enabled := auth.Off
	if im.Enabled {
		enabled = auth.On
	}
	return auth.Assemble(enabled, im.Revision, users, roles)
}
