package main

// What many watchers of one prefix saw, kept once. The chronicle is the list of events as whoever
// came first got them; everybody else is compared with it event by event, and keeps a position
// only. In the end it is compared with what the store's own history says. So each watcher's whole
// sequence is judged, exactly, at the memory of one.
//
//	the store's history   5:put a   6:put b   8:delete a
//	the chronicle         5:put a   6:put b                 as far as anybody came
//	a watcher             5:put a   8:delete a              objection: it missed 6
//
// If the one who came first is wrong, the others differ from it, or the history does.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

// event is what a watcher must get: revision, key, value and type, and what else a put tells.
type event struct {
	revision         int64
	kind             mvccpb.Event_EventType
	key, value       string
	created, version int64
}

func eventOf(e *clientv3.Event) event {
	return event{revision: e.Kv.ModRevision, kind: e.Type, key: string(e.Kv.Key),
		value: string(e.Kv.Value), created: e.Kv.CreateRevision, version: e.Kv.Version}
}

// is compares without a copy of key and value.
func (e *event) is(got *clientv3.Event) bool {
	return e.revision == got.Kv.ModRevision && e.kind == got.Type &&
		e.key == string(got.Kv.Key) && e.value == string(got.Kv.Value) &&
		e.created == got.Kv.CreateRevision && e.version == got.Kv.Version
}

func (e *event) String() string {
	return fmt.Sprintf("%d:%v %s=%.20q (created %d, version %d)", e.revision, e.kind, e.key,
		e.value, e.created, e.version)
}

// chronicle is the events of a prefix, in order.
type chronicle struct {
	mu     sync.RWMutex
	events []event
}

// take compares what a watcher gets at a position, and returns the next position. What nobody got
// before is taken down.
func (c *chronicle) take(at int, got []*clientv3.Event) (int, error) {
	c.mu.RLock()
	at, got, err := c.compare(at, got)
	c.mu.RUnlock()
	if err != nil || len(got) == 0 {
		return at, err
	}
	return c.extend(at, got)
}

// extend takes down what is left after another look: others may have come meanwhile, and may be
// farther by now than this watcher.
func (c *chronicle) extend(at int, got []*clientv3.Event) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, got, err := c.compare(at, got)
	if err != nil {
		return at, err
	}
	for _, e := range got {
		c.events = append(c.events, eventOf(e))
	}
	return at + len(got), nil
}

// compare returns what is left when the chronicle ends.
func (c *chronicle) compare(at int, got []*clientv3.Event) (int, []*clientv3.Event, error) {
	for len(got) > 0 && at < len(c.events) {
		if want := &c.events[at]; !want.is(got[0]) {
			e := eventOf(got[0])
			return at, nil, fmt.Errorf("event %d is %v, where another watcher got %v", at, &e,
				want)
		}
		at, got = at+1, got[1:]
	}
	return at, got, nil
}

func (c *chronicle) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.events)
}

// owes says whether somebody at a position has not got everything up to a revision, as far as the
// chronicle knows.
func (c *chronicle) owes(at int, revision int64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return at < len(c.events) && c.events[at].revision <= revision
}

// settle compares the chronicle with the true events, and demands of watchers that they are at its
// end.
func (c *chronicle) settle(truth []event, positions []int) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range min(len(truth), len(c.events)) {
		if truth[i] != c.events[i] {
			return fmt.Errorf("event %d is %v, where the store's history has %v", i, &c.events[i],
				&truth[i])
		}
	}
	if len(c.events) != len(truth) {
		return fmt.Errorf("the watchers got %d events, the store's history has %d", len(c.events),
			len(truth))
	}
	for i, at := range positions {
		if at != len(truth) {
			return fmt.Errorf("watcher %d got %d of %d events", i, at, len(truth))
		}
	}
	return nil
}

