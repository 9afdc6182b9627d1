package transcript

// Scenes are commands that need each other: a lock that somebody else waits for, an election that
// somebody watches, a mirror that follows its source, a backup and what its reader says of it. A
// scene plays on each side by itself and keeps a log; the logs have to be equal.

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scene is one. play writes what has to be equal into the log.
type scene struct {
	name string
	play func(context.Context, *side, *logbook) error
}

func scenes() []scene {
	return []scene{
		{"lock", lockScene}, {"elect", electScene}, {"live watch", watchScene},
		{"make-mirror", mirrorScene},
	}
}

// snapshotScenes come before there are leases that end by themselves.
func snapshotScenes() []scene { return []scene{{"snapshot", snapshotScene}} }

// checks leave different revisions behind.
func checks() []scene {
	return []scene{{"check perf", perfScene}, {"check datascale", datascaleScene}}
}

// logbook is what a scene showed.
type logbook struct{ lines []string }

func (l *logbook) add(what string, r result) {
	l.lines = append(l.lines, fmt.Sprintf("%s\nstatus %d\nout: %s\nerr: %s", what, r.status, r.out,
		r.err))
}

func (p pair) play(ctx context.Context, t *testing.T, s scene) {
	logs, err := both(p, func(s_ *side) ([]string, error) {
		var log logbook
		err := s.play(ctx, s_, &log)
		return log.lines, err
	})
	require.NoError(t, err)
	for i := range min(len(logs[0]), len(logs[1])) {
		require.Equal(t, logs[0][i], logs[1][i])
	}
	require.Len(t, logs[1], len(logs[0]))
}

// say runs a command and logs what it left.
func (s *side) say(ctx context.Context, log *logbook, line string) error {
	if s.tool.without(command{line: line}) {
		return nil
	}
	c := command{line: line}
	r, err := s.run(ctx, c, "")
	log.add(line, r)
	return err
}

// end interrupts a process and logs what it left.
func (s *side) end(ctx context.Context, log *logbook, p *process, line string) error {
	r, err := p.interrupt(ctx)
	log.add(line, s.normal(command{loud: true}, r, "")) // the interruption may meet a request
	return err
}

// begin starts a command that goes on, waits until it has said something and learns its lease.
func (s *side) begin(ctx context.Context, line, says string) (*process, error) {
	p, err := s.start(ctx, command{line: line}, "")
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, says); err != nil {
		return nil, err
	}
	return p, s.learn(ctx, line, "")
}

// keys waits until as many keys have a prefix.
func (s *side) keys(ctx context.Context, address, prefix string, n int) error {
	return eventually(ctx, func() error {
		out, err := exec.CommandContext(ctx, s.tool.path, "--endpoints", address, "get", prefix,
			"--prefix", "--keys-only").Output()
		if found := len(strings.Fields(string(out))); err == nil && found != n {
			err = fmt.Errorf("%d keys with %q, not %d", found, prefix, n)
		}
		return err
	})
}

func lockScene(ctx context.Context, s *side, log *logbook) error {
	holder, err := s.begin(ctx, "lock l", "l/")
	if err != nil {
		return err
	}
	if err := s.say(ctx, log, "get l --prefix -w json"); err != nil {
		return err
	}
	waiting := "lock l --ttl 30 -- sh -c echo%20$ETCD_LOCK_KEY%20$ETCD_LOCK_REV"
	waiter, err := s.start(ctx, command{line: waiting}, "")
	if err != nil {
		return err
	}
	if err := s.keys(ctx, s.server.Address, "l/", 2); err != nil {
		return err
	}
	if err := s.learn(ctx, waiting, ""); err != nil {
		return err
	}
	if err := s.end(ctx, log, holder, "the first holder"); err != nil {
		return err
	}
	r, err := waiter.wait(ctx)
	if err != nil {
		return err
	}
	log.add(waiting, s.normal(command{}, r, ""))
	for _, line := range []string{"lock l true", "lock l false", "lock l -- sh -c exit%207",
		"lock l missing-program", "get l --prefix", "lease timetolive $LEASE --keys"} {
		if err := s.say(ctx, log, line); err != nil {
			return err
		}
	}
	printed, err := s.begin(ctx, "lock l -w json", "kvs")
	if err != nil {
		return err
	}
	return s.end(ctx, log, printed, "a holder in JSON")
}

