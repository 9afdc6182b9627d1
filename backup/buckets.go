package backup

// The small buckets: everything but the records, in etcd's forms. Encoding and decoding stand side
// by side here, so that both can be compared at a glance.

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// buckets makes the rows of all buckets, in the order of names.
func (c *Content) buckets() ([]bucket, error) {
	members, err := c.members()
	if err != nil {
		return nil, err
	}
	alarms, err := c.alarms()
	if err != nil {
		return nil, err
	}
	meta, err := c.meta()
	if err != nil {
		return nil, err
	}
	cluster, err := c.cluster()
	if err != nil {
		return nil, err
	}
	var removed, auth []row
	for _, id := range c.Removed {
		removed = append(removed, row{key: memberKey(id), value: []byte("removed")})
	}
	if c.Auth.Revision > 0 {
		auth = c.authRows()
	}
	all := []bucket{
		{name: bucketAlarm, rows: alarms},
		{name: bucketAuth, rows: auth},
		{name: bucketRoles, rows: named(c.Auth.Roles)},
		{name: bucketUsers, rows: named(c.Auth.Users)},
		{name: bucketCluster, rows: cluster},
		{name: bucketKey},
		{name: bucketLease, rows: c.leases()},
		{name: bucketMembers, rows: members},
		{name: bucketRemoved, rows: removed},
		{name: bucketMeta, rows: meta},
	}
	for i := range all {
		slices.SortFunc(all[i].rows, func(a, b row) int {
			return strings.Compare(string(a.key), string(b.key))
		})
	}
	return all, nil
}

func bigEndian(x uint64) []byte { return binary.BigEndian.AppendUint64(nil, x) }

func named(list []kv.NamedImage) (rows []row) {
	for _, n := range list {
		rows = append(rows, row{key: []byte(n.Name), value: n.Wire})
	}
	return rows
}

// memberKey is how a member's id is written in keys: hexadecimal, without leading zeros.
func memberKey(id raft.MemberID) []byte {
	return strconv.AppendUint(nil, uint64(id), 16)
}

func parseMemberKey(key []byte) (raft.MemberID, error) {
	id, err := strconv.ParseUint(string(key), 16, 64)
	return raft.MemberID(id), err
}

