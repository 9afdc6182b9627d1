// Package linearizability judges what clients saw of a store that speaks etcd's KV API.
//
// A test, simulated or with real processes, writes down every request with the times of its call
// and its return. This package says whether one store, taking one request at a time, could have
// given the same answers in an order that respects real time. It knows nothing of how the store
// works: requests and responses have the form of etcd's public API, so the same checkers judge the
// simulator, real processes of ours, and etcd itself, and a mistake in a checker shows as a
// complaint about etcd.
//
// The checkers are independent of each other on purpose, so that one wrong checker hides nothing:
//
//   - CheckStore searches for an order of the whole store and compares every field of every
//     response, revisions included.
//   - Replay needs no search: revisions name the order of the writes, so that it takes linear
//     time. It yields the sequence of states, against which serializable reads and a dump of all
//     revisions are checked.
//   - CheckKeys looks at the values of one key at a time and believes neither revisions nor
//     anybody's knowledge about lost answers.
//
// A write whose answer was lost may or may not have taken effect. A search over many of those does
// not end, so Bound and BoundByDump settle them first, from what the world knows. A search that
// does not end in its time counts as a failure.
//
// What watchers saw is judged against the sequence of states, see watch.go.
//
// Not covered: leases (no request here creates one, so every lease is unknown to the model), auth
// and alarms. A negative revision in a Range inside a Txn is read as the current one.
package linearizability
