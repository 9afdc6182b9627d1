package auth

import (
	"bytes"
	"slices"

	"github.com/detcd/detcd/mvcc"
)

// Subject is on whose behalf something is asked, as it was known at Revision of the store. Revision
// is 0 when nobody was named.
type Subject struct {
	User     string
	Revision uint64
}

// span is the keys from from up to but not including to; a nil to has no end.
type span struct{ from, to []byte }

// spans, once merged, is sorted, and no two of them overlap or touch: what is covered at all is
// covered by one of them.
type spans []span

// rights is what a user may read and write, derived from its roles.
type rights struct {
	made        bool
	read, write spans
}

// spanOf is the span of a request's or permission's key and end; ok is false when it is empty. How
// an end is read is decided by the engine, which executes the request.
func spanOf(key, end []byte) (s span, ok bool) {
	from, to, ok := mvcc.Bounds(key, end)
	return span{from, to}, ok
}

// valid says whether a permission names any key.
func (p *Permission) valid() bool {
	_, ok := spanOf(p.Key, p.End)
	return ok && len(p.Key) > 0
}

// merged sorts the spans and joins those that overlap or touch.
func (list spans) merged() spans {
	slices.SortFunc(list, func(a, b span) int { return bytes.Compare(a.from, b.from) })
	out := list[:0]
	for _, s := range list {
		last := len(out) - 1
		if last < 0 || out[last].to != nil && bytes.Compare(s.from, out[last].to) > 0 {
			out = append(out, s)
			continue
		}
		if to := out[last].to; to != nil && (s.to == nil || bytes.Compare(s.to, to) > 0) {
			out[last].to = s.to
		}
	}
	return slices.Clip(out)
}

// cover says whether one of the merged spans holds all of s. Of an empty s, whose end is not behind
// its beginning, it has to hold the beginning.
func (list spans) cover(s span) bool {
	i, found := slices.BinarySearchFunc(list, s.from, func(have span, from []byte) int {
		return bytes.Compare(have.from, from)
	})
	if !found {
		i--
	}
	if i < 0 {
		return false
	}
	have := list[i]
	return have.to == nil ||
		s.to != nil && bytes.Compare(s.to, have.to) <= 0 && bytes.Compare(s.from, have.to) < 0
}

// rightsOf returns the rights of a user, which it makes when they are not there.
func (s *Store) rightsOf(u *User) *rights {
	r := &u.rights
	if r.made {
		return r
	}
	r.made = true
	for _, name := range u.Roles {
		role := s.Role(name)
		if role == nil {
			continue // the root role need not exist
		}
		for i := range role.Permissions {
			p := &role.Permissions[i]
			at, _ := spanOf(p.Key, p.End)
			if p.Access == Read || p.Access == ReadWrite {
				r.read = append(r.read, at)
			}
			if p.Access == Write || p.Access == ReadWrite {
				r.write = append(r.write, at)
			}
		}
	}
	r.read, r.write = r.read.merged(), r.write.merged()
	return r
}

// May says whether the subject may access, Read or Write, all keys that key and end name.
func (s *Store) May(who Subject, access Access, key, end []byte) Outcome {
	switch {
	case !s.enabled:
		return Done
	case who.Revision == 0:
		return UserEmpty
	case who.Revision != s.Revision():
		return Old
	}
	u := s.User(who.User)
	if u == nil {
		return Denied
	}
	if u.Holds(Root) {
		return Done
	}
	have := s.rightsOf(u).write
	if access == Read {
		have = u.rights.read
	}
	if at, _ := spanOf(key, end); !have.cover(at) {
		return Denied
	}
	return Done
}

// Admin says whether the subject may administer the cluster. It asks who holds the root role now:
// an administrator's own changes must not lock out what he asked for meanwhile.
func (s *Store) Admin(who Subject) Outcome {
	if !s.enabled {
		return Done
	}
	if who.User == "" {
		return UserEmpty
	}
	u := s.User(who.User)
	switch {
	case u == nil:
		return UserNotFound
	case !u.Holds(Root):
		return Denied
	}
	return Done
}
