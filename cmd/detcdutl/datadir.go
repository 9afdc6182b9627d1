package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/server"
)

func dataDirFlag(cmd *cobra.Command) *string {
	dir := cmd.Flags().String("data-dir", "", "Required. The data directory of a stopped member.")
	if err := cmd.MarkFlagRequired("data-dir"); err != nil {
		panic(err) // the flag is defined above
	}
	return dir
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Checks every byte and every invariant of a stopped member",
		Long: "Reads the whole data directory of a stopped member, verifies every checksum and " +
			"the store's invariants,\nand says exactly what is damaged. Nothing is changed.",
		Args: cobra.NoArgs,
	}
	dir := dataDirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		found, err := server.CheckDataDir(*dir)
		if err != nil {
			return fmt.Errorf("%s is damaged or cannot be read: %w", *dir, err)
		}
		return write(cmd, checkReport(found))
	}
	return cmd
}

func defragCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "defrag", Short: "Says why there is nothing to defragment", Args: cobra.NoArgs,
	}
	dir := dataDirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := server.KnownDataDir(*dir); err != nil {
			return fmt.Errorf("Failed to defragment etcd data[%s] (%w)", *dir, err)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "Nothing to do for %s: a running member of detcd "+
			"gives back the space of what was compacted in small steps and never stops for it; "+
			"`etcdctl defrag` hurries it.\n", *dir)
		return err
	}
	return cmd
}

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Refused: detcd's files have no versions of etcd's storage",
		Args: cobra.NoArgs,
	}
	dir := dataDirFlag(cmd)
	cmd.Flags().String("target-version", "", "Required. Target etcd version")
	cmd.Flags().Bool("force", false, "Ignored")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := server.KnownDataDir(*dir); err != nil {
			return err
		}
		return errors.New("a data directory of detcd has no storage version of etcd to migrate " +
			"to: detcd reads all formats that its releases have written")
	}
	return cmd
}
