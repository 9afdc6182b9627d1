// Watches: the node's side of the hub. Requests of watch streams come in as inputs, in their wire
// form; what the hub lets out leaves as effects.
//
// Watchers see what is visible here and nothing else: a revision is let out when the entry that
// made it is applied, in the very step, and there is no read index, because a watcher that is told
// late is still told everything in order.
package kv

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/kv/watch"
	"github.com/detcd/detcd/mvcc"
)

// WatchStream names a stream; the edge chooses it and uses none twice.
type WatchStream = watch.StreamID

// WatchDelivery is one response on its way to those who get it.
type WatchDelivery = watch.Delivery

// WatchRecipient names one watcher of one stream.
type WatchRecipient = watch.Recipient

// AppendWatchID appends the field that makes a delivery's body a recipient's response.
func AppendWatchID(b []byte, id int64) []byte { return watch.AppendID(b, id) }

// WatchEvent is the closed set of what a watch stream brings.
type WatchEvent uint8

// The events.
const (
	_             WatchEvent = iota
	WatchAsked               // Raw is a WatchRequest
	WatchConsumed            // Consumed bytes of what the stream was charged are gone
	WatchEnded               // the stream is over
)

// WatchInput is something that happened to one watch stream.
type WatchInput struct {
	Stream   WatchStream
	Event    WatchEvent
	Consumed int
	// Raw is a WatchRequest in wire form that has passed ValidateWatch, immutable for ever;
	// Identity is who asks, nil if the client did not say.
	Raw      []byte
	Identity *Identity
}

// watching is what the node holds for its watchers.
type watching struct {
	hub *watch.Hub
	// early holds what came before the node was running.
	early []WatchInput
}

// etcd's interval between progress notices, and the shortest that it lets people choose.
const (
	notifyNanos    = 600_000_000_000
	minNotifyNanos = 100_000_000
)

// transportOverhead is what a message may be longer than a request, on the wire.
const transportOverhead = 512 << 10

func (n *Node) startWatching() {
	interval := n.cfg.ProgressNotifyNanos
	if interval == 0 {
		interval = notifyNanos
	}
	n.watching.hub = watch.New(watch.Limits{
		StreamBytes:   n.cfg.Limits.WatchBytes,
		FragmentBytes: n.cfg.Limits.MaxRequestBytes + transportOverhead,
		LiveChanges:   n.cfg.Limits.LiveChanges,
		Passes:        n.cfg.Limits.WatchPasses,
		Near:          mvcc.Revision(n.cfg.Limits.WatchNear),
		NotifyNanos:   max(interval, minNotifyNanos),
		Seed:          n.cfg.Seed,
	}, n.store.Revision())
}

func (n *Node) watchEnv() watch.Env {
	return watch.Env{
		Store: n.store,
		Header: watch.Header{Cluster: n.cfg.Cluster, Member: uint64(n.cfg.Member),
			Revision: n.store.Revision(), Term: uint64(n.appliedTerm)},
		Now: n.mono,
		Out: &n.out.Watch,
	}
}

// maxEarlyWatches bounds what may come before the node runs; an edge that waits until it is ready
// never comes near.
const maxEarlyWatches = 1 << 16

// watchInput takes what a watch stream brings.
func (n *Node) watchInput(in *WatchInput) {
	if n.phase != running {
		if len(n.watching.early) < maxEarlyWatches {
			n.watching.early = append(n.watching.early, *in)
		}
		return
	}
	hub := n.watching.hub
	switch in.Event {
	case WatchAsked:
		if !n.watchAwaitsToken(in) {
			n.watchAsked(in)
		}
	case WatchConsumed:
		hub.Consumed(n.watchEnv(), in.Stream, in.Consumed)
	case WatchEnded:
		n.tokens.dropWatches(in.Stream)
		hub.End(in.Stream)
	}
}

// watchEarly takes what came before the node was running.
func (n *Node) watchEarly() {
	early := n.watching.early
	n.watching.early = nil
	for i := range early {
		n.watchInput(&early[i])
	}
}

