// The replicated state that is not a revision: members, cluster version, request windows, leases.
// It travels in each checkpoint's state file and in snapshots.
//
//	state file content (little-endian; bytes are u32 length + content)
//	+---------+-----------+--------+--------+----------+---------+---------+----------+
//	| u32     | bytes     | u64    | bytes  | u32 n    | u32 n   | u32 n   | sections |
//	| version | raft conf | digest | clver  | members  | removed | windows |          |
//	+---------+-----------+--------+--------+----------+---------+---------+----------+
//
// The sections, in order: leases; alarms (u32 n, n x (u64 member, u32 kind)); the version that a
// downgrade under way leads to (bytes); users and roles (bytes).
package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/detcd/detcd/kv/auth"
	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

const stateVersion = 1

// replicated is what every member holds alike at equal applied index, revisions apart.
type replicated struct {
	config  raft.Config
	digest  uint64 // rolling, over every applied entry and whether it took effect
	version string // cluster version, empty until decided
	// members is sorted by ID, and so is removed: the IDs that must never come back.
	members []Member
	removed []raft.MemberID
	windows []window // sorted by member
	leases  *lease.Table
	auth    auth.Store
	alarms  []Alarm // sorted by kind, then member
	// downgrade is the version that the cluster prepares to go down to, empty if to none.
	downgrade string
}

// newReplicated is the state of a cluster in which nothing happened yet.
func newReplicated() replicated {
	return replicated{leases: lease.NewTable(), auth: auth.New()}
}

// roster is a digest of all that changes seldom: who belongs to the cluster and how, alarms, the
// versions. Whoever changes any of it makes the whole part of the node's digest.
func (s *replicated) roster() uint64 {
	b := raft.EncodeConfig(nil, s.config)
	for i := range s.members {
		b = putBytes(b, encodeMember(&s.members[i]))
	}
	for _, id := range s.removed {
		b = binary.LittleEndian.AppendUint64(b, uint64(id))
	}
	b = appendAlarms(b, s.alarms)
	return digestOf(putStrings(b, []string{s.version, s.downgrade}))
}

// windowAt finds the window of a member, or where it belongs.
func (s *replicated) windowAt(m raft.MemberID) (i int, found bool) {
	return slices.BinarySearchFunc(s.windows, m, func(w window, m raft.MemberID) int {
		return compareIDs(w.member, m)
	})
}

// wasRemoved says whether an id belonged to a member that was removed.
func (s *replicated) wasRemoved(id raft.MemberID) bool {
	_, found := slices.BinarySearch(s.removed, id)
	return found
}

// window returns the window of a member, which it creates when missing.
func (s *replicated) window(m raft.MemberID) *window {
	i, found := s.windowAt(m)
	if !found {
		s.windows = slices.Insert(s.windows, i, window{member: m})
	}
	return &s.windows[i]
}

func compareIDs(a, b raft.MemberID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// member returns the member with this ID, nil if there is none.
func (s *replicated) member(id raft.MemberID) *Member {
	for i := range s.members {
		if s.members[i].ID == id {
			return &s.members[i]
		}
	}
	return nil
}

// setMember adds or replaces a member.
func (s *replicated) setMember(m Member) {
	if old := s.member(m.ID); old != nil {
		*old = m
		return
	}
	s.members = append(s.members, m)
	slices.SortFunc(s.members, func(a, b Member) int { return compareIDs(a.ID, b.ID) })
}

// removeMember removes a member for good.
func (s *replicated) removeMember(id raft.MemberID) {
	s.members = slices.DeleteFunc(s.members, func(m Member) bool { return m.ID == id })
	s.windows = slices.DeleteFunc(s.windows, func(w window) bool { return w.member == id })
	if i, found := slices.BinarySearch(s.removed, id); !found {
		s.removed = slices.Insert(s.removed, i, id)
	}
}

func (s *replicated) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, stateVersion)
	b = putBytes(b, raft.EncodeConfig(nil, s.config))
	b = binary.LittleEndian.AppendUint64(b, s.digest)
	b = putBytes(b, []byte(s.version))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.members)))
	for i := range s.members {
		b = putBytes(b, encodeMember(&s.members[i]))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.removed)))
	for _, id := range s.removed {
		b = binary.LittleEndian.AppendUint64(b, uint64(id))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.windows)))
	for i := range s.windows {
		b = s.windows[i].append(b)
	}
	b = s.leases.Append(b)
	b = appendAlarms(b, s.alarms)
	b = putBytes(b, []byte(s.downgrade))
	return putBytes(b, s.auth.Encode(nil))
}

