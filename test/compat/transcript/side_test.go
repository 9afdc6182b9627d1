package transcript

// A side is one server, and etcdctl run against it. A process is one run: it can be fed, awaited,
// interrupted, and leaves a result.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/detcd/detcd/test/compat/servers"
)

const (
	commandLimit = time.Minute
	slow         = time.Second // is worth a word
	quiet        = time.Second // after which a command that does not end has said what it will
	mute         = 4 * quiet   // the same when it has said nothing yet
	atOnce       = 4           // such commands
)

// side is one of the servers as etcdctl sees it.
type side struct {
	tool   *tool
	server *servers.Server
	second *servers.Server   // where mirrors go
	secure string            // the server's address for TLS
	dir    string            // files of this side
	certs  string            // the folder of the certificates, the same for both sides
	leases []string          // drawn ids in hexadecimal, in the order of their grants
	names  map[string]string // other texts that differ, and what stands for them
	env    []string          // of every run: NAME=value
	member string
	added  string

	revision string // for a command that begins at the present
}

// expand is a command line's words, $NAME replaced and %20 a space inside a word.
func (s *side) expand(line string) []string {
	var args []string
	second := ""
	if s.second != nil {
		second = s.second.Address
	}
	for _, word := range strings.Fields(line) {
		word = strings.NewReplacer("$LEASE", s.lease(), "$MEMBER", s.member, "$ADDED", s.added,
			"$DIR", s.dir, "$CERTS", s.certs, "$SERVER", s.server.Address, "$SECOND", second,
			"$SECURE", s.secure, "$REV", s.revision, "%20", " ", "%00", "").Replace(word)
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
	status   int // -1 when a signal ended it
}

// output collects what a process says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	last time.Time
}

// Write keeps p.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Now()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) silence() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Since(o.last)
}

// process is a run of etcdctl.
type process struct {
	line      string
	cmd       *exec.Cmd
	out, errs output
	ended     chan struct{}
	failed    error // why it ended, when that was not an exit status
}

// start runs a command in a format; none leaves the choice to the command line.
func (s *side) start(ctx context.Context, c command, format string) (*process, error) {
	args := s.expand(c.line)
	if !c.bare {
		args = append([]string{"--endpoints", s.server.Address}, args...)
	}
	if format != "" {
		args = appendFormat(args, format)
	}
	s.tool.used.note(args, c.env)
	p := &process{line: strings.Join(args, " "), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, s.tool.path, args...)
	p.cmd.Env = slices.Concat(os.Environ(), []string{"GOMAXPROCS=1"}, s.env,
		s.expand(c.env))
	p.cmd.Stdin = strings.NewReader(c.stdin)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = 5 * time.Second
	p.out.last, p.errs.last = time.Now(), time.Now()
	done := func() error { return nil }
	var err error
	switch {
	case c.typed != "":
		done, err = giveTerminal(p.cmd, c.typed)
	case c.runs:
		done, err = keepOpen(p.cmd, c.stdin)
	}
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %q: %w", p.line, err), done())
	}
	go func() {
		var exit *exec.ExitError
		if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
			p.failed = err
		}
		p.failed = errors.Join(p.failed, done())
		close(p.ended)
	}()
	return p, nil
}

// keepOpen gives the command an input that does not end.
func keepOpen(cmd *exec.Cmd, text string) (done func() error, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	done = func() error { return errors.Join(r.Close(), w.Close()) }
	if _, err := w.WriteString(text); err != nil {
		return nil, errors.Join(err, done())
	}
	cmd.Stdin = r
	return done, nil
}

// appendFormat adds the format before what belongs to another program.
func appendFormat(args []string, format string) []string {
	at := slices.Index(args, "--")
	if at < 0 {
		at = len(args)
	}
	return slices.Insert(args, at, "--write-out", format)
}

// wait returns what the process left when it has ended by itself.
func (p *process) wait(ctx context.Context) (result, error) {
	select {
	case <-p.ended:
	case <-time.After(commandLimit):
		return result{}, errors.Join(fmt.Errorf("%q does not end: %q %q", p.line, p.out.String(),
			p.errs.String()), p.cmd.Process.Kill())
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	return result{p.out.String(), p.errs.String(), p.cmd.ProcessState.ExitCode()}, p.failed
}

// interrupt ends the process as a user at a terminal does.
func (p *process) interrupt(ctx context.Context) (result, error) {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return result{}, err
	}
	return p.wait(ctx)
}

// said says whether the process has ended or has nothing more to say.
func (p *process) said() bool {
	select {
	case <-p.ended:
		return true
	default:
	}
	limit := quiet
	if p.out.String() == "" && p.errs.String() == "" {
		limit = mute
	}
	return p.out.silence() >= limit && p.errs.silence() >= limit
}

// settle waits until the process has ended or has nothing more to say.
func (p *process) settle() {
	for limit := time.Now().Add(commandLimit); !p.said() && time.Now().Before(limit); {
		time.Sleep(20 * time.Millisecond)
	}
}

// await waits until the process has said a text.
func (p *process) await(ctx context.Context, text string) error {
	return eventually(ctx, func() error {
		select {
		case <-p.ended:
		default:
			if !strings.Contains(p.out.String(), text) {
				return fmt.Errorf("%q does not say %q: %q", p.line, text, p.out.String())
			}
		}
		return nil
	})
}

// eventually repeats f until it succeeds or the time of a command is up.
func eventually(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run runs a command to its end and returns what it left, comparable with the other side's.
func (s *side) run(ctx context.Context, c command, format string) (result, error) {
	p, err := s.start(ctx, c, format)
	if err != nil {
		return result{}, err
	}
	var r result
	if c.runs {
		p.settle()
		r, err = p.interrupt(ctx)
	} else {
		r, err = p.wait(ctx)
	}
	if err != nil {
		return r, err
	}
	if err := s.learn(ctx, c.line, r.out); err != nil {
		return r, err
	}
	return s.normal(c, r, format), nil
}

var (
	listed      = regexp.MustCompile(`(?m)^[0-9a-f]{8,16}$`)
	memberAdded = regexp.MustCompile(`Member +([0-9a-f]{8,16}) added`)
	addedInJSON = regexp.MustCompile(`"member":\{"ID":(\d+)`)
	grants      = regexp.MustCompile(`\b(lease grant|lock|elect)\b`)
)

// learn takes the ids that the server drew. A grant does not say its lease's in every format.
func (s *side) learn(ctx context.Context, line, out string) error {
	if m := memberAdded.FindStringSubmatch(out); m != nil {
		s.added = m[1]
	}
	if m := addedInJSON.FindStringSubmatch(out); m != nil {
		id, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			return err
		}
		s.added = fmt.Sprintf("%x", id)
	}
	if !grants.MatchString(line) {
		return nil
	}
	list, err := exec.CommandContext(ctx, s.tool.path, "--endpoints", s.server.Address, "lease",
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
