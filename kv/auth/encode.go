package auth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// The form of a store in the state file (little-endian; a text is a u32 length and content):
//
//	u8 enabled | u64 revision | u32 n, n users | u32 n, n roles
//
//	user        text name | text hash | u8 no password | u32 n, n texts: roles
//	role        text name | u32 n, n permissions
//	permission  u32 access | text key | text end

// Encode appends the store.
func (s *Store) Encode(b []byte) []byte {
	b = append(b, flag(s.enabled))
	b = binary.LittleEndian.AppendUint64(b, s.Revision())
	b = putCount(b, len(s.users))
	for i := range s.users {
		b = s.users[i].encode(b)
	}
	b = putCount(b, len(s.roles))
	for i := range s.roles {
		b = s.roles[i].encode(b)
	}
	return b
}

func (u *User) encode(b []byte) []byte {
	b = putText(b, u.Name)
	b = putText(b, u.Hash)
	b = append(b, flag(u.NoPassword))
	b = putCount(b, len(u.Roles))
	for _, role := range u.Roles {
		b = putText(b, role)
	}
	return b
}

func (r *Role) encode(b []byte) []byte {
	b = putText(b, r.Name)
	b = putCount(b, len(r.Permissions))
	for i := range r.Permissions {
		p := &r.Permissions[i]
		b = binary.LittleEndian.AppendUint32(b, uint32(p.Access))
		b = putText(b, p.Key)
		b = putText(b, p.End)
	}
	return b
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func putCount(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }

func putText[T string | []byte](b []byte, text T) []byte {
	return append(putCount(b, len(text)), text...)
}

// hash identifies the user's content among all users and roles.
func (u *User) hash() uint64 { return hashOf('u', u.encode(nil)) }

// hash identifies the role's content among all users and roles.
func (r *Role) hash() uint64 { return hashOf('r', r.encode(nil)) }

func hashOf(kind byte, content []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte{kind}) // a hash never fails
	_, _ = h.Write(content)
	return h.Sum64()
}

// Digest identifies the store's content.
func (s *Store) Digest() uint64 {
	return s.sum*31 + s.changes<<1 + uint64(flag(s.enabled))
}

var errShort = errors.New("auth: the store ends too early")

// Decode reads a store.
func Decode(raw []byte) (Store, error) {
	d := reader{buf: raw}
	s := Store{enabled: d.u8() == 1, changes: d.u64() - 1}
	for range d.count() {
		u := User{Name: string(d.text()), Hash: d.text(), NoPassword: d.u8() == 1}
		for range d.count() {
			u.Roles = append(u.Roles, string(d.text()))
		}
		s.users = append(s.users, u)
		s.sum += u.hash()
	}
	for range d.count() {
		r := Role{Name: string(d.text())}
		for range d.count() {
			p := Permission{Access: Access(d.u32())}
			p.Key, p.End = d.text(), d.text()
			r.Permissions = append(r.Permissions, p)
		}
		s.roles = append(s.roles, r)
		s.sum += r.hash()
	}
	if d.err == nil && len(d.buf) > 0 {
		d.err = fmt.Errorf("auth: %d bytes after the end of the store", len(d.buf))
	}
	if d.err != nil {
		return Store{}, d.err
	}
	return s, s.Check()
}

// reader reads the form above. After the first error every read is zero.
type reader struct {
	buf []byte
	err error
}

func (d *reader) take(n int) []byte {
	if d.err != nil || n > len(d.buf) {
		d.err, d.buf = errShort, nil
		return make([]byte, min(n, 8))
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

func (d *reader) u8() byte    { return d.take(1)[0] }
func (d *reader) u32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *reader) u64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

// count reads a number of things, each of which has four bytes at least.
func (d *reader) count() int {
	n := d.u32()
	if int64(n)*4 > int64(len(d.buf)) {
		d.err, d.buf = errShort, nil
		return 0
	}
	return int(n)
}

// text reads a copy: a store outlives what it was read from.
func (d *reader) text() []byte {
	n := d.u32()
	if int64(n) > int64(len(d.buf)) {
		d.err, d.buf = errShort, nil
		return nil
	}
	return slices.Clone(d.take(int(n)))
}

// Check verifies the store's invariants.
func (s *Store) Check() error {
	if s.Revision() == 0 {
		return errors.New("auth: the store has revision 0")
	}
	var sum uint64
	for i := range s.users {
		u := &s.users[i]
		sum += u.hash()
		if i > 0 && s.users[i-1].Name >= u.Name || !ascending(u.Roles) || u.Name == "" {
			return fmt.Errorf("auth: user %q, or one of its roles, is out of order", u.Name)
		}
		if fresh := (&User{Roles: u.Roles}); u.rights.made &&
			!s.rightsOf(fresh).equal(&u.rights) {
			return fmt.Errorf("auth: the rights of user %q are not those of its roles", u.Name)
		}
	}
	for i := range s.roles {
		r := &s.roles[i]
		sum += r.hash()
		ordered := slices.IsSortedFunc(r.Permissions, comparePermissions)
		if i > 0 && s.roles[i-1].Name >= r.Name || !ordered || r.Name == "" {
			return fmt.Errorf("auth: role %q, or one of its permissions, is out of order", r.Name)
		}
	}
	if sum != s.sum {
		return fmt.Errorf("auth: users and roles sum up to %x, not to %x", sum, s.sum)
	}
	return nil
}

func ascending(list []string) bool {
	return slices.IsSortedFunc(list, strings.Compare) &&
		len(slices.Compact(slices.Clone(list))) == len(list)
}

func (r *rights) equal(o *rights) bool {
	same := func(a, b span) bool {
		return string(a.from) == string(b.from) && string(a.to) == string(b.to) &&
			(a.to == nil) == (b.to == nil)
	}
	return slices.EqualFunc(r.read, o.read, same) && slices.EqualFunc(r.write, o.write, same)
}
