package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is what happens to the processes in one round.
type fault int

const (
	killLeader fault = iota
	killFollower
	pauseLeader
	pauseFollower
	killMajority
	killAll
	restartLeader // killed and started again at once
)

var faultNames = [...]string{
	"kill the leader", "kill a follower", "pause the leader", "pause a follower",
	"kill a majority", "kill all members", "kill and restart the leader at once",
}

func (f fault) String() string { return faultNames[f] }

// rotation orders the rounds, so that the first five show the faults that differ most, and half of
// all rounds kill a leader.
var rotation = [...]fault{
	killLeader, pauseLeader, killFollower, killLeader, killMajority, restartLeader, pauseFollower,
	killLeader, killAll, pauseLeader,
}

const (
	faultTime   = 2500 * time.Millisecond // two to three elections without the member
	calmTime    = 1200 * time.Millisecond // after recovery, before the next round
	healthLimit = 30 * time.Second
)

// round applies one fault, ends it, and demands that the cluster recovers. It tells whether the
// leader was killed.
func (c *cluster) round(ctx context.Context, f fault, random *rand.Rand) (bool, string, error) {
	victims, err := c.victims(ctx, f, random)
	if err != nil {
		return false, "", err
	}
	names := ""
	for _, m := range victims {
		names += " " + m.name
		if f == pauseLeader || f == pauseFollower {
			err = m.signal(syscall.SIGSTOP)
		} else {
			err = m.kill()
		}
		if err != nil {
			return false, "", err
		}
	}
	if f != restartLeader {
		time.Sleep(faultTime)
	}
	if err := c.died(); err != nil {
		return false, "", err
	}
	for _, m := range victims {
		if m.paused {
			err = m.signal(syscall.SIGCONT)
		} else {
			err = c.start(m)
		}
		if err != nil {
			return false, "", err
		}
	}
	took, err := c.awaitHealth(ctx, healthLimit)
	if err != nil {
		return false, "", err
	}
	time.Sleep(calmTime)
	killed := f == killLeader || f == restartLeader || f == killAll
	text := fmt.Sprintf("%v:%s; healthy after %v", f, names, took.Round(time.Millisecond))
	return killed, text, c.died()
}

// victims chooses whom a fault strikes. The leader is the one that the members report now.
func (c *cluster) victims(ctx context.Context, f fault, random *rand.Rand) ([]*member, error) {
	leader, err := c.leader(ctx)
	for began := time.Now(); err != nil && time.Since(began) < healthLimit; {
		time.Sleep(50 * time.Millisecond) // a busy machine elects another one, or answers late
		leader, err = c.leader(ctx)
	}
	if err != nil {
		return nil, err
	}
	var followers []*member
	for _, m := range c.members {
		if m != leader {
			followers = append(followers, m)
		}
	}
	follower := followers[random.IntN(len(followers))]
	switch f {
	case killFollower, pauseFollower:
		return []*member{follower}, nil
	case killMajority:
		return []*member{leader, follower}, nil
	case killAll:
		return c.members, nil
	}
	return []*member{leader}, nil
}
