// Package netsim is the simulated network: what may happen to a message between two endpoints.
//
// The network keeps no message and no clock. For every message sent it draws a Fate: how many
// copies will arrive and how long each of them takes. The world schedules the copies, and asks
// again when a copy arrives, because filters act at delivery: a partition that begins while a
// message is under way cuts it, and one that ends lets it through, as with real cables.
//
// Every draw is a keyed hash of (seed, link, number of the message on that link, purpose). Nothing
// is shared between links, so taking one fault out of a plan leaves the fates of the messages on
// the other links as they were.
//
// A connection is no more here than what is under way on a link: Sever loses that. Messages are
// never altered without notice, because the production transport checksums them and gives up a
// connection that carried an altered one; which ones that happens to is drawn (Alters).
package netsim

import "math/bits"

// Endpoint is a place that messages leave from and arrive at: members first, then clients. At most
// MaxEndpoints of them exist, so that a set of endpoints fits a word.
type Endpoint uint8

// MaxEndpoints bounds the number of endpoints of one network.
const MaxEndpoints = 64

// Set is a set of endpoints, bit i standing for endpoint i.
type Set uint64

// Of returns the set that holds exactly the given endpoints.
func Of(all ...Endpoint) Set {
	var s Set
	for _, e := range all {
		s |= 1 << e
	}
	return s
}

// Has says whether e is in the set.
func (s Set) Has(e Endpoint) bool { return s>>e&1 == 1 }

// Len is the number of endpoints in the set.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Class sorts messages for rules that concern one kind only. Class 0 is what clients and members
// say to one another; the others are the numbers of raft's message types.
type Class uint8

// Quality is how links behave when no fault is active. All times are nanoseconds, all chances
// parts per million.
type Quality struct {
	MinDelay, MeanDelay int64 // a delay is MinDelay plus about exponential around MeanDelay
	TailPPM             uint32
	TailDelay           int64 // the longest delay of the heavy tail, which is log-uniform
	LossPPM             uint32
	DuplicatePPM        uint32
	Capacity            int // messages under way on one link; more are dropped
}

// Rule is one active disturbance: it concerns messages from an endpoint in From to one in To whose
// class is in Classes (0 means every class).
type Rule struct {
	Fault        uint32 // who asked for it, for Remove and for the counts
	From, To     Set
	Classes      uint32 // bit i stands for class i
	Cut          bool   // nothing passes
	LossPPM      uint32
	DuplicatePPM uint32
	// EchoDelay is how much later than the first copy the second one comes: a conversation of many
	// messages comes again, in the order in which it was held.
	EchoDelay int64
	Delay     int64 // added to every message
	HoldPPM   uint32
	HoldDelay int64  // a message held back is late by HoldDelay/8 to HoldDelay
	AlterPPM  uint32 // some of its bits arrive altered
}

func (r *Rule) concerns(from, to Endpoint, class Class) bool {
	return r.From.Has(from) && r.To.Has(to) && (r.Classes == 0 || r.Classes>>class&1 == 1)
}

// Fate is what will become of one message: the delays of its copies in nanoseconds, and its number
// on its link. No copies means that it is lost.
type Fate struct {
	Number uint64
	Copies int
	Delays [2]int64
}

// Counts says what the network did, for reports.
type Counts struct {
	Sent, Delivered, Lost, Duplicated, Held, Cut, Overflowed, Severed, Altered uint64
}

// Network is the state of all links: plain data.
type Network struct {
	seed      uint64
	endpoints int
	members   int
	peers     Quality
	clients   Quality
	links     []link
	rules     []Rule
	felt      []uint64 // by fault: messages that one of its rules changed
	counts    Counts
	why       Why
}

// link is one direction between two endpoints.
type link struct {
	sent      uint64 // messages so far, which number the draws
	underway  int    // copies scheduled and not yet arrived
	severed   uint64 // messages up to this number do not arrive any more
	severedBy uint32 // the fault that did that
}

// New returns a network of the given endpoints, of which the first members are members. Links
// between members have quality peers, links to and from clients have quality clients.
func New(seed uint64, endpoints, members int, peers, clients Quality) *Network {
	if endpoints > MaxEndpoints || members > endpoints {
		panic("netsim: too many endpoints")
	}
	return &Network{
		seed: seed, endpoints: endpoints, members: members, peers: peers, clients: clients,
		links: make([]link, endpoints*endpoints),
	}
}

// SetQuality replaces how undisturbed links behave, for messages sent from now on.
func (n *Network) SetQuality(peers, clients Quality) { n.peers, n.clients = peers, clients }

// Counts returns what the network did so far.
func (n *Network) Counts() Counts { return n.counts }

// Add makes a rule active.
func (n *Network) Add(r Rule) {
	for len(n.felt) <= int(r.Fault) {
		n.felt = append(n.felt, 0)
	}
	n.rules = append(n.rules, r)
}

// Remove ends every rule of a fault.
func (n *Network) Remove(fault uint32) {
	kept := n.rules[:0]
	for _, r := range n.rules {
		if r.Fault != fault {
			kept = append(kept, r)
		}
	}
	n.rules = kept
}

// Felt is the number of messages that the rules of a fault changed.
func (n *Network) Felt(fault uint32) uint64 {
	if int(fault) >= len(n.felt) {
		return 0
	}
	return n.felt[fault]
}