func electScene(ctx context.Context, s *side, log *logbook) error {
	first, err := s.begin(ctx, "elect e one", "one")
	if err != nil {
		return err
	}
	observer, err := s.begin(ctx, "elect --listen e", "one")
	if err != nil {
		return err
	}
	short, err := s.begin(ctx, "elect -l e -w json", "kvs")
	if err != nil {
		return err
	}
	second, err := s.start(ctx, command{line: "elect e two"}, "")
	if err != nil {
		return err
	}
	if err := s.keys(ctx, s.server.Address, "e/", 2); err != nil {
		return err
	}
	if err := s.learn(ctx, "elect", ""); err != nil {
		return err
	}
	if err := s.end(ctx, log, first, "the first leader"); err != nil {
		return err
	}
	if err := second.await(ctx, "two"); err != nil {
		return err
	}
	if err := observer.await(ctx, "two"); err != nil {
		return err
	}
	if err := short.await(ctx, "dHdv"); err != nil { // two
		return err
	}
	for _, p := range []*process{second, observer, short} {
		if err := s.end(ctx, log, p, p.line[strings.Index(p.line, "elect"):]); err != nil {
			return err
		}
	}
	return s.say(ctx, log, "get e --prefix")
}

// learnRevision takes the next revision: whoever watches from it misses nothing, however long the
// start of its process takes.
func (s *side) learnRevision(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, s.tool.path, "--endpoints", s.server.Address, "get", "m",
		"-w", "json").Output()
	if err != nil {
		return err
	}
	header := struct {
		Header struct{ Revision int64 } `json:"header"`
	}{}
	if err := json.Unmarshal(out, &header); err != nil {
		return err
	}
	s.revision = fmt.Sprint(header.Header.Revision + 1)
	return nil
}

// watchScene changes keys while they are watched.
func watchScene(ctx context.Context, s *side, log *logbook) error {
	if err := s.learnRevision(ctx); err != nil {
		return err
	}
	lines := []string{"watch w --prefix --rev $REV", "watch w --prefix --prev-kv -w json --rev $REV",
		"watch w --prefix -w fields --rev $REV"}
	if c := "watch w1 w3 --rev $REV --progress-notify"; !s.tool.without(command{line: c}) {
		lines = append(lines, c)
	}
	var watchers []*process
	for _, line := range lines {
		p, err := s.start(ctx, command{line: line}, "")
		if err != nil {
			return err
		}
		watchers = append(watchers, p)
	}
	for _, p := range watchers {
		p.settle() // most often they have begun then
	}
	for _, line := range []string{"put w1 1", "put w1 2", "put w2 1", "del w1", "del w --prefix",
		"put w1 end"} {
		if err := s.say(ctx, log, line); err != nil {
			return err
		}
	}
	for _, p := range watchers {
		says := "end"
		if strings.Contains(p.line, "json") {
			says = "ZW5k"
		}
		if err := p.await(ctx, says); err != nil {
			return err
		}
		p.settle()
		if err := s.end(ctx, log, p, p.line[strings.Index(p.line, "watch"):]); err != nil {
			return err
		}
	}
	return nil
}

// mirror is one run of make-mirror, and how many keys it leaves under a prefix.
type mirror struct {
	flags string
	into  string
	keys  int
}

