// Package auth holds who may do what: users, roles, and the rights of roles on keys.
//
// A Store is replicated state: it changes by log entries only, alike on every member, and every
// change raises its revision. Whoever asks for something names the revision at which it was known
// who they are; when the store has moved on since, the question is asked again, because the answer
// may rest on rights that are gone.
//
// Reading a role's list for every request would cost more than most requests. So each user has the
// union of its roles' intervals, merged, made when it is first needed and thrown away when the user
// or one of its roles changes. It is derived: it is neither stored nor shipped, and a store that
// was just read has none.
//
// Not handled here: passwords are checked and tokens known elsewhere; a store sees only hashes.
package auth

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Root is the name of the user, and of the role, that may do everything.
const Root = "root"

// Outcome says whether a change was made or a right exists, and why not.
type Outcome uint8

// The outcomes.
const (
	Done Outcome = iota
	RootUserMissing
	RootRoleMissing
	UserExists
	UserEmpty // a user is to be named and is not
	UserNotFound
	RoleExists
	RoleNotFound
	RoleEmpty
	PermissionMissing
	Denied
	RoleNotGranted
	PermissionNotGranted
	Management // it would lock everybody out, or the interval is none
	Old        // the store has changed since it was known who asks
	NumOutcomes
)

// User is one user.
type User struct {
	Name string
	// Hash is what was made of the password. An empty one fits no password.
	Hash       []byte
	NoPassword bool
	Roles      []string // sorted
	rights     rights
}

// Access is what a permission allows. The numbers are etcd's; others allow nothing.
type Access int32

// The accesses.
const (
	Read Access = iota
	Write
	ReadWrite
)

// Permission is an access to the keys that Key and End name as those of a request do.
type Permission struct {
	Key, End []byte
	Access   Access
}

// Role is a named set of permissions, sorted by Key, then End.
type Role struct {
	Name        string
	Permissions []Permission
}

// Store is the replicated state. The zero value is the store of a virgin cluster.
type Store struct {
	enabled bool
	// changes counts the changes but that of enabling.
	changes uint64
	users   []User // sorted by name
	roles   []Role // sorted by name
	// sum is the sum of the hashes of all users and roles.
	sum uint64
}

// New returns the store of a virgin cluster.
func New() Store { return Store{} }

// Enabled says whether anybody is asked who they are.
func (s *Store) Enabled() bool { return s.enabled }

// Revision starts at 1 and rises with every change.
func (s *Store) Revision() uint64 { return s.changes + 1 }

// Users are all users in order of their names, not to be changed.
func (s *Store) Users() []User { return s.users }

// Roles are all roles in order of their names, not to be changed.
func (s *Store) Roles() []Role { return s.roles }

// User returns a user, nil if there is none of this name. It is not to be changed.
func (s *Store) User(name string) *User {
	if i, found := s.userAt(name); found {
		return &s.users[i]
	}
	return nil
}

// Role returns a role, nil if there is none of this name. It is not to be changed.
func (s *Store) Role(name string) *Role {
	if i, found := s.roleAt(name); found {
		return &s.roles[i]
	}
	return nil
}

func (s *Store) userAt(name string) (int, bool) {
	return slices.BinarySearchFunc(s.users, name, func(u User, name string) int {
		return strings.Compare(u.Name, name)
	})
}

func (s *Store) roleAt(name string) (int, bool) {
	return slices.BinarySearchFunc(s.roles, name, func(r Role, name string) int {
		return strings.Compare(r.Name, name)
	})
}

// Holds says whether the user was granted the role.
func (u *User) Holds(role string) bool {
	_, found := slices.BinarySearch(u.Roles, role)
	return found
}

// setUser adds or replaces a user; what its rights are is found out anew.
func (s *Store) setUser(u User) {
	u.rights = rights{}
	i, found := s.userAt(u.Name)
	if found {
		s.sum -= s.users[i].hash()
		s.users[i] = u
	} else {
		s.users = slices.Insert(s.users, i, u)
	}
	s.sum += u.hash()
}

// setRole adds or replaces a role, and lets its holders' rights be found out anew.
func (s *Store) setRole(r Role) {
	i, found := s.roleAt(r.Name)
	if found {
		s.sum -= s.roles[i].hash()
		s.roles[i] = r
	} else {
		s.roles = slices.Insert(s.roles, i, r)
	}
	s.sum += r.hash()
	for i := range s.users {
		if s.users[i].Holds(r.Name) {
			s.users[i].rights = rights{}
		}
	}
}

// Enable makes everybody prove who they are, provided that somebody can undo it.
func (s *Store) Enable() Outcome {
	if s.enabled {
		return Done
	}
	root := s.User(Root)
	switch {
	case root == nil:
		return RootUserMissing
	case !root.Holds(Root):
		return RootRoleMissing
	}
	s.enabled = true
	return Done
}

