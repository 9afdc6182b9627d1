package linearizability

import (
	"fmt"
	"time" //detcd:allow import: a search is bounded by wall time, and its result says so

	"github.com/anishathalye/porcupine"
)

// CheckKeys judges every key alone, as a register that is set, removed and read, by values only:
// it asks for an order per key that explains the values seen. It believes neither the revisions in
// responses nor what a world says of lost answers (an Applied operation counts as Unknown), so it
// stands on its own when the oracle or the revision arithmetic is wrong. What it cannot see is
// anything between keys, and anything that needs revisions. The timeout is for each key.
//
// An Unknown write may take effect at any time, or never. Two observations make that cheap without
// changing any verdict. A write of a value that nobody else writes to this key, and that was seen,
// took effect before the first one who saw it returned. And one that nobody's view of the key
// needs, can be left out.
func CheckKeys(history []Operation, timeout time.Duration) Result {
	result := Result{Checker: "keys", Verdict: Legal}
	if err := Check(history); err != nil {
		return Result{Checker: "keys", Verdict: Illegal, Detail: err.Error()}
	}
	p := project(history)
	for at, key := range p.keys {
		ops := keyOperations(p.operations[at])
		verdict := porcupine.CheckOperationsTimeout(registerModel(), ops, timeout)
		if verdict == porcupine.Ok {
			continue
		}
		result.Verdict, result.model, result.drawn = Undecided, registerModel(), ops
		result.Detail = fmt.Sprintf("key %q: no order found within %v", key, timeout)
		if verdict == porcupine.Illegal {
			result.Verdict = Illegal
			result.Detail = fmt.Sprintf("key %q: no order of %d operations explains the values",
				key, len(ops))
			return result
		}
	}
	return result
}

// keyOperations settles what can be settled of the lost writes of one key.
func keyOperations(all []keyOperation) []porcupine.Operation {
	v := viewOf(all)
	var ops []porcupine.Operation
	for i := range all {
		op := &all[i]
		finish := op.finish
		if op.finish == Never {
			if !v.needs(op.facts[0]) {
				continue
			}
			finish = v.deadline(op.facts[0])
		}
		ops = append(ops, porcupine.Operation{
			ClientId: op.op.Client, Input: op, Call: op.call, Return: max(finish, op.call),
		})
	}
	return ops
}

// view is what all operations together saw of a key and wrote to it.
type view struct {
	writers map[string]int   // how many operations write a value
	seen    map[string]int64 // by value: the earliest return of one who saw it
	absent  bool             // somebody saw the key missing
	vague   bool             // somebody saw something that several values explain
}

func viewOf(all []keyOperation) view {
	v := view{writers: map[string]int{}, seen: map[string]int64{}}
	for i := range all {
		for _, f := range all[i].facts {
			switch f.kind {
			case sets:
				v.writers[f.value]++
			case isValue:
				if at, ok := v.seen[f.value]; !ok || all[i].finish < at {
					v.seen[f.value] = all[i].finish
				}
			case isAbsent:
				v.absent = true
			case isPresent, isNotValue:
				v.vague = true
			case removes:
			}
		}
	}
	return v
}

// needs says whether a lost write could explain something that was seen.
func (v *view) needs(f fact) bool {
	if f.kind == removes {
		return v.absent || v.vague
	}
	_, seen := v.seen[f.value]
	return seen || v.vague
}

// deadline is when a lost write took effect at the latest, if it ever did.
func (v *view) deadline(f fact) int64 {
	if at, seen := v.seen[f.value]; f.kind == sets && seen && v.writers[f.value] == 1 {
		return at
	}
	return Never
}

// register is what a key holds.
type register struct {
	present bool
	value   string
}

func (r register) apply(facts []fact) (register, bool) {
	for _, f := range facts {
		ok := true
		switch f.kind {
		case isAbsent:
			ok = !r.present
		case isPresent:
			ok = r.present
		case isValue:
			ok = r.present && r.value == f.value
		case isNotValue:
			ok = !r.present || r.value != f.value
		case sets:
			r = register{present: true, value: f.value}
		case removes:
			r = register{}
		}
		if !ok {
			return r, false
		}
	}
	return r, true
}

func registerModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return register{} },
		Step: func(state, input, _ any) (bool, any) {
			next, ok := state.(register).apply(input.(*keyOperation).facts)
			return ok, next
		},
		Hash: func(state any) uint64 { return hashBytes(0, []byte(state.(register).value)) },
		DescribeOperation: func(input, _ any) string {
			return input.(*keyOperation).op.String()
		},
		DescribeState: func(state any) string {
			if r := state.(register); r.present {
				return fmt.Sprintf("%q", r.value)
			}
			return "absent"
		},
	}
}
