package main

// Rows of the coverage that are no fields: values at the edges of what a request may say, what is
// in a request's metadata, and things that a server does which no code or text shows.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// intervalKinds are the messages that name an interval of keys.
var intervalKinds = []string{"RangeRequest", "DeleteRangeRequest", "Compare",
	"WatchCreateRequest", "Permission"}

var intervalEdges = []string{"empty key", "key of 0xff", "a single key", "empty interval",
	"inverted interval", "no end", "every key"}

// revisionEdges are where a revision may lie; those of a Range, a HashKV, a compaction, a watcher.
var revisionEdges = []string{"of the future", "the present", "of the past", "the compacted one",
	"compacted", "negative"}

var revisionKinds = []string{"RangeRequest", "HashKVRequest", "CompactionRequest",
	"WatchCreateRequest"}

// otherEdges are all further rows of this kind.
var otherEdges = []string{
	"limit negative", "limit 1", "transaction in a transaction", "transaction three deep",
	"transaction without anything", "transaction of as many operations as allowed",
	"value of nearly the size allowed", "lease of a negative id", "lease of the largest id",
	"time to live of 0", "time to live negative", "time to live below the shortest",
	"time to live of the longest", "target and value of a comparison do not match",
	"watcher with an id of its own", "watcher with a negative id",
	"metadata hasleader", "metadata hasleader of a watch", "metadata client-api-version",
	"metadata token", "metadata authorization", "metadata authorization: Bearer",
	"password of 72 bytes", "password empty", "user of the name of nobody",
}

// seen are things that etcd did.
var seen = []string{
	"a watcher's id used again", "a revision in several watch messages",
	"a watcher told of progress by the clock", "a stream told of progress by request",
	"a watcher canceled by request", "a watcher waits for the future",
	"events of more revisions than a watcher is told in one message",
	"a range with more behind its limit", "a range stream of several messages",
	"a transaction that failed", "a transaction that succeeded", "a delete of nothing",
	"a delete of several keys", "a previous value", "a lease renewed", "a lease unknown to renew",
	"a lease unknown to ask about", "a lease with keys", "a lease that expired",
	"a downgrade in Status", "an alarm in Status", "a hash never compacted",
	"a waiting lock that was given", "a role of root that shows its right", "a snapshot",
	"a member that waits to be started",
}

func edgeRows() (rows []string) {
	for _, kind := range intervalKinds {
		for _, edge := range intervalEdges {
			rows = append(rows, fmt.Sprintf("edge %s: %s", kind, edge))
		}
	}
	for _, kind := range revisionKinds {
		for _, edge := range revisionEdges {
			rows = append(rows, fmt.Sprintf("edge %s: revision %s", kind, edge))
		}
	}
	for _, edge := range otherEdges {
		rows = append(rows, "edge "+edge)
	}
	for _, what := range seen {
		rows = append(rows, "seen "+what)
	}
	return rows
}

func (c *coverage) edge(format string, args ...any) {
	c.hits["edge "+fmt.Sprintf(format, args...)]++
}

// edges counts what is at an edge in a request and in all messages inside it.
func (c *coverage) edges(m proto.Message, r revisions, l limits) {
	c.messageEdges(m, r)
	walkMessages(m.ProtoReflect(), func(f protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				c.messageEdges(v.List().Get(i).Message().Interface(), r)
			}
		default:
			c.messageEdges(v.Message().Interface(), r)
		}
	})
	if txn, ok := m.(*pb.TxnRequest); ok {
		c.txnEdges(txn, l)
	}
}

