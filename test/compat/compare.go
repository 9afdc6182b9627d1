package main

// Comparing two answers. Equal means the same bytes after normalizing, with three exceptions: a
// remaining time may differ by a second, chunks of a stream may be cut differently, and where keys
// tie in a sorted range their order is anybody's.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// compare returns nil if both servers said the same.
func (r *run) compare(s *step, etcd, detcd *answer) *difference {
	for i, a := range []*answer{etcd, detcd} {
		a.normalize(r.pair.targets[i])
		if what := a.mergeChunks(); what != "" {
			return &difference{what: fmt.Sprintf("%s: %s",
				r.pair.targets[i].server.Program.Name, what)}
		}
	}
	if equal(s, etcd, detcd) {
		return nil
	}
	if d := deviates(s, etcd, detcd); d != nil {
		r.coverage.deviations[d.name]++
		return nil
	}
	etcd.snapshot, detcd.snapshot = without(etcd.snapshot, detcd.snapshot),
		without(detcd.snapshot, etcd.snapshot)
	return &difference{what: fmt.Sprintf("the answer to %v\n    etcd:  %v\n    detcd: %v",
		s, etcd, detcd)}
}

// without leaves the rows of a that b does not have.
func without(a, b []string) (rows []string) {
	has := map[string]bool{}
	for _, row := range b {
		has[row] = true
	}
	for _, row := range a {
		if !has[row] {
			rows = append(rows, row)
		}
	}
	return rows
}

func equal(s *step, etcd, detcd *answer) bool {
	if etcd.code != detcd.code || etcd.text != detcd.text ||
		len(etcd.messages) != len(detcd.messages) ||
		!slices.Equal(etcd.snapshot, detcd.snapshot) {
		return false
	}
	for i, a := range etcd.messages {
		b := detcd.messages[i]
		levelTimes(a, b)
		if !s.ordered {
			levelOrder(a)
			levelOrder(b)
		}
		levelTies(s.request, a, b)
		if !proto.Equal(a, b) {
			return false
		}
	}
	return true
}

// levelTimes makes remaining times equal that differ by one second only.
func levelTimes(a, b proto.Message) {
	x, ok := a.(*pb.LeaseTimeToLiveResponse)
	y, ok2 := b.(*pb.LeaseTimeToLiveResponse)
	if ok && ok2 && x.TTL > 0 && y.TTL > 0 && max(x.TTL-y.TTL, y.TTL-x.TTL) <= 1 {
		y.TTL = x.TTL
	}
}

// levelOrder sorts what each server lists in an order of its own: leases that were granted within a
// moment of each other, keys of a lease and alarms (etcd has them in maps), permissions of a role
// for one key (etcd: as they were granted).
func levelOrder(m proto.Message) {
	switch m := m.(type) {
	case *pb.LeaseLeasesResponse:
		slices.SortFunc(m.Leases, func(a, b *pb.LeaseStatus) int { return cmp.Compare(a.ID, b.ID) })
	case *pb.AlarmResponse:
		slices.SortFunc(m.Alarms, func(a, b *pb.AlarmMember) int {
			return cmp.Or(cmp.Compare(a.MemberID, b.MemberID), cmp.Compare(a.Alarm, b.Alarm))
		})
	case *pb.LeaseTimeToLiveResponse:
		slices.SortFunc(m.Keys, slices.Compare)
	case *pb.AuthRoleGetResponse:
		slices.SortFunc(m.Perm, comparePermissions)
	}
}

func comparePermissions(a, b *authpb.Permission) int {
	return cmp.Or(slices.Compare(a.Key, b.Key), slices.Compare(a.RangeEnd, b.RangeEnd))
}

// stableBelow is the number of keys that etcd's sort leaves in order where they tie, because it
// sorts that few by insertion.
const stableBelow = 12

