package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Content is all that a store holds, as it travels from one cluster to another.
type Content struct {
	Enabled  bool
	Revision uint64 // 0 counts as 1, the first one
	Users    []User
	Roles    []Role
}

// From makes a store of a content, which may come from anywhere: order is made here, and what no
// store would hold is refused.
func From(c Content) (Store, error) {
	s := Store{enabled: c.Enabled, changes: max(c.Revision, 1) - 1}
	for _, r := range c.Roles {
		if s.Role(r.Name) != nil {
			return Store{}, fmt.Errorf("auth: two roles are named %q", r.Name)
		}
		for i := range r.Permissions {
			if p := &r.Permissions[i]; !p.valid() {
				return Store{}, fmt.Errorf("auth: role %q has a permission on the keys %q to %q",
					r.Name, p.Key, p.End)
			}
		}
		slices.SortFunc(r.Permissions, comparePermissions)
		s.setRole(r)
	}
	for _, u := range c.Users {
		if s.User(u.Name) != nil {
			return Store{}, fmt.Errorf("auth: two users are named %q", u.Name)
		}
		slices.SortFunc(u.Roles, strings.Compare)
		u.Roles = slices.Compact(u.Roles)
		s.setUser(u)
	}
	return s, s.Check()
}
