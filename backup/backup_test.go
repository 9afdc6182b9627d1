package backup_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/mvcc/twin"
	"github.com/detcd/detcd/raft"
)

// records are rows in memory.
type records []mvcc.Record

func (rs records) Sizes(visit func(rev mvcc.Rev, kind mvcc.RecordKind, size int)) {
	for _, r := range rs {
		visit(r.Rev, r.Kind, len(r.KV))
	}
}

func (rs records) Read(visit func(r mvcc.Record) error) error {
	for _, r := range rs {
		if err := visit(r); err != nil {
			return err
		}
	}
	return nil
}

// history makes a store by random transactions, and its records.
func history(t *rapid.T) (*twin.Store, records) {
	s := twin.New()
	sizes := []int{0, 1, 30, 300, 5000, 40_000}
	for range rapid.IntRange(0, 60).Draw(t, "transactions") {
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			key := fmt.Appendf(nil, "k%d", rapid.IntRange(0, 40).Draw(t, "key"))
			if rapid.IntRange(0, 4).Draw(t, "change") == 0 {
				s.DeleteRange(key, nil)
				continue
			}
			size := rapid.SampledFrom(sizes).Draw(t, "size")
			s.Put(key, bytes.Repeat([]byte{'v'}, size), rapid.Int64Range(0, 2).Draw(t, "lease"))
		}
		s.Commit()
	}
	if rapid.Bool().Draw(t, "compact") {
		rev := rapid.Int64Range(1, int64(s.Revision())).Draw(t, "compacted")
		require.NoError(t, s.Compact(mvcc.Revision(rev)))
	}
	var rows records
	for _, v := range s.Rows(s.Revision()) {
		kind := mvcc.PutRecord
		if v.Dead {
			kind = mvcc.TombstoneRecord
		}
		rows = append(rows, mvcc.Record{Rev: v.Rev, Kind: kind, KV: v.KV.AppendWire(nil)})
	}
	return s, rows
}

func content(t *rapid.T, s *twin.Store) *backup.Content {
	c := &backup.Content{Revision: s.Revision(), Compacted: s.Compacted(),
		StorageVersion: backup.StorageVersion}
	c.Applied, c.Term = 77, 5
	c.Version = rapid.SampledFrom([]string{"", "3.7.0"}).Draw(t, "cluster version")
	for i := range raft.MemberID(rapid.IntRange(0, 3).Draw(t, "members")) {
		c.Members = append(c.Members, kv.Member{ID: 10 + i, Name: fmt.Sprint("n", i),
			PeerURLs: []string{"http://a:1"}, ClientURLs: []string{"http://a:2"},
			Learner: kv.Learning(i % 2)})
		c.Config.Voters = append(c.Config.Voters, 10+i)
		c.Removed = append(c.Removed, 0xff00+i)
	}
	for i := range int64(rapid.SampledFrom([]int{0, 3, 1500}).Draw(t, "leases")) {
		c.Leases = append(c.Leases, kv.LeaseImage{ID: i - 5, TTL: i + 60, Remaining: i % 3})
	}
	c.Leases = slices.DeleteFunc(c.Leases, func(l kv.LeaseImage) bool { return l.ID == 0 })
	if rapid.Bool().Draw(t, "alarm") {
		c.Alarms = []kv.Alarm{{Member: 10, Kind: kv.AlarmNoSpace}}
		c.Downgrade = "3.6.0"
	}
	if rapid.Bool().Draw(t, "users") {
		c.Auth = kv.AuthImage{Enabled: true, Revision: 9}
		for i := range rapid.IntRange(1, 40).Draw(t, "number of users") {
			// Names may be long: the branches above them then have few children.
			name := fmt.Sprintf("%03d", i) + string(bytes.Repeat([]byte{'n'}, i*100))
			c.Auth.Users = append(c.Auth.Users, kv.NamedImage{Name: name,
				Wire: bytes.Repeat([]byte{1}, 3000)})
			c.Auth.Roles = append(c.Auth.Roles, kv.NamedImage{Name: name, Wire: []byte{2}})
		}
	}
	return c
}

func save(t require.TestingT, dir string, c *backup.Content, rows backup.Rows) string {
	d, err := backup.New(c, rows)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, d.Save(&out))
	require.Equal(t, d.Size()+sha256.Size, int64(out.Len()))
	path := filepath.Join(dir, "snapshot.db")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

// Whether users count is written only once somebody can have said so, as etcd writes it.
func TestUntouchedUsersHaveNoSwitch(t *testing.T) {
	for _, c := range []struct {
		auth kv.AuthImage
		want []byte
	}{{kv.AuthImage{Revision: 1}, nil}, {kv.AuthImage{Revision: 4}, []byte{0}},
		{kv.AuthImage{Revision: 4, Enabled: true}, []byte{1}}} {
		content := &backup.Content{Compacted: -1}
		content.Auth = c.auth
		path := save(t, t.TempDir(), content, records(nil))
		db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
		require.NoError(t, err)
		require.NoError(t, db.View(func(tx *bolt.Tx) error {
			require.Equal(t, c.want, tx.Bucket([]byte("auth")).Get([]byte("authEnabled")))
			return nil
		}))
		require.NoError(t, db.Close())
		f, err := backup.Open(path)
		require.NoError(t, err)
		require.Equal(t, c.auth, f.Content.Auth)
		require.NoError(t, f.Close())
	}
}

