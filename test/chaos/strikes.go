package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// round applies one fault, ends it, and demands that the cluster recovers. It tells whether the
// leader was killed.
func (c *cluster) round(ctx context.Context, f fault) (bool, string, error) {
	victims, err := c.victims(ctx, f)
	if err != nil {
		return false, "", err
	}
	names := ""
	for _, m := range victims {
		names += " " + m.name
	}
	if err := c.begin(f, victims); err != nil {
		return false, "", err
	}
	c.last(ctx, f, victims)
	if err := c.died(); err != nil {
		return false, "", err
	}
	if err := c.end(f, victims); err != nil {
		return false, "", err
	}
	took, err := c.awaitHealth(ctx, healthLimit)
	if err != nil {
		return false, "", err
	}
	time.Sleep(calmTime)
	text := fmt.Sprintf("%v:%s; healthy after %v", f, names, took.Round(time.Millisecond))
	return f.killsLeader(), text, c.died()
}

// begin strikes.
func (c *cluster) begin(f fault, victims []*member) error {
	first := victims[0].party
	switch f {
	case cutLeader, cutFollower:
		c.network.set(condition{cut: true}, between(first, c.parties()...)...)
	case muteLeader:
		c.network.set(condition{cut: true}, outOf(first, c.parties()...)...)
	case deafenLeader:
		c.network.set(condition{cut: true}, into(first, c.parties()...)...)
	case bridge:
		c.network.set(condition{cut: true}, between(first, victims[1].party)...)
	case delayLeader, delayFollower:
		c.network.set(slow, between(first, c.parties()...)...)
	case delayClients:
		c.network.set(slow, between(clientParty, c.parties()...)...)
	}
	var errs []error
	for _, m := range victims {
		switch f.family() {
		case pausing:
			errs = append(errs, m.signal(syscall.SIGSTOP))
		case killing, restarting:
			errs = append(errs, m.kill())
		case filling:
			c.filled = append(c.filled, m)
			errs = append(errs, m.disk.fill())
		}
	}
	if f == fillRestart && errors.Join(errs...) == nil {
		errs = append(errs, victims[0].kill(), c.start(victims[0]))
	}
	return errors.Join(errs...)
}

// last lets a fault go on for its time.
func (c *cluster) last(ctx context.Context, f fault, victims []*member) {
	switch f.family() {
	case restarting:
	case filling:
		c.lastFull(ctx, victims)
	case tearing, clienting:
		routes := between(clientParty, c.parties()...)
		if f == tearPeers {
			routes = nil
			for _, m := range c.members {
				routes = append(routes, outOf(m.party, c.parties()...)...)
			}
		}
		for began := time.Now(); time.Since(began) < faultTime; time.Sleep(tearEvery) {
			if f != delayClients {
				c.network.tear(routes...)
			}
		}
	default:
		time.Sleep(faultTime)
	}
}

// lastFull asks the members whose disks are full to defragment, as somebody does who needs room:
// that writes, so that a member meets its full disk although it has claimed room for what is usual.
func (c *cluster) lastFull(ctx context.Context, victims []*member) {
	until, cancel := context.WithTimeout(ctx, fullTime)
	defer cancel()
	answers := make([]error, len(victims))
	var asked sync.WaitGroup
	for i, m := range victims {
		asked.Go(func() { _, answers[i] = m.client.Defragment(until, m.clientListen) })
	}
	<-until.Done()
	asked.Wait()
	for _, err := range answers {
		if err != nil {
			c.refused++
		}
	}
}

// end takes the fault away. Connections that a cut has held go on one time, and the other time they
// are reset.
func (c *cluster) end(f fault, victims []*member) error {
	var errs []error
	for _, m := range victims {
		switch f.family() {
		case pausing:
			errs = append(errs, m.signal(syscall.SIGCONT))
		case killing, restarting:
			errs = append(errs, c.start(m))
		case filling:
			errs = append(errs, m.disk.drain())
		}
	}
	if c.network != nil {
		if c.random.IntN(2) == 0 {
			c.network.resetHeld()
		}
		c.network.heal()
	}
	return errors.Join(errs...)
}

// victims chooses whom a fault strikes. The leader is the one that the members report now.
func (c *cluster) victims(ctx context.Context, f fault) ([]*member, error) {
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
	follower := followers[c.random.IntN(len(followers))]
	switch f {
	case killFollower, pauseFollower, cutFollower, delayFollower, fillRestart:
		return []*member{follower}, nil
	case killMajority, bridge, fillMajority:
		return []*member{leader, follower}, nil
	case killAll, tearPeers, tearClients, delayClients:
		return c.members, nil
	}
	return []*member{leader}, nil
}

func (c *cluster) parties() (all []party) {
	for _, m := range c.members {
		all = append(all, m.party)
	}
	return all
}
