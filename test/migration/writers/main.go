// Command writers is some clients that never stop writing, whatever happens to their store, and a
// judge of what they were told.
//
//	writers run ENDPOINTS-FILE JOURNAL      until SIGTERM
//	writers verify ENDPOINT JOURNAL         every acknowledged write is there, at its revision
//	writers unbroken ENDPOINT JOURNAL       no request failed, but for a change of leader
//
// The file of endpoints is read anew whenever a write fails. The journal has a line of JSON for
// each write that was acknowledged, and for each request that failed.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// ack is an acknowledged write: what a key was from a revision on, nothing if it was deleted.
type ack struct {
	Key      string    `json:"key"`
	Value    string    `json:"value,omitempty"`
	Deleted  bool      `json:"deleted,omitempty"`
	Revision int64     `json:"revision"`
	At       time.Time `json:"at"`
	Failure  string    `json:"failure,omitempty"` // and nothing was acknowledged
}

const (
	writerCount = 4
	ttl         = 20 // seconds
	patience    = 2 * time.Second
	pause       = 10 * time.Millisecond // between two writes of a writer
)

func main() {
	if len(os.Args) != 4 {
		fail(errors.New("usage: writers run|verify|unbroken ENDPOINTS JOURNAL"))
	}
	switch os.Args[1] {
	case "run":
		fail(run(os.Args[2], os.Args[3]))
	case "unbroken":
		fail(unbroken(os.Args[3]))
	case "verify":
		fail(verify(os.Args[2], os.Args[3]))
	default:
		fail(fmt.Errorf("unknown command %q", os.Args[1]))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "writers:", err)
		os.Exit(1)
	}
}

func dial(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: patience,
		Logger: zap.NewNop()})
}

func run(endpoints, journal string) (err error) {
	out, err := os.OpenFile(journal, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	acks := make(chan ack)
	var writers sync.WaitGroup
	for i := range writerCount {
		w := &writer{endpoints: endpoints, acks: acks, name: fmt.Sprint("w", i)}
		writers.Go(func() { w.run(ctx) })
	}
	go func() { writers.Wait(); close(acks) }()
	lines := json.NewEncoder(out)
	for a := range acks {
		if err := lines.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// writer is one client.
type writer struct {
	endpoints, name string
	acks            chan<- ack
	client          *clientv3.Client
	lease           clientv3.LeaseID
	number          int
}

func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.write(ctx)
		if err != nil && ctx.Err() == nil {
			w.acks <- ack{Key: w.name, At: time.Now(), Failure: err.Error()}
		}
		if err != nil && w.client != nil {
			_ = w.client.Close()
			w.client = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// write makes the next write, and is repeated until it is acknowledged.
func (w *writer) write(ctx context.Context) error {
	if w.client == nil {
		said, err := os.ReadFile(w.endpoints)
		if err != nil {
			return err
		}
		if w.client, err = dial(strings.Split(strings.TrimSpace(string(said)), ",")...); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if w.lease == 0 {
		grant, err := w.client.Grant(ctx, ttl)
		if err != nil {
			return err
		}
		w.lease = grant.ID
	}
	key, value := fmt.Sprintf("%s/%d", w.name, w.number%50), fmt.Sprint(w.name, " ", w.number)
	done := func(revision int64, acks ...ack) error {
		for _, a := range acks {
			a.Revision, a.At = revision, time.Now()
			w.acks <- a
		}
		w.number++
		return nil
	}
	switch w.number % 10 {
	case 3:
		r, err := w.client.Delete(ctx, key)
		if err != nil || r.Deleted == 0 {
			w.number++
			return err
		}
		return done(r.Header.Revision, ack{Key: key, Deleted: true})
	case 5:
		if _, err := w.client.KeepAliveOnce(ctx, w.lease); err != nil {
			return err
		}
		r, err := w.client.Put(ctx, key, value, clientv3.WithLease(w.lease))
		if err != nil {
			return err
		}
		return done(r.Header.Revision, ack{Key: key, Value: value})
	case 7:
		r, err := w.client.Txn(ctx).Then(clientv3.OpPut(key, value),
			clientv3.OpPut(w.name+"/twin", value)).Commit()
		if err != nil {
			return err
		}
		return done(r.Header.Revision, ack{Key: key, Value: value},
			ack{Key: w.name + "/twin", Value: value})
	}
	r, err := w.client.Put(ctx, key, value)
	if err != nil {
		return err
	}
	return done(r.Header.Revision, ack{Key: key, Value: value})
}

// read calls f with each line of a journal.
func read(journal string, f func(a *ack) error) (err error) {
	in, err := os.Open(journal)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // nothing was written
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var a ack
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return err
		}
		if err := f(&a); err != nil {
			return err
		}
	}
	return lines.Err()
}

// unbroken demands that nothing failed but what was under way when leadership moved.
func unbroken(journal string) error {
	done, moved := 0, 0
	err := read(journal, func(a *ack) error {
		switch {
		case a.Failure == "":
			done++
		case strings.Contains(a.Failure, "leader"):
			moved++
		default:
			return fmt.Errorf("at %v a request of %s failed: %s", a.At, a.Key, a.Failure)
		}
		return nil
	})
	if err == nil {
		fmt.Printf("%d requests succeeded, %d met a change of leader\n", done, moved)
	}
	return err
}

// verify looks up every acknowledged write at its revision.
func verify(endpoint, journal string) error {
	client, err := dial(endpoint)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing is under way
	count := 0
	var last time.Time
	var longest time.Duration
	err = read(journal, func(a *ack) error {
		if a.Failure != "" {
			return nil
		}
		if count++; count > 1 {
			longest = max(longest, a.At.Sub(last))
		}
		last = a.At
		return there(client, a)
	})
	if err != nil {
		return err
	}
	if count == 0 {
		return errors.New("nothing was written")
	}
	fmt.Printf("%d acknowledged writes are there; the longest time without one was %v\n", count,
		longest.Round(time.Millisecond))
	return nil
}

// there says whether a write is still where it was acknowledged.
func there(client *clientv3.Client, a *ack) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	got, err := client.Get(ctx, a.Key, clientv3.WithRev(a.Revision))
	switch {
	case err != nil:
		return fmt.Errorf("%s at revision %d: %w", a.Key, a.Revision, err)
	case a.Deleted && len(got.Kvs) == 0:
	case a.Deleted || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != a.Value ||
		got.Kvs[0].ModRevision != a.Revision:
		return fmt.Errorf("lost: %+v, there is %v", a, got.Kvs)
	}
	return nil
}
