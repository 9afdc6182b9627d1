package revlog

// Checkpoints, and which files the kept generations need. Two durable generations are kept, though
// a start loads the newest only, and one that is damaged is never passed over (see open.go). The
// older one serves
//   - raft's log, which is kept from it on: it says how far back entries are promised to followers
//     and to receivers of a shipment;
//   - a start, which learns from it that the newest was not installed from a shipment: an install
//     leaves no predecessor, and only after one may the log end before the state;
//   - people: it is whole, with all its files, and the log goes on from it, so that moving a newest
//     manifest away that the disk has damaged gives a start that loses nothing.

import (
	"math"
	"slices"
)

// file is a segment file that may be referred to.
type file struct {
	id     uint64
	name   string
	length int64 // 0 until it is sealed
	born   uint64
}

// grave is a name to be removed once no pin of the epochs [born, doomed] is held.
type grave struct {
	name         string
	length       int64 // counted in Log.bytes
	born, doomed uint64
}

// free is a grave that no pin holds.
func free(name string, length int64) grave {
	return grave{name: name, length: length, born: math.MaxUint64}
}

// StartCheckpoint begins a manifest generation that covers everything appended so far. It panics
// if one is running. c.State belongs to the log from now on.
func (l *Log) StartCheckpoint(c Checkpoint) {
	if l.Checkpointing() || !l.scanned {
		panic("revlog: StartCheckpoint while one is running, or before Scan")
	}
	if l.active != nil {
		l.seal()
		l.consider = true
	}
	g := &generation{number: l.home.newGeneration(), check: c}
	if l.renew != nil {
		g.previous = l.renew.gen.number
	} else if l.newest != nil {
		g.previous = l.newest.number
	}
	l.publish = newPublisher(l.opt.Dir, g, slices.Clone(l.segments))
}

// Checkpointing says whether a checkpoint is running, or cannot be started any more because a
// received state is being installed in place of this log.
func (l *Log) Checkpointing() bool { return l.publish != nil || l.retired }

// Durable returns the checkpoints of the newest and the older kept generation (zero if none),
// without their State.
func (l *Log) Durable() (newest, older Checkpoint) {
	if l.newest != nil {
		newest = l.newest.check
	}
	if l.older != nil {
		older = l.older.check
	}
	newest.State, older.State = nil, nil
	return newest, older
}

// published makes a durable generation the newest one and gives up what only the oldest needed.
func (l *Log) published(g *generation) {
	if l.older != nil {
		l.dropGeneration(l.older)
	}
	l.newest, l.older = g, l.newest
	if l.older != nil {
		l.older.check.State = nil
	}
	l.publish = nil
	l.sweep()
}

// renewed puts the second publication of the loaded generation in the place of the first.
func (l *Log) renewed() {
	l.dropGeneration(l.newest)
	l.newest, l.renew, l.known = l.renew.gen, nil, true
}

// dropGeneration queues the removal of a generation's own files, the manifest first.
func (l *Log) dropGeneration(g *generation) {
	l.graves = append(l.graves,
		free(generationName(l.opt.Dir, g.number, manifestSuffix), g.manifestFile()),
		free(generationName(l.opt.Dir, g.number, stateSuffix), g.stateFile()))
	l.bytes += g.manifestFile() + g.stateFile()
}

// sweep gives up the segment files that neither the log nor a kept generation refers to.
func (l *Log) sweep() {
	var ids []uint64
	for _, s := range l.segments {
		ids = append(ids, s.id)
	}
	if l.active != nil {
		ids = append(ids, l.active.id)
	}
	if l.rewrite != nil && l.rewrite.out != nil {
		ids = append(ids, l.rewrite.out.id)
	}
	gens := []*generation{l.newest, l.older}
	if l.publish != nil {
		gens = append(gens, l.publish.gen)
	}
	for _, g := range gens {
		if g != nil {
			for _, s := range g.spans {
				ids = append(ids, s.id)
			}
		}
	}
	slices.Sort(ids)
	keep := l.files[:0]
	for _, f := range l.files {
		if _, found := slices.BinarySearch(ids, f.id); found {
			keep = append(keep, f)
		} else {
			l.graves = append(l.graves, grave{f.name, f.length, f.born, l.home.pins.epoch})
			l.superseded -= f.length
		}
	}
	if len(keep) < len(l.files) {
		l.home.pins.epoch++
	}
	clear(l.files[len(keep):])
	l.files = keep
}

// setLength notes the final length of a sealed segment's file.
func (l *Log) setLength(s *segment) {
	for i := len(l.files) - 1; i >= 0; i-- {
		if l.files[i].id == s.id {
			l.files[i].length = s.length
			return
		}
	}
	panic("revlog: sealed segment " + s.name + " has no file")
}
