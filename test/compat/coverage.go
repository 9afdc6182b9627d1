package main

// What the run has touched: every method, every field and every named enum value of every request
// (read from the descriptors), every error that a single member can give, every reason for which a
// watcher is refused. A row that nothing hit is a blind spot, and fails a long run.

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/detcd/detcd/test/compat/servers"
)

type coverage struct {
	hits       map[string]int
	wanted     map[string]bool
	skipped    map[string]int // by method: steps left out because detcd does not serve it
	deviations map[string]int
}

func newCoverage(methods []method) *coverage {
	c := &coverage{hits: map[string]int{}, wanted: map[string]bool{}, skipped: map[string]int{},
		deviations: map[string]int{}}
	for _, m := range methods {
		if !servers.Served(m.name) {
			continue
		}
		c.wanted["method "+m.name] = true
		c.wantFields(m.request.Descriptor(), map[protoreflect.FullName]bool{})
	}
	for _, e := range errorTexts {
		for _, text := range e.texts {
			c.wanted["error "+text] = c.wanted["error "+text] || servers.Served(e.needs)
		}
	}
	if servers.Served(pb.Watch_Watch_FullMethodName) {
		for _, reason := range watchReasons {
			c.wanted["watch "+reason] = true
		}
	}
	for _, row := range edgeRows() {
		c.wanted[row] = true
	}
	return c
}

// add takes over what another one has counted.
func (c *coverage) add(other *coverage) {
	for _, counts := range [][2]map[string]int{{c.hits, other.hits}, {c.skipped, other.skipped},
		{c.deviations, other.deviations}} {
		for row, n := range counts[1] {
			counts[0][row] += n
		}
	}
}

func (c *coverage) wantFields(
	d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool,
) {
	if seen[d.FullName()] {
		return
	}
	seen[d.FullName()] = true
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		c.wanted["field "+string(f.FullName())] = true
		if f.Message() != nil {
			c.wantFields(f.Message(), seen)
		}
		if f.Enum() == nil {
			continue
		}
		for j := range f.Enum().Values().Len() {
			if v := f.Enum().Values().Get(j); v.Number() != 0 {
				c.wanted[fmt.Sprintf("field %s = %s", f.FullName(), v.Name())] = true
			}
		}
		if !crashesEtcd[f.FullName()] {
			c.wanted[fmt.Sprintf("field %s unknown", f.FullName())] = true
		}
	}
}

// crashesEtcd are enums of which an unknown number ends etcd's process.
var crashesEtcd = map[protoreflect.FullName]bool{
	"etcdserverpb.AlarmRequest.action": true,
	"etcdserverpb.AlarmRequest.alarm":  true,
}

// request counts what a step makes use of.
func (c *coverage) request(s *step, m proto.Message) {
	c.hits["method "+s.method]++
	walkMessages(m.ProtoReflect(), func(f protoreflect.FieldDescriptor, v protoreflect.Value) {
		c.hits["field "+string(f.FullName())]++
		if f.Enum() == nil {
			return
		}
		if f.IsList() {
			for i := range v.List().Len() {
				c.enum(f, v.List().Get(i).Enum())
			}
			return
		}
		c.enum(f, v.Enum())
	})
}

func (c *coverage) enum(f protoreflect.FieldDescriptor, n protoreflect.EnumNumber) {
	if v := f.Enum().Values().ByNumber(n); v != nil {
		c.hits[fmt.Sprintf("field %s = %s", f.FullName(), v.Name())]++
		return
	}
	c.hits[fmt.Sprintf("field %s unknown", f.FullName())]++
}

func walkMessages(
	m protoreflect.Message, visit func(protoreflect.FieldDescriptor, protoreflect.Value),
) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		visit(f, v)
		switch {
		case f.Message() == nil, f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				walkMessages(v.List().Get(i).Message(), visit)
			}
		default:
			walkMessages(v.Message(), visit)
		}
		return true
	})
}

func (c *coverage) answer(s *step, a *answer) {
	if a.code != codes.OK {
		text := a.text
		if strings.HasPrefix(text, "grpc: received message larger than max") {
			text = "grpc: received message larger than max"
		}
		if s.raw == nil || a.code == codes.Unimplemented {
			c.hits["error "+text]++
		}
	}
	c.sights(s, a)
}

// watches counts why etcd refused or ended watchers, and what it told them.
func (c *coverage) watches(w *watchStream, current int64) {
	c.watchSights(w, current)
	for _, line := range w.transcript() {
		for _, reason := range watchReasons {
			if strings.Contains(line, reason) {
				c.hits["watch "+reason]++
			}
		}
	}
}