// historyOf lists the events of the keys with a prefix. Those of one revision are in the order in
// which its request names the keys; a request that puts nothing names one key or an interval, and
// its events are in the order of keys.
func historyOf(
	dump linearizability.Dump, prefix string, requests []scribed,
) (all []event, err error) {
	before := map[string]bool{}
	for _, snapshot := range dump {
		var events []event
		var named []string
		now := map[string]bool{}
		for _, kv := range snapshot.KeyValues {
			now[string(kv.Key)] = true
			if kv.ModRevision != snapshot.Revision {
				continue
			}
			n, err := requestOf(kv)
			if err != nil || n >= len(requests) {
				return nil, fmt.Errorf("revision %d has %q, which nobody wrote",
					snapshot.Revision, kv.Value)
			}
			named = requests[n].keys
			events = append(events, event{revision: kv.ModRevision, key: string(kv.Key),
				value: string(kv.Value), created: kv.CreateRevision, version: kv.Version})
		}
		for key := range before {
			if !now[key] {
				events = append(events, event{revision: snapshot.Revision, key: key,
					kind: mvccpb.Event_DELETE})
			}
		}
		slices.SortFunc(events, func(a, b event) int {
			return cmp.Or(cmp.Compare(slices.Index(named, a.key), slices.Index(named, b.key)),
				cmp.Compare(a.key, b.key))
		})
		for i := range events {
			if strings.HasPrefix(events[i].key, prefix) {
				all = append(all, events[i])
			}
		}
		before = now
	}
	return all, nil
}

// requestOf reads the number of the request that put a record.
func requestOf(kv *mvccpb.KeyValue) (int, error) {
	name, _, _ := strings.Cut(string(kv.Value), "-")
	return strconv.Atoi(name)
}

// falsified is a watcher's sequence with one thing wrong with it.
type falsified struct {
	what string
	got  []*clientv3.Event
}

// falsify makes every kind of wrong sequence out of a right one.
func falsify(right []*clientv3.Event) []falsified {
	middle := len(right) / 2
	last := len(right) - 1
	swapped, altered, turned := slices.Clone(right), slices.Clone(right), slices.Clone(right)
	swapped[middle], swapped[middle+1] = swapped[middle+1], swapped[middle]
	change := func(in []*clientv3.Event, edit func(*clientv3.Event)) {
		e := (*clientv3.Event)(proto.CloneOf((*mvccpb.Event)(in[middle])))
		edit(e)
		in[middle] = e
	}
	change(altered, func(e *clientv3.Event) { e.Kv.Value = append([]byte("x"), e.Kv.Value...) })
	change(turned, func(e *clientv3.Event) { e.Type = 1 - e.Type })
	return []falsified{
		{"one event is missing", slices.Delete(slices.Clone(right), middle, middle+1)},
		{"the first event is missing", right[1:]},
		{"the last event is missing", right[:last]},
		{"an event is repeated", slices.Insert(slices.Clone(right), middle, right[middle])},
		{"the last event is repeated", append(slices.Clone(right), right[last])},
		{"two events are exchanged", swapped},
		{"a value is another one", altered},
		{"a type is another one", turned},
	}
}

// crowdCanary makes sure that the judge is awake: it must accept one watcher's sequence and object
// to each falsification of it, whether that watcher came first or last.
func crowdCanary(truth []event, right []*clientv3.Event) error {
	if len(right) < 3 {
		return errors.New("canary: too little was seen")
	}
	judge := func(known []event, got []*clientv3.Event) error {
		c := &chronicle{events: slices.Clone(known)}
		at, err := c.take(0, got)
		return errors.Join(err, c.settle(truth, []int{at}))
	}
	for _, known := range [][]event{nil, truth} {
		if err := judge(known, right); err != nil {
			return fmt.Errorf("canary: a right sequence is refused: %w", err)
		}
		for _, f := range falsify(right) {
			if judge(known, f.got) == nil {
				return fmt.Errorf("canary: nobody notices that %s", f.what)
			}
		}
	}
	return nil
}