func mirrorScene(ctx context.Context, s *side, log *logbook) error {
	for i, m := range []mirror{{"--prefix m/", "m/", 2}, {"--prefix m/ --dest-prefix d/", "d/", 2},
		{"--prefix m/ --no-dest-prefix", "plain", 2}, {"--prefix m/ --max-txn-ops 1", "m/", 2},
		{"--prefix m/ --rev $REV --dest-prefix r/", "r/", 2},
	} {
		if s.tool.without(command{line: "make-mirror " + m.flags}) {
			continue
		}
		if err := s.mirror(ctx, log, m, i); err != nil {
			return err
		}
	}
	for _, line := range []string{
		"make-mirror --dest-prefix x --no-dest-prefix $SECOND",
		"make-mirror --dest-cert $CERTS/missing --dest-key $CERTS/missing $SECOND",
		"make-mirror --dest-cacert $CERTS/missing $SECOND",
		"make-mirror --dest-insecure-transport=false --dest-cacert $CERTS/missing $SECOND",
	} {
		if err := s.say(ctx, log, line); err != nil {
			return err
		}
	}
	// It asks again and again to be let in where nobody is.
	c := command{line: "make-mirror --dest-user root --dest-password x $SECOND", runs: true,
		loud: true}
	if s.tool.without(c) {
		return nil
	}
	r, err := s.run(ctx, c, "")
	log.add(c.line, r)
	return err
}

// mirror has one mirror follow changes, and logs what is then at its end.
func (s *side) mirror(ctx context.Context, log *logbook, m mirror, round int) error {
	if err := s.learnRevision(ctx); err != nil {
		return err
	}
	for _, line := range []string{"put m/plain1 a", "put m/plain2 b"} {
		if err := s.say(ctx, log, line); err != nil {
			return err
		}
	}
	p, err := s.start(ctx, command{line: "make-mirror " + m.flags + " $SECOND"}, "")
	if err != nil {
		return err
	}
	if err := s.keys(ctx, s.second.Address, m.into, m.keys); err != nil {
		return err
	}
	p.settle() // nothing says that the following has begun
	for _, line := range []string{"put m/plain1 c", "put m/plain3 d", "del m/plain2",
		fmt.Sprintf("put m/plain4 %d", round)} {
		if err := s.say(ctx, log, line); err != nil {
			return err
		}
	}
	if err := s.keys(ctx, s.second.Address, m.into, 3); err != nil {
		return err
	}
	if err := s.end(ctx, log, p, "make-mirror "+m.flags); err != nil {
		return err
	}
	c := command{line: "--endpoints $SECOND get -w json --prefix " + m.into, bare: true}
	r, err := s.run(ctx, c, "")
	log.add(c.line, r)
	if err != nil {
		return err
	}
	c = command{line: "--endpoints $SECOND del --prefix " + m.into, bare: true}
	if r, err = s.run(ctx, c, ""); err != nil {
		return err
	}
	log.add(c.line, r)
	return s.say(ctx, log, "del --prefix m/")
}

// hash is one over a whole file, in which two servers' pages differ.
var hash = regexp.MustCompile(`"[hH]ash" ?: ?\d+|(?m)^[0-9a-f]{1,8}, |^ ?│ [0-9a-f]{1,8} │|` +
	`"(totalSize|size)":\d+|"(TotalSize|Size)" : \d+`)