// missed are the rows that were never hit.
func (c *coverage) missed() (rows []string) {
	for _, row := range slices.Sorted(maps.Keys(c.wanted)) {
		if c.wanted[row] && c.hits[row] == 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// print writes the table: wanted rows, other errors that came, what was left out.
func (c *coverage) print(out io.Writer) {
	rows := map[string]int{}
	for row := range c.wanted {
		if c.wanted[row] {
			rows[row] = c.hits[row]
		}
	}
	for row, n := range c.hits {
		if strings.HasPrefix(row, "error ") {
			rows[row] = n
		}
	}
	for _, row := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(out, "%9d  %s\n", rows[row], row)
	}
	for _, method := range slices.Sorted(maps.Keys(c.skipped)) {
		fmt.Fprintf(out, "%9d  left out, not served yet: %s\n", c.skipped[method], method)
	}
	for _, d := range deviations {
		fmt.Fprintf(out, "%9d  deliberate difference %q: %s\n", c.deviations[d.name], d.name, d.reason)
	}
}

// watchReasons are parts of what a watcher is told.
var watchReasons = []string{
	"mvcc: watcher range is empty", "mvcc: duplicate watch ID provided on the WatchStream",
	"mvcc: required revision has been compacted", "canceled at 0, compacted",
	"code = PermissionDenied", "code = InvalidArgument desc = etcdserver: user name is empty",
	"code = Unauthenticated", "desc = etcdserver: revision of auth store is old",
}

// errorTexts are the errors that one healthy member gives, with a method that must be served for
// that. These of etcd's others cannot come here:
//
//   - no leader, not leader, leader changed, unhealthy cluster, the four that begin with "request
//     timed out", not a primary lessor, leader transfer took too long: one member leads as long as
//     it runs, and its quorum is itself;
//   - rpc not supported for learner: a cluster has a member that votes;
//   - cluster ID mismatch: it is for other members;
//   - too many requests: a backlog of 5000 entries;
//   - server stopped: the server is stopping;
//   - cluster version not found: before the first second is over;
//   - not capable, no inflight downgrade job, request canceled, and context deadline exceeded with
//     etcd's name before it: etcd has them and sends them to nobody;
//   - watch canceled, context canceled: only who has cancelled would hear it;
//   - a voter that is added and one that is promoted: the second one would have to run.
var errorTexts = []struct {
	needs string
	texts []string
}{
	{pb.KV_Put_FullMethodName, []string{
		"etcdserver: key is not provided",
		"etcdserver: key not found",
		"etcdserver: value is provided",
		"etcdserver: lease is provided",
		"etcdserver: requested lease not found",
		"etcdserver: request is too large",
		"grpc: received message larger than max",
		"etcdserver: invalid client api version",
		"context deadline exceeded",
	}},
	{pb.KV_Txn_FullMethodName, []string{
		"etcdserver: too many operations in txn request",
		"etcdserver: duplicate key given in txn request",
	}},
	{pb.KV_Range_FullMethodName, []string{
		"etcdserver: invalid sort option",
		"etcdserver: mvcc: required revision has been compacted",
		"etcdserver: mvcc: required revision is a future revision",
		"unknown method Nothing for service etcdserverpb.KV",
		"unknown service etcdserverpb.Nothing",
	}},
	{pb.Maintenance_Alarm_FullMethodName, []string{
		"etcdserver: mvcc: database space exceeded",
		"etcdserver: corrupt cluster",
	}},
	{pb.Lease_LeaseGrant_FullMethodName, []string{
		"etcdserver: lease already exists",
		"etcdserver: too large lease TTL",
	}},
	{pb.Cluster_MemberAdd_FullMethodName, []string{
		"etcdserver: Peer URLs already exists",
		"etcdserver: member ID already exist",
		"etcdserver: given member URLs are invalid",
		"etcdserver: too many learner members in cluster",
	}},
	{pb.Cluster_MemberRemove_FullMethodName, []string{
		"etcdserver: member not found",
		"etcdserver: re-configuration failed due to not enough started members",
	}},
	{pb.Cluster_MemberPromote_FullMethodName, []string{
		"etcdserver: can only promote a learner member",
		"etcdserver: can only promote a learner member which is in sync with leader",
	}},
	{pb.Maintenance_MoveLeader_FullMethodName, []string{
		"etcdserver: bad leader transferee",
	}},
	{pb.Maintenance_Downgrade_FullMethodName, []string{
		"etcdserver: wrong downgrade target version format",
		"etcdserver: invalid downgrade target version",
		"etcdserver: cluster has a downgrade job in progress",
		"etcdserver: unknown method",
	}},
	{pb.Auth_AuthEnable_FullMethodName, []string{
		"etcdserver: root user does not exist",
		"etcdserver: root user does not have root role",
		"etcdserver: permission denied",
		"etcdserver: invalid auth token",
		"etcdserver: revision of auth store is old",
	}},
	{pb.Auth_UserAdd_FullMethodName, []string{
		"etcdserver: user name already exists",
		"etcdserver: user name is empty",
		"bcrypt: password length exceeds 72 bytes",
	}},
	{pb.Auth_UserGet_FullMethodName, []string{
		"etcdserver: user name not found",
	}},
	{pb.Auth_RoleAdd_FullMethodName, []string{
		"etcdserver: role name already exists",
		"etcdserver: role name is empty",
	}},
	{pb.Auth_RoleGet_FullMethodName, []string{
		"etcdserver: role name not found",
	}},
	{pb.Auth_Authenticate_FullMethodName, []string{
		"etcdserver: authentication failed, invalid user ID or password",
		"auth: authentication failed, password was given for no password user",
		"etcdserver: authentication is not enabled",
	}},
	{pb.Auth_RoleGrantPermission_FullMethodName, []string{
		"etcdserver: permission not given",
	}},
	{pb.Auth_UserRevokeRole_FullMethodName, []string{
		"etcdserver: role is not granted to the user",
	}},
	{pb.Auth_RoleRevokePermission_FullMethodName, []string{
		"etcdserver: permission is not granted to the role",
	}},
	{pb.Auth_UserDelete_FullMethodName, []string{
		"etcdserver: invalid auth management",
	}},
	{pb.KV_RangeStream_FullMethodName, []string{
		"RangeStream does not support custom sort orders",
		"RangeStream does not support revision filters",
	}},
	{electionLeader, []string{
		"election: no leader",
		"election: not leader",
		`"leader" field must be provided`,
		"mutex: session is expired",
	}},
	{"/grpc.health.v1.Health/Check", []string{
		"unknown service",
	}},
}

const electionLeader = "/v3electionpb.Election/Leader"