// Send draws the fate of a message that leaves now.
func (n *Network) Send(from, to Endpoint, class Class) Fate {
	l := n.link(from, to)
	l.sent++
	n.counts.Sent++
	n.why = Why{}
	d := draws{seed: n.seed, link: uint64(from)<<8 | uint64(to), message: l.sent}
	q := &n.peers
	if int(from) >= n.members || int(to) >= n.members {
		q = &n.clients
	}
	lossPPM, duplicatePPM, extra, echo := q.LossPPM, q.DuplicatePPM, int64(0), int64(0)
	for i := range n.rules {
		r := &n.rules[i]
		if r.Cut || !r.concerns(from, to, class) {
			continue
		}
		lossPPM += r.LossPPM
		duplicatePPM += r.DuplicatePPM
		extra += r.Delay
		echo = max(echo, r.EchoDelay)
		if r.HoldPPM > 0 && d.chance(purposeHold, r.HoldPPM) {
			extra += d.between(purposeHoldTime, r.HoldDelay/8, r.HoldDelay)
			n.counts.Held++
			n.felt[r.Fault]++
			n.why = Why{Cause: Held, Fault: r.Fault}
		} else if r.Delay > 0 {
			n.felt[r.Fault]++
			n.why = Why{Cause: Slowed, Fault: r.Fault}
		}
	}
	if d.chance(purposeLoss, lossPPM) {
		n.counts.Lost++
		n.blame(from, to, class, loss)
		return Fate{}
	}
	f := Fate{Number: l.sent, Copies: 1}
	if d.chance(purposeDuplicate, duplicatePPM) {
		f.Copies = 2
		n.counts.Duplicated++
		n.blame(from, to, class, duplicate)
	}
	for i := 0; i < f.Copies; i++ {
		if l.underway >= q.Capacity {
			n.counts.Overflowed++
			f.Copies = i
			n.why = Why{Cause: Overflow}
			break
		}
		l.underway++
		if i > 0 && echo > 0 {
			f.Delays[i] = f.Delays[0] + echo
		} else {
			f.Delays[i] = extra + d.delay(q, i)
		}
	}
	return f
}

// harm is what a rule may have caused.
type harm uint8

const (
	loss harm = iota
	duplicate
)

// blame counts a loss or a duplicate for the faults that raised its chance.
func (n *Network) blame(from, to Endpoint, class Class, h harm) {
	n.why = Why{Cause: Lost}
	if h == duplicate {
		n.why.Cause = Duplicated
	}
	for i := range n.rules {
		r := &n.rules[i]
		raised := h == loss && r.LossPPM > 0 || h == duplicate && r.DuplicatePPM > 0
		if raised && r.concerns(from, to, class) {
			n.felt[r.Fault]++
			n.why.Fault = r.Fault
		}
	}
}

// Sever ends the connections between the endpoints of two sets, both ways: what is under way is
// lost.
func (n *Network) Sever(fault uint32, some, others Set) {
	for from := range Endpoint(n.endpoints) {
		for to := range Endpoint(n.endpoints) {
			if some.Has(from) && others.Has(to) || others.Has(from) && some.Has(to) {
				l := n.link(from, to)
				l.severed, l.severedBy = l.sent, fault
			}
		}
	}
}

// Arrive says whether a copy that has travelled its time is delivered. It is called exactly once
// for every copy of every fate, with the number that the fate gave.
func (n *Network) Arrive(from, to Endpoint, class Class, number uint64) bool {
	l := n.link(from, to)
	l.underway--
	if l.underway < 0 {
		panic("netsim: more arrivals than messages")
	}
	if number <= l.severed {
		n.counts.Severed++
		n.why = Why{Cause: Severed, Fault: l.severedBy}
		n.feel(l.severedBy)
		return false
	}
	for i := range n.rules {
		r := &n.rules[i]
		if r.Cut && r.concerns(from, to, class) {
			n.counts.Cut++
			n.felt[r.Fault]++
			n.why = Why{Cause: Cut, Fault: r.Fault}
			return false
		}
	}
	n.counts.Delivered++
	return true
}

// feel counts a message that a fault changed and that no rule of it need exist for any more.
func (n *Network) feel(fault uint32) {
	for len(n.felt) <= int(fault) {
		n.felt = append(n.felt, 0)
	}
	n.felt[fault]++
}

// Alters says which fault, if any, altered a message that has arrived; 0 is none.
func (n *Network) Alters(from, to Endpoint, class Class, number uint64) (fault uint32) {
	d := draws{seed: n.seed, link: uint64(from)<<8 | uint64(to), message: number}
	for i := range n.rules {
		r := &n.rules[i]
		if r.concerns(from, to, class) && d.chance(purposeAlter, r.AlterPPM) {
			n.counts.Altered++
			n.felt[r.Fault]++
			return r.Fault
		}
	}
	return 0
}

// Passes says whether a message from from to to would be delivered at this moment.
func (n *Network) Passes(from, to Endpoint) bool {
	for i := range n.rules {
		r := &n.rules[i]
		if r.Cut && r.Classes == 0 && r.From.Has(from) && r.To.Has(to) {
			return false
		}
	}
	return true
}

func (n *Network) link(from, to Endpoint) *link {
	return &n.links[int(from)*n.endpoints+int(to)]
}
