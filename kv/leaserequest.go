// Requests about leases.
//
// Granting and revoking are writes. Renewing and asking how much time is left are for the leader,
// whom a member asks on its client's behalf; the leader answers after a ReadIndex round, so that it
// does lead, and has applied every end that was decided before the request came. The list of leases
// is answered by every member from what it has applied.
package kv

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/kv/lease"
	"github.com/detcd/detcd/mvcc"
)

// parseGrant reads a LeaseGrantRequest.
func parseGrant(raw []byte) (ttl lease.Seconds, id lease.ID, err error) {
	err = fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, _ []byte) error {
		switch {
		case typ != protowire.VarintType:
		case num == 1:
			ttl = lease.Seconds(v)
		case num == 2:
			id = lease.ID(v)
		}
		return nil
	})
	return ttl, id, err
}

// parseTimeToLive reads a LeaseTimeToLiveRequest.
func parseTimeToLive(raw []byte) (id lease.ID, keys bool, err error) {
	err = fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, _ []byte) error {
		switch {
		case typ != protowire.VarintType:
		case num == 1:
			id = lease.ID(v)
		case num == 2:
			keys = v != 0
		}
		return nil
	})
	return id, keys, err
}

// validateLease checks a request about leases as far as that needs no state.
func validateLease(method Method, raw []byte, lim *Limits) Code {
	var err error
	switch method {
	case MethodLeaseGrant:
		_, _, err = parseGrant(raw)
	case MethodLeaseTimeToLive:
		_, _, err = parseTimeToLive(raw)
	default:
		_, err = parseVarint1(raw)
	}
	switch {
	case err != nil:
		return ErrMalformed
	case len(raw)+requestOverhead > lim.MaxRequestBytes:
		return ErrRequestTooLarge
	}
	return OK
}

// requestLease takes a client's request about leases.
func (n *Node) requestLease(r *Request) {
	switch r.Method {
	case MethodLeaseGrant:
		n.requestGrant(r)
	case MethodLeaseLeases:
		n.serve(&readRequest{token: r.Token, method: r.Method, raw: r.Raw, identity: r.Identity,
			deadline: n.mono + n.requestTimeout()})
	default:
		id, err := parseVarint1(r.Raw)
		if err != nil {
			n.answer(r.Token, ErrMalformed, nil, 0)
			return
		}
		if code := n.mayUseLease(r, lease.ID(id)); code != OK {
			n.answer(r.Token, code, nil, 0)
			return
		}
		if r.Method == MethodLeaseRevoke {
			n.write(r)
			return
		}
		n.askLeader(r)
	}
}

// requestGrant decides what a grant leaves open, and proposes it.
func (n *Node) requestGrant(r *Request) {
	if code := n.admitWrite(r); code != OK {
		n.answer(r.Token, code, nil, 0)
		return
	}
	ttl, id, err := parseGrant(r.Raw)
	if err != nil {
		n.answer(r.Token, ErrMalformed, nil, 0)
		return
	}
	if ttl > lease.MaxTTL {
		n.answer(r.Token, n.alarmsFirst(r.Method, r.Raw, ErrLeaseTTLTooLarge), nil, 0)
		return
	}
	for k := uint64(0); id == 0; k++ {
		drawn := lease.ID(mix(r.Random[0], r.Random[1]+k) >> 1)
		if drawn != 0 && !n.state.leases.Has(drawn) {
			id = drawn
		}
	}
	typ, data, code := n.seal(r, encodeGrant(id, max(ttl, n.minTTL()), r.Raw))
	if code != OK {
		n.answer(r.Token, code, nil, 0)
		return
	}
	n.propose(r.Token, typ, data)
}

// serveHeld serves the reads that had to wait for an entry.
func (n *Node) serveHeld() {
	if len(n.reads.held) == 0 || n.apply != nil {
		return
	}
	held := n.reads.held
	n.reads.held = nil
	for i := range held {
		n.serveLease(&held[i])
	}
}

// serveLease answers a read about leases from applied state. One that comes while an entry is half
// applied waits: of its effects all or none are seen.
func (n *Node) serveLease(r *readRequest) {
	most := readsPerWrite * n.cfg.Limits.MaxPending
	switch {
	case len(n.reads.held) > most || len(n.leases.listings) > most:
		n.answer(r.token, ErrTooManyRequests, nil, 0)
	case n.apply != nil:
		n.probes[ProbeLeaseReadHeld]++
		n.reads.held = append(n.reads.held, *r)
	case r.method == MethodLeaseLeases:
		n.leases.listings = append(n.leases.listings, listing{
			token: r.token, out: pieces{open: appendHeader(nil, n.header())},
			leases: n.state.leases.List(n.leases.schedule),
		})
	case n.leases.schedule == nil:
		n.passOn(r)
	case r.after != 0 && !n.isApplied(r):
		n.reads.held = append(n.reads.held, *r)
	case r.method == MethodLeaseKeepAlive:
		n.keepAlive(r)
	default:
		n.timeToLive(r)
	}
}

