package kv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// backup asks member i for a backup and returns the granted read.
func (w *world) backup(i int) Read {
	w.t.Helper()
	m := w.members[i]
	w.token++
	m.inbox = append(m.inbox, Input{Kind: InputRequest,
		Request: &Request{Token: w.token, Method: MethodSnapshot}})
	w.settle()
	require.Len(w.t, m.backups, 1)
	r := m.backups[0]
	m.backups = nil
	return r
}

// restored starts a world whose members' disks are restored from a backup. Its ids are other ones.
func restored(t *testing.T, n int, b *Backup) *world {
	w := newWorld(t, n, nil)
	var members []Member
	for i := range w.cfgs {
		w.cfgs[i].Member += 100
		w.cfgs[i].Cluster++
		members = append(members, Member{ID: w.cfgs[i].Member,
			PeerURLs: w.cfgs[i].Members[i].PeerURLs})
	}
	for i, m := range w.members {
		w.cfgs[i].Members = nil // a restored directory knows them
		m.disk = &memDisk{files: map[string][]byte{}}
		restoreInto(t, m.disk, &Founding{Image: b.Image, Members: members,
			Revision: b.View.Revision(), Compacted: b.View.Compacted(), Limits: w.cfgs[i].Limits},
			b.View.History())
		w.start(i)
	}
	return w
}

func restoreInto(t *testing.T, disk *memDisk, f *Founding, h *mvcc.History) {
	r, err := NewRestore(disk, f)
	require.NoError(t, err)
	step := func() {
		for _, op := range r.Flush(nil) {
			disk.Submit(op)
		}
		for _, c := range disk.done {
			require.NoError(t, r.Complete(c))
		}
		disk.done = nil
	}
	require.NoError(t, h.Read(func(record mvcc.Record) error {
		step()
		return r.Add(record)
	}))
	r.Finish()
	for n := 0; ; n++ {
		if e, durable := r.Finished(); durable {
			require.NoError(t, e.Check())
			return
		}
		require.Less(t, n, 10_000, "a restore does not end")
		step()
	}
}

func (w *world) hash(i int, rev int64) *pb.HashKVResponse {
	w.t.Helper()
	var res pb.HashKVResponse
	require.Equal(w.t, OK, w.ask(i, MethodHashKV, &pb.HashKVRequest{Revision: rev}, &res))
	return &res
}

func TestABackupBecomesAnotherCluster(t *testing.T) {
	w := newWorld(t, 3, nil)
	lead := w.leader()
	for i := range 100 {
		w.put(lead, fmt.Sprint("k", i%9), fmt.Sprint(i))
		if i == 50 {
			var res pb.CompactionResponse
			require.Equal(t, OK, w.ask(lead, MethodCompact, &pb.CompactionRequest{Revision: 40},
				&res))
		}
	}
	var deleted pb.DeleteRangeResponse
	require.Equal(t, OK, w.ask(lead, MethodDeleteRange, &pb.DeleteRangeRequest{Key: []byte("k3")},
		&deleted))
	grantAndName(w, lead)
	w.run(30)

	r := w.backup((lead + 1) % 3)
	w.put(lead, "later", "not in it")
	b, err := r.Backup()
	require.NoError(t, err)
	require.EqualValues(t, 103, b.View.Revision())
	require.EqualValues(t, 40, b.View.Compacted())
	require.Len(t, b.Members, 3)
	require.Equal(t, "3.7.0", b.Version)

	other := restored(t, 3, b)
	otherLead := other.leader()
	require.Equal(t, w.hash(lead, 102).Hash, other.hash(otherLead, 102).Hash)
	require.Equal(t, w.hash(lead, 60).Hash, other.hash(otherLead, 60).Hash)
	require.EqualValues(t, 40, other.hash(otherLead, 102).CompactRevision)
	require.Empty(t, other.get(otherLead, "later").Kvs)
	requireGrantedAndNamed(other, otherLead)
	require.EqualValues(t, 104, other.put(otherLead, "k4", "x").Header.Revision)
	require.EqualValues(t, 12, other.get(otherLead, "k4").Kvs[0].Version)
	other.agree()
	state := other.members[0].driver.Node.State()
	require.Len(t, state.Members, 3)
	for i, m := range state.Members {
		require.Equal(t, raft.MemberID(101+i), m.ID)
		require.NotEmpty(t, m.Name)
	}
	w.members[(lead+1)%3].inbox = append(w.members[(lead+1)%3].inbox,
		Input{Kind: InputViewEnd, View: r.View})
	w.agree()
}

