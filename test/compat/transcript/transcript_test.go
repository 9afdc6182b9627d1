// Package transcript runs etcdctl, command by command and in every output format, against etcd and
// against detcd, and compares what it prints and how it ends: the one of the release whose behaviour
// is offered, and the one that Debian ships.
//
// Both servers advertise the same addresses, so ids and member lists are the same texts; what is
// replaced before the comparison is the table of volatile texts. A last check asks the program
// itself for its commands and flags: each has to have been used, or to be listed with a reason.
package transcript

import (
	"context"
	"errors"
	"flag"
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

// command is one invocation. $LEASE is the newest lease's id, $MEMBER the member's, $ADDED that of
// the member added last, $DIR a folder of the server's own, $CERTS that of the certificates, $SERVER
// and $SECOND are addresses, $SECURE is one for TLS.
type command struct {
	line  string
	stdin string
	typed string // at a terminal
	env   string // NAME=value, in words
	runs  bool   // does not end by itself
	plain bool   // its output does not depend on the format
	bare  bool   // names its endpoints itself
	// Its lines may come in any order.
	unordered bool
	// Any member may answer it.
	anyone bool
	// What it says on standard error is about the connection, and differs from run to run.
	loud bool
}

// unknown is what etcdctl says of what it does not have.
var unknown = regexp.MustCompile(`unknown (flag|command|shorthand)`)

var formats = []string{"simple", "json", "protobuf", "fields", "table"}

var allFormats = flag.Bool("formats", false, "try every command in all formats")

// tool is an etcdctl under test.
type tool struct {
	name    string
	path    string
	etcdutl string // of the same release, which reads what it saved; none if etcdctl does itself
	lacks   []lack
	often   []string // the formats of a command whose name has already been tried in all
	seen    map[string]bool
	used    *usage
}

// The etcdctl of the offered release says the same of both.
func TestEtcdctlPrintsTheSame(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	programs, err := servers.Build(ctx, "../../..", "..", dir)
	require.NoError(t, err)
	current := &tool{name: "etcdctl", path: filepath.Join(dir, "bin", "etcdctl"),
		etcdutl: filepath.Join(dir, "bin", "etcdutl"), lacks: currentLacks(), often: formats[1:3],
		seen: map[string]bool{}, used: newUsage()}
	require.NoError(t, servers.Compile(ctx, "../../..", "./cmd/detcdctl", current.path))
	require.NoError(t, servers.Compile(ctx, "..", "go.etcd.io/etcd/etcdutl/v3", current.etcdutl))
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		t.Run(current.name, func(t *testing.T) { transcript(ctx, t, programs, current) })
	})
	t.Run("Debian's etcdctl", func(t *testing.T) {
		path, version := debian(ctx, t)
		old := &tool{name: "etcdctl " + version, path: path, lacks: debianLacks(),
			often: formats[1:2], seen: map[string]bool{}, used: newUsage()}
		transcript(ctx, t, programs, old)
	})
}

// pair is the two servers, each as etcdctl sees it.
type pair [2]*side

// both does the same to both sides at a time.
func both[T any](p pair, f func(*side) (T, error)) ([2]T, error) {
	var results [2]T
	var errs [2]error
	var wait sync.WaitGroup
	for i, s := range p {
		wait.Go(func() { results[i], errs[i] = f(s) })
	}
	wait.Wait()
	return results, errors.Join(errs[:]...)
}

// grouped are the commands whose second word tells what they do.
var grouped = map[string]bool{"alarm": true, "auth": true, "downgrade": true, "endpoint": true,
	"lease": true, "member": true, "role": true, "snapshot": true, "user": true}

// formatsOf are the formats that a command is tried in after the simple one has succeeded: all when
// it is the first of its name, and later the more telling ones.
func (t *tool) formatsOf(c command) []string {
	words := strings.Fields(c.line)
	name := words[0]
	if grouped[name] {
		name += " " + words[1]
	}
	seen := t.seen[name]
	t.seen[name] = true
	if !seen || *allFormats {
		return formats[1:]
	}
	return t.often
}

// compare runs a command on both sides in its formats. A refusal is the same text in all of them.
func (p pair) compare(ctx context.Context, t *testing.T, c command) {
	if c.plain || c.runs || strings.Contains(c.line, "-w ") {
		p.once(ctx, t, c, "")
		return
	}
	if p.once(ctx, t, c, formats[0]).status == 0 || *allFormats {
		for _, format := range p[0].tool.formatsOf(c) {
			p.once(ctx, t, c, format)
		}
	}
}

