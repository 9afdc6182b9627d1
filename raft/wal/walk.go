package wal

import "github.com/detcd/detcd/diskio"

// Place says where a record lies.
type Place struct {
	File   string
	Offset int64
}

// Walk calls visit for every record of the log in dir that recovery would believe, in order of
// position, whatever cluster and member it belongs to. The record aliases memory that is valid only
// during the call. Damage is reported, as by Open, after everything before it was visited.
func Walk(disk diskio.Reader, dir string, visit func(Place, Record) error) error {
	s, err := newScanner(disk, dir)
	if err != nil {
		return err
	}
	if err := s.run(visitFunc(visit)); err != nil {
		return err
	}
	return s.verdict()
}

// visitFunc is the visitor of Walk.
type visitFunc func(Place, Record) error

func (f visitFunc) visit(at place, h *recordHeader, content []byte, _ bool) error {
	r, err := decodeContent(at.segment.header.Life, h, content, nil)
	if err != nil {
		return err
	}
	return f(Place{File: at.name, Offset: at.offset}, r)
}