func decodeReplicated(raw []byte) (s replicated, err error) {
	d := decoder{buf: raw}
	if v := d.u32(); d.err == nil && v != stateVersion {
		return s, fmt.Errorf("kv: state file has format %d, this program knows %d", v,
			stateVersion)
	}
	conf := d.bytes()
	if d.err == nil {
		if s.config, err = raft.DecodeConfig(conf); err != nil {
			return s, fmt.Errorf("kv: state file: %w", err)
		}
	}
	s.digest = d.u64()
	s.version = string(d.bytes())
	for range d.u32() {
		m, err := decodeMember(d.bytes())
		if d.err == nil && err != nil {
			return s, err
		}
		s.members = append(s.members, m)
		if d.err != nil {
			break
		}
	}
	for range d.u32() {
		s.removed = append(s.removed, raft.MemberID(d.u64()))
		if d.err != nil {
			break
		}
	}
	for range d.u32() {
		var w window
		w.read(&d)
		if d.err != nil {
			break
		}
		s.windows = append(s.windows, w)
	}
	s.leases = d.leases()
	s.alarms = readAlarms(&d)
	s.downgrade = string(d.bytes())
	users := d.bytes()
	if d.err == nil {
		if s.auth, err = auth.Decode(users); err != nil {
			return s, fmt.Errorf("kv: state file: %w", err)
		}
	}
	if d.err == nil && len(d.buf) != 0 {
		d.fail(fmt.Errorf("%d bytes too many", len(d.buf)))
	}
	if d.err != nil {
		return s, fmt.Errorf("kv: state file: %w", d.err)
	}
	return s, nil
}

// encodeMember is the durable form of a member: in the state file, in configuration changes and in
// the entry by which a member publishes itself.
func encodeMember(m *Member) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(m.ID))
	b = append(b, byte(m.Learner))
	b = putBytes(b, []byte(m.Name))
	b = putStrings(b, m.PeerURLs)
	b = putStrings(b, m.ClientURLs)
	return putBytes(b, []byte(m.Release))
}

// DecodeMember reads a member from the context of a configuration change, for observers.
func DecodeMember(raw []byte) (Member, error) { return decodeMember(raw) }

func decodeMember(raw []byte) (Member, error) {
	d := decoder{buf: raw}
	m := Member{ID: raft.MemberID(d.u64()), Learner: Learning(d.u8())}
	m.Name = string(d.bytes())
	m.PeerURLs = d.strings()
	m.ClientURLs = d.strings()
	if len(d.buf) > 0 { // a record may be older than releases
		m.Release = string(d.bytes())
	}
	if d.err == nil && len(d.buf) != 0 {
		d.fail(errTrailing)
	}
	if d.err != nil {
		return m, fmt.Errorf("kv: member record: %w", d.err)
	}
	return m, nil
}

func putBytes(b, v []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

func putStrings(b []byte, v []string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
	for _, s := range v {
		b = putBytes(b, []byte(s))
	}
	return b
}

var (
	errShort    = errors.New("ends too early")
	errTrailing = errors.New("bytes after the end")
)

// decoder reads the forms above. After the first error every read is zero.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.buf = err, nil
	}
}

func (d *decoder) take(n int) []byte {
	if n > len(d.buf) {
		d.fail(errShort)
		return make([]byte, min(n, 8))
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) u8() byte    { return d.take(1)[0] }
func (d *decoder) u32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *decoder) bytes() []byte {
	n := d.u32()
	if uint64(n) > uint64(len(d.buf)) {
		d.fail(errShort)
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) leases() *lease.Table {
	if d.err != nil {
		return nil
	}
	t, rest, err := lease.Read(d.buf)
	if err != nil {
		d.fail(err)
		return nil
	}
	d.buf = rest
	return t
}

func (d *decoder) strings() []string {
	n := d.u32()
	if uint64(n)*4 > uint64(len(d.buf)) {
		d.fail(errShort)
		return nil
	}
	var out []string
	for range n {
		out = append(out, string(d.bytes()))
	}
	return out
}
