// Moving a store between detcd and etcd while neither runs: what `detcdutl migrate` and `detcdutl
// snapshot save` do.
//
// To detcd: a snapshot is restored as it is. A stopped etcd's data directory holds a database and a
// log that may be ahead of it; then the database is restored into a scratch directory, the log's
// rest is replayed there by a member that is alone, and its backup is what is restored. Entries
// that etcd's log does not know to be committed are taken, too: they may have been acknowledged.
//
// From detcd: the member is started on a shadow of its directory, applies its log, and is backed
// up. Not a byte of the directory changes.
package server

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/backup/etcdwal"
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/diskio/shadow"
	"github.com/detcd/detcd/kv"
)

// Progress is told how much of something long is done; nil wants to know nothing.
type Progress func(done, total int64)

func (p Progress) report(done, total int64) {
	if p != nil {
		p(done, total)
	}
}

// Migrate makes a data directory of what an etcd has left: a data directory of it, or a snapshot.
// r.Snapshot is unused.
func Migrate(from string, r RestoreConfig, log *zap.Logger) error {
	if _, _, err := r.found(); err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		r.Snapshot = from
		return Restore(&r, log)
	}
	r.Snapshot, r.Hash = filepath.Join(from, memberDir, "snap", "db"), SkipHash
	ahead, err := aheadOf(from, r.Snapshot, log)
	if err != nil {
		return err
	}
	if len(ahead) == 0 {
		return Restore(&r, log)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(filepath.Clean(r.dir())), ".detcd-migration-")
	if err != nil {
		return err
	}
	err = migrateThrough(scratch, &r, ahead, log)
	return errors.Join(err, os.RemoveAll(scratch))
}

// dir is where the restored member lives.
func (r *RestoreConfig) dir() string {
	c := Config{Name: r.Name, Dir: r.Dir}
	return c.dataDir()
}

// aheadOf reads the part of etcd's log that its database lacks.
func aheadOf(from, database string, log *zap.Logger) ([]etcdwal.Entry, error) {
	file, err := backup.Open(database)
	if err != nil {
		return nil, fmt.Errorf("the database of the data directory %s: %w", from, err)
	}
	applied := uint64(file.Applied)
	if err := file.Close(); err != nil {
		return nil, err
	}
	wal, err := etcdwal.Read(filepath.Join(from, memberDir, "wal"), applied)
	if err != nil {
		return nil, err
	}
	log.Info("read etcd's data directory", zap.String("path", from),
		zap.String("member-id", fmt.Sprintf("%x", wal.Node)),
		zap.Uint64("database-index", applied), zap.Uint64("commit-index", wal.Commit),
		zap.Int("entries-ahead", len(wal.Entries)), zap.Int64("torn-bytes", wal.TornBytes))
	return wal.Entries, nil
}

// migrateThrough replays etcd's log in a scratch directory, and restores what comes of it.
func migrateThrough(scratch string, r *RestoreConfig, ahead []etcdwal.Entry,
	log *zap.Logger) error {
	first := *r
	first.Name, first.Dir, first.Bump = DefaultName, filepath.Join(scratch, "data"), 0
	first.InitialCluster, first.AdvertisePeerURLs = DefaultInitialCluster,
		[]string{DefaultPeerURL}
	if err := Restore(&first, log); err != nil {
		return err
	}
	second := *r
	second.Snapshot, second.Hash = filepath.Join(scratch, "snapshot.db"), CheckHash
	out, err := os.OpenFile(second.Snapshot, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateFile)
	if err != nil {
		return err
	}
	err = replayInto(first.Dir, ahead, out, r.Progress)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	log.Info("replayed etcd's log", zap.Int("entries", len(ahead)))
	return Restore(&second, log)
}

// replayInto starts the member of a directory alone, replays entries, and backs it up.
func replayInto(dir string, ahead []etcdwal.Entry, out io.Writer, p Progress) (err error) {
	lives, err := readIdentity(dir)
	if err != nil {
		return err
	}
	o := newOffline()
	disk, err := osdisk.Open(filepath.Join(dir, memberDir), osdisk.Options{}, o.completed)
	if err != nil {
		return err
	}
	defer func() {
		o.settle()
		err = errors.Join(err, disk.Close())
	}()
	cfg := aloneConfig(lives)
	longest := 0
	for i := range ahead {
		longest = max(longest, len(ahead[i].Data))
	}
	cfg.Limits.MaxTxnOps = math.MaxInt32
	cfg.Limits.MaxRequestBytes = max(cfg.Limits.MaxRequestBytes, longest+1<<10)
	if err := o.open(cfg, disk); err != nil {
		return err
	}
	if err := o.ready(); err != nil {
		return err
	}
	if err := o.replay(ahead, &cfg.Limits, p); err != nil {
		return err
	}
	return o.save(out, nil)
}

// aloneConfig is the configuration of a member that runs alone, whoever its cluster was.
func aloneConfig(lives resident) kv.Config {
	asked := &Server{cfg: DefaultConfig()}
	asked.cfg.QuotaBytes = -1
	return asked.nodeConfig(&bootstrap{resident: lives, start: kv.Seclude})
}

// save writes the node's state as a snapshot file.
func (o *offline) save(out io.Writer, p Progress) error {
	return o.backup(func(b *kv.Backup) error {
		content := backup.Content{Image: b.Image, Revision: b.View.Revision(),
			Compacted: b.View.Compacted(), StorageVersion: backup.StorageVersion}
		file, err := backup.New(&content, b.View.History())
		if err != nil {
			return err
		}
		return file.Save(&meter{out: out, total: file.Size(), progress: p})
	})
}

// meter counts what is written.
type meter struct {
	out         io.Writer
	done, total int64
	progress    Progress
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.out.Write(b)
	m.done += int64(n)
	m.progress.report(min(m.done, m.total), m.total)
	return n, err
}

// SaveDataDir writes a snapshot file of a stopped member, log included, and changes nothing.
func SaveDataDir(dir string, out io.Writer, p Progress) (err error) {
	lives, err := knownDataDir(dir)
	if err != nil {
		return err
	}
	unlock, err := osdisk.Lock(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	under, err := osdisk.Open(filepath.Join(dir, memberDir), osdisk.Options{},
		func(diskio.Completion) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, under.Close()) }()
	o := newOffline()
	if err := o.open(aloneConfig(lives), shadow.New(under, o.completed)); err != nil {
		return err
	}
	if err := o.ready(); err != nil {
		return err
	}
	return o.save(out, p)
}
