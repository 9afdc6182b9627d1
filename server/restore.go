// Restoring a backup into a data directory, offline: what `detcdutl snapshot restore` does.
//
// The directory becomes that of a member which has just been founded together with the others of
// its initial cluster, but with the backup's data in it; the server starts from it as from any
// other. The identity file is written last, and without it no server starts: a restore that was
// cut short is noticed.
package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.uber.org/zap"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
)

// HashCheck says whether a backup without a good hash is refused.
type HashCheck uint8

// The choices.
const (
	CheckHash HashCheck = iota
	SkipHash
)

// RestoreConfig says what becomes of a backup. Its fields are the tool's flags.
type RestoreConfig struct {
	Snapshot            string // the file
	Name                string
	Dir                 string // empty: "<name>.etcd"
	InitialCluster      string
	InitialClusterToken string
	AdvertisePeerURLs   []string
	Hash                HashCheck
	// Bump is added to the newest revision, and everything up to there counts as compacted, so
	// that nobody who watched the lost history believes to have seen all. 0 is neither.
	Bump     uint64
	Progress Progress
}

// Restore makes a data directory of a backup.
func Restore(r *RestoreConfig, log *zap.Logger) error {
	founded, dir, err := r.found()
	if err != nil {
		return err
	}
	if r.Hash == CheckHash {
		if err := backup.VerifyHash(r.Snapshot); err != nil {
			return err
		}
	}
	file, err := backup.Open(r.Snapshot)
	if err != nil {
		return err
	}
	fields := []zap.Field{zap.String("path", r.Snapshot), zap.String("data-dir", dir),
		zap.Int64("revision", int64(file.Revision)), zap.Uint64("bump", r.Bump)}
	log.Info("restoring snapshot", fields...)
	if err := r.fill(founded, dir, file); err != nil {
		return errors.Join(err, file.Close())
	}
	log.Info("restored snapshot", fields...)
	return file.Close()
}

// found checks what can be checked without the file, and works out the new cluster.
func (r *RestoreConfig) found() (b *bootstrap, dir string, err error) {
	cfg := DefaultConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = r.Name, r.Dir, r.InitialCluster
	cfg.InitialClusterToken = r.InitialClusterToken
	if cfg.AdvertisePeerURLs, err = types.NewURLs(r.AdvertisePeerURLs); err != nil {
		return nil, "", err
	}
	if b, err = newBootstrap(&cfg); err != nil {
		return nil, "", err
	}
	dir = cfg.dataDir()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(entries) > 0 {
		return nil, "", fmt.Errorf("data-dir %q not empty or could not be read", dir)
	}
	return b, dir, nil
}

// fill writes the directory.
func (r *RestoreConfig) fill(b *bootstrap, dir string, file *backup.File) (err error) {
	f := kv.Founding{Image: file.Image, Members: b.members, Revision: file.Revision,
		Compacted: file.Compacted, Limits: kv.DefaultLimits()}
	if r.Bump > 0 {
		f.Revision += mvcc.Revision(r.Bump)
		f.Compacted = f.Revision
	}
	root := filepath.Join(dir, memberDir)
	if err := os.MkdirAll(root, privateDir); err != nil {
		return err
	}
	unlock, err := osdisk.Lock(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := writeStore(root, &f, metered{file, r.Progress}); err != nil {
		return err
	}
	return writeIdentity(dir, settleIn(b.identity))
}

// records is where a store's records come from, in the order of their revisions.
type records interface {
	Read(visit func(r mvcc.Record) error) error
}

// metered reports how much of a file's records has been read.
type metered struct {
	*backup.File
	progress Progress
}

func (m metered) Read(visit func(r mvcc.Record) error) error {
	done, total := int64(0), m.Bytes()
	return m.File.Read(func(r mvcc.Record) error {
		done += int64(len(r.KV))
		m.progress.report(min(done, total), total)
		return visit(r)
	})
}

// writeStore writes the files of the engine and waits until they are durable.
func writeStore(root string, f *kv.Founding, from records) (err error) {
	done := make(chan diskio.Completion, diskio.NumLanes)
	disk, err := osdisk.Open(root, osdisk.Options{}, func(c diskio.Completion) { done <- c })
	if err != nil {
		return err
	}
	w := &storeWriter{disk: disk, done: done}
	defer func() {
		w.drain()
		err = errors.Join(err, disk.Close())
	}()
	if w.restore, err = kv.NewRestore(disk, f); err != nil {
		return err
	}
	err = from.Read(func(r mvcc.Record) error {
		if err := w.restore.Add(r); err != nil {
			return err
		}
		return w.perform(unwrittenBytes)
	})
	if err != nil {
		return err
	}
	w.restore.Finish()
	for {
		if _, durable := w.restore.Finished(); durable {
			return nil
		}
		if err := w.one(); err != nil {
			return err
		}
	}
}

// unwrittenBytes is how much of a restored store may wait for the disk.
const unwrittenBytes = 16 << 20

// storeWriter performs a restore's operations.
type storeWriter struct {
	disk     *osdisk.Disk
	restore  *kv.Restore
	done     chan diskio.Completion
	inFlight int
}

// perform submits what can be submitted, and waits while more than so many bytes are unwritten. A
// record of that size alone waits for the next one, so there may be nothing to wait for.
func (w *storeWriter) perform(most int64) error {
	w.submit()
	for w.restore.Unwritten() > most && w.inFlight > 0 {
		if err := w.one(); err != nil {
			return err
		}
	}
	return nil
}

func (w *storeWriter) submit() {
	for _, op := range w.restore.Flush(nil) {
		w.inFlight++
		w.disk.Submit(op)
	}
}

// one waits for one operation.
func (w *storeWriter) one() error {
	w.submit()
	if w.inFlight == 0 {
		panic("server: a restore waits for no operation")
	}
	w.inFlight--
	return w.restore.Complete(<-w.done)
}

// drain waits for what is in flight, whatever comes of it.
func (w *storeWriter) drain() {
	for ; w.inFlight > 0; w.inFlight-- {
		<-w.done
	}
}