// isApplied says whether the proposal that a read waits for was applied.
func (n *Node) isApplied(r *readRequest) bool {
	i, found := n.state.windowAt(n.cfg.Member)
	return found && n.state.windows[i].applied(n.incarnation, r.after)
}

// passOn hands a read that only a leader can serve to whoever leads now.
func (n *Node) passOn(r *readRequest) {
	if r.token&remoteToken != 0 {
		n.answer(r.token, ErrNotLeader, nil, 0)
		return
	}
	n.probes[ProbeAskPassedOn]++
	a := &n.asks
	a.nextID++
	a.open = append(a.open, ask{id: a.nextID, sent: -1, deadline: r.deadline,
		request: Request{Token: r.token, Method: r.method, Raw: r.raw, Identity: r.identity}})
	n.out.Again = true
}

// keepAlive renews a lease. If what was left of it is written down, a later leader would go by
// that: then the renewal is answered when that is undone.
func (n *Node) keepAlive(r *readRequest) {
	id, err := parseVarint1(r.raw)
	if err != nil {
		n.answer(r.token, ErrMalformed, nil, 0)
		return
	}
	ttl, how := n.leases.schedule.Renew(lease.ID(id), n.leases.clock)
	if how == lease.Renewed {
		n.leases.counts.Renewed++
	}
	if how != lease.Written {
		n.answer(r.token, OK, keepAliveBody(n.header(), lease.ID(id), ttl), 0)
		return
	}
	n.probes[ProbeLeaseNoteUndone]++
	if !n.mayPropose() {
		n.answer(r.token, ErrTooManyRequests, nil, 0)
		return
	}
	r.after = n.proposals.next
	n.propose(0, entryLeaseCheckpoint, encodeNotes(n.applied, []lease.Note{{ID: lease.ID(id)}}))
	n.reads.held = append(n.reads.held, *r)
	n.out.Again = true
}

// timeToLive says how much time a lease has left, and which keys hold it.
func (n *Node) timeToLive(r *readRequest) {
	id, keys, err := parseTimeToLive(r.raw)
	if err != nil {
		n.answer(r.token, ErrMalformed, nil, 0)
		return
	}
	b := appendVarint(appendHeader(nil, n.header()), 2, uint64(id))
	l, ok := n.state.leases.Get(id)
	if !ok {
		n.answer(r.token, OK, [][]byte{appendVarint(b, 3, ^uint64(0))}, 0)
		return
	}
	b = appendVarint(b, 3, uint64(n.leases.schedule.Left(id, n.leases.clock)))
	b = appendVarint(b, 4, uint64(l.TTL))
	if !keys {
		n.answer(r.token, OK, [][]byte{b}, 0)
		return
	}
	n.leases.listings = append(n.leases.listings, listing{token: r.token, out: pieces{open: b},
		lease: id, keys: n.store.Attachments()})
}

// listing is an answer that lists leases, or the keys of one, as they were at one moment.
type listing struct {
	token  Token
	out    pieces
	leases *lease.Listing // nil: the keys of lease
	lease  lease.ID
	keys   mvcc.Attachments
	next   []byte
}

// itemsPerStep is how many leases or keys one step lists.
const itemsPerStep = 2000

// advanceListings goes on with the answers that list something.
func (n *Node) advanceListings() {
	l := &n.leases
	for room := itemsPerStep; len(l.listings) > 0; l.listings = l.listings[1:] {
		k := &l.listings[0]
		if room <= 0 || !k.step(&room) {
			n.out.Again = true
			return
		}
		n.answer(k.token, OK, k.out.finish(), 0)
	}
	l.listings = nil
}

// step lists up to room items and says whether that was all.
func (k *listing) step(room *int) (done bool) {
	if k.leases != nil {
		ids, more := k.leases.Next(*room)
		for _, id := range ids {
			k.out.gather(2, appendVarint(nil, 1, uint64(id)))
		}
		*room -= max(len(ids), 1)
		return !more
	}
	done = true
	k.keys.Visit(int64(k.lease), k.next, func(key []byte) bool {
		if *room <= 0 {
			k.next, done = key, false
			return false
		}
		*room--
		k.out.gather(5, key)
		return true
	})
	return done
}

// grantBody writes a LeaseGrantResponse.
func grantBody(h Header, l lease.Lease) [][]byte {
	return keepAliveBody(h, l.ID, l.TTL)
}

// keepAliveBody writes a LeaseKeepAliveResponse.
func keepAliveBody(h Header, id lease.ID, ttl lease.Seconds) [][]byte {
	b := appendHeader(make([]byte, 0, headerSize(h)+24), h)
	b = appendVarint(b, 2, uint64(id))
	return [][]byte{appendVarint(b, 3, uint64(ttl))}
}

// underOwnHeader is a leader's answer with the header of this member in front.
func (n *Node) underOwnHeader(body []byte) [][]byte {
	num, typ, size := protowire.ConsumeField(body)
	if size < 0 || num != 1 || typ != protowire.BytesType {
		return [][]byte{body}
	}
	return [][]byte{appendHeader(nil, n.header()), body[size:]}
}
