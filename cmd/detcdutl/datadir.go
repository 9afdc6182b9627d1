package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/detcd/detcd/server"
)

func dataDirFlag(cmd *cobra.Command) *string {
	dir := cmd.Flags().String("data-dir", "", "Required. The data directory of a stopped member.")
	mustRequire(cmd, "data-dir")
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
