package linearizability

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func grant(id int64) Request {
	return Request{Grant: &pb.LeaseGrantRequest{ID: id, TTL: 5}}
}

func revoke(id int64) Request { return Request{Revoke: &pb.LeaseRevokeRequest{ID: id}} }

func renew(id int64) Request { return Request{KeepAlive: &pb.LeaseKeepAliveRequest{ID: id}} }

func keysOf(id int64) Request {
	return Request{TimeToLive: &pb.LeaseTimeToLiveRequest{ID: id, Keys: true}}
}

func leasedPut(key string, id int64) Request {
	req := put(key, "v")
	req.Put.Lease = id
	return req
}

// renewed executes a renewal that succeeds.
func (s *script) renewed(id int64) {
	s.do(renew(id)).Response.KeepAlive.TTL = 5
}

// ordered says where each write took effect, as a world that saw the log would.
func (s *script) ordered() []Operation {
	for i := range s.history {
		if op := &s.history[i]; !op.Request.ReadOnly() {
			op.Order = int64(i + 1)
		}
	}
	return s.history
}

// aLife is a history of leases that is legal.
func aLife(s *script) {
	s.do(leasedPut("x", 7)) // refused
	s.do(grant(7))
	s.do(grant(7)) // refused
	s.do(grant(8))
	s.do(leasedPut("a", 7))
	s.do(leasedPut("b", 7))
	s.do(leasedPut("c", 8))
	s.do(keysOf(7))
	s.renewed(7)
	s.do(leasedPut("b", 8))
	s.do(keysOf(7))
	s.do(revoke(7))
	s.do(get("a"))
	s.do(keysOf(7))
	s.do(renew(7))
	s.do(put("c", "detached"))
	s.do(revoke(8))
	s.do(revoke(8)) // refused
	s.do(getAll())
	s.do(grant(7))
	s.do(revoke(7)) // without a key
	s.do(leasedPut("x", 7))
}

func TestALegalLifeOfLeases(t *testing.T) {
	s := newScript()
	aLife(s)
	_, replayed := Replay(s.ordered())
	require.NoError(t, replayed.Err())
	store := CheckStore(s.history, time.Minute)
	require.NoError(t, store.Err())
	keys := CheckKeys(s.history, time.Minute)
	require.NoError(t, keys.Err())
}

// An end that no client asked for is a revocation of nobody, settled by the world.
func TestNobodysEndIsPartOfTheHistory(t *testing.T) {
	s := newScript()
	s.do(grant(7))
	s.do(leasedPut("a", 7))
	end := s.do(revoke(7))
	end.Outcome, end.Call, end.Return, end.Response = Unknown, 1, Never, Response{}
	s.do(get("a"))
	s.do(leasedPut("a", 7))
	history := s.ordered()
	bounded, err := Bound(history, []Commit{{Op: 0, Revision: 1}, {Op: 1, Revision: 2},
		{Op: 2, Revision: 3}})
	require.NoError(t, err)
	judgeAll(t, bounded)
	bounded, err = Bound(history, []Commit{{Op: 0, Revision: 1}, {Op: 1, Revision: 2}})
	require.NoError(t, err)
	_, replayed := Replay(bounded)
	require.Equal(t, Illegal, replayed.Verdict, "a key vanished, and nobody ended its lease")
}

func TestFindsPlantedViolationsOfLeases(t *testing.T) {
	for _, p := range []planted{
		{name: "put with a lease that has ended", build: func(s *script) {
			s.do(grant(7))
			before := s.state
			s.do(revoke(7))
			s.state = before
			s.do(leasedPut("a", 7))
		}},
		{name: "renewed after its end", build: func(s *script) {
			s.do(grant(7))
			s.do(revoke(7))
			s.renewed(7)
		}},
		{name: "a key outlives its lease", build: func(s *script) {
			s.do(grant(7))
			s.do(leasedPut("a", 7))
			s.do(leasedPut("b", 7))
			before := s.state
			s.do(revoke(7))
			s.see(before, get("b"))
		}},
		{name: "an end seen in part", build: func(s *script) {
			s.do(grant(7))
			s.do(leasedPut("a", 7))
			s.do(leasedPut("b", 7))
			s.do(revoke(7))
			read := s.do(getAll())
			edit(&read.Response.Range, func(r *pb.RangeResponse) { r.Count = 1 })
		}},
		{name: "a moved key is still attached", build: func(s *script) {
			s.do(grant(7))
			s.do(grant(8))
			s.do(leasedPut("a", 7))
			before := s.state
			s.do(leasedPut("a", 8))
			s.see(before, keysOf(7))
		}},
		{name: "an end without keys makes a revision", build: func(s *script) {
			s.do(grant(7))
			end := s.do(revoke(7))
			edit(&end.Response.Revoke, func(r *pb.LeaseRevokeResponse) { r.Header.Revision++ })
		}},
		{name: "granted twice", build: func(s *script) {
			s.do(grant(7))
			before := s.state
			s.state = NewState()
			s.do(grant(7))
			s.state = before
		}},
		{name: "a lease is asked for and gone, and nobody ended it", build: func(s *script) {
			virgin := s.state
			s.do(grant(7))
			s.see(virgin, keysOf(7))
		}},
	} {
		t.Run(p.name, func(t *testing.T) {
			s := newScript()
			p.build(s)
			_, replayed := Replay(s.ordered())
			require.Equal(t, Illegal, replayed.Verdict)
			store := CheckStore(s.history, time.Minute)
			require.Equal(t, Illegal, store.Verdict)
		})
	}
}