// memberJSON is a member as etcd stores it.
type memberJSON struct {
	ID         uint64   `json:"id"`
	PeerURLs   []string `json:"peerURLs"`
	IsLearner  bool     `json:"isLearner,omitempty"`
	Name       string   `json:"name,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
}

func (c *Content) members() (rows []row, err error) {
	for _, m := range c.Members {
		value, err := json.Marshal(memberJSON{uint64(m.ID), m.PeerURLs,
			m.Learner == kv.LearnerOnly, m.Name, m.ClientURLs})
		if err != nil {
			return nil, fmt.Errorf("backup: member %s: %w", m.ID, err)
		}
		rows = append(rows, row{key: memberKey(m.ID), value: value})
	}
	return rows, nil
}

func (c *Content) readMember(key, value []byte) error {
	var m memberJSON
	if err := json.Unmarshal(value, &m); err != nil {
		return err
	}
	id, err := parseMemberKey(key)
	if err != nil {
		return err
	}
	learner := kv.Voting
	if m.IsLearner {
		learner = kv.LearnerOnly
	}
	c.Members = append(c.Members, kv.Member{ID: id, Name: m.Name, PeerURLs: m.PeerURLs,
		ClientURLs: m.ClientURLs, Learner: learner})
	return nil
}

// downgradeJSON is a downgrade under way as etcd stores it.
type downgradeJSON struct {
	Target  string `json:"target-version"`
	Enabled bool   `json:"enabled"`
}

func (c *Content) cluster() (rows []row, err error) {
	if c.Version != "" {
		rows = []row{{key: []byte(keyClusterVersion), value: []byte(c.Version)}}
	}
	if c.Downgrade != "" {
		value, err := json.Marshal(downgradeJSON{c.Downgrade, true})
		if err != nil {
			return nil, fmt.Errorf("backup: downgrade: %w", err)
		}
		rows = append(rows, row{key: []byte(keyDowngrade), value: value})
	}
	return rows, nil
}

func (c *Content) readCluster(key, value []byte) error {
	switch string(key) {
	case keyClusterVersion:
		c.Version = string(value)
	case keyDowngrade:
		var d downgradeJSON
		if err := json.Unmarshal(value, &d); err != nil {
			return err
		}
		if d.Enabled {
			c.Downgrade = d.Target
		}
	}
	return nil
}

func (c *Content) alarms() (rows []row, err error) {
	for _, a := range c.Alarms {
		key, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.AlarmMember{
			MemberID: uint64(a.Member), Alarm: pb.AlarmType(a.Kind)})
		if err != nil {
			return nil, fmt.Errorf("backup: alarm %d of %s: %w", a.Kind, a.Member, err)
		}
		rows = append(rows, row{key: key})
	}
	return rows, nil
}

func (c *Content) readAlarm(key []byte) error {
	var a pb.AlarmMember
	if err := proto.Unmarshal(key, &a); err != nil {
		return err
	}
	c.Alarms = append(c.Alarms, kv.Alarm{Member: raft.MemberID(a.GetMemberID()),
		Kind: kv.AlarmKind(a.GetAlarm())})
	return nil
}

// leases writes leasepb.Lease, which etcd does not publish outside of its server: id, TTL and
// remaining TTL, three integers.
func (c *Content) leases() (rows []row) {
	for _, l := range c.Leases {
		var b []byte
		for i, x := range []int64{l.ID, l.TTL, l.Remaining} {
			if x != 0 {
				b = protowire.AppendTag(b, protowire.Number(i+1), protowire.VarintType)
				b = protowire.AppendVarint(b, uint64(x))
			}
		}
		rows = append(rows, row{key: bigEndian(uint64(l.ID)), value: b})
	}
	return rows
}

func (c *Content) readLease(value []byte) error {
	var fields [4]int64
	for len(value) > 0 {
		number, kind, n := protowire.ConsumeTag(value)
		if n < 0 {
			return protowire.ParseError(n)
		}
		value = value[n:]
		if number > 3 || kind != protowire.VarintType {
			if n = protowire.ConsumeFieldValue(number, kind, value); n < 0 {
				return protowire.ParseError(n)
			}
			value = value[n:]
			continue
		}
		x, n := protowire.ConsumeVarint(value)
		if n < 0 {
			return protowire.ParseError(n)
		}
		fields[number], value = int64(x), value[n:]
	}
	if fields[1] == 0 || fields[2] <= 0 {
		return fmt.Errorf("lease %x with a TTL of %d", fields[1], fields[2])
	}
	c.Leases = append(c.Leases, kv.LeaseImage{ID: fields[1], TTL: fields[2],
		Remaining: max(fields[3], 0)})
	return nil
}

// confStateJSON is raft's configuration as etcd stores it.
type confStateJSON struct {
	Voters    []uint64 `json:"voters,omitempty"`
	Learners  []uint64 `json:"learners,omitempty"`
	AutoLeave bool     `json:"auto_leave"`
}

func (c *Content) meta() ([]row, error) {
	conf, err := json.Marshal(confStateJSON{Voters: numbers(c.Config.Voters),
		Learners: numbers(c.Config.Learners)})
	if err != nil {
		return nil, fmt.Errorf("backup: configuration: %w", err)
	}
	rows := []row{
		{key: []byte(keyIndex), value: bigEndian(uint64(c.Applied))},
		{key: []byte(keyTerm), value: bigEndian(uint64(c.Term))},
		{key: []byte(keyConfState), value: conf},
	}
	if c.StorageVersion != "" {
		rows = append(rows, row{key: []byte(keyStorageVersion), value: []byte(c.StorageVersion)})
	}
	if c.Compacted >= 0 {
		at := appendRowKey(nil, mvcc.Rev{Main: c.Compacted}, mvcc.PutRecord)
		rows = append(rows, row{key: []byte(keyScheduled), value: at},
			row{key: []byte(keyFinished), value: at})
	}
	return rows, nil
}

func numbers(ids []raft.MemberID) (out []uint64) {
	for _, id := range ids {
		out = append(out, uint64(id))
	}
	return out
}

// readMeta takes one value of the meta bucket; those that mean nothing to a restore are passed.
func (c *Content) readMeta(key, value []byte) error {
	switch string(key) {
	case keyIndex, keyTerm:
		if len(value) != 8 {
			return fmt.Errorf("%d bytes", len(value))
		}
		if string(key) == keyIndex {
			c.Applied = raft.Index(binary.BigEndian.Uint64(value))
		} else {
			c.Term = raft.Term(binary.BigEndian.Uint64(value))
		}
	case keyFinished, keyScheduled:
		rev, kind, err := parseRowKey(value)
		if err != nil || kind != mvcc.PutRecord {
			return fmt.Errorf("not a revision: %x", value)
		}
		// A compaction that is scheduled has taken effect; only what it drops may still be there.
		c.Compacted = max(c.Compacted, rev.Main)
	case keyStorageVersion:
		c.StorageVersion = string(value)
	}
	return nil
}

// untouched is the auth revision of a store whose users nobody has ever changed.
const untouched = 1

// authRows leaves the switch out while nobody can have touched it, as etcd does, so that both count
// as many rows in a backup.
func (c *Content) authRows() []row {
	rows := []row{{key: []byte(keyAuthRevision), value: bigEndian(c.Auth.Revision)}}
	switch {
	case c.Auth.Enabled:
		rows = append(rows, row{key: []byte(keyAuthEnabled), value: []byte{1}})
	case c.Auth.Revision != untouched:
		rows = append(rows, row{key: []byte(keyAuthEnabled), value: []byte{0}})
	}
	return rows
}

func (c *Content) readAuth(key, value []byte) error {
	switch string(key) {
	case keyAuthEnabled:
		c.Auth.Enabled = len(value) == 1 && value[0] == 1
	case keyAuthRevision:
		if len(value) != 8 {
			return fmt.Errorf("%d bytes", len(value))
		}
		c.Auth.Revision = binary.BigEndian.Uint64(value)
	}
	return nil
}
