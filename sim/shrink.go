package sim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/detcd/detcd/netsim"
)

// Shrinking reduces a failing plan to what the failure needs: delta debugging (Zeller, Hildebrandt:
// Simplifying and Isolating Failure-Inducing Input, 2002) over faults, acts of clients and of the
// operator, members, and what differs from a quiet world; then times and sizes are halved. A
// candidate is kept when its run fails with the same signature. What is left out changes no draw of
// what stays, so most candidates go on as before.
type Shrinking struct {
	Plan   Plan // the smallest so far
	Finder Finder
	Width  int // how many candidates the finder likes to get at a time
}

// Finder tries candidates for a Shrinking.
type Finder interface {
	// First runs candidates, at the same time if it likes, and returns the first one that fails in
	// the same way, -1 if none does. It may return -1 at once when there is no time left.
	First(candidates []Plan) int
	// Stage is told what is left out next.
	Stage(name string)
}

// Shrink does all there is to do, until nothing can be left out any more.
func (s *Shrinking) Shrink(failure *Failure, acts []uint64) {
	s.Plan = clonePlan(&s.Plan)
	s.endSoon(failure)
	for {
		before := s.Plan.size()
		s.stage("faults", s.faults)
		s.stage("clients", s.clients)
		s.stage("watchers", s.watchers)
		s.stage("the operator", s.operator)
		s.stage("members", s.members)
		s.stage("what differs from a quiet world", s.settings)
		s.stage("acts", func() { s.acts(acts) })
		if s.Plan.size() == before {
			break
		}
	}
	s.stage("times and sizes", s.numbers)
	s.stage("what differs from a quiet world", s.settings)
	s.stage("faults", s.faults)
}

func (s *Shrinking) stage(name string, do func()) {
	s.Finder.Stage(name)
	do()
}

// size is what has to become small: the words of the text.
func (p *Plan) size() int { return len((&Scenario{Plan: *p}).Text()) }

// clonePlan copies a plan with all that it refers to.
func clonePlan(p *Plan) Plan {
	c := *p
	c.Machines, c.Watchers = slices.Clone(p.Machines), slices.Clone(p.Watchers)
	c.Scripts, c.Faults = slices.Clone(p.Scripts), slices.Clone(p.Faults)
	c.Reshapes = slices.Clone(p.Reshapes)
	for i := range c.Scripts {
		c.Scripts[i].Sends = slices.Clone(c.Scripts[i].Sends)
	}
	return c
}

// try keeps the first of some candidates that fails in the same way.
func (s *Shrinking) try(candidates ...Plan) (which int, ok bool) {
	which = -1
	if len(candidates) > 0 {
		which = s.Finder.First(candidates)
	}
	if which >= 0 {
		s.Plan = candidates[which]
	}
	return which, which >= 0
}

// edited is the plan with a change; ok is false if it makes no sense.
func (s *Shrinking) edited(change func(*Plan) bool) (p Plan, ok bool) {
	p = clonePlan(&s.Plan)
	return p, change(&p) && p.check() == nil
}

// endSoon lets the chaos end when the failure is there, or as early as the failure allows.
func (s *Shrinking) endSoon(failure *Failure) {
	end := func(at int64) (Plan, bool) {
		return s.edited(func(p *Plan) bool {
			late := at > p.Chaos
			p.Chaos = at
			p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return f.At >= at })
			p.Reshapes = slices.DeleteFunc(p.Reshapes, func(r Reshape) bool { return r.At >= at })
			return !late
		})
	}
	if failure.At < s.Plan.Chaos {
		if p, ok := end(failure.At + millisecond); ok {
			s.try(p)
		}
	}
	for step := s.Plan.Chaos / 2; step >= 100*millisecond; step /= 2 {
		if p, ok := end(s.Plan.Chaos - step); ok {
			s.try(p)
		}
	}
}

// reduce leaves out runs of n items, half of them, a quarter, down to single ones.
func (s *Shrinking) reduce(count func(*Plan) int, without func(p *Plan, lo, hi int)) {
	for size := count(&s.Plan); size >= 1; size /= 2 {
		for at := 0; at < count(&s.Plan); {
			n := count(&s.Plan)
			var candidates []Plan
			var starts []int
			for lo := at; lo < n && len(starts) < max(s.Width, 1); lo += size {
				p, ok := s.edited(func(p *Plan) bool {
					without(p, lo, min(lo+size, n))
					return true
				})
				if ok {
					candidates, starts = append(candidates, p), append(starts, lo)
				}
				at = lo + size
			}
			if which, ok := s.try(candidates...); ok {
				at = starts[which] // what followed has moved here
			}
		}
	}
}

func (s *Shrinking) faults() {
	s.reduce(func(p *Plan) int { return len(p.Faults) }, func(p *Plan, lo, hi int) {
		p.Faults = slices.Delete(p.Faults, lo, hi)
	})
}

