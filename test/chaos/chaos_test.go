package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestMain(m *testing.M) {
	_ = enclose() // if it cannot be, there will be no small disks, and that is said
	os.Exit(m.Run())
}

// The short form, as the ordinary test run has it. The seed changes with every run, since real
// processes do not repeat themselves anyway; a failure keeps its history.
func TestRealProcessesUnderChaos(t *testing.T) {
	require.NoError(t, run(options{
		repo: "../..", short: true, seed: uint64(time.Now().UnixNano()), limit: 4 * time.Minute,
	}))
}

// A small crowd of watchers, as large ones are watched by hand.
func TestWatchersFollowThroughKilledLeaders(t *testing.T) {
	require.NoError(t, run(options{
		repo: "../..", watchers: 200, kills: 2, seed: uint64(time.Now().UnixNano()),
		limit: 4 * time.Minute,
	}))
}

// Many watchers that come at once take down one chronicle, and each is where its own events end.
func TestWatchersTakeDownOneChronicle(t *testing.T) {
	var truth []event
	var events []*clientv3.Event
	for rev := int64(2); rev < 500; rev++ {
		kv := &mvccpb.KeyValue{Key: []byte("k"), Value: fmt.Append(nil, rev), ModRevision: rev}
		events = append(events, &clientv3.Event{Kv: kv})
		truth = append(truth, eventOf(events[len(events)-1]))
	}
	var c chronicle
	var group sync.WaitGroup
	positions, errs := make([]int, 20), make([]error, 20)
	for i := range positions {
		group.Go(func() {
			for at := 0; at < len(events) && errs[i] == nil; positions[i] = at {
				at, errs[i] = c.take(at, events[at:min(at+1+i%3, len(events))])
			}
		})
	}
	group.Wait()
	require.NoError(t, errors.Join(errs...))
	require.NoError(t, c.settle(truth, positions))
	at, err := c.extend(3, events[3:5]) // others were faster between its two looks
	require.NoError(t, err)
	require.Equal(t, 5, at)
	require.NoError(t, crowdCanary(truth, events))
}