// once runs a command on both sides in one format, and returns what etcd's left.
func (p pair) once(ctx context.Context, t *testing.T, c command, format string) result {
	if strings.HasPrefix(c.line, "member add") && strings.Contains(c.line, "--learner") {
		// A new member's id has the second in it, and members are listed by their ids. A clock may
		// be read at a tick.
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1300 * time.Millisecond)))
	}
	start := time.Now()
	do := func(s *side) (result, error) { return s.run(ctx, c, format) }
	if c.runs {
		agreed, err := p.untilBothHaveSaid(ctx, c, format)
		require.NoError(t, err)
		do = agreed
	}
	results, err := both(p, do)
	require.NoError(t, err)
	if took := time.Since(start); took > slow {
		t.Logf("%s -w %s took %v", c.line, format, took.Round(time.Millisecond))
	}
	if unknown.MatchString(results[0].err) && !strings.Contains(c.line, "nonsense") {
		t.Errorf("%s has no %s: %s", p[0].tool.name, c.line, results[0].err)
	}
	if results[0] != results[1] {
		t.Errorf("%s %s -w %s\netcd:\n%+v\ndetcd:\n%+v", c.env, c.line, format, results[0],
			results[1])
	}
	return results[0]
}

// untilBothHaveSaid starts a command that does not end and waits until both have said the same, and
// nothing more; a side that says something else has until the limit to go on. It returns what ends
// the command.
func (p pair) untilBothHaveSaid(
	ctx context.Context, c command, format string,
) (end func(*side) (result, error), err error) {
	started, err := both(p, func(s *side) (*process, error) { return s.start(ctx, c, format) })
	if err != nil {
		return nil, err
	}
	const patience = 15 * time.Second
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		var said [2]result
		for i, s := range p {
			r := result{out: started[i].out.String(), err: started[i].errs.String()}
			said[i] = s.normal(c, r, format)
		}
		if said[0] == said[1] && started[0].said() && started[1].said() {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return func(s *side) (result, error) {
		r, err := started[slices.Index(p[:], s)].interrupt(ctx)
		return s.normal(c, r, format), err
	}, nil
}

// run goes through commands; those that do not end by themselves run at a time.
func (p pair) run(ctx context.Context, t *testing.T, commands []command) {
	var wait sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, c := range commands {
		switch {
		case p[0].tool.without(c):
		case c.runs:
			wait.Go(func() {
				places <- struct{}{}
				p.compare(ctx, t, c)
				<-places
			})
		default:
			wait.Wait()
			p.compare(ctx, t, c)
		}
	}
	wait.Wait()
}

func transcript(ctx context.Context, t *testing.T, programs servers.Programs, tool *tool) {
	certs := t.TempDir()
	require.NoError(t, writeCertificates(certs))
	var wait sync.WaitGroup
	wait.Go(func() {
		t.Run("three members", func(t *testing.T) { threeMembers(ctx, t, programs, tool, "") })
		t.Run("three members over TLS", func(t *testing.T) {
			threeMembers(ctx, t, programs, tool, certs)
		})
	})
	defer wait.Wait()
	p := pair{}
	for i, program := range []servers.Program{programs.Etcd, programs.Detcd} {
		s, err := newSide(ctx, t, program, tool, certs)
		require.NoError(t, err)
		p[i] = s
	}
	p.run(ctx, t, commands())
	play := func(all []scene) {
		for _, s := range all {
			t.Run(s.name, func(t *testing.T) { p.play(ctx, t, s) })
		}
	}
	play(snapshotScenes())
	p.run(ctx, t, authCommands())
	play(scenes())
	play(checks())
	wait.Wait()
	missing, err := tool.unused(ctx)
	require.NoError(t, err)
	require.Empty(t, missing, "commands and flags of %s that the transcript does not have", tool.name)
}

func newSide(
	ctx context.Context, t *testing.T, program servers.Program, tool *tool, certs string,
) (*side, error) {
	dir := t.TempDir()
	s := &side{tool: tool, dir: dir, certs: certs}
	for _, at := range []**servers.Server{&s.server, &s.second} {
		ports, err := servers.FreePorts(1)
		if err != nil {
			return nil, err
		}
		s.secure = secureAddress(ports[0])
		server, err := servers.Single(ctx, program, dir, secureFlags(certs, s.secure)...)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { require.NoError(t, server.Kill()) })
		if err := server.WaitVersion(ctx); err != nil {
			return nil, err
		}
		*at = server
	}
	out, err := exec.CommandContext(ctx, tool.path, "--endpoints", s.server.Address, "member",
		"list").Output()
	if err != nil {
		return nil, err
	}
	s.member, _, _ = strings.Cut(string(out), ",")
	return s, nil
}
