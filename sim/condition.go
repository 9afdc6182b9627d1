package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// Condition is a moment of a run that somebody wants to see.
type Condition struct {
	kind   conditionKind
	number uint64
	fault  FaultKind // 0: the fault with that number
}

type conditionKind uint8

const (
	atEvent conditionKind = iota
	atTime
	atFault
	atFaultEnd
	atTerm
	atCommit
	atApplied
	atRevision
	atCall
	atAnswer
	atLeader
	atCrash
	atStart
	atFailure
	atEnd
)

// conditionNames are how people write them; those up to atStart take a number.
var conditionNames = [...]string{"event", "time", "fault", "fault-end", "term", "commit",
	"applied", "revision", "call", "answer", "leader", "crash", "start", "failure", "end"}

// ConditionHelp explains what ParseCondition takes.
const ConditionHelp = `  N or event:N     event number N
  time:S           the first event at or after S virtual seconds, such as time:12.345
  fault:N          fault N of the plan begins; fault:KIND the next of a kind, such as fault:power
  fault-end:N      fault N, or the next of a kind, ends
  term:N           some member reaches term N
  commit:N         some member knows index N to be committed; applied:N, applies it
  revision:N       some member's store reaches revision N
  call:N           call N of a client is sent; answer:N, it ends for its client
  leader:N         member N begins to lead; leader alone: any member does
  crash:N start:N  member N stops, starts; without a number: any member
  failure          the failure, or the answer that nothing explains
  end              the last event`