// Disable lets everybody do everything again.
func (s *Store) Disable() Outcome {
	if s.enabled {
		s.enabled = false
		s.changes++
	}
	return Done
}

// AddUser adds a user without roles.
func (s *Store) AddUser(u User) Outcome {
	if u.Name == "" {
		return UserEmpty
	}
	if s.User(u.Name) != nil {
		return UserExists
	}
	u.Roles = nil
	s.setUser(u)
	s.changes++
	return Done
}

// DeleteUser removes a user.
func (s *Store) DeleteUser(name string) Outcome {
	if s.enabled && name == Root {
		return Management
	}
	i, found := s.userAt(name)
	if !found {
		return UserNotFound
	}
	s.sum -= s.users[i].hash()
	s.users = slices.Delete(s.users, i, i+1)
	s.changes++
	return Done
}

// ChangePassword replaces the hash of a user's password. A user that was made without one gets
// none.
func (s *Store) ChangePassword(name string, hash []byte) Outcome {
	u := s.User(name)
	if u == nil {
		return UserNotFound
	}
	changed := *u
	changed.Hash = hash
	if u.NoPassword {
		changed.Hash = nil
	}
	s.setUser(changed)
	s.changes++
	return Done
}

// GrantRole gives a user a role. The root role need not exist.
func (s *Store) GrantRole(user, role string) Outcome {
	u := s.User(user)
	if u == nil {
		return UserNotFound
	}
	if role != Root && s.Role(role) == nil {
		return RoleNotFound
	}
	if u.Holds(role) {
		return Done
	}
	changed := *u
	changed.Roles = append(slices.Clone(u.Roles), role)
	slices.Sort(changed.Roles)
	s.setUser(changed)
	s.changes++
	return Done
}

// RevokeRole takes a role from a user.
func (s *Store) RevokeRole(user, role string) Outcome {
	if s.enabled && user == Root && role == Root {
		return Management
	}
	u := s.User(user)
	if u == nil {
		return UserNotFound
	}
	if !u.Holds(role) {
		return RoleNotGranted
	}
	s.setUser(u.without(role))
	s.changes++
	return Done
}

func (u *User) without(role string) User {
	left := *u
	left.Roles = slices.DeleteFunc(slices.Clone(u.Roles), func(r string) bool { return r == role })
	return left
}

// AddRole adds a role without permissions.
func (s *Store) AddRole(name string) Outcome {
	if name == "" {
		return RoleEmpty
	}
	if s.Role(name) != nil {
		return RoleExists
	}
	s.setRole(Role{Name: name})
	s.changes++
	return Done
}

// DeleteRole removes a role, and takes it from everybody.
func (s *Store) DeleteRole(name string) Outcome {
	if s.enabled && name == Root {
		return Management
	}
	i, found := s.roleAt(name)
	if !found {
		return RoleNotFound
	}
	s.sum -= s.roles[i].hash()
	s.roles = slices.Delete(s.roles, i, i+1)
	for i := range s.users {
		if s.users[i].Holds(name) {
			s.setUser(s.users[i].without(name))
		}
	}
	s.changes++
	return Done
}

// GrantPermission adds a permission to a role, or changes the access of one that names the same
// keys. p is nil when the request named none.
func (s *Store) GrantPermission(role string, p *Permission) Outcome {
	switch {
	case p == nil:
		return PermissionMissing
	case !p.valid():
		return Management
	}
	r := s.Role(role)
	if r == nil {
		return RoleNotFound
	}
	changed := Role{Name: role, Permissions: slices.Clone(r.Permissions)}
	i, found := changed.permissionAt(p.Key, p.End)
	if found {
		changed.Permissions[i] = *p
	} else {
		changed.Permissions = slices.Insert(changed.Permissions, i, *p)
	}
	s.setRole(changed)
	s.changes++
	return Done
}

// RevokePermission takes from a role the permission that names exactly these keys.
func (s *Store) RevokePermission(role string, key, end []byte) Outcome {
	r := s.Role(role)
	if r == nil {
		return RoleNotFound
	}
	i, found := r.permissionAt(key, end)
	if !found {
		return PermissionNotGranted
	}
	s.setRole(Role{Name: role,
		Permissions: slices.Delete(slices.Clone(r.Permissions), i, i+1)})
	s.changes++
	return Done
}

func (r *Role) permissionAt(key, end []byte) (int, bool) {
	wanted := Permission{Key: key, End: end}
	return slices.BinarySearchFunc(r.Permissions, wanted, comparePermissions)
}

// comparePermissions orders permissions by the keys that they name.
func comparePermissions(a, b Permission) int {
	return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.End, b.End))
}
