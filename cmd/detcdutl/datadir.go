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
			"the store's invariants,\nand says of every damaged record where it is, what it " +
			"held, what follows, and what to do. Nothing is changed.\nThe exit status is 0 if " +
			"the member would start.",
		Args: cobra.NoArgs,
	}
	dir := dataDirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		found, err := server.CheckDataDir(*dir)
		if err != nil {
			return fmt.Errorf("%s cannot be checked: %w", *dir, err)
		}
		if err := writeFindings(cmd, found.Findings); err != nil {
			return err
		}
		if err := write(cmd, checkReport(found)); err != nil {
			return err
		}
		if !found.Whole() {
			return fmt.Errorf("%s is damaged", *dir)
		}
		return nil
	}
	return cmd
}

// writeFindings tells people what is wrong; programs find it in the JSON.
func writeFindings(cmd *cobra.Command, findings []server.Finding) error {
	for i := range findings {
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "%v\n\n", &findings[i]); err != nil {
			return err
		}
	}
	return nil
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
