package server

import (
	"errors"
	"path/filepath"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/raft/wal"
)

// LoggedEntry is an entry as it lies in a member's log.
type LoggedEntry struct {
	raft.Entry
	kv.Description
	Place wal.Place
}

// DumpLog visits the entries of a stopped member's log as they lie there; one whose index comes
// again has been replaced by the later one. Damage is an error, after everything before it. What
// an entry leads to is valid only during the visit. Nothing is changed.
func DumpLog(dir string, visit func(*LoggedEntry) error) error {
	return onStopped(dir, func(_ resident, disk *osdisk.Disk) error {
		return wal.Walk(disk, "log", func(at wal.Place, r wal.Record) error {
			for i := range r.Entries {
				said, err := kv.Describe(&r.Entries[i])
				if err != nil {
					return err
				}
				err = visit(&LoggedEntry{Entry: r.Entries[i], Description: said, Place: at})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// onStopped looks at the directory of a member that does not run.
func onStopped(dir string, look func(resident, *osdisk.Disk) error) (err error) {
	lives, err := knownDataDir(dir)
	if err != nil {
		return err
	}
	unlock, err := osdisk.Lock(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	disk, err := osdisk.Open(filepath.Join(dir, memberDir), osdisk.Options{},
		func(diskio.Completion) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	return look(lives, disk)
}
