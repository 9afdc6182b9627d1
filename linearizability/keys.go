package linearizability

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time" //detcd:allow import: a search is bounded by wall time, and its result says so

	"github.com/anishathalye/porcupine"
)

// CheckKeys judges every key alone, as a register that is set, removed and read, by values only:
// it asks for an order per key that explains the values seen. It believes neither the revisions in
// responses nor what a world says of lost answers (an Applied operation counts as Unknown), so it
// stands on its own when the oracle or the revision arithmetic is wrong. What it cannot see is
// anything between keys, and anything that needs revisions. The timeout is for each key.
//
// An Unknown write may take effect at any time, or never, and a search over many of those does not
// end. So they are not searched over:
//
//   - A write of a value that somebody saw is an operation like others. If nobody else writes that
//     value, it took effect before the first one who saw it returned.
//   - Of any other, only that it removed or replaced what was there can ever show. It is taken for
//     granted when something seen demands it: a key was found missing that should be there, or
//     the other way round. A demand is met if fewer such demands came before it in the order than
//     there are lost writes of the kind called until then. That is a little more than a store
//     could do, so it can hide a violation in a history with lost answers; it invents none.
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

// keyOperations chooses the operations of one key to search over, and counts the hidden ones: the
// lost writes of which nobody saw a value.
func keyOperations(all []keyOperation) []porcupine.Operation {
	v := viewOf(all)
	var removals, replacements []int64 // when the hidden writes were called, in order
	var searched []*keyOperation
	for i := range all {
		op := &all[i]
		switch {
		case op.finish != Never:
			searched = append(searched, op)
		case op.facts[0].kind == removes:
			removals = append(removals, op.call)
		case v.saw(op.facts[0].value):
			op.finish = max(op.call, v.deadline(op.facts[0].value))
			searched = append(searched, op)
		default:
			replacements = append(replacements, op.call)
		}
	}
	slices.Sort(removals)
	slices.Sort(replacements)
	ops := make([]porcupine.Operation, len(searched))
	for i, op := range searched {
		op.removals, op.replacements = upTo(removals, op.finish), upTo(replacements, op.finish)
		ops[i] = porcupine.Operation{
			ClientId: op.op.Client, Input: op, Call: op.call, Return: op.finish,
		}
	}
	return ops
}

// upTo counts the times that are not later than the limit.
func upTo(times []int64, limit int64) int {
	return sort.Search(len(times), func(i int) bool { return times[i] > limit })
}

// view is what all operations together saw of a key and wrote to it.
type view struct {
	writers map[string]int   // how many operations write a value
	seen    map[string]int64 // by value: the earliest return of one who saw it
}

func viewOf(all []keyOperation) view {
	v := view{writers: map[string]int{}, seen: map[string]int64{}}
	for i := range all {
		for _, f := range all[i].facts {
			if f.kind == sets {
				v.writers[f.value]++
			}
			if f.kind != isValue {
				continue
			}
			if at, ok := v.seen[f.value]; !ok || all[i].finish < at {
				v.seen[f.value] = all[i].finish
			}
		}
	}
	return v
}

func (v *view) saw(value string) bool {
	_, seen := v.seen[value]
	return seen
}

// deadline is when a lost write took effect at the latest, if it ever did.
func (v *view) deadline(value string) int64 {
	if v.writers[value] == 1 {
		return v.seen[value]
	}
	return Never
}

// register is what a key holds, as far as that is known, and how often a hidden write was needed
// to explain it.
type register struct {
	content                content
	value                  string // if the content is a known value
	removals, replacements int
}

type content uint8

const (
	absent content = iota
	known          // value
	hidden         // some value of a hidden write
	unsure         // hidden or absent
)

// apply says whether the operation can have seen what it saw, and what the key holds afterwards.
func (r register) apply(op *keyOperation) (register, bool) {
	for _, f := range op.facts {
		ok := true
		switch f.kind {
		case isAbsent:
			if r.content == known || r.content == hidden {
				ok = r.removals < op.removals
				r.removals++
			}
			r.content, r.value = absent, ""
		case isPresent:
			if r.content == absent {
				ok = r.replacements < op.replacements
				r.replacements++
			}
			if r.content != known {
				r.content = hidden
			}
		case isValue:
			ok = r.content == known && r.value == f.value
		case isNotValue:
			if r.content == known && r.value == f.value {
				ok = op.removals+op.replacements > 0
				r.content, r.value = unsure, ""
			}
		case sets:
			r.content, r.value = known, f.value
		case removes:
			r.content, r.value = absent, ""
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
			next, ok := state.(register).apply(input.(*keyOperation))
			return ok, next
		},
		Hash: func(state any) uint64 { return hashBytes(0, []byte(state.(register).value)) },
		DescribeOperation: func(input, _ any) string {
			return input.(*keyOperation).op.String()
		},
		DescribeState: func(state any) string {
			r := state.(register)
			return [...]string{"absent", strconv.Quote(r.value), "a lost value", "?"}[r.content]
		},
	}
}
