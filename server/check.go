// Looking at a data directory while no server runs on it.
package server

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
)

// CheckedDataDir is what a data directory without damage holds.
type CheckedDataDir struct {
	Cluster   string `json:"clusterId"` // hexadecimal
	Member    string `json:"memberId"`
	Revision  int64  `json:"revision"`
	Compacted int64  `json:"compactRevision"` // -1: never
	Applied   uint64 `json:"appliedIndex"`    // of the newest checkpoint
	Keys      int64  `json:"keys"`
	Bytes     int64  `json:"bytes"` // of data and log
}

// KnownDataDir says whether a directory is a data directory of detcd; the error says what it is
// instead.
func KnownDataDir(dir string) error {
	_, err := knownDataDir(dir)
	return err
}

func knownDataDir(dir string) (resident, error) {
	if err := refuseEtcd(dir); err != nil {
		return resident{}, err
	}
	lives, err := readIdentity(dir)
	if errors.Is(err, errFresh) {
		return lives, fmt.Errorf("%s is no data directory: nobody lives there", dir)
	}
	return lives, err
}

// CheckDataDir reads all of a stopped member's files, verifies what they say of each other, and
// changes nothing. The error names the file, the place and the damage.
func CheckDataDir(dir string) (found CheckedDataDir, err error) {
	lives, err := knownDataDir(dir)
	if err != nil {
		return found, err
	}
	unlock, err := osdisk.Lock(dir)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	disk, err := osdisk.Open(filepath.Join(dir, memberDir), osdisk.Options{},
		func(diskio.Completion) {})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	asked := &Server{cfg: DefaultConfig()}
	node, err := kv.Open(asked.nodeConfig(&bootstrap{resident: lives}), disk)
	if err != nil {
		return found, err
	}
	if err := node.Check(); err != nil {
		return found, err
	}
	s := node.State()
	return CheckedDataDir{
		Cluster:  fmt.Sprintf("%x", lives.identity.cluster),
		Member:   fmt.Sprintf("%x", uint64(lives.identity.member)),
		Revision: int64(s.Revision), Compacted: int64(s.Compacted), Applied: uint64(s.Applied),
		Keys: s.Keys, Bytes: s.FileBytes + s.LogBytes,
	}, nil
}
