package client

// A ledger is a part of the store with one writer who knows what has to be there: every call of the
// KV interface is made on it, with every option, through the plain client and through each of the
// library's wrappers. A key whose write has an unknown outcome is left alone from then on.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
)

// entry is what a key has to be.
type entry struct {
	value             string
	rev, made, change int64 // modified and created at, version
}

// ledger is the writer's knowledge.
type ledger struct {
	kv     clientv3.KV
	prefix string
	sure   map[string]entry
	unsure map[string]bool
	past   map[string]entry // as of its rev
	next   int
	done   map[string]int // how often each kind of call was made and right
	last   error          // of a call without an answer
}

const population = 5 // keys that there are at least

// wrongError is an answer that cannot be.
type wrongError struct{ text string }

// Error says what was wrong.
func (e wrongError) Error() string { return e.text }

func wrong(format string, args ...any) error { return wrongError{fmt.Sprintf(format, args...)} }

// kind is one kind of call. It may change only the key that it is given.
type kind struct {
	name   string
	writes bool
	call   func(*ledger, context.Context, string) error
}

func kinds() []kind {
	return []kind{
		{"put", true, (*ledger).put}, {"get", false, (*ledger).get},
		{"put again", true, (*ledger).put}, {"list", false, (*ledger).list},
		{"filters", false, (*ledger).filters}, {"do", true, (*ledger).do},
		{"firsts and lasts", false, (*ledger).edges}, {"transaction", true, (*ledger).txn},
		{"the other branch", false, (*ledger).otherwise}, {"stream", false, (*ledger).stream},
		{"keep value or lease", true, (*ledger).keep}, {"the past", false, (*ledger).then},
		{"delete", true, (*ledger).remove}, {"new", true, (*ledger).create},
	}
}

// ledgerOf is a subject that keeps a ledger through a wrapper of the client. Kinds that the wrapper
// does not have are named.
func ledgerOf(
	prefix string, wrap func(*testing.T, *clientv3.Client) (clientv3.KV, error), without ...string,
) func(context.Context, *testing.T, *clientv3.Client) judge {
	return func(ctx context.Context, t *testing.T, c *clientv3.Client) judge {
		kv, err := wrap(t, c)
		if err != nil {
			return func(context.Context) error { return err }
		}
		l := &ledger{kv: kv, prefix: prefix, sure: map[string]entry{}, unsure: map[string]bool{},
			past: map[string]entry{}, done: map[string]int{}}
		all := slices.DeleteFunc(kinds(), func(k kind) bool {
			return slices.Contains(without, k.name)
		})
		for i := 0; ctx.Err() == nil && err == nil; i++ {
			err = l.step(ctx, all[i%len(all)])
			pause(ctx, 2*time.Millisecond)
		}
		return func(ctx context.Context) error {
			if err != nil {
				return err
			}
			for _, k := range all { // all of them once more, now that nothing may fail
				if err := again(ctx, func(ctx context.Context) error {
					n := l.done[k.name]
					if err := l.step(ctx, k); err != nil || l.done[k.name] > n {
						return err
					}
					return fmt.Errorf("no answer: %w", l.last)
				}); err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
			}
			return l.list(ctx, "")
		}
	}
}