// ParseCondition reads a condition as people write it.
func ParseCondition(text string) (Condition, error) {
	name, value, hasValue := strings.Cut(strings.TrimSpace(text), ":")
	if n, err := strconv.ParseUint(name, 10, 64); err == nil && !hasValue {
		return Condition{kind: atEvent, number: n}, nil
	}
	at := slices.Index(conditionNames[:], name)
	if at < 0 {
		return Condition{}, fmt.Errorf("%q is no condition; there are:\n%s", text, ConditionHelp)
	}
	c := Condition{kind: conditionKind(at), number: anyNumber}
	switch {
	case c.kind >= atLeader && !hasValue:
		return c, nil
	case c.kind >= atFailure:
		return c, fmt.Errorf("%s takes no number", name)
	case !hasValue:
		return c, fmt.Errorf("%s needs a number, as in %s:7", name, name)
	case c.kind == atTime:
		at, err := parseSeconds(value)
		c.number = uint64(at)
		return c, err
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err == nil {
		c.number = n
		return c, nil
	}
	if c.kind == atFault || c.kind == atFaultEnd {
		for k := FaultPartition; k < numFaultKinds; k++ {
			if k.String() == value {
				c.fault = k
				return c, nil
			}
		}
		return c, fmt.Errorf("%q is neither the number of a fault nor a kind of one", value)
	}
	return c, fmt.Errorf("%q in %q is no number", value, text)
}

// anyNumber stands for every number.
const anyNumber = ^uint64(0)

// parseSeconds reads seconds with up to nine decimals as nanoseconds.
func parseSeconds(text string) (int64, error) {
	whole, part, _ := strings.Cut(strings.TrimSuffix(text, "s"), ".")
	s, err := strconv.ParseUint(whole, 10, 32)
	if err != nil || len(part) > 9 {
		return 0, fmt.Errorf("%q are no seconds", text)
	}
	nanos := uint64(0)
	if part != "" {
		part += strings.Repeat("0", 9-len(part))
		if nanos, err = strconv.ParseUint(part, 10, 64); err != nil {
			return 0, fmt.Errorf("%q are no seconds", text)
		}
	}
	return int64(s)*second + int64(nanos), nil
}

// Until goes on to the next event that makes a condition true.
func (w *Walk) Until(c Condition) error {
	switch c.kind {
	case atEvent:
		return w.Goto(c.number)
	case atFailure:
		return w.toFailure()
	case atEnd:
		for w.Next() {
		}
		return nil
	}
	s := w.stand()
	for w.Next() {
		if s.reached(w, &c) {
			return nil
		}
	}
	return fmt.Errorf("that never comes: the run ends with %s", w.Head())
}

// First goes to the first event of the run that makes a condition true.
func (w *Walk) First(c Condition) error {
	if w.started && c.kind != atEvent && c.kind != atFailure {
		w.restart()
	}
	return w.Until(c)
}

// BackTo goes back to the latest event before this one that made a condition true.
func (w *Walk) BackTo(c Condition) error {
	here, ok := w.Event()
	if c.kind == atEvent || c.kind == atFailure || !ok {
		return w.Until(c)
	}
	w.restart()
	s := w.stand()
	found, at := false, uint64(0)
	for w.world.trace.events < here && w.advance() {
		if s.reached(w, &c) {
			found, at = true, w.world.trace.events-1
		}
	}
	if !found {
		if err := w.Goto(here); err != nil {
			return err
		}
		return fmt.Errorf("that was never before event %d", here)
	}
	return w.Goto(at)
}

// toFailure stands where the run fails; of what is judged afterwards, where its client is answered.
func (w *Walk) toFailure() error {
	f := w.Outcome().Failure
	if f == nil {
		return fmt.Errorf("the run does not fail")
	}
	if f.About.Call > 0 {
		return w.First(Condition{kind: atAnswer, number: f.About.Call})
	}
	return w.Goto(f.Event)
}

// stand is what was true before an event, to see what it changed.
type stand struct {
	glances []kv.Glance
	lives   []lifeState
	calls   int
	ended   bool
	now     int64
}

func (w *Walk) stand() *stand {
	s := &stand{glances: make([]kv.Glance, len(w.world.members)),
		lives: make([]lifeState, len(w.world.members)), calls: len(w.world.calls),
		now: w.world.now}
	if !w.started {
		s.now = -1
	}
	for i, m := range w.world.members {
		if s.lives[i] = m.life; m.life == up {
			s.glances[i] = m.driver.Node.Glance()
		}
	}
	return s
}

// reached says whether the latest event made the condition true.
func (s *stand) reached(w *Walk, c *Condition) bool {
	world, e := w.world, &w.last
	switch c.kind {
	case atTime:
		before := s.now
		s.now = world.now
		return world.now >= int64(c.number) && before < int64(c.number)
	case atFault:
		return e.kind == eventFault && c.isFault(&world.plan.Faults[e.slot]) &&
			world.faults[e.slot].active == active
	case atFaultEnd:
		return e.kind == eventFaultEnd && c.isFault(&world.plan.Faults[e.slot])
	case atCall:
		before := s.calls
		s.calls = len(world.calls)
		return uint64(before) < c.number && uint64(s.calls) >= c.number
	case atAnswer:
		before := s.ended
		s.ended = c.number-1 < uint64(len(world.calls)) &&
			world.calls[c.number-1].end != callPending
		return s.ended && !before
	case atCrash, atStart:
		return s.turned(w, c)
	}
	if e.kind != eventTurn && e.kind != eventRestart {
		return false
	}
	m := world.members[e.node]
	if m.life != up {
		return false
	}
	before := s.glances[m.index]
	now := m.driver.Node.Glance()
	s.glances[m.index] = now
	if c.kind == atLeader {
		led := before.Role == now.Role && before.Term == now.Term
		return now.Role == raft.Leader && !led &&
			(c.number == anyNumber || c.number == uint64(m.index))
	}
	return c.measure(&now) >= c.number && s.highest(c, m.index, &before) < c.number
}

// highest is how far any member has come, with one of them as it was.
func (s *stand) highest(c *Condition, member int, before *kv.Glance) uint64 {
	highest := c.measure(before)
	for i := range s.glances {
		if i != member {
			highest = max(highest, c.measure(&s.glances[i]))
		}
	}
	return highest
}

func (c *Condition) measure(g *kv.Glance) uint64 {
	switch c.kind {
	case atTerm:
		return uint64(g.Term)
	case atCommit:
		return uint64(g.Commit)
	case atApplied:
		return uint64(g.Applied)
	}
	return uint64(g.Revision)
}

func (c *Condition) isFault(f *Fault) bool {
	return c.fault != 0 && f.Kind == c.fault || c.fault == 0 && uint64(f.ID) == c.number
}

// turned says whether a member stopped or started.
func (s *stand) turned(w *Walk, c *Condition) bool {
	var hit netsim.Set
	for i, m := range w.world.members {
		stopped := s.lives[i] == up && m.life != up
		started := s.lives[i] != up && m.life == up
		if c.kind == atCrash && stopped || c.kind == atStart && started {
			hit |= netsim.Of(netsim.Endpoint(i))
		}
		s.lives[i] = m.life
	}
	return hit != 0 && (c.number == anyNumber ||
		c.number < uint64(len(w.world.members)) && hit.Has(netsim.Endpoint(c.number)))
}
