package kv

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/raft"
)

// The window agrees with its obvious twin: a set of everything applied, and a highest sequence.
func TestWindowEqualsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		seen := map[raft.Sequence]bool{}
		incarnation, high := raft.Incarnation(0), raft.Sequence(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			inc := raft.Incarnation(rapid.IntRange(1, 3).Draw(t, "incarnation"))
			s := raft.Sequence(rapid.IntRange(0, 3*windowSpan).Draw(t, "sequence"))
			if rapid.Bool().Draw(t, "near") && high > 2 {
				s = high - 2 + raft.Sequence(rapid.IntRange(0, 4).Draw(t, "offset"))
			}
			want := s > 0 && inc >= incarnation
			if want && inc > incarnation {
				incarnation, high, seen = inc, 0, map[raft.Sequence]bool{}
			}
			want = want && !seen[s] && (s > high || high-s < windowSpan)
			require.Equal(t, want, w.admit(inc, s), "incarnation %d sequence %d", inc, s)
			if want {
				seen[s] = true
				high = max(high, s)
			}
			var back window
			d := decoder{buf: w.append(nil)}
			back.read(&d)
			require.NoError(t, d.err)
			require.Equal(t, w, back)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	s := replicated{version: "3.7.0", members: []Member{{ID: 1, Name: "a",
		PeerURLs: []string{"http://127.0.0.1:2380"}}}, removed: []raft.MemberID{9},
		leases: lease.NewTable()}
	s.leases.Grant(lease.Lease{ID: -3, TTL: 7, Remaining: 2})
	s.leases.Grant(lease.Lease{ID: 3, TTL: 7})
	s.config.Voters = []raft.MemberID{1}
	s.window(1).admit(1, 5)
	f.Add(s.encode())
	f.Add([]byte{1, 0, 0, 0})
	s.windows[0].high = 0xfeedface
	endless := s.encode() // a window of more words than it can have, and than there are bytes
	at := bytes.Index(endless, binary.LittleEndian.AppendUint64(nil, 0xfeedface))
	f.Add(append(endless[:at+8:at+8], 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := decodeReplicated(raw)
		if err != nil {
			return
		}
		again, err := decodeReplicated(got.encode())
		require.NoError(t, err)
		require.Equal(t, got.encode(), again.encode())
		got.leases, again.leases = nil, nil // trees, which the encoded forms compare
		require.Equal(t, got, again)
	})
}

func TestIdentityIsEtcds(t *testing.T) {
	id := MemberIDFor([]string{"http://127.0.0.1:23800"}, "etcd-cluster")
	require.Equal(t, raft.MemberID(0x2e1259d415f2a040), id)
	require.Equal(t, uint64(0x48276a8f75b6a87), ClusterIDFor([]raft.MemberID{id}))
}
