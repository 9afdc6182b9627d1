// The cluster version: what all members agree to speak. A new kind of entry, or a change of what
// apply does, is used only once the cluster version allows it, so members of neighbouring releases
// work together, and an upgrade can be taken back until its last member has made it.
//
// Every member publishes its release, by an entry. The leader proposes the lowest of them as the
// cluster version, and later only ever a higher one, because members may have used what it allows.
// The way back is a downgrade: once one is enabled the version is its target, members may come back
// with that release, and when all have, it has ended. Whoever finds a cluster version above its own
// release stops, for it may not know what it finds next.
package kv

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/detcd/detcd/raft"
)

// firstRelease is the lowest release there is: that of members that have not said theirs.
const firstRelease = "3.7.0"

// lowerNanos is how long a downgrade that was enabled may be cancelled before it lowers the cluster
// version: the interval in which etcd's leader looks at versions.
const lowerNanos = 4_000_000_000

// releaseOf is the release that a program's version belongs to: its patches differ in nothing that
// members need to agree on.
func releaseOf(version string) string {
	major, minor, ok := minorOf(version)
	if !ok {
		return firstRelease
	}
	return fmt.Sprintf("%d.%d.0", major, minor)
}

// minorOf reads major.minor or major.minor.patch, with what semantic versions may append.
func minorOf(version string) (major, minor uint64, ok bool) {
	plain, _, _ := strings.Cut(version, "+")
	plain, _, _ = strings.Cut(plain, "-")
	parts := strings.Split(plain, ".")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, 0, false
	}
	var numbers [3]uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return 0, 0, false
		}
		numbers[i] = n
	}
	return numbers[0], numbers[1], true
}

// above says whether a release is higher than another one; none is above nothing.
func above(a, b string) bool {
	aMajor, aMinor, _ := minorOf(a)
	bMajor, bMinor, _ := minorOf(b)
	return aMajor > bMajor || aMajor == bMajor && aMinor > bMinor
}

func atLeastFirst(version string) string {
	if version == "" {
		return firstRelease
	}
	return version
}

// storageVersion is the cluster version of what is durable here.
func (n *Node) storageVersion() string {
	if n.store.Checkpointing() {
		return n.storedVersion
	}
	return n.checkpointVersion
}

// agreeOnVersion proposes, as the leader, the version that the members' releases call for, or the
// end of a downgrade that all of them have made.
func (n *Node) agreeOnVersion() {
	s := &n.state
	lowest, highest := s.releases()
	due := ""
	switch {
	case s.version == "", s.downgrade == "" && above(lowest, s.version):
		due = lowest
	case s.downgrade == "":
	case above(s.version, s.downgrade):
		if n.mono >= n.lowerAt {
			due = s.downgrade
		}
	case !above(highest, s.downgrade) && !n.proposing(entryDowngraded):
		n.propose(0, entryDowngraded, []byte(s.downgrade))
	}
	if due != "" && !n.proposing(entryVersion) {
		n.propose(0, entryVersion, []byte(due))
	}
}

// releases are the lowest and the highest one of all members.
func (s *replicated) releases() (lowest, highest string) {
	for i := range s.members {
		r := atLeastFirst(s.members[i].Release)
		if lowest == "" || above(lowest, r) {
			lowest = r
		}
		if above(r, highest) {
			highest = r
		}
	}
	return lowest, highest
}

// applyVersion sets the cluster version. An entry that came late, from a leader before, changes
// nothing: without a downgrade the version only rises, and with one it only becomes its target.
func (n *Node) applyVersion(e *raft.Entry) {
	s := &n.state
	next := string(e.Data)
	message := "updated cluster version"
	switch {
	case s.version == "":
		message = "set initial cluster version"
	case s.downgrade == "" && above(next, s.version):
	case s.downgrade == next && above(s.version, next):
	default:
		n.decide(s.roster())
		return
	}
	s.version = next
	n.decide(s.roster())
	n.note(Info, message, Field{"cluster-version", s.version})
	n.checkRelease()
}

// checkRelease stops a member that the cluster has left behind.
func (n *Node) checkRelease() {
	if words := n.leftBehind(); words != "" {
		n.halt(words)
	}
}

// leftBehind says why this program must not go on with the state it has; empty if it may.
func (n *Node) leftBehind() string {
	if !above(n.state.version, n.release) {
		return ""
	}
	return fmt.Sprintf("invalid downgrade; server version is lower than determined cluster "+
		"version: this program is %s, the cluster version %s: start a later release, or enable a "+
		"downgrade of the cluster before its members go back", n.cfg.Version, n.state.version)
}

// applyDowngraded ends a downgrade that all members have made.
func (n *Node) applyDowngraded(e *raft.Entry) {
	if n.state.downgrade != "" && n.state.downgrade == string(e.Data) {
		n.state.downgrade = ""
		n.note(Info, "the cluster has been downgraded",
			Field{"cluster-version", n.state.version})
	}
	n.decide(n.state.roster())
}
