package sim

// eventKind is the closed set of what happens in the simulated world. An event is a value: what it
// carries beyond two words lies in a slab of the world, under the number in slot.
type eventKind uint8

const (
	eventTick       eventKind = iota + 1 // a member's ticker fires
	eventTurn                            // a member's loop takes its inbox
	eventMessage                         // a copy of a message arrives at a member
	eventRequest                         // a client's request arrives at a member
	eventResponse                        // an answer arrives at a client
	eventDisk                            // a member's disk may have finished operations
	eventRead                            // a member evaluates a read that it was handed earlier
	eventIssue                           // a client sends its next request
	eventTimeout                         // a client gives up a request
	eventFault                           // a planned fault begins
	eventFaultEnd                        // a planned fault ends
	eventRestart                         // a member's process starts
	eventPhase                           // the run enters its next phase
	eventProbe                           // the world looks whether the cluster has recovered
	eventWatchAct                        // a watching client does something
	eventWatchRead                       // a watching client reads the next response
	eventWatchUp                         // a letter on a watch stream arrives at a member
	eventWatchDown                       // a letter on a watch stream arrives at a client
	eventWatchBreak                      // one end of a watch stream notices that it is broken
	eventPassword                        // a member's edge has hashed a password
	eventReshape                         // the operator changes the membership
	eventDisarm                          // the operator looks for alarms
	numEventKinds
)

func (k eventKind) String() string {
	names := [...]string{"?", "tick", "turn", "message", "request", "response", "disk", "read",
		"issue", "timeout", "fault", "fault-end", "restart", "phase", "probe", "watch-act",
		"watch-read", "watch-up", "watch-down", "watch-break", "password", "reshape", "disarm"}
	if int(k) < len(names) {
		return names[k]
	}
	return "event(?)"
}

// event is one thing that will happen. Events at the same time happen in the order in which they
// were scheduled.
type event struct {
	at   int64  // virtual nanoseconds since the start of the run
	seq  uint64 // order of scheduling
	arg  uint64
	slot uint32
	kind eventKind
	node uint8 // member or client number
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// eventHeap is a four-ary heap of events: shallower than a binary one, and four neighbours share
// two cache lines, which is what counts when a run is made of millions of pushes and pops.
type eventHeap struct {
	list []event
	seq  uint64
}

func (h *eventHeap) push(e event) {
	h.seq++
	e.seq = h.seq
	h.list = append(h.list, e)
	list, i := h.list, len(h.list)-1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&list[parent]) {
			break
		}
		list[i] = list[parent]
		i = parent
	}
	list[i] = e
}

func (h *eventHeap) pop() (event, bool) {
	list := h.list
	if len(list) == 0 {
		return event{}, false
	}
	top, last := list[0], list[len(list)-1]
	list = list[:len(list)-1]
	h.list = list
	if len(list) == 0 {
		return top, true
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= len(list) {
			break
		}
		least := first
		for c := first + 1; c < first+4 && c < len(list); c++ {
			if list[c].before(&list[least]) {
				least = c
			}
		}
		if !list[least].before(&last) {
			break
		}
		list[i] = list[least]
		i = least
	}
	list[i] = last
	return top, true
}

// slab keeps values under numbers that are used again, so that events need no allocation.
type slab[T any] struct {
	items []T
	free  []uint32
}

func (s *slab[T]) put(v T) uint32 {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		s.items[slot] = v
		return slot
	}
	s.items = append(s.items, v)
	return uint32(len(s.items) - 1)
}

// take removes and returns the value in slot.
func (s *slab[T]) take(slot uint32) T {
	var zero T
	v := s.items[slot]
	s.items[slot] = zero
	s.free = append(s.free, slot)
	return v
}

func (s *slab[T]) inUse() int { return len(s.items) - len(s.free) }
