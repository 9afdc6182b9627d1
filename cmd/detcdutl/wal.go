package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/detcd/detcd/server"
)

func walCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "wal <subcommand>", Short: "Looks into the log of a stopped member"}
	cmd.AddCommand(dumpCommand())
	return cmd
}

// entryJSON is a line of a dump.
type entryJSON struct {
	Term         uint64        `json:"term"`
	Index        uint64        `json:"index"`
	Time         string        `json:"time,omitempty"` // the leader's clock, if it is known
	Proposer     string        `json:"proposer,omitempty"`
	Incarnation  uint64        `json:"incarnation,omitempty"`
	Sequence     uint64        `json:"sequence,omitempty"`
	Kind         string        `json:"kind"`
	User         string        `json:"user,omitempty"`
	AuthRevision uint64        `json:"authRevision,omitempty"`
	Requests     []requestJSON `json:"requests,omitempty"`
	File         string        `json:"file"`
	Offset       int64         `json:"offset"` // of the record that holds it
}

// requestJSON is a message of etcd's API with its name; bytes are base64.
type requestJSON struct {
	Type    string          `json:"type"`
	Message json.RawMessage `json:"message"`
}

func dumpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dump --data-dir {dir of a stopped member}",
		Short: "Prints the entries of a member's log, a line of JSON each",
		Long: "Prints term, index, time, proposer and request of every entry, as a message of " +
			"etcd's API, in the order of the log.\nAn entry whose index comes again was replaced " +
			"by the later one. Hashes of passwords and tokens are left out.",
		Args: cobra.NoArgs,
	}
	dir := dataDirFlag(cmd)
	from := cmd.Flags().Uint64("from", 0, "the first index to print")
	to := cmd.Flags().Uint64("to", 0, "the last index to print; 0 is all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := bufio.NewWriter(cmd.OutOrStdout())
		lines := json.NewEncoder(out)
		err := server.DumpLog(*dir, func(e *server.LoggedEntry) error {
			if i := uint64(e.Index); i < *from || *to != 0 && i > *to {
				return nil
			}
			line, err := entryLine(e)
			if err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			return lines.Encode(line)
		})
		if flushed := out.Flush(); err == nil {
			err = flushed
		}
		return err
	}
	return cmd
}

func entryLine(e *server.LoggedEntry) (entryJSON, error) {
	line := entryJSON{Term: uint64(e.Term), Index: uint64(e.Index),
		Incarnation: uint64(e.Incarnation), Sequence: uint64(e.Sequence), Kind: e.Kind,
		User: e.User, AuthRevision: e.AuthRevision, File: e.Place.File, Offset: e.Place.Offset}
	if e.Time != 0 {
		line.Time = time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano)
	}
	if e.Proposer != 0 {
		line.Proposer = e.Proposer.String()
	}
	for _, m := range e.Requests {
		text, err := protojson.Marshal(m)
		if err != nil {
			return line, err
		}
		line.Requests = append(line.Requests, requestJSON{
			Type: string(m.ProtoReflect().Descriptor().FullName()), Message: text})
	}
	return line, nil
}