// levelTies orders keys that tie in sorted ranges, in a request and in the transactions inside it.
func levelTies(request, a, b proto.Message) {
	switch q := request.(type) {
	case *pb.RangeRequest:
		x, ok := a.(*pb.RangeResponse)
		y, ok2 := b.(*pb.RangeResponse)
		if ok && ok2 && q.SortTarget != pb.RangeRequest_KEY && x.Count > stableBelow {
			levelRange(q, x)
			levelRange(q, y)
		}
	case *pb.TxnRequest:
		x, ok := a.(*pb.TxnResponse)
		y, ok2 := b.(*pb.TxnResponse)
		if !ok || !ok2 || x.Succeeded != y.Succeeded {
			return
		}
		branch := q.Failure
		if x.Succeeded {
			branch = q.Success
		}
		for i, op := range branch {
			if i >= len(x.Responses) || i >= len(y.Responses) {
				return
			}
			levelOp(op, x.Responses[i], y.Responses[i])
		}
	}
}

func levelOp(op *pb.RequestOp, a, b *pb.ResponseOp) {
	if q := op.GetRequestRange(); q != nil {
		if x, y := a.GetResponseRange(), b.GetResponseRange(); x != nil && y != nil {
			levelTies(q, x, y)
		}
	}
	if q := op.GetRequestTxn(); q != nil {
		if x, y := a.GetResponseTxn(), b.GetResponseTxn(); x != nil && y != nil {
			levelTies(q, x, y)
		}
	}
}

// levelRange sorts each group of ties by key. A last group that the limit cut may hold any of its
// keys, so only their number is kept.
func levelRange(q *pb.RangeRequest, x *pb.RangeResponse) {
	for i := 0; i < len(x.Kvs); {
		j := i + 1
		for j < len(x.Kvs) && sortKey(q, x.Kvs[j]) == sortKey(q, x.Kvs[i]) {
			j++
		}
		group := x.Kvs[i:j]
		slices.SortFunc(group, func(a, b *mvccpb.KeyValue) int {
			return slices.Compare(a.Key, b.Key)
		})
		if x.More && j == len(x.Kvs) {
			for k := range group {
				group[k] = &mvccpb.KeyValue{}
			}
		}
		i = j
	}
}

func sortKey(q *pb.RangeRequest, kv *mvccpb.KeyValue) string {
	switch q.SortTarget {
	case pb.RangeRequest_VERSION:
		return fmt.Sprint(kv.Version)
	case pb.RangeRequest_CREATE:
		return fmt.Sprint(kv.CreateRevision)
	case pb.RangeRequest_MOD:
		return fmt.Sprint(kv.ModRevision)
	}
	return string(kv.Value)
}

// mergeChunks joins the messages of a RangeStream and says what is wrong with how they were cut.
func (a *answer) mergeChunks() string {
	if len(a.messages) == 0 {
		return ""
	}
	if _, ok := a.messages[0].(*pb.RangeStreamResponse); !ok {
		return ""
	}
	whole := &pb.RangeStreamResponse{}
	for i, m := range a.messages {
		part := m.(*pb.RangeStreamResponse).RangeResponse
		last := i == len(a.messages)-1 && a.code == codes.OK
		if !last && len(part.GetKvs()) == 0 {
			return fmt.Sprintf("chunk %d of %d is empty", i, len(a.messages))
		}
		if !last && (part.Header != nil || part.Count != 0 || part.More) {
			return fmt.Sprintf("chunk %d of %d has what belongs to the last", i, len(a.messages))
		}
		proto.Merge(whole, m)
	}
	a.messages = []proto.Message{whole}
	return ""
}

func transcriptDifference(what string, etcd, detcd []string) *difference {
	i := 0
	for i < len(etcd) && i < len(detcd) && etcd[i] == detcd[i] {
		i++
	}
	at := func(lines []string) string {
		if i < len(lines) {
			return lines[i]
		}
		return "nothing more"
	}
	return &difference{what: fmt.Sprintf("%s, after %d equal messages\n    etcd:  %s\n    detcd: %s",
		what, i, at(etcd), at(detcd))}
}

// awaitEqualRevisions waits until what the servers do after a caller gave up is done.
func (r *run) awaitEqualRevisions(ctx context.Context) {
	time.Sleep(settleAfterBlock)
	await(watchLimit, func() bool {
		var revisions [2]int64
		for i, t := range r.pair.targets {
			response := &pb.RangeResponse{}
			if t.ask(ctx, pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("x")},
				response) == nil {
				revisions[i] = response.Header.Revision
				r.revisions.current = max(r.revisions.current, revisions[i])
			}
		}
		return revisions[0] == revisions[1]
	})
}
