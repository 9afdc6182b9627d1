// Command chaos judges three real server processes the way the simulator judges simulated ones:
// clients write and read through sockets and files while faults strike, and then the history is
// checked for strict serializability with the same checkers. What the simulator replaces by a model
// (gRPC, the peer transport, the system's disk and its page cache) is real here. The faults:
//
//   - members are killed, paused and restarted;
//   - all connections, between members and of clients, pass proxies of this process, which hold
//     bytes (partitions, cuts of one direction, bridges), delay them, and reset connections in the
//     middle of what is sent;
//   - each member's data directory has a small file system of its own, which is filled. That needs
//     Linux and the right to mount, in a user namespace if need be; a run without says so.
//
// Each round has one fault, and the cluster has to recover from it. A run counts what was felt of
// every family of faults, and fails if that is nothing. What the simulator can do and this cannot
// is to lose unsynced writes, since a killed process leaves its page cache behind, and to repeat
// a run.
//
// With -etcd the servers are etcd's own, which tries the harness and the models on the store that
// they describe. etcd ends when its disk is full, and is started again.
//
//	go run .            28 rounds, about two minutes
//	go run . -short     six rounds, about half a minute
//	go run . -only partition -rounds 50
//	go run . -watchers 10000 -leader-kills 10
//	                    many watchers of one prefix instead of the usual clients
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/detcd/detcd/linearizability"
)

// operationsPerRound is the least that a run must have to count: 2,000 in twenty rounds.
const operationsPerRound = 100

// options are the command's flags.
type options struct {
	binary string
	repo   string
	etcd   bool
	short  bool
	rounds int
	seed   uint64
	limit  time.Duration

	only string // part of a fault's or family's name

	watchers, kills int // of a crowd; see crowd.go
}

func main() {
	_ = enclose() // if it cannot be, there will be no small disks, and that is said
	var o options
	flag.StringVar(&o.binary, "binary", "", "the server's binary; built from -repo when empty")
	flag.StringVar(&o.repo, "repo", "../..", "the folder of detcd's module")
	flag.BoolVar(&o.etcd, "etcd", false, "build and judge etcd instead")
	flag.BoolVar(&o.short, "short", false, "the first six rounds only")
	flag.IntVar(&o.rounds, "rounds", 0, "number of rounds, if not the default")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "for requests and faults")
	flag.DurationVar(&o.limit, "limit", 20*time.Minute, "bound on the whole run")
	flag.StringVar(&o.only, "only", "", "faults only whose name or family contains this")
	flag.IntVar(&o.watchers, "watchers", 0, "watchers of one prefix, instead of the rounds")
	flag.IntVar(&o.kills, "leader-kills", 10, "leaders killed under the watchers")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	fmt.Println("PASS")
}

// run does everything and keeps the data only when something is wrong.
func run(o options) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), o.limit)
	defer cancel()
	ctx, unhook := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer unhook()
	dir, err := os.MkdirTemp("", "detcd-chaos-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nlogs, history and data (or file systems with it) are in %s",
				err, dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	if o.binary == "" {
		if o.binary, err = build(ctx, &o, dir); err != nil {
			return err
		}
	}
	c, err := newCluster(o.binary, dir, 3, rand.New(rand.NewPCG(o.seed, 1<<32)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.unmountDisks(err)) }()
	defer c.stop()
	if err := surround(&o, c); err != nil {
		return err
	}
	for _, m := range c.members {
		if err := c.start(m); err != nil {
			return err
		}
	}
	if _, err := c.awaitHealth(ctx, healthLimit); err != nil {
		return err
	}
	if o.watchers > 0 {
		return crowded(ctx, &o, c)
	}
	history, watching, err := chaos(ctx, &o, c)
	if watching != nil {
		defer watching.end()
	}
	if err := errors.Join(err, saveHistory(dir, history)); err != nil {
		return err
	}
	return conclude(ctx, c, dir, history, watching)
}

