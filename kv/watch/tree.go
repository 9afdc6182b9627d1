package watch

// The intervals of keys that somebody watches, to be asked which of them hold a key. It is an AVL
// tree ordered by (from, to) in which each node knows the highest end below it, so that a question
// passes by whole subtrees that end too early.
//
// Example, intervals and the highest ends (∞ is no end):
//
//	           [c, f) max ∞
//	          /            \
//	   [a, d) max d     [d, ∞) max ∞
//
// Invariants: children's heights differ by one at most; max is the highest end of the subtree; no
// node is without scopes between two calls.

import "bytes"

// span is one interval with the scopes that have it.
type span struct {
	from, to    []byte // a nil to has no end
	max         []byte // the highest end in this subtree, nil for no end
	height      int
	left, right *span
	scopes      []*scope
}

type tree struct{ root *span }

// compareEnds orders ends of intervals; nil is beyond all others.
func compareEnds(a, b []byte) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return bytes.Compare(a, b)
}

func (s *span) compare(from, to []byte) int {
	if c := bytes.Compare(from, s.from); c != 0 {
		return c
	}
	return compareEnds(to, s.to)
}

// stab appends the scopes of all intervals that hold key.
func (t *tree) stab(key []byte, out []*scope) []*scope { return t.root.stab(key, out) }

func (s *span) stab(key []byte, out []*scope) []*scope {
	for s != nil && (s.max == nil || bytes.Compare(key, s.max) < 0) {
		out = s.left.stab(key, out)
		if bytes.Compare(key, s.from) < 0 {
			return out
		}
		if s.to == nil || bytes.Compare(key, s.to) < 0 {
			out = append(out, s.scopes...)
		}
		s = s.right
	}
	return out
}

// find returns the interval's node, nil if there is none.
func (t *tree) find(from, to []byte) *span {
	s := t.root
	for s != nil {
		switch c := s.compare(from, to); {
		case c == 0:
			return s
		case c < 0:
			s = s.left
		default:
			s = s.right
		}
	}
	return nil
}

// insert adds an interval that is not there.
func (t *tree) insert(n *span) { t.root = t.root.insert(n) }

func (s *span) insert(n *span) *span {
	if s == nil {
		n.left, n.right = nil, nil
		n.renew()
		return n
	}
	if s.compare(n.from, n.to) < 0 {
		s.left = s.left.insert(n)
	} else {
		s.right = s.right.insert(n)
	}
	return s.balance()
}

// remove drops an interval that is there.
func (t *tree) remove(from, to []byte) { t.root = t.root.remove(from, to) }

func (s *span) remove(from, to []byte) *span {
	switch c := s.compare(from, to); {
	case c < 0:
		s.left = s.left.remove(from, to)
	case c > 0:
		s.right = s.right.remove(from, to)
	case s.left == nil:
		return s.right
	case s.right == nil:
		return s.left
	default:
		next, rest := s.right.removeFirst()
		next.left, next.right = s.left, rest
		return next.balance()
	}
	return s.balance()
}

// removeFirst takes the lowest interval out of a subtree.
func (s *span) removeFirst() (first, rest *span) {
	if s.left == nil {
		return s, s.right
	}
	first, s.left = s.left.removeFirst()
	return first, s.balance()
}

func (s *span) tall() int {
	if s == nil {
		return 0
	}
	return s.height
}

// renew derives height and max from the children.
func (s *span) renew() {
	s.height = 1 + max(s.left.tall(), s.right.tall())
	s.max = s.to
	for _, c := range [2]*span{s.left, s.right} {
		if c != nil && compareEnds(c.max, s.max) > 0 {
			s.max = c.max
		}
	}
}

// balance restores the invariants of a node one of whose children grew or shrank by one level.
func (s *span) balance() *span {
	switch lean := s.left.tall() - s.right.tall(); {
	case lean > 1:
		if s.left.left.tall() < s.left.right.tall() {
			s.left = s.left.rotateLeft()
		}
		return s.rotateRight()
	case lean < -1:
		if s.right.right.tall() < s.right.left.tall() {
			s.right = s.right.rotateRight()
		}
		return s.rotateLeft()
	}
	s.renew()
	return s
}

func (s *span) rotateRight() *span {
	top := s.left
	s.left, top.right = top.right, s
	s.renew()
	top.renew()
	return top
}

func (s *span) rotateLeft() *span {
	top := s.right
	s.right, top.left = top.left, s
	s.renew()
	top.renew()
	return top
}
