// Command bench compares detcd with real etcd: same machine, same load client, the same flags for
// both, in turn, several rounds; medians and ratios as a table and as JSON.
//
//	go run .            everything
//	go run . -short     a small form that runs in about a minute
//	go run . -rows 'expire together' -subjects detcd -rounds 5
//	                    100,000 leases that end in one second, and the puts before and meanwhile
//	go run . -rows 'flood of logins' -rounds 5
//	                    10,000 idle connections, 1,000 readers that do not read, 32 logins at a time
//	go run . -tls       puts and gets over TLS, between the members too, of 1000 callers
//
// Every session starts a fresh cluster of real processes on 127.0.0.1 and ends it by process id.
// Server CPU and bytes written come from the kernel's accounting of the processes, peak memory is
// the highest resident set of one member. "Bytes written" counts through a checkpoint forced at
// the end: both are ended with SIGTERM, at which etcd commits its database, and detcd is asked for
// a Defragment before. The kernel counts a page as written when it is dirtied; where a file system
// caches in large folios, a small write into a large folio counts as all of it, so that a file
// filled by large writes and rewritten by small ones counts many times what reaches the device.
// The client shares the processors with the servers, so throughput compares
// both, and server CPU per operation is the number to trust.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	subjectEtcd  = "etcd"
	subjectDetcd = "detcd"
)

// options are the command line.
type options struct {
	repo, etcd, detcd string
	subjects          []string
	rows              *regexp.Regexp
	members           []int
	callers           []int
	growth            []int
	rounds            int
	seconds           float64
	listKeys          int
	wholeLists        int
	pagings           int
	restartKeys       int
	writtenPuts       int
	leases            int
	idle, slow        int
	leaseMembers      []int
	compactionTime    time.Duration
	tls               bool
	jsonFile, dir     string
}

func (o *options) period() during {
	d := time.Duration(o.seconds * float64(time.Second))
	return during{warm: d / 5, measure: d}
}

// bench is one run of the benchmark.
type bench struct {
	opt    *options
	report *report
	dir    string
}

func (b *bench) wanted(row string) bool { return b.opt.rows.MatchString(row) }

func (b *bench) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	if !slices.Contains(b.report.Notes, n) {
		b.report.Notes = append(b.report.Notes, n)
	}
	fmt.Fprintln(os.Stderr, "note:", n)
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	short := fs.Bool("short", false, "a small form that runs in about a minute")
	rows := fs.String("rows", "", "regular expression: only rows that match it")
	members := fs.String("members", "1,3", "cluster sizes")
	leaseMembers := fs.String("lease-members", "3", "cluster sizes of the leases")
	callers := fs.String("callers", "1,1000", "numbers of concurrent callers")
	growth := fs.String("growth", "10000,100000,1000000", "sizes of the growing store, in keys")
	subjects := fs.String("subjects", "etcd,detcd", "what to compare, the base first")
	fs.StringVar(&o.repo, "repo", "../..", "detcd's source")
	fs.StringVar(&o.etcd, "etcd", "", "etcd's program (default: built from its Go module)")
	fs.StringVar(&o.detcd, "detcd", "", "detcd's program (default: built from -repo)")
	fs.BoolVar(&o.tls, "tls", false, "over TLS; with 1000 callers' puts and gets alone, unless "+
		"rows or callers are named")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds; each runs every subject once")
	fs.Float64Var(&o.seconds, "seconds", 5, "measuring time of a row")
	fs.IntVar(&o.listKeys, "list-keys", 200_000, "keys of the lists")
	fs.IntVar(&o.wholeLists, "whole-lists", 5, "how often the list is read whole")
	fs.IntVar(&o.pagings, "pagings", 2, "how often the list is read in pages")
	fs.IntVar(&o.restartKeys, "restart-keys", 300_000, "keys of the restarted store")
	fs.IntVar(&o.writtenPuts, "written-puts", 300_000, "puts of the row that counts bytes")
	fs.IntVar(&o.leases, "leases", 100_000, "leases that expire together")
	fs.IntVar(&o.idle, "idle", 10_000, "idle connections of the row of abuse")
	fs.IntVar(&o.slow, "slow", 1000, "readers that do not read")
	fs.DurationVar(&o.compactionTime, "compaction-time", 10*time.Second,
		"how long puts are measured from the start of a compaction")
	fs.StringVar(&o.jsonFile, "json", "", "write the report to this file as JSON")
	fs.StringVar(&o.dir, "dir", "", "where programs and data go (default: a temporary directory)")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *short {
		o.shorten(given, growth)
	}
	if o.tls && !given["rows"] {
		*rows = `^(put|get linearizable|get serializable),`
	}
	if o.tls && !given["callers"] {
		*callers = "1000"
	}
	var errs [5]error
	o.rows, errs[0] = regexp.Compile(*rows)
	o.members, errs[1] = numbers(*members)
	o.callers, errs[2] = numbers(*callers)
	o.growth, errs[3] = numbers(*growth)
	o.leaseMembers, errs[4] = numbers(*leaseMembers)
	o.subjects = strings.Split(*subjects, ",")
	return o, errors.Join(errs[:]...)
}

