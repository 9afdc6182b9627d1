package watch

// A stream's watchers, by number and by id. Most streams have one or two, some have thousands; so
// there is a map only where a list would be slow, and it is only asked, never walked.

// stream is one watch stream.
type stream struct {
	id       StreamID
	watchers []*watcher
	ids      map[int64]*watcher // never ranged; nil while there are few watchers
	nextID   int64
	pending  int        // bytes charged and not reported as consumed
	live     int        // watchers that are live
	blocked  []*watcher // behind, and waiting for room
	// notices counts the watchers that want progress notices; the next ones are due at noticeAt,
	// and slot is the place in Hub.notices, -1 if it is not there.
	notices  int
	noticeAt int64
	slot     int
}

func (s *stream) due() int64      { return s.noticeAt }
func (s *stream) moved(place int) { s.slot = place }

// fewWatchers is the number up to which a list is searched faster than a map.
const fewWatchers = 8

func (s *stream) find(id int64) *watcher {
	if s.ids != nil {
		return s.ids[id]
	}
	for _, w := range s.watchers {
		if w.id == id {
			return w
		}
	}
	return nil
}

func (s *stream) add(w *watcher) {
	w.index = len(s.watchers)
	s.watchers = append(s.watchers, w)
	if s.ids == nil && len(s.watchers) > fewWatchers {
		s.ids = make(map[int64]*watcher)
		for _, each := range s.watchers {
			s.ids[each.id] = each
		}
	} else if s.ids != nil {
		s.ids[w.id] = w
	}
}

func (s *stream) drop(w *watcher) {
	last := len(s.watchers) - 1
	s.watchers[w.index] = s.watchers[last]
	s.watchers[w.index].index = w.index
	s.watchers[last] = nil
	s.watchers = s.watchers[:last]
	if s.ids != nil {
		delete(s.ids, w.id)
	}
}

// freeID returns the next number that no watcher of the stream has.
func (s *stream) freeID() int64 {
	for s.find(s.nextID) != nil {
		s.nextID++
	}
	s.nextID++
	return s.nextID - 1
}
