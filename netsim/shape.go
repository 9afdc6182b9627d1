package netsim

// Shape is the form of a partition: which directed links it cuts.
type Shape uint8

// The shapes. Side and target are arguments of Cuts.
const (
	Split       Shape = iota // side and the rest do not hear each other
	SplitOneWay              // the rest does not hear side, but side hears the rest
	Bridge                   // side and the rest are split, but the target hears and reaches both
	Ring                     // members hear only their two neighbours, seen from the target on
	Isolate                  // the target is alone
	IsolateIn                // the target hears nobody, but is heard
	IsolateOut               // nobody hears the target, but it hears all
	NumShapes
)

// String names the shape.
func (s Shape) String() string {
	names := [...]string{"split", "split-one-way", "bridge", "ring", "isolate", "isolate-in",
		"isolate-out"}
	if int(s) < len(names) {
		return names[s]
	}
	return "shape(?)"
}

// Cuts returns the rules of a partition between endpoints. Members are 0 to members-1; side may
// contain clients too, which then belong to that side, and clients outside of concerned are not
// affected. Target is a member.
func Cuts(s Shape, fault uint32, members int, concerned, side Set, target Endpoint) []Rule {
	all := Set(1)<<members - 1 | concerned
	cut := func(from, to Set) Rule { return Rule{Fault: fault, From: from, To: to, Cut: true} }
	one := Of(target)
	switch s {
	case Split:
		return []Rule{cut(side&all, all&^side), cut(all&^side, side&all)}
	case SplitOneWay:
		return []Rule{cut(side&all, all&^side)}
	case Bridge:
		a, b := side&all&^one, all&^side&^one
		return []Rule{cut(a, b), cut(b, a)}
	case Ring:
		return ring(fault, members, target)
	case Isolate:
		return []Rule{cut(one, all&^one), cut(all&^one, one)}
	case IsolateIn:
		return []Rule{cut(all&^one, one)}
	case IsolateOut:
		return []Rule{cut(one, all&^one)}
	}
	panic("netsim: unknown shape")
}

// ring lets every member talk to the next and the one before only. With the target as the start of
// the numbering, rings of different targets differ: steps of target+1 positions are neighbours when
// that reaches everyone.
func ring(fault uint32, members int, target Endpoint) []Rule {
	all := Set(1)<<members - 1
	step := int(target) + 1
	if gcd(step, members) != 1 {
		step = 1
	}
	var rules []Rule
	for i := 0; i < members; i++ {
		self := Of(Endpoint(i))
		next, before := (i+step)%members, (i+members-step%members)%members
		near := self | Of(Endpoint(next), Endpoint(before))
		if far := all &^ near; far != 0 {
			rules = append(rules, Rule{Fault: fault, From: self, To: far, Cut: true})
		}
	}
	return rules
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
