// A member's first start in a cluster that exists: whom it was added to, and as whom.
//
// The operator has added the member by its peer URLs; the cluster has given it an id. The new
// process asks the peers that it was told about for the list of members, over HTTP, finds
// itself in it by its URLs, and adopts the cluster's id. What it was told must fit what it hears,
// word for word as etcd demands it: a list that is older or newer than the cluster is a mistake
// that is better found now.
//
// The members heard of are also whom it talks to until it has a state of its own: without one it
// knows nobody, and the leader's first offer needs an answer.
package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// joinTimeout bounds one question to a peer.
const joinTimeout = 10 * time.Second

// existingCluster is what a peer says of the cluster.
type existingCluster struct {
	id      uint64
	members []memberJSON
}

// String is etcd's way to print a cluster, which the text of a refusal contains.
func (e *existingCluster) String() string {
	text := fmt.Sprintf("{ClusterID:%x Members:[", e.id)
	for i, m := range e.members {
		if i > 0 {
			text += " "
		}
		text += fmt.Sprintf("&{ID:%x RaftAttributes:{PeerURLs:%v IsLearner:%t} "+
			"Attributes:{Name:%s ClientURLs:%v}}", m.ID, m.PeerURLs, m.IsLearner, m.Name,
			m.ClientURLs)
	}
	return text + "] RemovedMemberIDs:[]}"
}

// adopt asks the peers and fills in who this member is.
func (b *bootstrap) adopt(log *zap.Logger, c *Config, d *peerDialer) error {
	told, err := types.NewURLsMap(c.InitialCluster)
	if err != nil {
		return fmt.Errorf("error setting up initial cluster: %w", err)
	}
	existing, err := fetchCluster(log, d, c.Name, told)
	if err != nil {
		return fmt.Errorf("cannot fetch cluster info from peer urls: %w", err)
	}
	self, err := existing.match(c.resolver(), c.Name, told)
	if err != nil {
		return fmt.Errorf("error validating peerURLs %s: %w", existing, err)
	}
	learners := 0
	for i := range existing.members {
		m := &existing.members[i]
		if m.IsLearner {
			learners++
		}
		if m.ID == uint64(self) && len(m.ClientURLs) > 0 {
			// It has lived, and with its data directory it lost its votes.
			return fmt.Errorf("member %v has already been bootstrapped", self)
		}
		b.members = append(b.members, kv.Member{ID: raft.MemberID(m.ID), PeerURLs: m.PeerURLs})
	}
	if learners > c.MaxLearners {
		return errors.New(kv.ErrTooManyLearners.Text())
	}
	b.resident = settleIn(identity{cluster: existing.id, member: self})
	return nil
}

// fetchCluster asks the peers, in the order of their URLs, until one of them knows the members.
func fetchCluster(log *zap.Logger, d *peerDialer, own string, told types.URLsMap) (*existingCluster,
	error) {
	var urls []string
	for _, name := range sortedNames(told) {
		if name != own {
			urls = append(urls, told[name].StringSlice()...)
		}
	}
	slices.Sort(urls)
	client := d.http(joinTimeout)
	for _, u := range urls {
		existing, err := askMembers(client, u)
		if err == nil {
			return existing, nil
		}
		log.Warn("failed to get cluster response", zap.String("address", u+"/members"),
			zap.Error(err))
	}
	return nil, errors.New("could not retrieve cluster information from the given URLs")
}

// askMembers asks one peer. One that joins itself and has no state yet knows nobody.
func askMembers(client *http.Client, peerURL string) (*existingCluster, error) {
	resp, err := client.Get(peerURL + "/members")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	e := &existingCluster{}
	if e.id, err = strconv.ParseUint(resp.Header.Get("X-Etcd-Cluster-ID"), 16, 64); err != nil {
		return nil, fmt.Errorf("cluster id: %w", err)
	}
	body := io.LimitReader(resp.Body, maxMembersBody)
	if err := json.NewDecoder(body).Decode(&e.members); err != nil {
		return nil, err
	}
	if len(e.members) == 0 {
		return nil, errors.New("the peer knows no members")
	}
	slices.SortFunc(e.members, func(a, b memberJSON) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return e, nil
}

// match finds each existing member among those that this one was told about, by their URLs, and
// says which one this one is.
func (e *existingCluster) match(r *net.Resolver, own string, told types.URLsMap) (raft.MemberID,
	error) {
	if len(e.members) != len(told) {
		return 0, errors.New("member count is unequal")
	}
	var self raft.MemberID
	for _, m := range e.members {
		name := ""
		for _, n := range sortedNames(told) {
			if sameURLs(r, m.PeerURLs, told[n].StringSlice()) {
				name = n
				break
			}
		}
		if name == "" {
			return 0, fmt.Errorf("PeerURLs: no match found for existing member (%x, %v), "+
				"last resolver error (%v)", m.ID, m.PeerURLs, nil)
		}
		if name == own {
			self = raft.MemberID(m.ID)
		}
	}
	if self == 0 {
		return 0, fmt.Errorf("couldn't find local name %q among the existing members", own)
	}
	return self, nil
}

// sameURLs compares URLs in any order, as they are written and then as they resolve.
func sameURLs(r *net.Resolver, a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b) || sameResolved(r, a, b)
}

// remotes is whom a member without a state talks to: the members heard of at its first start, or at
// a later one that still found it without a state.
func (s *Server) remotes(b *bootstrap) ([]kv.Member, error) {
	if len(b.members) > 0 {
		return b.members, nil
	}
	told, err := types.NewURLsMap(s.cfg.InitialCluster)
	if err != nil {
		return nil, fmt.Errorf("error setting up initial cluster: %w", err)
	}
	existing, err := fetchCluster(s.log, s.dial, s.cfg.Name, told)
	if err != nil {
		return nil, fmt.Errorf("cannot fetch cluster info from peer urls: %w", err)
	}
	if existing.id != b.identity.cluster {
		return nil, fmt.Errorf("the peers belong to cluster %x, this member to cluster %x",
			existing.id, b.identity.cluster)
	}
	var members []kv.Member
	for _, m := range existing.members {
		members = append(members, kv.Member{ID: raft.MemberID(m.ID), PeerURLs: m.PeerURLs})
	}
	return members, nil
}
