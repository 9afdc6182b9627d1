package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/mvcc"
)

type noRows struct{}

func (noRows) Sizes(func(mvcc.Rev, mvcc.RecordKind, int)) {}
func (noRows) Read(func(mvcc.Record) error) error         { return nil }

func emptyBackup(t *testing.T) string {
	d, err := backup.New(&backup.Content{Revision: 1, Compacted: -1,
		StorageVersion: backup.StorageVersion}, noRows{})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, d.Save(&out))
	path := filepath.Join(t.TempDir(), "snapshot.db")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

func TestCommands(t *testing.T) {
	file := emptyBackup(t)
	restored := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		name   string
		args   []string
		status int
		out    string
		errs   string
	}{
		{name: "version", args: []string{"version"}, out: "etcdutl version: 3.7.1\nAPI version: 3.7\n"},
		{name: "hash", args: []string{"hashkv", file}, out: "1084519789, 1, -1\n"},
		{name: "hash as fields", args: []string{"-w", "fields", "hashkv", file},
			out: "\"Hash\" : 1084519789\n\"Hash revision\" : 1\n\"Compact revision\" : -1\n"},
		{name: "hash of the future", args: []string{"hashkv", file, "--rev", "2"}, status: 1,
			errs: "future revision"},
		{name: "another form", args: []string{"-w", "xml", "hashkv", file}, status: 128,
			errs: "unsupported output format"},
		{name: "status without a file", args: []string{"snapshot", "status"}, status: 128,
			errs: "snapshot status requires exactly one argument"},
		{name: "bump alone", args: []string{"snapshot", "restore", file, "--data-dir", restored,
			"--bump-revision", "5"}, status: 128,
			errs: "--mark-compacted required if --revision-bump > 0"},
		{name: "log elsewhere", args: []string{"snapshot", "restore", file, "--data-dir", restored,
			"--wal-dir", "w"}, status: 128, errs: "--wal-dir is not supported"},
		{name: "nowhere", args: []string{"snapshot", "restore", file}, status: 1,
			errs: `required flag(s) "data-dir" not set`},
		{name: "restore", args: []string{"snapshot", "restore", file, "--data-dir", restored,
			"--bump-revision", "5", "--mark-compacted"}},
		{name: "defrag", args: []string{"defrag", "--data-dir", restored}, out: "Nothing to do"},
		{name: "defrag of nothing", args: []string{"defrag", "--data-dir", "missing"}, status: 1,
			errs: "nobody lives there"},
		{name: "migrate", args: []string{"migrate", "--data-dir", restored, "--target-version",
			"3.6"}, status: 1, errs: "no storage version of etcd to migrate"},
		{name: "check", args: []string{"check", "--data-dir", restored}, out: ", 6, 6, 1, 0, "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			require.Equal(t, c.status, run(c.args, &out, &errs), errs.String())
			require.Contains(t, out.String(), c.out)
			require.Contains(t, errs.String(), c.errs)
		})
	}
}