// step makes one call. Only a wrong answer is an error.
func (l *ledger) step(ctx context.Context, k kind) error {
	if len(l.sure) < population {
		k = kind{"new", true, (*ledger).create}
	}
	key := l.pick()
	if k.name == "new" {
		key = fmt.Sprintf("%s%05d", l.prefix, l.next)
		l.next++
	}
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := k.call(l, call, key)
	if err == nil {
		l.done[k.name]++
		return nil
	}
	if errors.As(err, &wrongError{}) {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	l.last = fmt.Errorf("%s %q: %w", k.name, key, err)
	if k.writes {
		delete(l.sure, key)
		l.unsure[key] = true
	}
	return nil
}

// pick takes a sure key, another one each time.
func (l *ledger) pick() string {
	for key := range l.sure {
		return key
	}
	return ""
}

func (l *ledger) note(key, value string, rev int64) {
	e := entry{value, rev, rev, 1}
	if old, ok := l.sure[key]; ok {
		e.made, e.change = old.made, old.change+1
	}
	l.sure[key] = e
	if len(l.past) < 100 {
		l.past[key] = e
	}
}

func (l *ledger) value() string {
	l.next++
	return "v" + strconv.Itoa(l.next)
}

func (l *ledger) check(kv *mvccpb.KeyValue, key string) error {
	e := l.sure[key]
	have := entry{string(kv.Value), kv.ModRevision, kv.CreateRevision, kv.Version}
	if string(kv.Key) != key || have != e {
		return wrong("%q is %+v, not %+v of %q", kv.Key, have, e, key)
	}
	return nil
}

func (l *ledger) one(r *clientv3.GetResponse, key string) error {
	if len(r.Kvs) != 1 || r.Count != 1 {
		return wrong("%d of %d keys for %q", len(r.Kvs), r.Count, key)
	}
	return l.check(r.Kvs[0], key)
}

func (l *ledger) create(ctx context.Context, key string) error {
	value := l.value()
	r, err := l.kv.Txn(ctx).If(clientv3util.KeyMissing(key)).Then(clientv3.OpPut(key, value)).Commit()
	if err != nil {
		return err
	}
	if !r.Succeeded {
		return wrong("new key %q is there", key)
	}
	l.note(key, value, r.Header.Revision)
	return nil
}

func (l *ledger) put(ctx context.Context, key string) error {
	value, old := l.value(), l.sure[key]
	r, err := l.kv.Put(ctx, key, value, clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	if r.PrevKv == nil || string(r.PrevKv.Value) != old.value || r.Header.Revision <= old.rev {
		return wrong("put at %d over %+v found %v", r.Header.Revision, old, r.PrevKv)
	}
	l.note(key, value, r.Header.Revision)
	return nil
}

func (l *ledger) get(ctx context.Context, key string) error {
	r, err := l.kv.Get(ctx, key)
	if err != nil {
		return err
	}
	if err := l.one(r, key); err != nil {
		return err
	}
	if r, err = l.kv.Get(ctx, key, clientv3.WithSerializable()); err != nil {
		return err
	}
	if len(r.Kvs) == 1 && r.Kvs[0].ModRevision > l.sure[key].rev {
		return wrong("%q is from the future: %v", key, r.Kvs[0])
	}
	return nil
}

func (l *ledger) list(ctx context.Context, _ string) error {
	sorted := clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)
	r, err := l.kv.Get(ctx, l.prefix, clientv3.WithPrefix(), sorted)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	last := "\xff"
	for _, kv := range r.Kvs {
		key := string(kv.Key)
		if key >= last {
			return wrong("%q after %q", key, last)
		}
		last, seen[key] = key, true
		if l.unsure[key] {
			continue
		}
		if err := l.check(kv, key); err != nil {
			return err
		}
	}
	for key := range l.sure {
		if !seen[key] {
			return wrong("%q is lost", key)
		}
	}
	n, err := l.kv.Get(ctx, l.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if n.Count < int64(len(l.sure)) || n.Count > int64(len(l.sure)+len(l.unsure)) {
		return wrong("count %d with %d sure and %d unsure", n.Count, len(l.sure), len(l.unsure))
	}
	return nil
}

func (l *ledger) filters(ctx context.Context, key string) error {
	e := l.sure[key]
	for _, options := range [][]clientv3.OpOption{
		{clientv3.WithPrefix(), clientv3.WithMinModRev(e.rev), clientv3.WithMaxModRev(e.rev)},
		{clientv3.WithPrefix(), clientv3.WithMinCreateRev(e.made),
			clientv3.WithMaxCreateRev(e.made)},
		{clientv3.WithRange(clientv3.GetPrefixRangeEnd(key)), clientv3.WithKeysOnly()},
	} {
		from := l.prefix
		if op := clientv3.OpGet(key, options...); op.IsKeysOnly() {
			from = key
		}
		r, err := l.kv.Get(ctx, from, options...)
		if err != nil {
			return err
		}
		if len(r.Kvs) != 1 || string(r.Kvs[0].Key) != key || r.Kvs[0].ModRevision != e.rev {
			return wrong("only %q of %+v was asked for: %v", key, e, r.Kvs)
		}
	}
	r, err := l.kv.Get(ctx, key, clientv3.WithFromKey(), clientv3.WithLimit(1))
	if err != nil {
		return err
	}
	if len(r.Kvs) != 1 || string(r.Kvs[0].Key) != key || r.Count < 1 || r.More != (r.Count > 1) {
		return wrong("%q is not the first from itself: %v", key, r)
	}
	return nil
}

// edges asks for the first and the last by everything that can be sorted by.
func (l *ledger) edges(ctx context.Context, _ string) error {
	if len(l.unsure) > 0 {
		return nil // who would be first is not known
	}
	keys := slices.Sorted(maps.Keys(l.sure))
	by := func(of func(entry) int64) []string {
		return slices.SortedFunc(slices.Values(keys), func(a, b string) int {
			return int(of(l.sure[a]) - of(l.sure[b]))
		})
	}
	created := by(func(e entry) int64 { return e.made })
	changed := by(func(e entry) int64 { return e.rev })
	for _, c := range []struct {
		options []clientv3.OpOption
		want    string
	}{
		{clientv3.WithFirstKey(), keys[0]}, {clientv3.WithLastKey(), keys[len(keys)-1]},
		{clientv3.WithFirstCreate(), created[0]}, {clientv3.WithLastCreate(), created[len(keys)-1]},
		{clientv3.WithFirstRev(), changed[0]}, {clientv3.WithLastRev(), changed[len(keys)-1]},
	} {
		r, err := l.kv.Get(ctx, l.prefix, c.options...)
		if err != nil {
			return err
		}
		if len(r.Kvs) != 1 {
			return wrong("%d keys instead of %q", len(r.Kvs), c.want)
		}
		if err := l.check(r.Kvs[0], c.want); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) do(ctx context.Context, key string) error {
	value := l.value()
	put, err := l.kv.Do(ctx, clientv3.OpPut(key, value))
	if err != nil {
		return err
	}
	l.note(key, value, put.Put().Header.Revision)
	get, err := l.kv.Do(ctx, clientv3.OpGet(key))
	if err != nil {
		return err
	}
	if err := l.one(get.Get(), key); err != nil {
		return err
	}
	value = l.value()
	txn, err := l.kv.Do(ctx, clientv3.OpTxn([]clientv3.Cmp{clientv3util.KeyExists(key)},
		[]clientv3.Op{clientv3.OpPut(key, value)}, nil))
	if err != nil {
		return err
	}
	if !txn.Txn().Succeeded {
		return wrong("%q does not exist", key)
	}
	l.note(key, value, txn.Txn().Header.Revision)
	del, err := l.kv.Do(ctx, clientv3.OpDelete(key))
	if err != nil {
		return err
	}
	if del.Del().Deleted != 1 {
		return wrong("%d deleted of %q", del.Del().Deleted, key)
	}
	delete(l.sure, key)
	return nil
}

// truths are comparisons that hold of a key.
func (l *ledger) truths(key string) []clientv3.Cmp {
	e := l.sure[key]
	return []clientv3.Cmp{clientv3.Compare(clientv3.Value(key), "=", e.value),
		clientv3.Compare(clientv3.ModRevision(key), "=", e.rev),
		clientv3.Compare(clientv3.CreateRevision(key), "<", e.made+1),
		clientv3.Compare(clientv3.Version(key), ">", e.change-1),
		clientv3.Compare(clientv3.LeaseValue(key), "=", 0),
		clientv3.Compare(clientv3.Value(key), "!=", "nothing")}
}

func (l *ledger) txn(ctx context.Context, key string) error {
	value := l.value()
	r, err := l.kv.Txn(ctx).If(l.truths(key)...).
		Then(clientv3.OpPut(key, value), clientv3.OpGet(key)).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return err
	}
	if !r.Succeeded {
		return wrong("%q is not %+v: %v", key, l.sure[key], r)
	}
	l.note(key, value, r.Header.Revision)
	return l.one((*clientv3.GetResponse)(r.Responses[1].GetResponseRange()), key)
}

func (l *ledger) otherwise(ctx context.Context, key string) error {
	r, err := l.kv.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", "nothing")).
		Then(clientv3.OpPut(key, "never")).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return err
	}
	if r.Succeeded {
		return wrong("%q was nothing", key)
	}
	return l.one((*clientv3.GetResponse)(r.Responses[0].GetResponseRange()), key)
}

func (l *ledger) stream(ctx context.Context, _ string) error {
	chunks, err := l.kv.GetStream(ctx, l.prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	r, err := clientv3.GetStreamToGetResponse(chunks)
	if err != nil {
		return err
	}
	n := 0
	for _, kv := range r.Kvs {
		if l.unsure[string(kv.Key)] {
			continue
		}
		if err := l.check(kv, string(kv.Key)); err != nil {
			return err
		}
		n++
	}
	if n != len(l.sure) {
		return wrong("%d keys in the stream of %d", n, len(l.sure))
	}
	return nil
}

// keep changes a key's version only.
func (l *ledger) keep(ctx context.Context, key string) error {
	r, err := l.kv.Put(ctx, key, "", clientv3.WithIgnoreValue())
	if err != nil {
		return err
	}
	l.note(key, l.sure[key].value, r.Header.Revision)
	value := l.value()
	if r, err = l.kv.Put(ctx, key, value, clientv3.WithIgnoreLease()); err != nil {
		return err
	}
	l.note(key, value, r.Header.Revision)
	return nil
}

func (l *ledger) then(ctx context.Context, _ string) error {
	for key, e := range l.past {
		r, err := l.kv.Get(ctx, key, clientv3.WithRev(e.rev))
		if err != nil {
			return err
		}
		if len(r.Kvs) != 1 || string(r.Kvs[0].Value) != e.value || r.Kvs[0].ModRevision != e.rev {
			return wrong("%q was %+v, and is remembered as %v", key, e, r.Kvs)
		}
		return nil
	}
	return nil
}

func (l *ledger) remove(ctx context.Context, key string) error {
	r, err := l.kv.Delete(ctx, key, clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	if r.Deleted != 1 || len(r.PrevKvs) != 1 {
		return wrong("%d deleted of %q", r.Deleted, key)
	}
	if err := l.check(r.PrevKvs[0], key); err != nil {
		return err
	}
	delete(l.sure, key)
	return nil
}
