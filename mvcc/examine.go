package mvcc

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc/revlog"
)

// The flaws of a damaged store, see package revlog.
type (
	// Flaw is a spot of a store that is not what was written there.
	Flaw = revlog.Flaw
	// FlawKind is what a flaw has made unreadable.
	FlawKind = revlog.FlawKind
)

// The kinds of flaw.
const (
	FlawedManifest = revlog.FlawedManifest
	FlawedState    = revlog.FlawedState
	FlawedRecords  = revlog.FlawedRecords
)

// Examine finds all flaws of the store in dir, for people; nothing is loaded.
func Examine(disk diskio.Reader, dir string) ([]Flaw, error) { return revlog.Examine(disk, dir) }
