// Command chaos judges three real server processes the way the simulator judges simulated ones:
// clients write and read through sockets and files while members are killed, paused and restarted,
// and then the history is checked for strict serializability with the same checkers. What the
// simulator replaces by a model (gRPC, the peer transport, the system's disk and its page cache)
// is real here; what it can do and this cannot is to lose unsynced writes, since a killed process
// leaves its page cache behind.
//
// With -etcd the servers are etcd's own, which tries the harness and the models on the store that
// they describe.
//
//	go run .            twenty rounds, about three minutes
//	go run . -short     five rounds, about forty seconds
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

	watchers, kills int // of a crowd; see crowd.go
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "", "the server's binary; built from -repo when empty")
	flag.StringVar(&o.repo, "repo", "../..", "the folder of detcd's module")
	flag.BoolVar(&o.etcd, "etcd", false, "build and judge etcd instead")
	flag.BoolVar(&o.short, "short", false, "five rounds instead of twenty")
	flag.IntVar(&o.rounds, "rounds", 0, "number of rounds, if not the default")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "for requests and faults")
	flag.DurationVar(&o.limit, "limit", 20*time.Minute, "bound on the whole run")
	flag.IntVar(&o.watchers, "watchers", 0, "watchers of one prefix, instead of the rounds")
	flag.IntVar(&o.kills, "leader-kills", 10, "leaders killed under the watchers")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	fmt.Println("PASS")
}

func (o *options) count() int {
	switch {
	case o.rounds > 0:
		return o.rounds
	case o.short:
		return 5
	}
	return 20
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
			err = fmt.Errorf("%w\ndata, logs and history are in %s", err, dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	if o.binary == "" {
		if o.binary, err = build(ctx, &o, dir); err != nil {
			return err
		}
	}
	c, err := newCluster(o.binary, dir, 3)
	if err != nil {
		return err
	}
	defer c.stop()
	if o.watchers > 0 {
		c.flags = crowdFlags
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
	return conclude(ctx, &o, c, dir, history, watching)
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
	random := rand.New(rand.NewPCG(o.seed, 1<<32))
	leaders := 0
	for i := range o.count() {
		before := l.recorder.acknowledged.Load()
		killed, text, err := c.round(ctx, rotation[i%len(rotation)], random)
		if err != nil {
			return nil, watching, fmt.Errorf("round %d: %w", i+1, err)
		}
		if killed {
			leaders++
		}
		now := l.recorder.acknowledged.Load()
		fmt.Printf("round %2d of %d: %s; %d operations, %d lost answers\n",
			i+1, o.count(), text, l.recorder.size(), l.recorder.unknown.Load())
		if now == before {
			return nil, watching, fmt.Errorf("round %d: no write was acknowledged", i+1)
		}
	}
	fmt.Printf("%d leaders killed\n", leaders)
	if need := o.count() / 4; leaders < need {
		return nil, watching, fmt.Errorf("%d leaders were killed, need %d", leaders, need)
	}
	return nil, watching, nil
}

// conclude reads what the store has kept and judges it all.
func conclude(
	ctx context.Context, o *options, c *cluster, dir string, history []linearizability.Operation,
	watching *audience,
) error {
	dump, err := takeDump(ctx, c.members[0].client)
	if err != nil {
		return err
	}
	fmt.Printf("judging %d operations and %d revisions\n", len(history), len(dump))
	if need := operationsPerRound * o.count(); len(history) < need {
		return fmt.Errorf("%d operations are too few to judge anything, need %d",
			len(history), need)
	}
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
