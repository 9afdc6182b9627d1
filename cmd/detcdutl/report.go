package main

// Reports: one set of named values, printed in the form that was asked for. The forms are
// etcdutl's.

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/spf13/cobra"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/server"
)

// report is what a command found out.
type report struct {
	value  any // for JSON
	fields []field
}

// field is a value under its names: head in tables, label in the list of fields; text is for
// people, exact for programs.
type field struct {
	head, label string
	text        string
	exact       any
}

func statusReport(s backup.Status) report {
	return report{s, []field{
		{"hash", "Hash", fmt.Sprintf("%x", s.Hash), s.Hash},
		{"revision", "Revision", fmt.Sprint(s.Revision), s.Revision},
		{"total keys", "Keys", fmt.Sprint(s.Keys), s.Keys},
		{"total size", "Size", humanize.Bytes(uint64(s.Bytes)), s.Bytes},
		{"version", "Version", s.Version, s.Version},
	}}
}

func hashReport(hash uint32, at, compacted int64) report {
	value := struct {
		Hash            uint32 `json:"hash"`
		HashRevision    int64  `json:"hashRevision"`
		CompactRevision int64  `json:"compactRevision"`
	}{hash, at, compacted}
	return report{value, []field{
		{"hash", "Hash", fmt.Sprint(hash), hash},
		{"hash revision", "Hash revision", fmt.Sprint(at), at},
		{"compact revision", "Compact revision", fmt.Sprint(compacted), compacted},
	}}
}

func checkReport(c server.CheckedDataDir) report {
	text := func(v any) string { return fmt.Sprint(v) }
	result := "whole"
	if !c.Whole() {
		result = "damaged"
	}
	return report{c, []field{
		{"cluster id", "ClusterID", c.Cluster, c.Cluster},
		{"member id", "MemberID", c.Member, c.Member},
		{"revision", "Revision", text(c.Revision), c.Revision},
		{"compacted", "Compacted", text(c.Compacted), c.Compacted},
		{"applied index", "Applied", text(c.Applied), c.Applied},
		{"keys", "Keys", text(c.Keys), c.Keys},
		{"size", "Size", humanize.Bytes(uint64(c.Bytes)), c.Bytes},
		{"result", "Result", result, result},
	}}
}

// write prints a report in the form that the flag names.
func write(cmd *cobra.Command, r report) error {
	form, err := cmd.Flags().GetString("write-out")
	if err != nil {
		return err
	}
	var heads, texts []string
	for _, f := range r.fields {
		heads, texts = append(heads, f.head), append(texts, f.text)
	}
	out := cmd.OutOrStdout()
	switch form {
	case "simple":
		_, err = fmt.Fprintln(out, strings.Join(texts, ", "))
	case "json":
		err = json.NewEncoder(out).Encode(r.value)
	case "fields":
		for _, f := range r.fields {
			if _, err = fmt.Fprintf(out, "%q : %v\n", f.label, f.exact); err != nil {
				return err
			}
		}
	case "table":
		right := tablewriter.NewConfigBuilder().WithRowAlignment(tw.AlignRight).Build()
		table := tablewriter.NewTable(out, tablewriter.WithConfig(right))
		table.Header(heads)
		if err = table.Append(texts); err == nil {
			err = table.Render()
		}
	default:
		return usageError{"unsupported output format"}
	}
	return err
}
