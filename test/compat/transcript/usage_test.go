package transcript

// Which commands and flags a transcript has used, against those that the program has.

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// usage is what was used: commands, and flags both alone and behind their command.
type usage struct {
	mu    sync.Mutex
	lines []string // one per run: its words
}

func newUsage() *usage { return &usage{} }

func (u *usage) note(args []string, env string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	words := slices.Clone(args)
	for _, pair := range strings.Fields(env) {
		name, _, _ := strings.Cut(pair, "=")
		name = strings.ToLower(strings.TrimPrefix(name, "ETCDCTL_"))
		words = append(words, "--"+strings.ReplaceAll(name, "_", "-"))
	}
	u.lines = append(u.lines, strings.Join(words, " "))
}

// has says whether some run had the words of a command one after the other, and a flag.
func (u *usage) has(command, flag string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	with := regexp.MustCompile(`(^| )` + regexp.QuoteMeta(flag) + `( |=|$)`)
	return slices.ContainsFunc(u.lines, func(line string) bool {
		named := command == "" || strings.Contains(" "+line+" ", " "+command+" ")
		return named && (flag == "" || with.MatchString(line))
	})
}

// lack is a command or a flag that the transcript leaves out for a tool, and why. A command without
// flag stands for all its flags.
type lack struct{ command, flag, reason string }

// without says whether the tool does not have what the command needs.
func (t *tool) without(c command) bool {
	return slices.ContainsFunc(t.lacks, func(l lack) bool {
		words := " " + c.line + " "
		command := l.command == "" || strings.HasPrefix(words, " "+l.command+" ")
		flag := l.flag == "" || strings.Contains(words, " "+l.flag+" ") ||
			strings.Contains(words, " "+l.flag+"=")
		return command && flag
	})
}

var (
	helpCommand = regexp.MustCompile(`^\s+([a-z][a-z-]*(?: [a-z][a-z-]*)*)(?:\s{2,}|\t| [A-Z])`)
	helpFlag    = regexp.MustCompile(`^\s+(?:-\w, )?(--[a-z][a-z-]*)`)
)

// unused are the commands and flags of the program that no run had.
func (t *tool) unused(ctx context.Context) ([]string, error) {
	missing := map[string]bool{}
	demand := func(command, flag string) {
		left := slices.ContainsFunc(t.lacks, func(l lack) bool {
			return (l.command == "" || l.command == command) && (l.flag == "" || l.flag == flag)
		})
		if !left && !t.used.has(command, flag) {
			missing[strings.TrimSpace(command+" "+flag)] = true
		}
	}
	globals, err := t.help(ctx, "options")
	if err != nil { // an old release has them in its general help
		if globals, err = t.help(ctx, "--help"); err != nil {
			return nil, err
		}
	}
	for _, flag := range globals.flags {
		demand("", flag)
	}
	var walk func(string) error
	walk = func(command string) error {
		h, err := t.help(ctx, command, "--help")
		if err != nil {
			return err
		}
		for _, sub := range h.commands {
			if command != "" && !strings.HasPrefix(sub, command+" ") {
				sub = command + " " + sub
			}
			if sub == "help" || sub == command {
				continue
			}
			if err := walk(sub); err != nil {
				return err
			}
		}
		if command == "" {
			return nil
		}
		if len(h.commands) == 0 {
			demand(command, "")
		}
		for _, flag := range h.flags {
			if !slices.Contains(globals.flags, flag) && flag != "--help" {
				demand(command, flag)
			}
		}
		return nil
	}
	err = walk("")
	return slices.Sorted(maps.Keys(missing)), err
}

// help is what a command says of itself.
type help struct{ commands, flags []string }

func (t *tool) help(ctx context.Context, line ...string) (help, error) {
	args := strings.Fields(strings.Join(line, " "))
	out, err := exec.CommandContext(ctx, t.path, args...).Output()
	if err != nil {
		return help{}, fmt.Errorf("help for %v: %w", args, err)
	}
	var h help
	inCommands := false
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		line := lines.Text()
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			heading := strings.TrimSuffix(strings.ToLower(line), ":")
			inCommands = strings.HasSuffix(heading, "commands")
			continue
		}
		if m := helpFlag.FindStringSubmatch(line); m != nil {
			h.flags = append(h.flags, m[1])
		} else if m := helpCommand.FindStringSubmatch(line); m != nil && inCommands {
			h.commands = append(h.commands, m[1])
		}
	}
	return h, lines.Err()
}