func (n *Node) watchAsked(in *WatchInput) {
	var r watchRequest
	if err := parseWatch(in.Raw, &r); err != nil {
		return // it has passed ValidateWatch
	}
	hub, env := n.watching.hub, n.watchEnv()
	switch r.kind {
	case watchCreate:
		if code := n.mayWatch(in.Identity, r.create.Spec.Key, r.create.Spec.End); code != OK {
			r.create.Refusal = rpcError(code)
		}
		hub.Create(env, in.Stream, r.create)
	case watchCancel:
		hub.Cancel(env, in.Stream, r.cancel)
	case watchProgress:
		hub.Progress(env, in.Stream)
	}
}

// rpcError is the text of an outcome's status, which is what etcd tells a watcher that may not be.
func rpcError(c Code) string {
	name := "PermissionDenied"
	switch c {
	case ErrInvalidToken:
		name = "Unauthenticated"
	case ErrUserEmpty, ErrAuthOld:
		name = "InvalidArgument"
	}
	return "rpc error: code = " + name + " desc = " + c.Text()
}

// advanceWatches lets the newest visible revision out.
func (n *Node) advanceWatches() {
	revision, changes := n.store.Newest()
	if err := n.watching.hub.Advance(n.watchEnv(), revision, changes); err != nil {
		n.halt(err.Error())
	}
}

// workWatches brings those forward who are behind, and says whether more is to do. It takes a
// quarter of a step: what is new comes first.
func (n *Node) workWatches() (more bool) {
	if n.phase != running {
		return false
	}
	more, err := n.watching.hub.Work(n.watchEnv(), 1+n.cfg.Limits.StepUnits/4)
	n.watching.hub.Cost() // it has its own budget, and is not apply's
	if err != nil {
		n.halt(err.Error())
	}
	return more
}

// watchRequest is a WatchRequest.
type watchRequest struct {
	kind   watchKind
	create watch.Create
	cancel int64
}

// watchKind says what a WatchRequest asks for.
type watchKind uint8

const (
	watchNothing watchKind = iota // which is ignored
	watchCreate
	watchCancel
	watchProgress
)

// ValidateWatch says whether raw is a WatchRequest.
func ValidateWatch(raw []byte) Code {
	var r watchRequest
	if parseWatch(raw, &r) != nil {
		return ErrMalformed
	}
	return OK
}

func parseWatch(raw []byte, r *watchRequest) error {
	return fields(raw, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		if typ != protowire.BytesType {
			return nil
		}
		switch num {
		case 1:
			*r = watchRequest{kind: watchCreate}
			return parseWatchCreate(b, &r.create)
		case 2:
			id, err := parseVarint1(b)
			*r = watchRequest{kind: watchCancel, cancel: int64(id)}
			return err
		case 3:
			*r = watchRequest{kind: watchProgress}
			_, err := parseVarint1(b)
			return err
		}
		return nil
	})
}

func parseWatchCreate(raw []byte, c *watch.Create) error {
	s := &c.Spec
	options := func(o watch.Options, v uint64) {
		s.Options &^= o
		if v != 0 {
			s.Options |= o
		}
	}
	err := fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case typ == protowire.BytesType && num == 1:
			s.Key = b
		case typ == protowire.BytesType && num == 2:
			s.End = b
		case typ == protowire.BytesType && num == 5: // packed
			for len(b) > 0 {
				f, size := protowire.ConsumeVarint(b)
				if size < 0 {
					return errMalformed
				}
				s.Options |= filterOf(f)
				b = b[size:]
			}
		case typ != protowire.VarintType:
		case num == 3:
			c.Start = mvcc.Revision(v)
		case num == 4:
			c.Notify = watch.OnRequest
			if v != 0 {
				c.Notify = watch.Periodically
			}
		case num == 5:
			s.Options |= filterOf(v)
		case num == 6:
			options(watch.PrevKV, v)
		case num == 7:
			c.ID = int64(v)
		case num == 8:
			options(watch.Fragment, v)
		}
		return nil
	})
	if len(s.Key) == 0 {
		s.Key = []byte{0} // the lowest key that can be
	}
	return err
}

// filterOf translates a filter; unknown ones filter nothing.
func filterOf(v uint64) watch.Options {
	switch v {
	case 0:
		return watch.NoPut
	case 1:
		return watch.NoDelete
	}
	return 0
}