// grantAndName makes a lease that a key holds, and a user with a role.
func grantAndName(w *world, i int) {
	for _, step := range []struct {
		method   Method
		request  proto.Message
		response proto.Message
	}{
		{MethodLeaseGrant, &pb.LeaseGrantRequest{ID: 7, TTL: 5000}, &pb.LeaseGrantResponse{}},
		{MethodPut, &pb.PutRequest{Key: []byte("leased"), Lease: 7}, &pb.PutResponse{}},
		{MethodAlarm, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 99,
			Alarm: pb.AlarmType(77)}, &pb.AlarmResponse{}},
		{MethodRoleAdd, &pb.AuthRoleAddRequest{Name: "reader"}, &pb.AuthRoleAddResponse{}},
		{MethodRoleGrantPermission, &pb.AuthRoleGrantPermissionRequest{Name: "reader",
			Perm: permission(authpb.Permission_READ, "a", "b")}, &pb.AuthRoleGrantPermissionResponse{}},
		{MethodUserAdd, &pb.AuthUserAddRequest{Name: "jane",
			Options: &authpb.UserAddOptions{NoPassword: true}}, &pb.AuthUserAddResponse{}},
		{MethodUserGrantRole, &pb.AuthUserGrantRoleRequest{User: "jane", Role: "reader"},
			&pb.AuthUserGrantRoleResponse{}},
	} {
		require.Equal(w.t, OK, w.ask(i, step.method, step.request, step.response))
	}
}

func requireGrantedAndNamed(w *world, i int) {
	w.run(30) // a new leader gives leases their ends first
	var left pb.LeaseTimeToLiveResponse
	require.Equal(w.t, OK, w.ask(i, MethodLeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 7,
		Keys: true}, &left))
	require.EqualValues(w.t, 5000, left.GrantedTTL)
	require.Equal(w.t, [][]byte{[]byte("leased")}, left.Keys)
	var alarms pb.AlarmResponse
	require.Equal(w.t, OK, w.ask(i, MethodAlarm, &pb.AlarmRequest{}, &alarms))
	require.Len(w.t, alarms.Alarms, 1)
	require.EqualValues(w.t, 99, alarms.Alarms[0].MemberID)
	var user pb.AuthUserGetResponse
	require.Equal(w.t, OK, w.ask(i, MethodUserGet, &pb.AuthUserGetRequest{Name: "jane"}, &user))
	require.Equal(w.t, []string{"reader"}, user.Roles)
	var role pb.AuthRoleGetResponse
	require.Equal(w.t, OK, w.ask(i, MethodRoleGet, &pb.AuthRoleGetRequest{Role: "reader"}, &role))
	require.True(w.t, proto.Equal(permission(authpb.Permission_READ, "a", "b"), role.Perm[0]))
	var status pb.AuthStatusResponse
	require.Equal(w.t, OK, w.ask(i, MethodAuthStatus, &pb.AuthStatusRequest{}, &status))
	require.EqualValues(w.t, 5, status.AuthRevision)
}