func (c *coverage) messageEdges(m proto.Message, r revisions) {
	switch m := m.(type) {
	case *pb.RangeRequest:
		c.interval("RangeRequest", m.Key, m.RangeEnd)
		c.revision("RangeRequest", m.Revision, r)
		switch {
		case m.Limit < 0:
			c.edge("limit negative")
		case m.Limit == 1:
			c.edge("limit 1")
		}
	case *pb.DeleteRangeRequest:
		c.interval("DeleteRangeRequest", m.Key, m.RangeEnd)
	case *pb.Compare:
		c.interval("Compare", m.Key, m.RangeEnd)
		if m.TargetUnion != nil && !matches(m) {
			c.edge("target and value of a comparison do not match")
		}
	case *pb.WatchCreateRequest:
		c.interval("WatchCreateRequest", m.Key, m.RangeEnd)
		c.revision("WatchCreateRequest", m.StartRevision, r)
		switch {
		case m.WatchId < 0:
			c.edge("watcher with a negative id")
		case m.WatchId > 0:
			c.edge("watcher with an id of its own")
		}
	case *authpb.Permission:
		c.interval("Permission", m.Key, m.RangeEnd)
	case *pb.HashKVRequest:
		c.revision("HashKVRequest", m.Revision, r)
	case *pb.CompactionRequest:
		c.revision("CompactionRequest", m.Revision, r)
	case *pb.LeaseGrantRequest:
		c.grantEdges(m)
	case *pb.PutRequest:
		if len(m.Value) > smallLimits.request-1000 {
			c.edge("value of nearly the size allowed")
		}
	case *pb.AuthUserAddRequest:
		c.userEdges(m)
	}
}

func (c *coverage) userEdges(m *pb.AuthUserAddRequest) {
	switch {
	case m.Name == "":
		c.edge("user of the name of nobody")
	case len(m.Password) == 72:
		c.edge("password of 72 bytes")
	case m.Password == "" && !m.Options.GetNoPassword():
		c.edge("password empty")
	}
}

func (c *coverage) grantEdges(m *pb.LeaseGrantRequest) {
	switch {
	case m.ID < 0:
		c.edge("lease of a negative id")
	case m.ID == 1<<63-1:
		c.edge("lease of the largest id")
	}
	switch {
	case m.TTL == 0:
		c.edge("time to live of 0")
	case m.TTL < 0:
		c.edge("time to live negative")
	case m.TTL == 1:
		c.edge("time to live below the shortest")
	case m.TTL == 9_000_000_000:
		c.edge("time to live of the longest")
	}
}

// matches says whether a comparison's value is of the kind that its target names.
func matches(m *pb.Compare) bool {
	switch m.TargetUnion.(type) {
	case *pb.Compare_Version:
		return m.Target == pb.Compare_VERSION
	case *pb.Compare_CreateRevision:
		return m.Target == pb.Compare_CREATE
	case *pb.Compare_ModRevision:
		return m.Target == pb.Compare_MOD
	case *pb.Compare_Value:
		return m.Target == pb.Compare_VALUE
	}
	return m.Target == pb.Compare_LEASE
}

func (c *coverage) interval(kind string, key, end []byte) {
	whole := []byte{0}
	if len(key) == 0 {
		c.edge("%s: empty key", kind)
	} else if key[0] == 0xff {
		c.edge("%s: key of 0xff", kind)
	}
	switch {
	case len(end) == 0:
		c.edge("%s: a single key", kind)
	case bytes.Equal(key, whole) && bytes.Equal(end, whole):
		c.edge("%s: every key", kind)
	case bytes.Equal(end, whole):
		c.edge("%s: no end", kind)
	case bytes.Equal(key, end):
		c.edge("%s: empty interval", kind)
	case bytes.Compare(key, end) > 0:
		c.edge("%s: inverted interval", kind)
	}
}

func (c *coverage) revision(kind string, n int64, r revisions) {
	edge := "of the past"
	switch {
	case n == 0:
		return
	case n < 0:
		edge = "negative"
	case n > r.current:
		edge = "of the future"
	case n == r.current:
		edge = "the present"
	case n == r.compacted:
		edge = "the compacted one"
	case n < r.compacted:
		edge = "compacted"
	}
	c.edge("%s: revision %s", kind, edge)
}

func (c *coverage) txnEdges(txn *pb.TxnRequest, l limits) {
	switch depth := depthOf(txn); {
	case depth >= 3:
		c.edge("transaction three deep")
		fallthrough
	case depth == 2:
		c.edge("transaction in a transaction")
	}
	switch max(len(txn.Compare), len(txn.Success), len(txn.Failure)) {
	case 0:
		c.edge("transaction without anything")
	case l.txnOps:
		c.edge("transaction of as many operations as allowed")
	}
}

