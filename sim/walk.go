package sim

import "fmt"

// Walk moves through a run event by event, in both directions. Runs are deterministic and quick, so
// no state is kept for the way back: it leads through the beginning, by performing all again.
// A walk stands behind an event; everything that it shows is as that event left it.
type Walk struct {
	plan    Plan
	world   *world
	head    string // of the event that it stands behind, in words
	last    event
	started bool
	outcome *Result // of the whole run, when somebody has asked
}

// NewWalk returns a walk through the run of a plan, before its first event.
func NewWalk(plan *Plan) *Walk {
	w := &Walk{plan: *plan}
	w.restart()
	return w
}

func (w *Walk) restart() {
	plan := w.plan
	w.world = newWorld(&plan, &Options{})
	w.started, w.head = false, ""
}

// Plan is the plan of the run.
func (w *Walk) Plan() *Plan { return &w.plan }

// Event is the number of the event that the walk stands behind; ok is false before the first.
func (w *Walk) Event() (number uint64, ok bool) {
	if !w.started {
		return 0, false
	}
	return w.world.trace.events - 1, true
}

// Time is the virtual time in nanoseconds.
func (w *Walk) Time() int64 { return w.world.now }

// Head is the event that the walk stands behind in words, and its time.
func (w *Walk) Head() string {
	n, ok := w.Event()
	if !ok {
		return "before the first event"
	}
	return fmt.Sprintf("event %d at %s: %s", n, clockTime(w.world.now), w.head)
}

// Failure is what an oracle has objected to so far, nil if nothing.
func (w *Walk) Failure() *Failure { return w.world.failure }

// Over says whether the run has ended, well or not.
func (w *Walk) Over() bool { return w.world.done || w.world.failure != nil }

// Next performs one event; false says that the run is over.
func (w *Walk) Next() bool {
	if w.Over() {
		return false
	}
	if next, ok := w.world.peek(); ok {
		w.last = next
		w.head = w.world.describe(&next)
	}
	if !w.world.step(DefaultMaxEvents) {
		return false
	}
	w.started = true
	return true
}

// advance is Next without words.
func (w *Walk) advance() bool {
	w.last, _ = w.world.peek()
	ok := w.world.step(DefaultMaxEvents)
	w.started = w.started || ok
	return ok
}

// Goto stands behind an event, whichever direction that is.
func (w *Walk) Goto(number uint64) error {
	if n, ok := w.Event(); ok && number <= n {
		w.restart()
	}
	for w.world.trace.events < number {
		if !w.advance() {
			n, _ := w.Event()
			return fmt.Errorf("event %d is none: the run ends with event %d", number, n)
		}
	}
	if !w.Next() {
		n, _ := w.Event()
		return fmt.Errorf("event %d is none: the run ends with event %d", number, n)
	}
	return nil
}

// Back stands behind the event before; false says that there is none.
func (w *Walk) Back() (bool, error) {
	n, ok := w.Event()
	if !ok || n == 0 {
		return false, nil
	}
	return true, w.Goto(n - 1)
}

// Outcome is the result of the whole run, with its judgement. It is computed once.
func (w *Walk) Outcome() *Result {
	if w.outcome == nil {
		plan := w.plan
		r := RunPlan(&plan, Options{})
		w.outcome = &r
	}
	return w.outcome
}

// Forked is the walk through the run that is the same up to where this one stands, and draws
// differently from there on. It stands at the same place.
func (w *Walk) Forked(seed uint64) (*Walk, error) {
	plan := w.plan
	if plan.Fork.Seed != 0 {
		return nil, fmt.Errorf("this run is a fork itself, at event %d: go back to the run that "+
			"it came from", plan.Fork.Event)
	}
	if seed == 0 {
		return nil, fmt.Errorf("seed 0 is no fork")
	}
	plan.Fork = Fork{Event: w.world.trace.events, Seed: seed}
	fork := NewWalk(&plan)
	if n, ok := w.Event(); ok {
		if err := fork.Goto(n); err != nil {
			return nil, err
		}
	}
	return fork, nil
}

// peek is the event that the next step performs.
func (w *world) peek() (event, bool) {
	if len(w.heap.list) == 0 {
		return event{}, false
	}
	return w.heap.list[0], true
}
