package transcript

// Three members: the commands that ask all of them, and those that change who leads. The cluster of
// etcd is recorded first and that of detcd afterwards, at the same addresses, so that ids and lists
// are the same texts. Over TLS every connection shows a certificate, between the members too, and at
// the end its name is that of a user.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/test/compat/servers"
)

const members = 3

// threeMembers compares the records; certs is the folder of the certificates, empty without TLS.
func threeMembers(
	ctx context.Context, t *testing.T, programs servers.Programs, tool *tool, certs string,
) {
	ports, err := servers.FreePorts(2 * members)
	require.NoError(t, err)
	dir := t.TempDir()
	var logs [2][]string
	for i, program := range []servers.Program{programs.Etcd, programs.Detcd} {
		log, err := recordMembers(ctx, program, tool, dir, certs, ports)
		require.NoError(t, err)
		logs[i] = log.lines
	}
	for i := range min(len(logs[0]), len(logs[1])) {
		if logs[0][i] != logs[1][i] {
			t.Errorf("etcd:\n%s\ndetcd:\n%s", logs[0][i], logs[1][i])
		}
	}
	require.Len(t, logs[1], len(logs[0]))
}

func recordMembers(
	ctx context.Context, program servers.Program, tool *tool, dir, certs string, ports []int,
) (log *logbook, err error) {
	all, err := clusterOf(program, dir, certs, ports)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if err := m.Start(); err != nil {
			return nil, err
		}
		defer func() {
			if killErr := m.Kill(); err == nil {
				err = killErr
			}
		}()
	}
	for _, m := range all {
		if err := errors.Join(m.WaitReady(ctx), m.WaitVersion(ctx)); err != nil {
			return nil, err
		}
	}
	log = &logbook{}
	s := &side{tool: tool, server: all[0], dir: dir, certs: dir, names: map[string]string{}}
	if certs != "" {
		s.env = clientVariables(certs)
	}
	ids, err := s.memberIDs(ctx)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, m := range all {
		addresses = append(addresses, m.Address)
	}
	everywhere := "--endpoints " + strings.Join(addresses, ",") + " "
	if err := s.lead(ctx, everywhere, ids["n1"]); err != nil {
		return nil, err
	}
	script := memberScript(everywhere, all, ids)
	if certs != "" {
		script = append(userScript(all[0].Address), script...) // which ends with a broken URL
	}
	for _, c := range script {
		if tool.without(c) {
			continue
		}
		if err := s.record(ctx, log, c); err != nil {
			return nil, err
		}
	}
	if err := all[2].Kill(); err != nil {
		return nil, err
	}
	for _, c := range brokenScript(everywhere) {
		if err := s.record(ctx, log, c); err != nil {
			return nil, err
		}
	}
	return log, nil
}

// clusterOf returns three members that are not started yet.
func clusterOf(program servers.Program, dir, certs string, ports []int) ([]*servers.Server, error) {
	if certs == "" {
		return servers.ClusterAt(program, dir, ports)
	}
	settings, err := clientSettings(certs)
	if err != nil {
		return nil, err
	}
	return servers.SecureClusterAt(program, dir, ports, settings,
		slices.Concat(certificateFlags(certs, ""), certificateFlags(certs, "peer-"))...)
}

func (s *side) record(ctx context.Context, log *logbook, c command) error {
	all := formats
	if c.plain {
		all = []string{""}
	}
	for _, format := range all {
		r, err := s.run(ctx, c, format)
		if err != nil {
			return err
		}
		log.add(c.line+" -w "+format, r)
	}
	return nil
}

// memberIDs are the members' ids in hexadecimal by name.
func (s *side) memberIDs(ctx context.Context) (map[string]string, error) {
	list := exec.CommandContext(ctx, s.tool.path, "--endpoints", s.server.Address, "member", "list")
	list.Env = append(os.Environ(), s.env...)
	out, err := list.Output()
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(line, ", "); len(fields) > 2 {
			ids[fields[2]] = fields[0]
		}
	}
	return ids, nil
}

