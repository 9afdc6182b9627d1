package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

// dumpReaders ask for revisions in parallel.
const dumpReaders = 8

// takeDump reads the whole content at every revision up to the current one.
func takeDump(ctx context.Context, client *clientv3.Client) (linearizability.Dump, error) {
	now, err := client.Get(ctx, "\x00", clientv3.WithFromKey())
	if err != nil {
		return nil, fmt.Errorf("dump: %w", err)
	}
	dump := make(linearizability.Dump, now.Header.Revision)
	dump[0].Revision = 1
	errs := make([]error, dumpReaders)
	var done sync.WaitGroup
	for reader := range dumpReaders {
		done.Go(func() {
			for i := 1 + reader; i < len(dump); i += dumpReaders {
				rev := int64(i) + 1
				at, err := client.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(rev))
				if err != nil {
					errs[reader] = fmt.Errorf("dump revision %d: %w", rev, err)
					return
				}
				dump[i] = linearizability.Snapshot{Revision: rev, KeyValues: at.Kvs}
			}
		})
	}
	done.Wait()
	return dump, errors.Join(errs...)
}

// compareHashes demands that all members hold the same data up to a revision. A member that is
// behind gets there within the limit.
func compareHashes(ctx context.Context, c *cluster, rev int64) error {
	var first uint32
	for i, m := range c.members {
		var hash *clientv3.HashKVResponse
		err := errors.New("not asked")
		for began := time.Now(); err != nil && time.Since(began) < healthLimit; {
			ask, cancel := context.WithTimeout(ctx, 5*time.Second)
			hash, err = m.client.HashKV(ask, m.clientListen, rev)
			cancel()
		}
		if err != nil {
			return fmt.Errorf("hash of %s: %w", m.name, err)
		}
		if i == 0 {
			first = hash.Hash
		} else if hash.Hash != first {
			return fmt.Errorf("%s and %s differ at revision %d: hashes %08x and %08x",
				c.members[0].name, m.name, rev, first, hash.Hash)
		}
	}
	return nil
}

const judgeTime = 60 * time.Second

// judge asks every checker. What fails is drawn into the directory, if it can be drawn.
func judge(
	dir string, history []linearizability.Operation, dump linearizability.Dump,
	watches []linearizability.Watch,
) error {
	bounded, err := linearizability.BoundByDump(history, dump)
	if err != nil {
		return err
	}
	run, replay := linearizability.Replay(bounded)
	results := []linearizability.Result{
		replay,
		linearizability.CheckStore(bounded, judgeTime),
		linearizability.CheckKeys(history, judgeTime),
	}
	if replay.Verdict == linearizability.Legal {
		results = append(results, run.MatchDump(dump), run.CheckSerializable(bounded))
	}
	var failures []error
	for i := range results {
		r := &results[i]
		if r.Err() == nil {
			continue
		}
		failures = append(failures, r.Err())
		file, err := os.Create(filepath.Join(dir, r.Checker+".html"))
		if err != nil {
			return err
		}
		if err := r.Visualize(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	if len(failures) == 0 {
		return judgeWatches(run, watches)
	}
	return errors.Join(failures...)
}

// canary makes sure that the judges are awake: they must not accept the same run with the last
// revision lost, nor with one read that shows a record's revision before the one it had.
func canary(history []linearizability.Operation, dump linearizability.Dump) error {
	if _, err := linearizability.BoundByDump(history, dump[:len(dump)-1]); err == nil {
		return errors.New("canary: nobody misses the last revision")
	}
	bounded, err := linearizability.BoundByDump(history, dump)
	if err != nil {
		return err
	}
	for i := len(bounded) - 1; i >= 0; i-- {
		op := &bounded[i]
		if op.Request.Serializable() || len(op.Response.Range.GetKvs()) == 0 {
			continue
		}
		op.Response.Range = proto.CloneOf(op.Response.Range)
		op.Response.Range.Kvs[0].ModRevision--
		if _, replay := linearizability.Replay(bounded); replay.Verdict == linearizability.Legal {
			return fmt.Errorf("canary: nobody notices that operation %d was falsified", i)
		}
		return nil
	}
	return errors.New("canary: no read returned anything")
}

func saveHistory(dir string, history []linearizability.Operation) error {
	file, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return err
	}
	if err := linearizability.Save(file, history); err != nil {
		return err
	}
	return file.Close()
}