func TestImpossibleImagesAreRefused(t *testing.T) {
	lease := func(id, ttl int64) Image { return Image{Leases: []LeaseImage{{ID: id, TTL: ttl}}} }
	user := func(stored string, names ...string) (im Image) {
		for _, name := range names {
			n := namedImage(stored, &authpb.User{Name: []byte(name)})
			im.Auth.Users = append(im.Auth.Users, n)
		}
		return im
	}
	role := func(perm *authpb.Permission) Image {
		return Image{Auth: AuthImage{Roles: []NamedImage{namedImage("r", &authpb.Role{
			Name: []byte("r"), KeyPermission: []*authpb.Permission{perm}})}}}
	}
	garbage := Image{Auth: AuthImage{Users: []NamedImage{{Name: "u", Wire: []byte{0xff}}}}}
	var shrill Image
	for i := range maxAlarms + 1 {
		shrill.Alarms = append(shrill.Alarms, Alarm{Member: raft.MemberID(i), Kind: 77})
	}
	twice := lease(1, 60)
	twice.Leases = append(twice.Leases, twice.Leases...)
	for _, c := range []struct {
		image Image
		want  string
	}{
		{shrill, "more than"}, {lease(0, 60), "cannot be"}, {lease(1, 0), "cannot be"}, {twice, "cannot be"},
		{user("u", "other"), "stored under the name"}, {user("u", "u", "u"), "two users"},
		{user("", ""), "out of order"}, {garbage, "neither user nor role"},
		{role(permission(authpb.Permission_READ, "b", "a")), "permission on the keys"},
	} {
		f := Founding{Image: c.image, Members: []Member{{ID: 1}}, Revision: 1, Compacted: -1,
			Limits: DefaultLimits()}
		_, err := NewRestore(&memDisk{files: map[string][]byte{}}, &f)
		require.ErrorContains(t, err, c.want)
	}
}

// A huge delete is applied over many steps. A backup must show all of it or nothing.
func TestABackupWaitsForAHalfAppliedEntry(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) { l.StepUnits = 50 })
	w.leader()
	value := strings.Repeat("v", 100)
	for i := range 300 {
		w.put(0, fmt.Sprintf("k%03d", i), value)
	}
	m := w.members[0]
	raw := []byte{0x0a, 1, 'a', 0x12, 1, 'z'} // everything from a to z
	m.inbox = append(m.inbox,
		Input{Kind: InputRequest, Request: &Request{Token: 9001, Method: MethodDeleteRange,
			Raw: raw}})
	for m.driver.Node.apply == nil {
		w.turn(m)
	}
	m.inbox = append(m.inbox, Input{Kind: InputRequest,
		Request: &Request{Token: 9002, Method: MethodSnapshot}})
	w.turn(m)
	require.NotNil(t, m.driver.Node.apply)
	require.Empty(t, m.backups)
	w.settle()
	require.Len(t, m.backups, 1)
	b, err := m.backups[0].Backup()
	require.NoError(t, err)
	require.EqualValues(t, 302, b.View.Revision())
	require.EqualValues(t, 600, b.View.History().Len())
	require.Equal(t, m.driver.Node.applied, b.Applied)
}

// turn runs one turn of a member.
func (w *world) turn(m *member) {
	turn := m.inbox
	m.inbox = nil
	for i := range m.disk.done {
		turn = append(turn, Input{Kind: InputDisk, Done: &m.disk.done[i]})
	}
	m.disk.done = nil
	if again, _ := m.driver.Turn(turn); again {
		m.inbox = append(m.inbox, Input{Kind: InputAgain})
	}
}

func TestARestoreNeedsMembersAndAnEmptyDirectory(t *testing.T) {
	disk := &memDisk{files: map[string][]byte{}}
	f := &Founding{Revision: 1, Compacted: -1, Limits: DefaultLimits()}
	_, err := NewRestore(disk, f)
	require.ErrorContains(t, err, "without members")
	w := newWorld(t, 1, nil)
	w.leader()
	f.Members = []Member{{ID: 1}}
	_, err = NewRestore(w.members[0].disk, f)
	require.ErrorContains(t, err, "holds a store")
}
