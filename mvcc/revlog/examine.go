package revlog

// Examining a damaged store, for people: every spot that is not what was written, not only the
// first. Records follow one another without padding, so behind one whose length cannot be believed
// nothing more of its file can be read; behind one whose length leads to a record that is whole,
// all can.

import (
	"errors"
	"fmt"
	"path"

	"github.com/detcd/detcd/diskio"
)

// Flaw is a spot of a store that is not what was written there.
type Flaw struct {
	DamageError
	What FlawKind
	// First and Last bound the revisions that are lost, both included, of a FlawedRecords.
	First, Last Rev
	// Newest says that the generation that a start would load is affected; else it is the one
	// before, which nothing but an interrupted start of the past could want.
	Newest bool
}

// FlawKind is what a flaw has made unreadable.
type FlawKind uint8

// The kinds of flaw.
const (
	FlawedManifest FlawKind = iota // the list of what belongs to a generation
	FlawedState                    // all that is replicated but not a revision
	FlawedRecords                  // versions of keys
)

// Examine finds all flaws of the two newest generations in dir. An error says that something else
// than damage keeps them from being read.
func Examine(disk diskio.Reader, dir string) ([]Flaw, error) {
	f, err := list(disk, dir)
	if err != nil || len(f.manifests) == 0 {
		return nil, err
	}
	x := &examiner{disk: disk, dir: dir, newest: true, seen: map[string]bool{}}
	previous, err := x.generation(f.manifests[len(f.manifests)-1])
	if err != nil || previous == 0 {
		return x.flaws, err
	}
	if size, err := disk.Size(generationName(dir, previous, manifestSuffix)); err != nil ||
		size == 0 {
		return x.flaws, nil // it has been removed
	}
	x.newest = false
	_, err = x.generation(previous)
	return x.flaws, err
}

type examiner struct {
	disk   diskio.Reader
	dir    string
	newest bool
	flaws  []Flaw
	seen   map[string]bool // files, which two generations may share
}

// note adds damage as a flaw; any other error stays one.
func (x *examiner) note(err error, what FlawKind, first, last Rev) error {
	damage := (*DamageError)(nil)
	if !errors.As(err, &damage) {
		return err
	}
	x.flaws = append(x.flaws, Flaw{DamageError: *damage, What: what, First: first, Last: last,
		Newest: x.newest})
	return nil
}

func (x *examiner) generation(number uint64) (previous uint64, err error) {
	g, err := readManifest(x.disk, x.dir, number)
	if err != nil {
		return 0, x.note(err, FlawedManifest, Rev{}, Rev{})
	}
	if err := readState(x.disk, x.dir, g.generation); err != nil {
		if err := x.note(err, FlawedState, Rev{}, Rev{}); err != nil {
			return 0, err
		}
	}
	for i, s := range g.spans {
		if x.seen[path.Base(s.name)] {
			continue
		}
		x.seen[path.Base(s.name)] = true
		before := len(x.flaws)
		if err := x.segment(s); err != nil {
			return 0, err
		}
		if len(x.flaws) > before {
			continue
		}
		// What the records say one by one is right; the manifest has more to say of them.
		_, err := walk(x.disk, s, int(g.lines[i].records), nil, func(Record, int64) error {
			return nil
		})
		if err != nil {
			if err := x.note(err, FlawedRecords, s.first, s.last); err != nil {
				return 0, err
			}
		}
	}
	return g.previous, nil
}

// segment reads the records of a segment one by one.
func (x *examiner) segment(s *span) error {
	size, err := x.disk.Size(s.name)
	if err != nil || size < s.length {
		damage := s.damage(size, fmt.Sprintf("has %d of %d bytes: %v", size, s.length, err))
		if size == 0 {
			return x.note(damage, FlawedRecords, s.first, s.last)
		}
		if err := x.note(damage, FlawedRecords, Rev{}, s.last); err != nil {
			return err
		}
	}
	head := make([]byte, headerBytes)
	if err := s.fetch(x.disk, head, 0); err == nil {
		if _, err = parseHeader(s.name, head, kindSegment); err != nil {
			if err := x.note(err, FlawedRecords, s.first, s.last); err != nil {
				return err
			}
		}
	}
	return x.records(s, min(size, s.length))
}

// records finds the records that are not what was written, and the revisions around them.
func (x *examiner) records(s *span, end int64) error {
	last := Rev{} // the last that could be read
	open := -1    // a flaw that waits for the revision behind it
	for at := int64(segmentStart); at < end; {
		r, size, damage := x.record(s, at, end)
		if damage == nil {
			if open >= 0 {
				x.flaws[open].Last, open = Rev{Main: r.Rev.Main, Sub: r.Rev.Sub - 1}, -1
			}
			last, at = r.Rev, at+size
			continue
		}
		if open < 0 {
			first := s.first
			if last != (Rev{}) {
				first = Rev{Main: last.Main, Sub: last.Sub + 1}
			}
			open = len(x.flaws)
			if err := x.note(damage, FlawedRecords, first, s.last); err != nil {
				return err
			}
		}
		if size == 0 {
			x.flaws[open].Reason += "; nothing behind it in this file can be read"
			return nil
		}
		at += size
	}
	return nil
}

// record reads the record at a place. size is 0 when its length cannot be believed: it must lead to
// the end or to another record.
func (x *examiner) record(s *span, at, end int64) (r Record, size int64, damage error) {
	r, size, damage = x.recordAt(s, at, end)
	if damage == nil || size == 0 || at+size == end {
		return r, size, damage
	}
	if _, _, behind := x.recordAt(s, at+size, end); behind != nil {
		return r, 0, damage
	}
	return r, size, damage
}

// recordAt is record without a look behind a damaged one; size is 0 when it leads out of the file.
func (x *examiner) recordAt(s *span, at, end int64) (r Record, size int64, damage error) {
	head := make([]byte, recordHeader)
	if at+recordHeader > end {
		return r, 0, s.damage(at, "record's header reaches beyond the end")
	}
	if err := s.fetch(x.disk, head, at); err != nil {
		return r, 0, err
	}
	size = recordSize(head)
	if at+size > end {
		return r, 0, s.damage(at, fmt.Sprintf("record of %d bytes reaches beyond the end", size))
	}
	b := make([]byte, size)
	if err := s.fetch(x.disk, b, at); err != nil {
		return r, 0, err
	}
	r, reason := parseRecord(b, s.seed)
	if reason != "" {
		return r, size, s.damage(at, reason)
	}
	return r, size, nil
}
