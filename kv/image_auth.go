// Users and roles in images: etcd's messages on one side, the store's values on the other.
package kv

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv/auth"
)

// authImage is a store as an image.
func authImage(s *auth.Store) AuthImage {
	im := AuthImage{Enabled: s.Enabled(), Revision: s.Revision()}
	for _, u := range s.Users() {
		im.Users = append(im.Users, namedImage(u.Name, &authpb.User{Name: []byte(u.Name),
			Password: u.Hash, Roles: u.Roles,
			Options: &authpb.UserAddOptions{NoPassword: u.NoPassword}}))
	}
	for _, r := range s.Roles() {
		m := &authpb.Role{Name: []byte(r.Name)}
		for _, p := range r.Permissions {
			m.KeyPermission = append(m.KeyPermission, &authpb.Permission{Key: p.Key,
				RangeEnd: p.End, PermType: authpb.Permission_Type(p.Access)})
		}
		im.Roles = append(im.Roles, namedImage(r.Name, m))
	}
	return im
}

func namedImage(name string, m proto.Message) NamedImage {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("kv: user or role %q does not marshal: %v", name, err))
	}
	return NamedImage{Name: name, Wire: wire}
}

// store is the inverse of authImage. An image may come from anywhere.
func (im *AuthImage) store() (auth.Store, error) {
	c := auth.Content{Enabled: im.Enabled, Revision: im.Revision}
	for _, n := range im.Users {
		var m authpb.User
		if err := n.read(&m); err != nil {
			return auth.Store{}, err
		}
		c.Users = append(c.Users, auth.User{Name: n.Name, Hash: m.GetPassword(),
			NoPassword: m.GetOptions().GetNoPassword(), Roles: m.GetRoles()})
	}
	for _, n := range im.Roles {
		var m authpb.Role
		if err := n.read(&m); err != nil {
			return auth.Store{}, err
		}
		r := auth.Role{Name: n.Name}
		for _, p := range m.GetKeyPermission() {
			r.Permissions = append(r.Permissions, auth.Permission{Key: p.GetKey(),
				End: p.GetRangeEnd(), Access: auth.Access(p.GetPermType())})
		}
		c.Roles = append(c.Roles, r)
	}
	return auth.From(c)
}

// read reads the message, which has to bear the name.
func (n *NamedImage) read(m interface {
	proto.Message
	GetName() []byte
}) error {
	if err := proto.Unmarshal(n.Wire, m); err != nil {
		return fmt.Errorf("kv: what is stored of %q is neither user nor role: %w", n.Name, err)
	}
	if string(m.GetName()) != n.Name {
		return fmt.Errorf("kv: %q is stored under the name %q", m.GetName(), n.Name)
	}
	return nil
}