func (s *Shrinking) operator() {
	s.reduce(func(p *Plan) int { return len(p.Reshapes) }, func(p *Plan, lo, hi int) {
		p.Reshapes = slices.Delete(p.Reshapes, lo, hi)
	})
}

// clients silences clients, and drops those at the end that are silent.
func (s *Shrinking) clients() {
	s.reduce(func(p *Plan) int { return len(speaking(p)) }, func(p *Plan, lo, hi int) {
		for _, i := range speaking(p)[lo:hi] {
			p.Scripts[i] = quiet(p).Scripts[i]
		}
	})
	p, ok := s.edited(func(p *Plan) bool {
		n := len(p.Scripts)
		for n > 0 && p.Scripts[n-1].Silent {
			n--
		}
		for e := len(p.Scripts) - 1; e >= n; e-- {
			p.dropEndpoint(p.Members + e)
		}
		dropped := n < len(p.Scripts)
		p.Scripts = p.Scripts[:n]
		return dropped
	})
	if ok {
		s.try(p)
	}
}

func speaking(p *Plan) (all []int) {
	for i := range p.Scripts {
		if !p.Scripts[i].Silent {
			all = append(all, i)
		}
	}
	return all
}

func (s *Shrinking) watchers() {
	watching := func(p *Plan) (all []int) {
		for i := range p.Watchers {
			if !p.Watchers[i].Silent {
				all = append(all, i)
			}
		}
		return all
	}
	s.reduce(func(p *Plan) int { return len(watching(p)) }, func(p *Plan, lo, hi int) {
		for _, i := range watching(p)[lo:hi] {
			p.Watchers[i] = quiet(p).Watchers[i]
		}
	})
	p, ok := s.edited(func(p *Plan) bool {
		n := len(p.Watchers)
		for n > 0 && p.Watchers[n-1].Silent {
			n--
		}
		dropped := n < len(p.Watchers)
		p.Watchers = p.Watchers[:n]
		return dropped
	})
	if ok {
		s.try(p)
	}
}

// members takes members away, one by one.
func (s *Shrinking) members() {
	for again := true; again && s.Plan.Members > 1; {
		var candidates []Plan
		for victim := s.Plan.Members - 1; victim >= 0; victim-- {
			p, ok := s.edited(func(p *Plan) bool { return p.dropMember(victim) })
			if ok {
				candidates = append(candidates, p)
			}
		}
		_, again = s.try(candidates...)
	}
}

// dropMember takes a member away; those behind it move up.
func (p *Plan) dropMember(victim int) bool {
	if victim < p.Founders {
		p.Founders--
	}
	p.Members--
	if p.Members < 1 || p.Founders < 1 || victim >= len(p.Machines) {
		return false
	}
	p.Machines = slices.Delete(p.Machines, victim, victim+1)
	moved := func(m int) int {
		if m > victim {
			m--
		}
		return min(m, p.Members-1)
	}
	for i := range p.Faults {
		p.Faults[i].Member = moved(p.Faults[i].Member)
	}
	for i := range p.Scripts {
		p.Scripts[i].Home = moved(p.Scripts[i].Home)
	}
	for i := range p.Watchers {
		p.Watchers[i].Home = moved(p.Watchers[i].Home)
	}
	p.dropEndpoint(victim)
	return true
}

// dropEndpoint takes a place of the network out of all sets; those behind it move up.
func (p *Plan) dropEndpoint(e int) {
	cut := func(s netsim.Set) netsim.Set {
		low := netsim.Set(1)<<e - 1
		return s&low | s>>1&^low
	}
	p.Absent = cut(p.Absent)
	for i := range p.Faults {
		f := &p.Faults[i]
		f.Side, f.Concerned = cut(f.Side), cut(f.Concerned)
	}
}

// acts leaves acts of clients out, one client after the other.
func (s *Shrinking) acts(acts []uint64) {
	for _, client := range speaking(&s.Plan) {
		if client >= len(acts) {
			continue
		}
		whole := s.Plan.Scripts[client].Sends
		if len(whole) == 0 {
			p, ok := s.edited(func(p *Plan) bool {
				p.Scripts[client].Sends = []Span{{1, max(acts[client], 1)}}
				return true
			})
			if _, same := s.try(p); !ok || !same {
				continue
			}
		}
		s.reduce(func(p *Plan) int { return len(numbersOf(p.Scripts[client].Sends)) },
			func(p *Plan, lo, hi int) {
				left := slices.Delete(numbersOf(p.Scripts[client].Sends), lo, hi)
				p.Scripts[client].Sends = spansOf(left)
				if len(left) == 0 {
					p.Scripts[client] = quiet(p).Scripts[client]
				}
			})
	}
}

// numbersOf lists what spans contain.
func numbersOf(spans []Span) (all []uint64) {
	for _, x := range spans {
		for n := x.First; n <= x.Last; n++ {
			all = append(all, n)
		}
	}
	return all
}

