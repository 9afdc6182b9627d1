// Images: the replicated state that is not a revision, as a backup carries it from one cluster to
// another, and the way back: what a new cluster that starts from a backup begins with.
//
// A backup's data belongs to whoever restores it, its identities do not. So a restored state keeps
// leases, users, roles and alarms (an operator disarms them, as with etcd), and takes its members
// from the restoring command; the request windows, removed ids, the old configuration, the cluster
// version and a downgrade under way stay behind, because they speak of members that are not there.
package kv

import (
	"fmt"
	"math"
	"slices"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// Image is the replicated state at one applied entry, revisions aside. Lists are sorted by ID or
// name.
type Image struct {
	Applied raft.Index // the entry, and its term
	Term    raft.Term
	Config  raft.Config
	Version string // the cluster version, empty until decided
	Members []Member
	Removed []raft.MemberID // IDs that never come back
	Leases  []LeaseImage
	Alarms  []Alarm
	Auth    AuthImage
	// Downgrade is the version that a downgrade under way leads to, empty if none is.
	Downgrade string
}

// LeaseImage is a lease. Which keys are attached to it is in the keys' records.
type LeaseImage struct {
	ID  int64
	TTL int64 // seconds, as granted
	// Remaining is what was left, in seconds, when the lease was last checkpointed; 0: all of it.
	Remaining int64
}

// AuthImage is users, roles, and whether they matter.
type AuthImage struct {
	Enabled  bool
	Revision uint64
	Users    []NamedImage // authpb.User
	Roles    []NamedImage // authpb.Role
}

// NamedImage is a protobuf message in wire form with the name that is in it.
type NamedImage struct {
	Name string
	Wire []byte
}

// image is the state as an Image; at and term are the entry's.
func (s *replicated) image(at raft.Index, term raft.Term) Image {
	im := Image{Applied: at, Term: term, Config: s.config, Version: s.version,
		Members: s.members, Removed: s.removed, Alarms: s.alarms, Auth: authImage(&s.auth),
		Downgrade: s.downgrade}
	s.leases.Visit(math.MinInt64, func(l lease.Lease) bool {
		im.Leases = append(im.Leases, LeaseImage{ID: int64(l.ID), TTL: int64(l.TTL),
			Remaining: int64(l.Remaining)})
		return true
	})
	return im
}

// DecodeImage reads a state file's content.
func DecodeImage(state []byte, at raft.Index, term raft.Term) (Image, error) {
	s, err := decodeReplicated(state)
	if err != nil {
		return Image{}, err
	}
	return s.image(at, term), nil
}

// founded is the state of a new cluster with these members and im's data. Restored alike by all of
// them, it is equal on all.
func (im *Image) founded(members []Member) (replicated, error) {
	s := newReplicated()
	s.found(members)
	var err error
	if s.auth, err = im.Auth.store(); err != nil {
		return s, err
	}
	s.alarms = slices.Clone(im.Alarms)
	slices.SortFunc(s.alarms, compareAlarms)
	if s.alarms = slices.Compact(s.alarms); len(s.alarms) > maxAlarms {
		return s, fmt.Errorf("kv: %d alarms are more than the %d that can be", len(s.alarms),
			maxAlarms)
	}
	for _, l := range im.Leases {
		if l.ID == 0 || l.TTL < 1 || l.TTL > int64(lease.MaxTTL) || s.leases.Has(lease.ID(l.ID)) {
			return s, fmt.Errorf("kv: lease %x with a time to live of %d s cannot be", l.ID, l.TTL)
		}
		s.leases.Grant(lease.Lease{ID: lease.ID(l.ID), TTL: lease.Seconds(l.TTL),
			Remaining: lease.Seconds(min(max(l.Remaining, 0), l.TTL))})
	}
	s.digest = digestOf(s.encode())
	return s, nil
}

// found makes the initial members of a cluster the state's.
func (s *replicated) found(members []Member) {
	for _, m := range members {
		m.Name, m.ClientURLs = "", nil
		s.setMember(m)
		if m.Learner == LearnerOnly {
			s.config.Learners = append(s.config.Learners, m.ID)
		} else {
			s.config.Voters = append(s.config.Voters, m.ID)
		}
	}
	slices.Sort(s.config.Voters)
	slices.Sort(s.config.Learners)
}

// digestOf is a digest over bytes.
func digestOf(b []byte) (d uint64) {
	for _, c := range b {
		d = mix(d, uint64(c))
	}
	return d
}

// snapshotRequest takes a request for a backup. It is granted between entries, so that records and
// state are of one entry.
func (n *Node) snapshotRequest(r *Request) {
	if len(n.backups) >= n.cfg.Limits.MaxPending {
		n.answer(r.Token, ErrTooManyRequests, nil, 0)
		return
	}
	n.backups = append(n.backups, readRequest{token: r.Token, method: r.Method, raw: r.Raw,
		identity: r.Identity})
}

// grantBackups hands out the backups that wait, unless an entry is half applied.
func (n *Node) grantBackups() {
	if n.apply != nil || len(n.backups) == 0 {
		return
	}
	for i := range n.backups {
		b := &n.backups[i]
		// Who asks was known when it came, and may be nobody by now.
		asked := Request{Method: b.method, Raw: b.raw, Identity: b.identity}
		if code := n.mayAsk(&asked); code != OK {
			n.answer(b.token, code, nil, 0)
			continue
		}
		n.grant(b)
		n.out.Reads[len(n.out.Reads)-1].state = n.state.encode()
	}
	n.backups = nil
}

// Backup is what a granted snapshot read gives: the replicated state at one entry, and a view of
// the store at it. It is valid until the read's view ends, and may be read on any goroutine, one at
// a time.
type Backup struct {
	Image
	View *mvcc.View
}

// IsBackup says whether the read is a backup: Backup evaluates it then, not Run.
func (r *Read) IsBackup() bool { return r.method == MethodSnapshot }

// Backup evaluates a snapshot read.
func (r *Read) Backup() (*Backup, error) {
	if !r.IsBackup() {
		panic(fmt.Sprintf("kv: a read of method %d is no backup", r.method))
	}
	im, err := DecodeImage(r.state, r.applied, r.header.Term)
	return &Backup{Image: im, View: r.view}, err
}