// What was written is read back, by bbolt and by ourselves, and bbolt can go on writing to it.
func TestBackupReadsAsWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s, rows := history(t)
		want := content(t, s)
		path := save(t, dir, want, rows)
		require.NoError(t, backup.VerifyHash(path))

		f, err := backup.Open(path)
		require.NoError(t, err)
		have := f.Content
		have.Config = want.Config // a restore makes its own
		require.Equal(t, *want, have)
		n := 0
		require.NoError(t, f.Read(func(r mvcc.Record) error {
			require.Equal(t, rows[n], r)
			n++
			return nil
		}))
		require.Len(t, rows, n)
		requireHashes(t, s, f)
		status, err := f.Status()
		require.NoError(t, err)
		require.NoError(t, f.Close())
		all, err := s.Range(&mvcc.Query{Key: []byte{0}, End: []byte{0}, CountOnly: true})
		require.NoError(t, err)
		require.EqualValues(t, all.Count, status.Keys)
		require.Equal(t, copied(t, path, dir), status.Hash)
		changeWithBolt(t, path)
	})
}

func requireHashes(t *rapid.T, s *twin.Store, f *backup.File) {
	for rev := mvcc.Revision(0); rev <= s.Revision()+1; rev++ {
		want, wantErr := s.Hash(rev)
		have, _, err := f.HashKV(rev)
		require.Equal(t, wantErr, err)
		require.Equal(t, want, have)
	}
}

// copied lets bbolt write the same rows into a database of its own, the twin, and returns its hash.
func copied(t require.TestingT, path, dir string) uint32 {
	from, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	require.NoError(t, err)
	twinPath := filepath.Join(dir, "twin.db")
	require.NoError(t, os.RemoveAll(twinPath))
	to, err := bolt.Open(twinPath, 0o600, &bolt.Options{NoSync: true})
	require.NoError(t, err)
	require.NoError(t, bolt.Compact(to, from, 0))
	require.NoError(t, from.Close())
	require.NoError(t, to.Close())
	f, err := backup.Open(twinPath)
	require.NoError(t, err)
	status, err := f.Status()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return status.Hash
}

// changeWithBolt deletes every other row and adds some, as a server does that starts on the file:
// a tree whose branches do not name their children exactly would fall apart.
func changeWithBolt(t require.TestingT, path string) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	require.NoError(t, err)
	for _, name := range []string{"key", "lease", "authUsers"} {
		require.NoError(t, db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(name))
			var keys [][]byte
			err := b.ForEach(func(key, _ []byte) error {
				keys = append(keys, bytes.Clone(key))
				return nil
			})
			for i, key := range keys {
				if err == nil && i%2 == 0 {
					err = b.Delete(key)
				}
				if err == nil && i%3 == 0 {
					err = b.Put(append(key, 'x'), make([]byte, 100))
				}
			}
			return err
		}))
	}
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		for flaw := range tx.Check() {
			return flaw
		}
		return nil
	}))
	require.NoError(t, db.Close())
}

// So many leaves that branches have branches above them.
func TestATallTree(t *testing.T) {
	s := twin.New()
	var rows records
	for i := range 700 {
		key := fmt.Appendf(nil, "k%d", i)
		s.Put(key, bytes.Repeat([]byte{'v'}, 20_000), 0)
		s.Commit()
		kv, _ := s.Get(key, s.Revision())
		rows = append(rows, mvcc.Record{Rev: mvcc.Rev{Main: s.Revision()},
			KV: kv.AppendWire(nil)})
	}
	dir := t.TempDir()
	path := save(t, dir, &backup.Content{Revision: s.Revision(), Compacted: -1}, rows)
	f, err := backup.Open(path)
	require.NoError(t, err)
	want, err := s.Hash(0)
	require.NoError(t, err)
	have, _, err := f.HashKV(0)
	require.NoError(t, err)
	require.Equal(t, want, have)
	require.NoError(t, f.Close())
	changeWithBolt(t, path)
}

func TestDamagedFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	c := &backup.Content{Revision: 1, Compacted: -1}
	path := save(t, dir, c, records(nil))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)

	t.Run("a flipped bit", func(t *testing.T) {
		b := bytes.Clone(whole)
		b[3*4096+40] ^= 1
		require.NoError(t, os.WriteFile(path, b, 0o600))
		require.ErrorContains(t, backup.VerifyHash(path), "expected sha256 [")
	})
	t.Run("no hash", func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, whole[:len(whole)-sha256.Size], 0o600))
		require.ErrorIs(t, backup.VerifyHash(path), backup.ErrNoHash)
		f, err := backup.Open(path)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	})
	t.Run("another file", func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("no"), 5000), 0o600))
		_, err := backup.Open(path)
		require.Error(t, err)
	})
	t.Run("a database of something else", func(t *testing.T) {
		path := filepath.Join(dir, "other.db")
		db, err := bolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, err = backup.Open(path)
		require.ErrorContains(t, err, "no database of etcd")
	})
}

// Whatever a page says, a file is read or refused; bbolt alone would end the process on some.
func TestNoDamageEndsTheProcess(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s, rows := history(t)
		path := save(t, dir, content(t, s), rows)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		for range rapid.IntRange(1, 3).Draw(t, "flips") {
			at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
			if rapid.Bool().Draw(t, "in the head of a page") {
				at = at/4096*4096 + at%64
			}
			if rapid.Bool().Draw(t, "a bit") {
				b[min(at, len(b)-1)] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			} else {
				b[min(at, len(b)-1)] = rapid.Byte().Draw(t, "byte")
			}
		}
		require.NoError(t, os.WriteFile(path, b, 0o600))
		f, err := backup.Open(path)
		if err != nil {
			return
		}
		_, statusErr := f.Status()
		_, _, hashErr := f.HashKV(0)
		if statusErr == nil {
			require.NoError(t, hashErr)
		}
		require.NoError(t, f.Close())
	})
}