// lead makes one member the leader, so that both records begin alike.
func (s *side) lead(ctx context.Context, everywhere, id string) error {
	return eventually(ctx, func() error {
		r, err := s.run(ctx, command{line: everywhere + "move-leader " + id, bare: true}, "")
		if err == nil && r.status != 0 && !strings.Contains(r.err, "leader is already") {
			out, err := s.run(ctx, command{line: everywhere + "endpoint status -w json", bare: true}, "")
			return fmt.Errorf("%s does not lead: %s %s %w", id, r.err, out.out, err)
		}
		return err
	})
}

func memberScript(everywhere string, all []*servers.Server, ids map[string]string) []command {
	var commands []command
	add := func(plain, unordered bool, lines ...string) {
		for _, line := range lines {
			commands = append(commands, command{line: line, bare: true, plain: plain,
				unordered: unordered})
		}
	}
	anyone := func(lines ...string) {
		for _, line := range lines {
			commands = append(commands, command{line: line, bare: true, anyone: true})
		}
	}
	first, last := "--endpoints "+all[0].Address+" ", "--endpoints "+all[2].Address+" "
	anyone(everywhere+"put a 1", everywhere+"get a", everywhere+"member list",
		everywhere+"member list --consistency=s")
	add(false, false, last+"get a", last+"member list")
	add(false, true, first+"endpoint health --cluster", everywhere+"endpoint health")
	add(false, false, first+"endpoint status --cluster", everywhere+"endpoint status",
		last+"endpoint hashkv --cluster", everywhere+"endpoint hashkv",
		last+"endpoint hashkv --cluster --rev 2")
	add(true, false, first+"defrag --cluster", everywhere+"defrag",
		last+"move-leader "+ids["n2"], everywhere+"move-leader "+ids["n2"],
		everywhere+"endpoint status --cluster", first+"move-leader "+ids["n3"],
		everywhere+"move-leader "+ids["n1"]+" -w json",
		everywhere+"move-leader "+ids["n2"]+" -w protobuf",
		everywhere+"move-leader "+ids["n1"]+" -w fields",
		everywhere+"snapshot save $DIR/saved", first+"snapshot save $DIR/saved",
		everywhere+"alarm list", everywhere+"compaction 2",
		first+"member update "+ids["n3"]+" --peer-urls=http://127.0.0.1:"+"1")
	return commands
}

// userScript makes the certificate's name a user, and asks as it and as others, at one address,
// because refusals name who answered.
func userScript(address string) []command {
	var commands []command
	for _, line := range []string{"user add root:secret", "user add client --no-password",
		"role add r", "role grant-permission r readwrite a", "user grant-role client r",
		"auth enable", "put a 3", "get a", "get b", "put b 1", "user list", "user get client",
		"user get root", "member list", "endpoint status --cluster", "endpoint hashkv --cluster",
		"alarm list", "defrag", "snapshot save $DIR/saved", "get --prefix a",
		"get b --user root:secret", "user list --user root:secret",
		"put a 4 --user root:wrong", "auth disable --user root:secret", "get b"} {
		commands = append(commands, command{line: "--endpoints " + address + " " + line, bare: true,
			plain: true, unordered: true})
	}
	return commands
}

// brokenScript is run when one of the members is gone.
func brokenScript(everywhere string) []command {
	var commands []command
	for _, line := range []string{"put a 2", "get a", "endpoint health", "endpoint status",
		"endpoint hashkv", "defrag"} {
		commands = append(commands, command{line: everywhere + "--dial-timeout 1s --command-timeout 1500ms " + line,
			bare: true, plain: true, unordered: true, loud: true})
	}
	return append(commands, command{line: everywhere +
		"--dial-timeout 1s --command-timeout 1500ms endpoint health -w json", bare: true,
		plain: true, unordered: true, loud: true})
}