func snapshotScene(ctx context.Context, s *side, log *logbook) error {
	for _, line := range []string{"snapshot save $DIR/saved", "snapshot save $DIR/saved2 -w json",
		"snapshot save $DIR/missing/saved", "snapshot save $DIR/saved --command-timeout 10s"} {
		if err := s.say(ctx, log, line); err != nil {
			return err
		}
	}
	for _, format := range []string{"simple", "json", "fields", "table"} {
		words := "snapshot status $DIR/saved --write-out " + format
		r, err := s.offline(ctx, words)
		if err != nil {
			return err
		}
		log.add(words, r)
	}
	for _, words := range []string{"snapshot status $DIR/nothing", "snapshot status",
		"snapshot restore $DIR/saved --data-dir $DIR/restored",
		"snapshot restore $DIR/saved --data-dir $DIR/restored",
		"snapshot restore $DIR/saved --data-dir $DIR/named --name x --initial-cluster " +
			"x=http://127.0.0.1:5 --initial-advertise-peer-urls http://127.0.0.1:5 " +
			"--initial-cluster-token t --skip-hash-check --wal-dir $DIR/wal",
		"snapshot restore $DIR/nothing --data-dir $DIR/none"} {
		r, err := s.offline(ctx, words)
		if err != nil {
			return err
		}
		r.err = "" // the log of the restoring
		log.add(words, r)
	}
	for _, dir := range []string{"restored", "named"} {
		if _, err := filepath.Glob(filepath.Join(s.dir, dir, "member", "snap", "db")); err != nil {
			return err
		}
	}
	return nil
}

// offline runs the program that reads saved files.
func (s *side) offline(ctx context.Context, line string) (result, error) {
	c := command{line: line, bare: true, plain: true}
	reader := *s
	if s.tool.etcdutl != "" {
		with := *s.tool
		with.path = s.tool.etcdutl
		reader.tool = &with
	}
	r, err := reader.run(ctx, c, "")
	r.out = hash.ReplaceAllString(r.out, "HASH")
	return r, err
}

var figures = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`revision \d+`), `revision N`},
	{regexp.MustCompile(`(PASS: |FAIL: )?Throughput (is|too low:) \d+ writes/s`), `THROUGHPUT`},
	{regexp.MustCompile(`(PASS: )?Slowest request took( too long:)? [0-9.]+s`), `SLOWEST`},
	{regexp.MustCompile(`(PASS: )?Stddev (is|too high:) [0-9.]+s`), `STDDEV`},
	{regexp.MustCompile(`(?m)^(PASS|FAIL)$`), `VERDICT`},
	{regexp.MustCompile(`used : -?[0-9.]+ MB`), `used : N MB`},
	{regexp.MustCompile(`\[[0-9.]+(µs|ms|s|D)\]`), `[D]`},
	{regexp.MustCompile(`(?m)^.*\d+ / \d+ .*[\r\n]*`), ``}, // the bar of progress
}

// measure logs a check's words without its figures; its verdict depends on the machine.
func (s *side) measure(log *logbook, what string, r result) {
	for _, f := range figures {
		r.out = f.pattern.ReplaceAllString(r.out, f.with)
	}
	r = s.normal(command{loud: true}, r, "")
	r.status = 0
	log.add(what, r)
}

// perfScene ends the check, which lasts a minute, after three seconds: it then cleans up and reports.
func perfScene(ctx context.Context, s *side, log *logbook) error {
	for _, line := range []string{"check perf", "check perf --load s --prefix /perf/ " +
		"--auto-compact --auto-defrag"} {
		p, err := s.start(ctx, command{line: line}, "")
		if err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
		r, err := p.interrupt(ctx)
		if err != nil {
			return err
		}
		s.measure(log, line, r)
	}
	for _, line := range []string{"put /perf/x 1", "check perf --prefix /perf/",
		"del /perf/x"} {
		c := command{line: line}
		p, err := s.start(ctx, c, "")
		if err != nil {
			return err
		}
		r, err := p.wait(ctx)
		if err != nil {
			return err
		}
		s.measure(log, line, r)
	}
	return nil
}

func datascaleScene(ctx context.Context, s *side, log *logbook) error {
	for _, line := range []string{"check datascale --load s --prefix /scale/ --auto-compact " +
		"--auto-defrag", "put /scale/x 1", "check datascale --prefix /scale/"} {
		p, err := s.start(ctx, command{line: line}, "")
		if err != nil {
			return err
		}
		r, err := p.wait(ctx)
		if err != nil {
			return err
		}
		s.measure(log, line, r)
	}
	return nil
}
