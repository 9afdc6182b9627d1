// The data directory: whose it is, and whether this program may touch it.
//
//	<data-dir>/            mode 0700
//	    member/            the root of the disk door
//	        identity       who lives here; written once, before anything else
//	        log/, data/    the node's files
//
// The identity file names the cluster and the member, so that a later start needs no initial-*
// flag, and none can turn one member into another. Beside them stands the member's secret, drawn
// once: what only this directory knows keys the log's checksums and the elections.
//
//	0   "detcd id"
//	8   format version, uint32 big-endian
//	12  cluster id, uint64
//	20  member id, uint64
//	28  secret, uint64
//	36  CRC32C of bytes 0 to 35
//
// Invariant: a directory that is not ours, or is newer than this program, is not changed by a byte.
package server

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/detcd/detcd/raft"
)

const (
	memberDir      = "member"
	identityFile   = "identity"
	identityMagic  = "detcd id"
	identityFormat = 2 // 1 had no secret
	identityBytes  = 40
	identitySum    = identityBytes - 4 // where the checksum is
	privateDir     = 0o700
	privateFile    = 0o600
)

// errFresh says that nobody lives in a data directory yet.
var errFresh = errors.New("server: data directory is fresh")

// refuseEtcd recognises etcd's own data directory, whose files mean something else.
func refuseEtcd(dir string) error {
	for _, mark := range []string{filepath.Join("snap", "db"), "wal"} {
		path := filepath.Join(dir, memberDir, mark)
		_, err := os.Lstat(path)
		if err == nil {
			return fmt.Errorf("%s is a data directory of etcd itself (it holds %s): detcd does "+
				"not read it in place; stop etcd, and `detcdutl migrate --from %s` makes a data "+
				"directory of detcd of it", dir, path, dir)
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return err
		}
	}
	return nil
}

// resident is who lives in a data directory, and what only it knows.
type resident struct {
	identity identity
	secret   uint64
}

// settleIn makes a resident of a member that has no directory yet.
func settleIn(id identity) resident {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return resident{identity: id, secret: binary.BigEndian.Uint64(b[:])}
}

// readIdentity says who lives in a data directory; errFresh when nobody does.
func readIdentity(dir string) (resident, error) {
	path := filepath.Join(dir, memberDir, identityFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return resident{}, refuseHeadless(dir)
	}
	if err != nil {
		return resident{}, err
	}
	if len(content) < 12 || !bytes.HasPrefix(content, []byte(identityMagic)) {
		return resident{}, fmt.Errorf("%s is not an identity file of detcd", path)
	}
	if v := binary.BigEndian.Uint32(content[8:]); v != identityFormat {
		return resident{}, fmt.Errorf("%s has format version %d, this program knows version %d "+
			"only: start the release that wrote it, or a later one", path, v, identityFormat)
	}
	if len(content) != identityBytes || crc32.Checksum(content[:identitySum], castagnoli()) !=
		binary.BigEndian.Uint32(content[identitySum:]) {
		return resident{}, fmt.Errorf("%s is damaged", path)
	}
	return resident{
		identity: identity{
			cluster: binary.BigEndian.Uint64(content[12:]),
			member:  raft.MemberID(binary.BigEndian.Uint64(content[20:])),
		},
		secret: binary.BigEndian.Uint64(content[28:]),
	}, nil
}

// refuseHeadless tells a fresh directory from one that has lost its identity: starting over in the
// latter would forget votes and acknowledged writes.
func refuseHeadless(dir string) error {
	for _, part := range []string{"log", "data"} {
		entries, err := os.ReadDir(filepath.Join(dir, memberDir, part))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(entries) > 0 {
			return fmt.Errorf("%s holds a member's files but no %s file: the directory is "+
				"incomplete", filepath.Join(dir, memberDir), identityFile)
		}
	}
	return errFresh
}

// writeIdentity makes the identity and the secret durable.
func writeIdentity(dir string, r resident) error {
	b := append(make([]byte, 0, identityBytes), identityMagic...)
	b = binary.BigEndian.AppendUint32(b, identityFormat)
	b = binary.BigEndian.AppendUint64(b, r.identity.cluster)
	b = binary.BigEndian.AppendUint64(b, uint64(r.identity.member))
	b = binary.BigEndian.AppendUint64(b, r.secret)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	root := filepath.Join(dir, memberDir)
	path := filepath.Join(root, identityFile)
	if err := writeSynced(path+".tmp", b); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	for _, d := range []string{root, dir, filepath.Dir(filepath.Clean(dir))} {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, privateFile)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