func depthOf(txn *pb.TxnRequest) int {
	depth := 0
	for _, op := range slices.Concat(txn.Success, txn.Failure) {
		if inner := op.GetRequestTxn(); inner != nil {
			depth = max(depth, depthOf(inner))
		}
	}
	return depth + 1
}

// metadata counts what a step says beside its message.
func (c *coverage) metadata(s *step, t *target) {
	if s.leader {
		c.edge("metadata hasleader")
		if s.kind == watch {
			c.edge("metadata hasleader of a watch")
		}
	}
	if s.version != "" {
		c.edge("metadata client-api-version")
	}
	if t.tokens[s.as] != "" {
		c.edge("metadata %s", tokenKeys[s.token])
	}
}

func (c *coverage) sight(what string, yes bool) {
	if yes {
		c.hits["seen "+what]++
	}
}

// sights counts what etcd's answer shows.
func (c *coverage) sights(s *step, a *answer) {
	if a.code != codes.OK {
		return
	}
	c.sight("a snapshot", len(a.snapshot) > 1)
	c.sight("a range stream of several messages", len(a.messages) > 1 &&
		s.method == pb.KV_RangeStream_FullMethodName)
	if len(a.messages) != 1 {
		return
	}
	switch m := a.messages[0].(type) {
	case *pb.RangeResponse:
		c.sight("a range with more behind its limit", m.More)
	case *pb.TxnResponse:
		c.sight("a transaction that succeeded", m.Succeeded)
		c.sight("a transaction that failed", !m.Succeeded)
	case *pb.PutResponse:
		c.sight("a previous value", m.PrevKv != nil)
	case *pb.DeleteRangeResponse:
		c.sight("a delete of nothing", m.Deleted == 0)
		c.sight("a delete of several keys", m.Deleted > 1)
	case *pb.HashKVResponse:
		c.sight("a hash never compacted", m.CompactRevision == -1)
	case *pb.StatusResponse:
		c.sight("a downgrade in Status", m.DowngradeInfo.GetEnabled())
		c.sight("an alarm in Status", strings.Contains(strings.Join(m.Errors, ""), "alarm:"))
	case *pb.AuthRoleGetResponse:
		c.sight("a role of root that shows its right", len(m.Perm) > 0 &&
			s.request.(*pb.AuthRoleGetRequest).Role == "root")
	case *pb.MemberListResponse:
		c.sight("a member that waits to be started", len(m.Members) > 1)
	default:
		c.leaseSights(s, m)
	}
}

func (c *coverage) leaseSights(s *step, m proto.Message) {
	switch m := m.(type) {
	case *pb.LeaseKeepAliveResponse:
		c.sight("a lease renewed", m.TTL > 0)
		c.sight("a lease unknown to renew", m.TTL == 0)
	case *pb.LeaseTimeToLiveResponse:
		c.sight("a lease unknown to ask about", m.TTL == -1 && s.kind != expiry)
		c.sight("a lease that expired", m.TTL == -1 && s.kind == expiry)
		c.sight("a lease with keys", len(m.Keys) > 0)
	}
	c.sight("a waiting lock that was given", s.kind == begin)
}

// watchSights counts what etcd's watchers were told.
func (c *coverage) watchSights(w *watchStream, current int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.sight("a revision in several watch messages", w.parts > 0)
	c.sight("a stream told of progress by request", w.answers > 0)
	for _, x := range w.watchers {
		c.sight("a watcher's id used again", x.reused)
		c.sight("a watcher told of progress by the clock", x.notices > 0)
		c.sight("a watcher waits for the future", x.future > current)
		c.sight("events of more revisions than a watcher is told in one message",
			len(x.log) > 1000)
		c.sight("a watcher canceled by request", slices.ContainsFunc(x.log,
			func(line string) bool {
				return strings.HasPrefix(line, "canceled") && strings.HasSuffix(line, `compacted 0, ""`)
			}))
	}
}
