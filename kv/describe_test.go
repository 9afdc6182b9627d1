package kv

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv/auth"
	"github.com/detcd/detcd/raft"
)

// Everything that a cluster writes into its log can be described, and says who asked.
func TestEveryEntryCanBeDescribed(t *testing.T) {
	w := newWorld(t, 1, nil)
	w.healthy()
	w.put(0, "k", "v")
	_, code := w.add(0, "http://127.0.0.1:9001", true)
	require.Equal(t, OK, code)
	var grant pb.LeaseGrantResponse
	require.Equal(t, OK, w.ask(0, MethodLeaseGrant, &pb.LeaseGrantRequest{TTL: 2, ID: 5}, &grant))
	w.run(60) // it ends
	kinds := map[string]int{}
	entries := w.members[0].seenEntries(t)
	for i := range entries {
		d, err := Describe(&entries[i])
		require.NoError(t, err)
		kinds[d.Kind]++
	}
	for _, kind := range []string{"leadership", "publish", "cluster version", "request",
		"membership", "lease expiry"} {
		require.Positive(t, kinds[kind], kind)
	}
	_, err := Describe(&raft.Entry{Type: 250})
	require.ErrorContains(t, err, "unknown type 250")
}

// seenEntries decodes the entries in the member's log files, by what the log says of itself.
func (m *member) seenEntries(t *testing.T) (entries []raft.Entry) {
	n := m.driver.Node
	st := n.raft.Status()
	op, ok := n.log.Fetch(ticketFetch+1000, st.First, st.Durable, 1<<20)
	require.True(t, ok)
	m.disk.Submit(op)
	done := m.disk.done[len(m.disk.done)-1]
	m.disk.done = m.disk.done[:len(m.disk.done)-1]
	entries, err := n.log.Fetched(done, st.First, st.Durable, 1<<20)
	require.NoError(t, err)
	return entries
}

func TestADescriptionHasNoSecrets(t *testing.T) {
	raw, err := proto.Marshal(&pb.AuthUserAddRequest{Name: "jane", HashedPassword: "secret"})
	require.NoError(t, err)
	typ, data := sealed(MethodUserAdd, auth.Subject{User: "root", Revision: 7}, raw)
	d, err := Describe(&raft.Entry{Type: typ, Data: data})
	require.NoError(t, err)
	require.Equal(t, "root", d.User)
	require.EqualValues(t, 7, d.AuthRevision)
	require.True(t, proto.Equal(&pb.AuthUserAddRequest{Name: "jane"}, d.Requests[0]))
	typ, data = sealed(MethodAuthenticate, auth.Subject{User: "jane", Revision: 7},
		[]byte("token"))
	d, err = Describe(&raft.Entry{Type: typ, Data: data})
	require.NoError(t, err)
	require.True(t, proto.Equal(&pb.AuthenticateRequest{Name: "jane"}, d.Requests[0]))
}

func TestEveryMethodThatChangesSomethingHasAMessage(t *testing.T) {
	for method := range NumMethods {
		r := Request{Method: method, Raw: []byte{}}
		if r.writes() || changesAuth(method) {
			require.NotNil(t, messageOf(method), method)
		}
	}
}
