package watch

// A heap whose members know their places, so that one of them can leave it from the middle.

// timed is a member: due says when its turn comes, moved tells it where it is.
type timed interface {
	due() int64
	moved(place int)
}

// heap has the member that is due first at its front. Members that are due together come in an
// order that depends only on what was done to the heap.
type heap[T timed] struct{ list []T }

func (h *heap[T]) first() (member T, ok bool) {
	if len(h.list) == 0 {
		return member, false
	}
	return h.list[0], true
}

func (h *heap[T]) push(m T) {
	h.list = append(h.list, m)
	m.moved(len(h.list) - 1)
	h.rise(len(h.list) - 1)
}

// remove takes out the member at a place.
func (h *heap[T]) remove(place int) {
	var zero T
	last := len(h.list) - 1
	h.swap(place, last)
	h.list[last].moved(-1)
	h.list[last] = zero
	h.list = h.list[:last]
	if place < last {
		h.rise(place)
		h.sink(place)
	}
}

func (h *heap[T]) rise(i int) {
	for i > 0 && h.list[i].due() < h.list[(i-1)/2].due() {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *heap[T]) sink(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h.list); c++ {
			if h.list[c].due() < h.list[least].due() {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h *heap[T]) swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].moved(i)
	h.list[j].moved(j)
}
