package main

import (
	"slices"
	"strings"
	"time"
)

// fault is what happens in one round.
type fault int

const (
	killLeader fault = iota
	killFollower
	killMajority
	killAll
	restartLeader // killed and started again at once
	pauseLeader
	pauseFollower
	cutLeader // from both followers
	cutFollower
	muteLeader   // what it sends is held, what it is sent arrives
	deafenLeader // the other way round
	bridge       // the leader and a follower are cut from each other, and the third has both
	delayLeader  // its links
	delayFollower
	tearPeers // connections between members are reset while they send
	tearClients
	delayClients
	fillLeader // its disk
	fillMajority
	fillRestart // a follower has a full disk, and is killed and starts with it
)

// family is a kind of faults. A long run has to feel one fault of each.
type family string

const (
	killing    family = "kill"
	restarting family = "restart at once"
	pausing    family = "pause"
	parting    family = "partition"
	oneWay     family = "one-way cut"
	bridging   family = "bridge"
	delaying   family = "delay"
	tearing    family = "reset"
	clienting  family = "client links"
	filling    family = "full disk"
)

// faults tells of each fault.
var faults = [...]struct {
	name string
	family
}{
	killLeader:    {"kill the leader", killing},
	killFollower:  {"kill a follower", killing},
	killMajority:  {"kill a majority", killing},
	killAll:       {"kill all members", killing},
	restartLeader: {"kill and restart the leader at once", restarting},
	pauseLeader:   {"pause the leader", pausing},
	pauseFollower: {"pause a follower", pausing},
	cutLeader:     {"cut the leader off", parting},
	cutFollower:   {"cut a follower off", parting},
	muteLeader:    {"nobody hears the leader", oneWay},
	deafenLeader:  {"the leader hears nobody", oneWay},
	bridge:        {"cut leader and follower", bridging},
	delayLeader:   {"delay the leader's links", delaying},
	delayFollower: {"delay a follower's links", delaying},
	tearPeers:     {"reset peer connections", tearing},
	tearClients:   {"reset client connections", clienting},
	delayClients:  {"delay clients", clienting},
	fillLeader:    {"fill the leader's disk", filling},
	fillMajority:  {"fill a majority's disks", filling},
	fillRestart:   {"restart a follower on a full disk", filling},
}

func (f fault) String() string { return faults[f].name }

func (f fault) family() family { return faults[f].family }

// killsLeader says whether a fault counts as the death of a leader.
func (f fault) killsLeader() bool {
	return f == killLeader || f == restartLeader || f == killAll
}

// rotation orders the rounds, so that the first six show the faults that differ most.
var rotation = [...]fault{
	killLeader, cutLeader, delayLeader, killMajority, pauseLeader, fillLeader,
	restartLeader, bridge, killFollower, tearPeers, muteLeader, killLeader,
	fillMajority, pauseFollower, cutFollower, killAll, delayClients, deafenLeader,
	killLeader, fillRestart, tearClients, cutLeader, delayFollower, restartLeader,
	tearPeers, pauseLeader, killLeader, muteLeader,
}

// shortRounds is how many of them the short run has.
const shortRounds = 6

// wants says whether a fault was asked for.
func (o *options) wants(f fault) bool {
	return strings.Contains(f.String(), o.only) || strings.Contains(string(f.family()), o.only)
}

// plan lists the faults of a run: so many rounds of the rotation, without those that this system
// does not allow or that were not asked for.
func plan(o *options, c *cluster) []fault {
	possible := slices.DeleteFunc(slices.Clone(rotation[:]), func(f fault) bool {
		return f.family() == filling && c.members[0].disk == nil || !o.wants(f)
	})
	count := len(possible)
	switch {
	case o.rounds > 0:
		count = o.rounds
	case o.short:
		count = shortRounds
	}
	var all []fault
	for i := 0; i < count && len(possible) > 0; i++ {
		all = append(all, possible[i%len(possible)])
	}
	return all
}

const (
	faultTime = 2500 * time.Millisecond // two to three elections without the member
	// fullTime is longer: a member looks once a second how much room it has.
	fullTime    = 4 * time.Second
	tearEvery   = 250 * time.Millisecond
	disarmEvery = 250 * time.Millisecond
	calmTime    = 1200 * time.Millisecond // after recovery, before the next round
	healthLimit = 30 * time.Second
)

// slow is how links are in a round that delays them: a request that needs the leader's takes at
// least slowLimit, and nobody is so late that there is an election.
var slow = condition{delay: 80 * time.Millisecond, jitter: 160 * time.Millisecond}
