package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/server"
)

func snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot <subcommand>", Short: "Manages snapshots of a store"}
	cmd.AddCommand(saveCommand(), statusCommand(), verifyCommand(), restoreCommand())
	return cmd
}

func saveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "save <filename> --data-dir {dir of a stopped member}",
		Short: "Stores a snapshot of a stopped member in a given file",
		Long: "Writes a snapshot as etcd writes it, which detcdutl and etcdutl restore. All that " +
			"the member's log holds is in it, also what\nthe log does not know to be committed. " +
			"The data directory is not changed. Of a running member, `detcdctl snapshot save`\n" +
			"takes one.",
	}
	dir := cmd.Flags().String("data-dir", "", "The data directory of a stopped member")
	force := cmd.Flags().Bool("force", false, "Replace the file if it exists")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *dir == "":
			return usageError{"In order to download snapshot use: `etcdctl snapshot save ...`"}
		case len(args) != 1:
			return usageError{"snapshot save requires exactly one argument"}
		}
		return saveTo(args[0], *force, func(out io.Writer) error {
			shown := newBar(cmd.ErrOrStderr(), "saving")
			defer shown.end()
			return server.SaveDataDir(*dir, out, shown.progress())
		})
	}
	return cmd
}

// saveTo writes a file under another name, and gives it its own when it is whole and durable.
func saveTo(path string, replace bool, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); !replace && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s exists: --force replaces it", path), err)
	}
	part := path + ".part"
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(out, 1<<20)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, path)
}

func verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify <filename>",
		Short: "Checks the hash, all pages and all records of a snapshot",
		Long: "Reads a snapshot of detcd or etcd as a restore would, and prints its status if a " +
			"restore would take it. Nothing is written.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{"snapshot verify requires exactly one argument"}
			}
			if err := backup.VerifyHash(args[0]); err != nil {
				return err
			}
			return withBackup(args[0], func(f *backup.File) error {
				if err := f.Verify(); err != nil {
					return err
				}
				s, err := f.Status()
				if err != nil {
					return err
				}
				return write(cmd, statusReport(s))
			})
		},
	}
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