// shorten sets what was not given explicitly to small values.
func (o *options) shorten(given map[string]bool, growth *string) {
	set := func(name string, change func()) {
		if !given[name] {
			change()
		}
	}
	set("rounds", func() { o.rounds = 1 })
	set("seconds", func() { o.seconds = 0.5 })
	set("list-keys", func() { o.listKeys = 20_000 })
	set("whole-lists", func() { o.wholeLists = 3 })
	set("pagings", func() { o.pagings = 1 })
	set("restart-keys", func() { o.restartKeys = 20_000 })
	set("written-puts", func() { o.writtenPuts = 20_000 })
	set("leases", func() { o.leases = 2000 })
	set("idle", func() { o.idle = 300 })
	set("slow", func() { o.slow = 30 })
	set("compaction-time", func() { o.compactionTime = time.Second })
	set("growth", func() { *growth = "10000,50000" })
}

func numbers(list string) (all []int, err error) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a positive number", s)
		}
		all = append(all, n)
	}
	return all, nil
}

func main() {
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err == nil {
		err = benchmark(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func benchmark(ctx context.Context, o *options) error {
	dir, err := os.MkdirTemp(o.dir, "detcd-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the rest of a failed run is only garbage
	subjects, err := build(ctx, o, dir)
	if err != nil {
		return err
	}
	b := &bench{opt: o, dir: dir, report: newReport(subjects, o.rounds)}
	if o.tls {
		b.note("all connections use TLS, with certificates that the servers make themselves")
	}
	for round := range o.rounds {
		order := slices.Clone(subjects)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		if err := b.round(ctx, round, order); err != nil {
			return err
		}
	}
	b.report.finish()
	if o.jsonFile != "" {
		if err := b.report.json(o.jsonFile); err != nil {
			return err
		}
	}
	return b.report.table(os.Stdout)
}

// round runs each kind of session for every subject in turn, so that drift of the machine hits
// neighbours alike. A row that fails is noted and costs only the rest of its session.
func (b *bench) round(ctx context.Context, round int, order []subject) error {
	kinds := []struct {
		name    string
		rows    func(context.Context, *cluster, *session) error
		members []int
		names   []string // of its rows, to leave it out when none is wanted
	}{
		{"small requests", b.smallRows, b.opt.members, b.smallNames()},
		{"bytes written", b.written, b.opt.members, []string{rowWritten}},
		{"lists", b.lists, []int{1}, []string{b.rowList(), rowCompaction}},
		{"restart", b.restart, []int{1}, []string{b.rowRestart()}},
		{"leases", b.leases, b.opt.leaseMembers, []string{b.rowLeases()}},
		{"growth", b.growth, []int{1}, []string{rowGrowth}},
		{"fan-out", b.fanout, []int{1}, []string{rowFanout()}},
		{"abuse", b.abuse, []int{1}, []string{b.rowAbuse()}},
	}
	for _, k := range kinds {
		if !slices.ContainsFunc(k.names, b.wanted) {
			continue
		}
		for _, size := range k.members {
			for _, sub := range order {
				began := time.Now()
				s := &session{report: b.report, subject: sub.name, members: size}
				if err := b.session(ctx, sub, s, k.rows); err != nil {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					b.note("%s, %d members, %s: %v", sub.name, size, k.name, err)
				}
				fmt.Fprintf(os.Stderr, "round %d: %s, %d members, %s: %d samples in %.1f s\n",
					round+1, sub.name, size, k.name, s.took, time.Since(began).Seconds())
			}
		}
	}
	return nil
}

func (b *bench) session(
	ctx context.Context, sub subject, s *session,
	rows func(context.Context, *cluster, *session) error,
) error {
	c, err := startCluster(ctx, sub, b.dir, s.members, b.scheme())
	if err != nil {
		return err
	}
	err = rows(ctx, c, s)
	c.kill()
	return errors.Join(err, c.remove())
}

// scheme is that of all URLs.
func (b *bench) scheme() string {
	if b.opt.tls {
		return schemeTLS
	}
	return schemePlain
}

// build compiles what was not given as a program.
func build(ctx context.Context, o *options, dir string) (subjects []subject, err error) {
	for i, name := range o.subjects {
		s := subject{name: name}
		source, in := "./realetcd", ""
		switch name {
		case subjectEtcd:
			s.binary = o.etcd
		case subjectDetcd:
			s.binary, source, in = o.detcd, "./cmd/detcd", o.repo
		default:
			return nil, fmt.Errorf("unknown subject %q", name)
		}
		if s.binary == "" {
			s.binary = filepath.Join(dir, name)
			cmd := exec.CommandContext(ctx, "go", "build", "-o", s.binary, source)
			cmd.Dir, cmd.Stdout, cmd.Stderr = in, os.Stderr, os.Stderr
			if err := cmd.Run(); err != nil {
				return nil, fmt.Errorf("build %s: %w", name, err)
			}
		}
		if slices.Contains(o.subjects[:i], name) {
			s.name += "'" // the same program twice shows the noise
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}