// spansOf is the opposite of numbersOf, for numbers in order.
func spansOf(numbers []uint64) (all []Span) {
	for _, n := range numbers {
		if last := len(all) - 1; last >= 0 && all[last].Last+1 == n {
			all[last].Last = n
		} else {
			all = append(all, Span{n, n})
		}
	}
	return all
}

// fieldAt is a field of a plan's part, by numbers, so that it can be found in a copy.
type fieldAt struct{ part, field int }

// parts are all parts of a plan with what they are compared with: itself, its sections, its faults.
func (p *Plan) parts(q *Plan) []section {
	all := append([]section{{"world", -1, p, q}}, p.sections(q)...)
	for i := range p.Faults {
		f := &p.Faults[i]
		all = append(all, section{"fault", i, f, &Fault{ID: f.ID, Kind: f.Kind, At: f.At}})
	}
	return all
}

// differing lists the fields that differ from a quiet world and may do so no longer.
func differing(p *Plan) (all []fieldAt) {
	q := quiet(p)
	for i, x := range p.parts(&q) {
		h, b := reflect.ValueOf(x.have).Elem(), reflect.ValueOf(x.base).Elem()
		for f := range h.NumField() {
			name := h.Type().Field(f).Name
			if x.name == "world" && (slices.Contains(elsewhere, name) || name == "Chaos" ||
				name == "Founders") || name == "Silent" || name == "Sends" {
				continue
			}
			if !reflect.DeepEqual(h.Field(f).Interface(), b.Field(f).Interface()) {
				all = append(all, fieldAt{i, f})
			}
		}
	}
	return all
}

// settings lets what differs from a quiet world be as there.
func (s *Shrinking) settings() {
	s.reduce(func(p *Plan) int { return len(differing(p)) }, func(p *Plan, lo, hi int) {
		q := quiet(p)
		parts := p.parts(&q)
		for _, at := range differing(p)[lo:hi] {
			x := parts[at.part]
			reflect.ValueOf(x.have).Elem().Field(at.field).Set(
				reflect.ValueOf(x.base).Elem().Field(at.field))
		}
	})
}

// numbers halves times and sizes, and rounds them.
func (s *Shrinking) numbers() {
	q := quiet(&s.Plan)
	for i, x := range s.Plan.parts(&q) {
		v := reflect.ValueOf(x.have).Elem()
		for f := range v.NumField() {
			name := v.Type().Field(f).Name
			if x.name == "world" && slices.Contains(elsewhere, name) || !v.Field(f).CanInt() ||
				name == "Member" || name == "Home" || name == "Founders" {
				continue
			}
			s.smaller(fieldAt{i, f})
		}
	}
}

// smaller makes one number smaller or rounder, as far as it goes.
func (s *Shrinking) smaller(at fieldAt) {
	value := func(p *Plan) reflect.Value {
		q := quiet(p)
		return reflect.ValueOf(p.parts(&q)[at.part].have).Elem().Field(at.field)
	}
	to := func(n int64) bool {
		if n == value(&s.Plan).Int() {
			return false
		}
		p, ok := s.edited(func(p *Plan) bool {
			if value(p).OverflowInt(n) {
				return false
			}
			value(p).SetInt(n)
			return true
		})
		if !ok {
			return false
		}
		_, ok = s.try(p)
		return ok
	}
	q := quiet(&s.Plan)
	x := s.Plan.parts(&q)[at.part]
	if value(&s.Plan).Int() == reflect.ValueOf(x.base).Elem().Field(at.field).Int() &&
		x.name != "fault" {
		return
	}
	least := int64(1)
	if slices.Contains(durations, fieldName(x, at.field)) {
		least = 2 * millisecond // shorter times tell nobody anything
	}
	for n := value(&s.Plan).Int(); n > least && to(n/2); n /= 2 {
	}
	for _, unit := range []int64{second, 100 * millisecond, 10 * millisecond, millisecond} {
		n := value(&s.Plan).Int()
		if n >= unit && (n%unit == 0 || to(n-n%unit) || to(n-n%unit+unit)) {
			break
		}
	}
}

func fieldName(x section, field int) string {
	return reflect.ValueOf(x.have).Elem().Type().Field(field).Name
}

// Story says in a few words what a scenario is.
func (s *Scenario) Story(f *Failure) {
	s.Expect = f.Signature()
	s.Comments = append(s.Comments, fmt.Sprintf("%s at %d.%06ds, event %d:", f.Oracle,
		f.At/second, f.At%second/microsecond, f.Event),
		strings.TrimSpace(firstLine(f.Message)))
}

func firstLine(text string) string {
	const longest = 300
	for i, r := range text {
		if r == '\n' || i > longest {
			return text[:i]
		}
	}
	return text
}
