package main

// Messages of watch streams, and requests of the Lease service.

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const watchStreams = 2 // open at a time

func watchStep(d draw, m *pb.WatchRequest) []*step {
	return []*step{{kind: watch, method: pb.Watch_Watch_FullMethodName, request: m,
		stream: d.below(watchStreams), leader: d.percent(30)}}
}

func (d draw) watchCreate() *pb.WatchRequest {
	key, end := d.interval()
	c := &pb.WatchCreateRequest{Key: key, RangeEnd: end, PrevKv: d.percent(40),
		ProgressNotify: d.percent(20), Fragment: d.percent(20)}
	if d.percent(50) {
		c.StartRevision = d.someRevision()
	}
	if d.percent(15) {
		c.Filters = append(c.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if d.percent(15) {
		c.Filters = append(c.Filters, pb.WatchCreateRequest_NODELETE)
	}
	if d.percent(2) {
		c.Filters = append(c.Filters, pick[pb.WatchCreateRequest_FilterType](d, 2, -1))
	}
	if d.percent(30) {
		c.WatchId = pick[int64](d, 1, 2, 5, -5, math.MaxInt64)
	}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}}
}

func (d draw) watchCancel() *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{
			WatchId: pick[int64](d, 0, 1, 2, 5, -5, -1, 3, 1000)}}}
}

func watchSteps() []weighted[[]*step] {
	return []weighted[[]*step]{
		{10, func(d draw) []*step { return watchStep(d, d.watchCreate()) }},
		{2, func(d draw) []*step { return watchStep(d, d.watchCancel()) }},
		{1, func(d draw) []*step { return watchStep(d, &pb.WatchRequest{}) }},
		{1, func(d draw) []*step {
			return watchStep(d, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
				ProgressRequest: &pb.WatchProgressRequest{}}})
		}},
		{1, func(d draw) []*step {
			return []*step{{kind: watchEnd, method: pb.Watch_Watch_FullMethodName,
				stream: d.below(watchStreams)}}
		}},
	}
}

// leaseGrant asks for times that outlast the run, or for such that are raised to the shortest one
// allowed: those are revoked by the next steps, or the time that is left decides.
func (d draw) leaseGrant() *pb.LeaseGrantRequest {
	g := &pb.LeaseGrantRequest{TTL: pick[int64](d, 60, 300, 3600, 100_000, 9_000_000_000,
		9_000_000_001, math.MaxInt64)}
	if d.percent(80) {
		g.ID = pick(d, explicitLeases...)
	}
	return g
}

func (d draw) leaseID() int64 {
	if d.percent(80) {
		return pick(d, explicitLeases...)
	}
	if d.percent(20) {
		return pick[int64](d, 0, absent)
	}
	return symbol(symLease, int64(d.below(slots)))
}

func leaseSteps() []weighted[[]*step] {
	return []weighted[[]*step]{
		{6, func(d draw) []*step {
			return stepOf(pb.Lease_LeaseGrant_FullMethodName, d.leaseGrant())
		}},
		{2, func(d draw) []*step {
			return stepOf(pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: d.leaseID()})
		}},
		{2, func(d draw) []*step {
			s := stepOf(pb.Lease_LeaseKeepAlive_FullMethodName,
				&pb.LeaseKeepAliveRequest{ID: d.leaseID()})
			s[0].kind = keepAlive
			return s
		}},
		{3, func(d draw) []*step {
			return stepOf(pb.Lease_LeaseTimeToLive_FullMethodName,
				&pb.LeaseTimeToLiveRequest{ID: d.leaseID(), Keys: d.percent(60)})
		}},
		{1, func(d draw) []*step {
			return stepOf(pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{})
		}},
	}
}
