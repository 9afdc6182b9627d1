package netsim

// Cause is what became of a message beside an ordinary journey.
type Cause uint8

// The causes.
const (
	Ordinary   Cause = iota
	Lost             // drawn to be lost
	Duplicated       // drawn to arrive twice
	Held             // drawn to be held back
	Slowed           // its link was slow
	Overflow         // too many were under way on its link
	Severed          // its connection ended while it was under way
	Cut              // nothing passed when it arrived
)

// String names the cause.
func (c Cause) String() string {
	names := [...]string{"ordinary", "lost", "duplicated", "held back", "slowed", "overflow",
		"connection broken", "cut off"}
	if int(c) < len(names) {
		return names[c]
	}
	return "cause(?)"
}

// Why says what became of one message, and which fault did it, 0 if the link is like that.
type Why struct {
	Cause Cause
	Fault uint32
}

// Why explains the fate that the latest Send drew, or why the latest Arrive refused. It is for
// observers; nothing depends on it.
func (n *Network) Why() Why { return n.why }

// Reseed lets all later draws come from another seed.
func (n *Network) Reseed(seed uint64) { n.seed = seed }
