// Package transcript runs etcd's own etcdctl, command by command and in every output format,
// against etcd and against detcd, and compares what it prints and how it ends.
//
// Both servers advertise the same addresses, so ids and member lists are the same texts. Replaced
// before the comparison are only the endpoint, the leases' ids, raft's terms and indexes, sizes of
// files, digests of files and times.
package transcript

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/test/compat/servers"
)

const (
	commandLimit = 20 * time.Second
	endless      = 2 * time.Second // how long a command runs that would not end
)

// command is one invocation. $LEASE is the newest lease's id, $MEMBER the member's, $ADDED that of
// the member added last, $DIR a folder of the server's own.
type command struct {
	line  string
	stdin string
	needs string // a method that detcd has to serve
	runs  bool   // does not end by itself
	plain bool   // its output does not depend on the format
	words bool   // not compared as protobuf, in which ids cannot be replaced
}

var formats = []string{"simple", "json", "fields", "table", "protobuf"}

var allFormats = flag.Bool("formats", false, "try every command in all formats, not in two")

// side is one of the servers as etcdctl sees it.
type side struct {
	server  *servers.Server
	etcdctl string
	dir     string
	leases  []string // drawn ids in hexadecimal
	member  string
	added   string
}

func (s *side) expand(line string) []string {
	var args []string
	for _, word := range strings.Fields(line) {
		word = strings.NewReplacer("$LEASE", s.lease(), "$MEMBER", s.member, "$ADDED", s.added,
			"$DIR", s.dir, "%20", " ", "%00", "").Replace(word)
		args = append(args, word)
	}
	return args
}

func (s *side) lease() string {
	if len(s.leases) == 0 {
		return ""
	}
	return s.leases[len(s.leases)-1]
}

// result is what a command left.
type result struct {
	out, err string
	status   int
}

func (s *side) run(ctx context.Context, c command, format string) (result, error) {
	limit := commandLimit
	if c.runs {
		limit = endless
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := append([]string{"--endpoints", s.server.Address}, s.expand(c.line)...)
	if format != "" {
		args = append(args, "--write-out", format)
	}
	cmd := exec.CommandContext(ctx, s.etcdctl, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdin = strings.NewReader(c.stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, context.DeadlineExceeded) {
		return result{}, fmt.Errorf("%s: %w", c.line, err)
	}
	if err := s.learn(ctx, c.line, out.String()); err != nil {
		return result{}, err
	}
	status := cmd.ProcessState.ExitCode()
	if c.runs {
		status = 0 // interrupted
	}
	return result{s.normal(out.String()), s.normal(errs.String()), status}, nil
}

var (
	listed      = regexp.MustCompile(`(?m)^[0-9a-f]{8,16}$`)
	memberAdded = regexp.MustCompile(`Member +([0-9a-f]{8,16}) added`)
)

// learn takes the ids that the server drew. A grant does not say its lease's in every format.
func (s *side) learn(ctx context.Context, line, out string) error {
	if m := memberAdded.FindStringSubmatch(out); m != nil {
		s.added = m[1]
	}
	if !strings.HasPrefix(line, "lease grant") {
		return nil
	}
	list, err := exec.CommandContext(ctx, s.etcdctl, "--endpoints", s.server.Address, "lease",
		"list").Output()
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, id := range listed.FindAllString(string(list), -1) {
		if !slices.Contains(s.leases, id) {
			s.leases = append(s.leases, id)
		}
	}
	return nil
}

// volatile are texts that may differ, and what they are replaced by.
var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`etcd-endpoints://0x[0-9a-f]+/`), `etcd-endpoints://`},
	{regexp.MustCompile(`LocalAddr: '127.0.0.1:\d+'`), `LocalAddr`},
	{regexp.MustCompile(`"raft_term":\d+`), `"raft_term":T`},
	{regexp.MustCompile(`"(raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+`), `"$1":N`},
	{regexp.MustCompile(`"RaftTerm" : \d+`), `"RaftTerm" : T`},
	{regexp.MustCompile(`"(RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : \d+`), `"$1" : N`},
	{regexp.MustCompile(`took = [0-9.]+(µs|ms|s)`), `took = D`},
	{regexp.MustCompile(`"took":"[0-9.]+(µs|ms|s)"`), `"took":"D"`},
	{regexp.MustCompile(`\b[0-9.]+(µs|ms)\b`), `D`},
	{regexp.MustCompile(`remaining\(\d+s\)`), `remaining(Ns)`},
	{regexp.MustCompile(`"(ttl|TTL)" ?: ?\d+`), `"$1":N`},
	{regexp.MustCompile(`\b\d+(\.\d+)? [kMG]?B\b`), `SIZE`},
	{regexp.MustCompile(`\b\d+%`), `PERCENT`},
	{regexp.MustCompile(`"?\d{4}-\d\d-\d\dT[0-9:.]+Z?[+0-9]*"?`), `TIME`},
	{regexp.MustCompile(`, \d+, \d+, \d+, ,`), `, T, I, I, ,`}, // endpoint status
	{regexp.MustCompile(`(│ *\d+ *){3}`), `│ T │ I │ I `},
	{regexp.MustCompile(` *│ *`), ` │ `},
	{regexp.MustCompile(`─+`), `─`},
	{regexp.MustCompile(`(?s)\ngoroutine .*`), ``}, // etcdctl itself panics
}

