package linearizability

import (
	"errors"
	"fmt"
	"io"
	"time" //detcd:allow import: a search is bounded by wall time, and its result says so

	"github.com/anishathalye/porcupine"
)

// Verdict is the outcome of a check.
type Verdict uint8

// The verdicts. Undecided is a failure too: a history that cannot be judged proves nothing.
const (
	_ Verdict = iota
	Legal
	Illegal
	Undecided
)

// Result is what one checker says about a history.
type Result struct {
	Checker string
	Verdict Verdict
	// Detail says what is wrong, for people.
	Detail string
	// At is the operation that nothing explains, Watcher the one that saw what cannot be; nil where
	// a checker cannot tell.
	At      *Operation
	Watcher *Watch

	model porcupine.Model
	drawn []porcupine.Operation
}

// Err is nil when the history is legal.
func (r *Result) Err() error {
	switch r.Verdict {
	case Legal:
		return nil
	case Illegal:
		return fmt.Errorf("linearizability: %s: illegal: %s", r.Checker, r.Detail)
	}
	return fmt.Errorf("linearizability: %s: undecided: %s", r.Checker, r.Detail)
}

// drawTime bounds the search whose partial orders a picture shows; what it found by then is drawn.
const drawTime = 10 * time.Second

// Visualize writes a page that shows the part of the history around the failure: the operations
// as bars over time, and how far an order could be found.
func (r *Result) Visualize(w io.Writer) error {
	if len(r.drawn) == 0 {
		return errors.New("linearizability: " + r.Checker + ": there is nothing to draw")
	}
	_, info := porcupine.CheckOperationsVerbose(r.model, r.drawn, drawTime)
	if err := porcupine.Visualize(r.model, info, w); err != nil {
		return fmt.Errorf("linearizability: visualize: %w", err)
	}
	return nil
}

// CheckStore searches for an order of all operations that one store could have executed, with
// every field of every response as seen, and in real-time order. Serializable reads take no part.
// Operations that are still Unknown are allowed, but a few dozen of them exhaust any timeout.
func CheckStore(history []Operation, timeout time.Duration) Result {
	r := Result{Checker: "store", Verdict: Legal}
	if err := Check(history); err != nil {
		return Result{Checker: "store", Verdict: Illegal, Detail: err.Error()}
	}
	r.model = storeModel(NewState())
	ops := storeOperations(history)
	switch porcupine.CheckOperationsTimeout(newGuide(history).model(), ops, timeout) {
	case porcupine.Ok:
		return r
	case porcupine.Unknown:
		r.Verdict, r.Detail = Undecided, fmt.Sprintf("no order found within %v", timeout)
	case porcupine.Illegal:
		r.Verdict, r.Detail = Illegal, "no order of the operations explains the responses"
	}
	r.draw(history)
	return r
}

// draw chooses the operations to show, and names the one that Replay stumbles over.
func (r *Result) draw(history []Operation) {
	run, replayed := Replay(history)
	if replayed.Verdict == Legal {
		r.drawn = storeOperations(history)
		return
	}
	r.Detail += "; " + replayed.Detail
	r.At = replayed.At
	r.model, r.drawn = run.around(history)
}

func storeOperations(history []Operation) []porcupine.Operation {
	ops := make([]porcupine.Operation, 0, len(history))
	for i := range history {
		if op := &history[i]; op.judged() {
			ops = append(ops, storeOperation(op))
		}
	}
	return ops
}

func storeOperation(op *Operation) porcupine.Operation {
	end := op.Return
	if op.Outcome == Unknown {
		end = Never
	}
	return porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Return: end}
}

func storeModel(first *State) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(state, input, _ any) (bool, any) {
			next, diff := state.(*State).step(input.(*Operation))
			return diff == nil, next
		},
		Equal:             func(a, b any) bool { return a.(*State).equal(b.(*State)) },
		Hash:              func(state any) uint64 { return state.(*State).hash() },
		DescribeOperation: func(input, _ any) string { return input.(*Operation).String() },
		DescribeState: func(state any) string {
			s := state.(*State)
			return fmt.Sprintf("revision %d, %d keys", s.revision, len(s.kvs))
		},
	}
}

// model is storeModel for a search that starts with a virgin store. Two states are compared when
// the same operations lead to them, so what the guide counts needs no look.
func (g *guide) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return guided{State: NewState()} },
		Step: func(state, input, _ any) (bool, any) {
			next, ok := g.step(state.(guided), input.(*Operation))
			return ok, next
		},
		Equal: func(a, b any) bool { return a.(guided).equal(b.(guided).State) },
		Hash:  func(state any) uint64 { return state.(guided).hash() },
	}
}

// String shows the operation on one line.
func (op *Operation) String() string {
	_, req := op.Request.message()
	return fmt.Sprintf("%T{%v} -> %s", req, req, op.ending())
}

func (op *Operation) ending() string {
	switch op.Outcome {
	case OK:
		return fmt.Sprint(op.Response.message())
	case Failed:
		return op.Err
	case Applied:
		return fmt.Sprintf("no answer, revision %d", op.Revision)
	}
	return "no answer"
}
