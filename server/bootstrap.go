// A member's first start: what cluster it founds together with the others.
//
// All members are told the same initial cluster and token; ids follow from them, so every member
// computes the same cluster without asking anybody. What can be asked is whether this member has
// lived before: a member whose data directory was lost must not come back as if it were new, for it
// has forgotten its votes and acknowledgements.
package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

const (
	resolveTimeout = 5 * time.Second
	askTimeout     = time.Second
	// maxMembersBody bounds what a peer may answer to /members.
	maxMembersBody = 1 << 20
)

// bootstrap is what a first start decides. A later one knows the resident only.
type bootstrap struct {
	resident
	members []kv.Member
	start   kv.StartMode
}

// newBootstrap works out identity and members from the initial-* settings.
func newBootstrap(c *Config) (*bootstrap, error) {
	cluster, err := types.NewURLsMap(c.InitialCluster)
	if err != nil {
		return nil, fmt.Errorf("error setting up initial cluster: %w", err)
	}
	own, ok := cluster[c.Name]
	if !ok {
		return nil, fmt.Errorf("couldn't find local name %q in the initial cluster configuration",
			c.Name)
	}
	if err := checkRepeats(cluster); err != nil {
		return nil, err
	}
	if c.InitialClusterState == ClusterStateExisting {
		return &bootstrap{start: kv.Join}, nil // who it is, the cluster knows
	}
	if err := checkAdvertised(c, own); err != nil {
		return nil, err
	}
	b := &bootstrap{}
	var ids []raft.MemberID
	for _, name := range sortedNames(cluster) {
		urls := cluster[name].StringSlice()
		id := kv.MemberIDFor(urls, c.InitialClusterToken)
		ids = append(ids, id)
		b.members = append(b.members, kv.Member{ID: id, PeerURLs: urls})
		if name == c.Name {
			b.identity.member = id
		}
	}
	b.identity.cluster = kv.ClusterIDFor(ids)
	return b, nil
}

func sortedNames(cluster types.URLsMap) []string {
	names := make([]string, 0, len(cluster))
	for name := range cluster {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func checkRepeats(cluster types.URLsMap) error {
	urls := cluster.URLs()
	for i := 1; i < len(urls); i++ {
		if urls[i] == urls[i-1] {
			return fmt.Errorf("initial cluster %s has duplicate url", cluster)
		}
	}
	return nil
}

// checkAdvertised demands that what this member tells others about itself is what they were told.
// Names are compared after resolution.
func checkAdvertised(c *Config, own types.URLs) error {
	told := c.AdvertisePeerURLs.StringSlice()
	listed := own.StringSlice()
	slices.Sort(told)
	slices.Sort(listed)
	if slices.Equal(told, listed) || sameResolved(c.resolver(), told, listed) {
		return nil
	}
	missing := func(from, in []string) string {
		var out []string
		for _, u := range from {
			if !slices.Contains(in, u) {
				out = append(out, c.Name+"="+u)
			}
		}
		return strings.Join(out, ",")
	}
	if m := missing(listed, told); m != "" {
		return fmt.Errorf("--initial-cluster has %s but missing from "+
			"--initial-advertise-peer-urls=%s", m, strings.Join(told, ","))
	}
	return fmt.Errorf("--initial-advertise-peer-urls has %s but missing from --initial-cluster=%s",
		missing(told, listed), strings.Join(listed, ","))
}

func sameResolved(r *net.Resolver, a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	ra, rb := resolveAll(ctx, r, a), resolveAll(ctx, r, b)
	return ra != nil && slices.Equal(ra, rb)
}

// resolveAll replaces host names by their first address, sorted; nil when one is unknown.
func resolveAll(ctx context.Context, r *net.Resolver, urls []string) []string {
	out := make([]string, 0, len(urls))
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			return nil
		}
		addrs, err := r.LookupHost(ctx, u.Hostname())
		if err != nil {
			return nil
		}
		slices.Sort(addrs)
		u.Host = net.JoinHostPort(addrs[0], u.Port())
		out = append(out, u.String())
	}
	slices.Sort(out)
	return out
}

// alreadyLived asks the other members whether they know this one as started. Silence is no answer:
// in a cluster that is being founded nobody may be there yet.
func (b *bootstrap) alreadyLived(d *peerDialer) error {
	client := d.http(askTimeout)
	var asking sync.WaitGroup
	var mu sync.Mutex
	lived := false
	for _, m := range b.members {
		if m.ID == b.identity.member {
			continue
		}
		for _, u := range m.PeerURLs {
			asking.Go(func() {
				if b.knownTo(client, u) {
					mu.Lock()
					lived = true
					mu.Unlock()
				}
			})
		}
	}
	asking.Wait()
	if lived {
		return fmt.Errorf("member %v has already been bootstrapped", b.identity.member)
	}
	return nil
}

// knownTo says whether the member at peerURL lists this member as one that has published itself.
func (b *bootstrap) knownTo(client *http.Client, peerURL string) bool {
	resp, err := client.Get(peerURL + "/members")
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	cluster := fmt.Sprintf("%x", b.identity.cluster)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Etcd-Cluster-ID") != cluster {
		return false
	}
	var members []memberJSON
	if json.NewDecoder(io.LimitReader(resp.Body, maxMembersBody)).Decode(&members) != nil {
		return false
	}
	return slices.ContainsFunc(members, func(m memberJSON) bool {
		return raft.MemberID(m.ID) == b.identity.member && len(m.ClientURLs) > 0
	})
}
