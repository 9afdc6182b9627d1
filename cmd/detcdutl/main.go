// Command detcdutl works on files while no server does: backups, and the data directory of a member
// that is stopped. Commands, flags and outputs are those of etcd's etcdutl where it has them, so
// that scripts go on working.
//
//	detcdutl snapshot save FILE --data-dir DIR
//	detcdutl snapshot status FILE
//	detcdutl snapshot verify FILE
//	detcdutl snapshot restore FILE --data-dir DIR [...]
//	detcdutl hashkv FILE [--rev R]
//	detcdutl check --data-dir DIR
//	detcdutl migrate live --from ENDPOINTS --to ENDPOINTS [--cutover]
//	detcdutl defrag --data-dir DIR
//	detcdutl wal dump --data-dir DIR
//	detcdutl migrate --from ETCD'S-DIR-OR-SNAPSHOT --data-dir DIR [...]
//	detcdutl version
//	detcdutl completion SHELL
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/detcd/detcd/server"
)

// The exit statuses are etcdutl's.
const (
	exitFailed = 1
	exitUsage  = 128
)

// usageError says that the command line itself is wrong.
type usageError struct{ text string }

// Error says what is wrong.
func (e usageError) Error() string { return e.text }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	// There is nobody left to tell when standard error is gone.
	_, _ = fmt.Fprintln(stderr, "Error:", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "detcdutl", Short: "An administrative command line tool for detcd's files",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringP("write-out", "w", "simple",
		"set the output format (fields, json, simple, table)")
	root.PersistentFlags().Duration("timeout", 10*time.Second,
		"accepted for etcdutl's sake: a directory in use is refused at once")
	root.AddCommand(snapshotCommand(), hashKVCommand(), checkCommand(), walCommand(),
		defragCommand(), migrateCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Prints the version of detcdutl", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "etcdutl version: %s\nAPI version: %s\n",
				server.Version, server.APIVersion())
			return err
		},
	}
}

// logger writes what happens to the error output, in the server's form.
func logger() (*zap.Logger, error) {
	cfg := server.DefaultConfig()
	cfg.LogOutputs = []string{"stderr"}
	return server.NewLogger(&cfg)
}