func (s *side) normal(text string) string {
	replace := []string{s.server.Address, "ENDPOINT", s.dir, "DIR"}
	names := map[string]string{}
	for i, id := range s.leases {
		names[id] = fmt.Sprintf("LEASE%d", i)
	}
	if s.added != "" {
		names[s.added] = "ADDED"
	}
	for id, name := range names {
		var n uint64
		_, _ = fmt.Sscanf(id, "%x", &n) // the pattern admits hexadecimal digits only
		replace = append(replace, id, name, fmt.Sprint(n), name, fmt.Sprint(int64(n)), name)
	}
	text = strings.NewReplacer(replace...).Replace(text)
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}

// The commands of etcdctl against both servers say the same.
func TestEtcdctlPrintsTheSame(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	programs, err := servers.Build(ctx, "../../..", "..", dir)
	require.NoError(t, err)
	tools := map[string]string{"etcdctl": filepath.Join(dir, "bin", "etcdctl")}
	require.NoError(t, servers.Compile(ctx, "../../..", "./cmd/detcdctl", tools["etcdctl"]))
	if path, err := exec.LookPath("etcdctl"); err == nil {
		tools["installed etcdctl"] = path
	}
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) { transcript(ctx, t, programs, tool) })
	}
}

func transcript(ctx context.Context, t *testing.T, programs servers.Programs, tool string) {
	var sides [2]*side
	for i, p := range []servers.Program{programs.Etcd, programs.Detcd} {
		dir := t.TempDir()
		server, err := servers.Single(ctx, p, dir)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Kill()) })
		sides[i] = &side{server: server, etcdctl: tool, dir: dir}
	}
	for _, s := range sides {
		out, err := s.run(ctx, command{line: "member list"}, "simple")
		require.NoError(t, err)
		s.member, _, _ = strings.Cut(out.out, ",")
		require.NotEmpty(t, s.member)
	}
	for _, c := range commands() {
		if c.needs != "" && !servers.Served(c.needs) {
			continue
		}
		all := formats[:2]
		switch {
		case c.plain || c.runs:
			all = formats[:1]
		case *allFormats && c.words:
			all = formats[:4]
		case *allFormats:
			all = formats
		}
		for _, format := range all {
			var results [2]result
			var errs [2]error
			var wait sync.WaitGroup
			for i, s := range sides {
				wait.Go(func() { results[i], errs[i] = s.run(ctx, c, format) })
			}
			wait.Wait()
			require.NoError(t, errors.Join(errs[:]...))
			if results[0] != results[1] {
				t.Errorf("etcdctl %s -w %s\netcd:\n%+v\ndetcd:\n%+v", c.line, format, results[0],
					results[1])
			}
		}
	}
}
