package main

// Commands that make a data directory.

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/detcd/detcd/server"
)

// founding is the flags that say what a new data directory belongs to.
type founding struct {
	server.RestoreConfig
	peers, logDir       string
	compacted, skipHash bool
}

func (f *founding) define(fs *pflag.FlagSet) {
	r := &f.RestoreConfig
	fs.StringVar(&r.Dir, "data-dir", "", "Path to the output data directory")
	fs.StringVar(&f.logDir, "wal-dir", "", "not supported: the log lives in the data directory")
	fs.StringVar(&r.Name, "name", server.DefaultName, "Human-readable name for this member")
	fs.StringVar(&r.InitialCluster, "initial-cluster", server.DefaultInitialCluster,
		"Initial cluster configuration for restore bootstrap")
	fs.StringVar(&r.InitialClusterToken, "initial-cluster-token", "etcd-cluster",
		"Initial cluster token for the cluster during restore bootstrap")
	fs.StringVar(&f.peers, "initial-advertise-peer-urls", server.DefaultPeerURL,
		"List of this member's peer URLs to advertise to the rest of the cluster")
	fs.BoolVar(&f.skipHash, "skip-hash-check", false,
		"Ignore snapshot integrity hash value (required if copied from data directory)")
	fs.Uint64Var(&r.Bump, "bump-revision", 0,
		"How much to increase the latest revision after restore")
	fs.BoolVar(&f.compacted, "mark-compacted", false, "Mark the latest revision after restore as "+
		"the point of compaction (required if --bump-revision > 0, disallowed otherwise)")
}

// settle checks the flags against each other.
func (f *founding) settle() error {
	switch {
	case f.compacted != (f.Bump > 0):
		return usageError{"--mark-compacted required if --revision-bump > 0"}
	case f.logDir != "":
		return usageError{"--wal-dir is not supported by detcd: the log lives in the data " +
			"directory"}
	}
	if f.skipHash {
		f.Hash = server.SkipHash
	}
	f.AdvertisePeerURLs = strings.Split(f.peers, ",")
	return nil
}

func restoreCommand() *cobra.Command {
	var f founding
	cmd := &cobra.Command{
		Use:   "restore <filename> --data-dir {output dir} [options]",
		Short: "Restores a snapshot of detcd or etcd to a data directory of detcd",
		Long: "Makes a data directory of a snapshot: the member of a new cluster that starts " +
			"from it has the snapshot's data.\nA snapshot without a hash, as member/snap/db of a " +
			"stopped etcd is, needs --skip-hash-check; `detcdutl migrate`\nalso takes what that " +
			"etcd's log holds beyond it.",
	}
	fs := cmd.Flags()
	f.define(fs)
	fs.Uint64("initial-memory-map-size", 0, "accepted for etcdutl's sake; nothing is mapped")
	mustRequire(cmd, "data-dir")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{"snapshot restore requires exactly one argument"}
		}
		if err := f.settle(); err != nil {
			return err
		}
		f.Snapshot = args[0]
		log, err := logger()
		if err != nil {
			return err
		}
		shown := newBar(cmd.ErrOrStderr(), "restoring")
		defer shown.end()
		f.Progress = shown.progress()
		return server.Restore(&f.RestoreConfig, log)
	}
	return cmd
}

func migrateCommand() *cobra.Command {
	var f founding
	cmd := &cobra.Command{
		Use:   "migrate --from {etcd's data dir or snapshot} --data-dir {output dir} [options]",
		Short: "Makes a data directory of detcd of what a stopped etcd has left",
		Long: "Takes the data directory of an etcd that is stopped, its log included, or a " +
			"snapshot of one, and makes the data\ndirectory of a member of a new cluster of it. " +
			"Every key keeps its revisions, leases, users and roles are kept.\nWhat was taken is " +
			"not changed. Every member of the new cluster has to be made of the same source: " +
			"take the etcd\nmember that is furthest. The way back is `detcdutl snapshot save " +
			"--data-dir`, and `etcdutl snapshot restore`.",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(liveCommand())
	fs := cmd.Flags()
	f.define(fs)
	from := fs.String("from", "", "The data directory of a stopped etcd, or a snapshot file")
	version := fs.String("target-version", "", "refused: detcd's files have no versions of etcd's")
	fs.Bool("force", false, "Ignored")
	mustRequire(cmd, "data-dir")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *version != "" {
			if err := server.KnownDataDir(f.Dir); err != nil {
				return err
			}
			return errors.New("a data directory of detcd has no storage version of etcd to " +
				"migrate to: detcd reads all formats that its releases have written")
		}
		if *from == "" {
			return usageError{"--from is required: what to migrate"}
		}
		if err := f.settle(); err != nil {
			return err
		}
		log, err := logger()
		if err != nil {
			return err
		}
		shown := newBar(cmd.ErrOrStderr(), "migrating")
		defer shown.end()
		f.Progress = shown.progress()
		return server.Migrate(*from, f.RestoreConfig, log)
	}
	return cmd
}

func mustRequire(cmd *cobra.Command, flag string) {
	if err := cmd.MarkFlagRequired(flag); err != nil {
		panic(err) // the flag is defined by the caller
	}
}
