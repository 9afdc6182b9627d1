package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/server"
)

func snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot <subcommand>", Short: "Manages snapshots of a store"}
	cmd.AddCommand(statusCommand(), restoreCommand(), &cobra.Command{
		Use: "save <filename>", Short: "Stores a snapshot in a given file", Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return usageError{"In order to download snapshot use: `etcdctl snapshot save ...`"}
		},
	})
	return cmd
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status <filename>", Short: "Gets the status of a snapshot in a given file",
		Long: "Prints hash, revision, number of keys, size and storage version of a snapshot " +
			"of detcd or etcd.\nAll pages are checked; the hash behind them is checked by restore.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{"snapshot status requires exactly one argument"}
			}
			return withBackup(args[0], func(f *backup.File) error {
				s, err := f.Status()
				if err != nil {
					return err
				}
				return write(cmd, statusReport(s))
			})
		},
	}
}

// withBackup opens a file for a command.
func withBackup(path string, use func(f *backup.File) error) error {
	f, err := backup.Open(path)
	if err != nil {
		return err
	}
	if err := use(f); err != nil {
		_ = f.Close() // nothing was written; the first error says what is wrong
		return err
	}
	return f.Close()
}

func hashKVCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "hashkv <filename>", Short: "Prints the KV history hash of a given file",
		Long: "Prints the hash by which members compare their stores (HashKV) of a snapshot of " +
			"detcd or etcd. The file is not changed.",
		Args: cobra.ExactArgs(1),
	}
	rev := cmd.Flags().Int64("rev", 0, "maximum revision to hash (default: latest revision)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withBackup(args[0], func(f *backup.File) error {
			hash, at, err := f.HashKV(mvcc.Revision(*rev))
			if err != nil {
				return err
			}
			return write(cmd, hashReport(hash, int64(at), int64(f.Compacted)))
		})
	}
	return cmd
}

func restoreCommand() *cobra.Command {
	var r server.RestoreConfig
	var peers, logDir string
	var skipHash, compacted bool
	cmd := &cobra.Command{
		Use:   "restore <filename> --data-dir {output dir} [options]",
		Short: "Restores a snapshot of detcd or etcd to a data directory of detcd",
		Long: "Makes a data directory of a snapshot: the member of a new cluster that starts " +
			"from it has the snapshot's data.\nA snapshot without a hash, as member/snap/db of a " +
			"stopped etcd is, needs --skip-hash-check.",
	}
	fs := cmd.Flags()
	fs.StringVar(&r.Dir, "data-dir", "", "Path to the output data directory")
	fs.StringVar(&logDir, "wal-dir", "", "not supported: the log lives in the data directory")
	fs.StringVar(&r.Name, "name", server.DefaultName, "Human-readable name for this member")
	fs.StringVar(&r.InitialCluster, "initial-cluster", server.DefaultInitialCluster,
		"Initial cluster configuration for restore bootstrap")
	fs.StringVar(&r.InitialClusterToken, "initial-cluster-token", "etcd-cluster",
		"Initial cluster token for the cluster during restore bootstrap")
	fs.StringVar(&peers, "initial-advertise-peer-urls", server.DefaultPeerURL,
		"List of this member's peer URLs to advertise to the rest of the cluster")
	fs.BoolVar(&skipHash, "skip-hash-check", false,
		"Ignore snapshot integrity hash value (required if copied from data directory)")
	fs.Uint64("initial-memory-map-size", 0, "accepted for etcdutl's sake; nothing is mapped")
	fs.Uint64Var(&r.Bump, "bump-revision", 0,
		"How much to increase the latest revision after restore")
	fs.BoolVar(&compacted, "mark-compacted", false, "Mark the latest revision after restore as "+
		"the point of compaction (required if --bump-revision > 0, disallowed otherwise)")
	if err := cmd.MarkFlagRequired("data-dir"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) != 1:
			return usageError{"snapshot restore requires exactly one argument"}
		case compacted != (r.Bump > 0):
			return usageError{"--mark-compacted required if --revision-bump > 0"}
		case logDir != "":
			return usageError{"--wal-dir is not supported by detcd: the log lives in the data " +
				"directory"}
		}
		r.Snapshot, r.AdvertisePeerURLs = args[0], strings.Split(peers, ",")
		if skipHash {
			r.Hash = server.SkipHash
		}
		log, err := logger()
		if err != nil {
			return err
		}
		return server.Restore(&r, log)
	}
	return cmd
}