// surround gives the members what faults need: a network between them, and small disks. A crowd
// has neither.
func surround(o *options, c *cluster) error {
	if o.watchers > 0 {
		c.flags = crowdFlags
		return nil
	}
	c.mortal = o.etcd
	if err := c.interpose(o.seed); err != nil {
		return err
	}
	full := func(f fault) bool { return f.family() == filling && o.wants(f) }
	if !slices.ContainsFunc(rotation[:], full) {
		return nil
	}
	if err := c.mountDisks(); err != nil {
		why := strings.Join(strings.Fields(err.Error()), " ")
		fmt.Println("no full disks in this run, since nothing can be mounted:", why)
	}
	return nil
}

// build compiles the server into the run's directory.
func build(ctx context.Context, o *options, dir string) (string, error) {
	binary := filepath.Join(dir, "server")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/detcd")
	cmd.Dir = o.repo
	if o.etcd {
		cmd.Args[len(cmd.Args)-1], cmd.Dir = "./realetcd", ""
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the server: %w", err)
	}
	return binary, nil
}

// chaos runs the rounds under load. Every round has to bring acknowledged writes: a cluster that
// is healthy and serves nobody is not healthy.
func chaos(
	ctx context.Context, o *options, c *cluster,
) (history []linearizability.Operation, watching *audience, err error) {
	fmt.Printf("seed %d\n", o.seed)
	l, err := startLoad(c, o.seed)
	if err != nil {
		return nil, nil, err
	}
	defer func() { history = l.finish() }()
	if watching, err = startAudience(c, l.recorder); err != nil {
		return nil, nil, err
	}
	rounds, t, leaders := plan(o, c), newTally(), 0
	if len(rounds) == 0 {
		return nil, watching, fmt.Errorf("no possible fault has %q in its name", o.only)
	}
	before := c.sense(ctx, l.recorder)
	for i, f := range rounds {
		acknowledged := l.recorder.acknowledged.Load()
		killed, text, err := c.round(ctx, f)
		if err != nil {
			return nil, watching, fmt.Errorf("round %d, %v: %w", i+1, f, err)
		}
		if killed {
			leaders++
		}
		now := c.sense(ctx, l.recorder)
		felt := now.plus(before, -1)
		before = now
		t.add(f, felt)
		fmt.Printf("round %2d of %d: %s; %d operations; %v\n", i+1, len(rounds), text,
			l.recorder.size(), felt)
		if l.recorder.acknowledged.Load() == acknowledged {
			return nil, watching, fmt.Errorf("round %d: no write was acknowledged", i+1)
		}
	}
	fmt.Printf("%d leaders killed in %d rounds; %d lost answers; what was felt:\n", leaders,
		len(rounds), l.recorder.unknown.Load())
	t.print()
	return nil, watching, enough(o, t, leaders, len(rounds), l.recorder.size())
}

// enough demands that a run was one: the load that its rounds need, and of a run with all faults
// that leaders died and that every family was felt.
func enough(o *options, t *tally, leaders, rounds, operations int) error {
	if need := operationsPerRound * rounds; operations < need {
		return fmt.Errorf("%d operations are too few to judge anything, need %d", operations, need)
	}
	if o.only != "" {
		return nil
	}
	if need := max(rounds/4, 1); leaders < need {
		return fmt.Errorf("%d leaders were killed, need %d", leaders, need)
	}
	if o.short {
		return nil
	}
	return t.err()
}

// conclude reads what the store has kept and judges it all.
func conclude(
	ctx context.Context, c *cluster, dir string, history []linearizability.Operation,
	watching *audience,
) error {
	dump, err := takeDump(ctx, c.members[0].client)
	if err != nil {
		return err
	}
	fmt.Printf("judging %d operations and %d revisions\n", len(history), len(dump))
	watches, err := watching.finish(ctx, int64(len(dump)))
	if err != nil {
		return err
	}
	if err := judge(dir, history, dump, watches); err != nil {
		return err
	}
	if err := canary(history, dump); err != nil {
		return err
	}
	return compareHashes(ctx, c, int64(len(dump)))
}
