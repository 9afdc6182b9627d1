package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/detcd/detcd/linearizability"
)

// member is one server process on 127.0.0.1. Its data directory outlives the process.
type member struct {
	name  string
	party party // its index
	// clientURL and peerURL are what others are told, and clientListen and peerListen where the
	// process listens. They differ when there is a network between.
	clientURL, clientListen string
	peerURL, peerListen     string
	dir                     string
	disk                    *disk // that dir is on; nil if it cannot be filled
	process                 *exec.Cmd
	exited                  chan error
	paused                  bool
	client                  *clientv3.Client // to this member only, past the network
	logFile                 string
	startedTimes            int
}

// cluster is three members and what they were started with.
type cluster struct {
	binary  string
	dir     string
	members []*member
	flags   []string // beyond the usual ones
	network *network // nil if all connections are direct
	random  *rand.Rand

	// filled is whose disk was full in this round: until it has recovered, alarms are disarmed, and
	// a program that ends for want of room is started again.
	filled  []*member
	mortal  bool // whether the program is known to end when the disk is full
	ended   int  // how often it did
	refused int  // how often a member said itself that there was no room
	term    uint64
}

func newCluster(binary, dir string, size int, random *rand.Rand) (*cluster, error) {
	ports, err := freePorts(2 * size)
	if err != nil {
		return nil, err
	}
	c := &cluster{binary: binary, dir: dir, random: random}
	for i := range size {
		name := fmt.Sprintf("n%d", i+1)
		m := &member{
			name: name, party: party(i), dir: filepath.Join(dir, name),
			logFile:   filepath.Join(dir, name+".log"),
			clientURL: fmt.Sprintf("http://127.0.0.1:%d", ports[2*i]),
			peerURL:   fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1]),
		}
		m.clientListen, m.peerListen = m.clientURL, m.peerURL
		c.members = append(c.members, m)
		if m.client, err = dial(m.clientListen); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// interpose puts a network between the members, and between them and their clients.
func (c *cluster) interpose(seed uint64) error {
	c.network = newNetwork(seed)
	for _, m := range c.members {
		peer, err := c.network.proxy(m.party, strings.TrimPrefix(m.peerListen, "http://"),
			c.network.dialedByMember)
		if err != nil {
			return err
		}
		client, err := c.network.proxy(m.party, strings.TrimPrefix(m.clientListen, "http://"),
			dialedByClient)
		if err != nil {
			return err
		}
		m.peerURL, m.clientURL = "http://"+peer, "http://"+client
	}
	return nil
}

// mountDisks gives every member a small file system of its own.
func (c *cluster) mountDisks() error {
	for _, m := range c.members {
		d, err := mountDisk(c.dir, m.name)
		if err != nil {
			return errors.Join(err, c.unmountDisks(nil))
		}
		m.disk = d
	}
	for _, m := range c.members {
		m.dir = filepath.Join(m.disk.point, m.name)
	}
	return nil
}

// unmountDisks is for the end, when no process uses them; failure is how the run ended.
func (c *cluster) unmountDisks(failure error) error {
	var errs []error
	for _, m := range c.members {
		if m.disk != nil {
			errs = append(errs, m.disk.unmount(failure))
			m.disk = nil
		}
	}
	return errors.Join(errs...)
}

func dial(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 2 * time.Second, Logger: zap.NewNop(),
	})
}

// freePorts asks the system for ports that nobody uses. All are held until the last is known, so
// that they differ; another process could take one before the member does, and then the member
// does not start and says so.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func (c *cluster) endpoints() []string {
	var all []string
	for _, m := range c.members {
		all = append(all, m.clientURL)
	}
	return all
}

// start runs the member's process, for the first time or again. The flags are etcd's.
func (c *cluster) start(m *member) error {
	var initial []string
	for _, other := range c.members {
		initial = append(initial, other.name+"="+other.peerURL)
	}
	log, err := os.OpenFile(m.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	defer log.Close()
	cmd := exec.Command(c.binary, append([]string{
		"--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", m.clientListen, "--advertise-client-urls", m.clientURL,
		"--listen-peer-urls", m.peerListen, "--initial-advertise-peer-urls", m.peerURL,
		"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", "new",
	}, c.flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.process, m.paused, m.exited = cmd, false, make(chan error, 1)
	m.startedTimes++
	if c.network != nil {
		c.network.runs(m.party, cmd.Process.Pid)
	}
	go func(exited chan<- error) { exited <- cmd.Wait() }(m.exited)
	return nil
}

func (m *member) running() bool { return m.process != nil }

// kill ends the process as a power switch would, and waits until it is gone.
func (m *member) kill() error {
	if m.process == nil {
		return nil
	}
	if err := m.process.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", m.name, err)
	}
	<-m.exited
	m.process, m.paused = nil, false
	return nil
}

func (m *member) signal(s syscall.Signal) error {
	if err := m.process.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", m.name, err)
	}
	m.paused = s == syscall.SIGSTOP
	return nil
}

// died finds a member whose process ended on its own. Only a full disk justifies that, and only for
// a program that is known for it.
func (c *cluster) died() error {
	for _, m := range c.members {
		if m.process == nil {
			continue
		}
		select {
		case err := <-m.exited:
			m.process = nil
			if !c.mortal || !slices.Contains(c.filled, m) {
				return fmt.Errorf("%s ended on its own (%v); its log is %s", m.name, err,
					m.logFile)
			}
			c.ended++
		default:
		}
	}
	return nil
}

// revive starts whom a full disk has ended.
func (c *cluster) revive() error {
	if err := c.died(); err != nil {
		return err
	}
	for _, m := range c.filled {
		if m.process != nil {
			continue
		}
		if err := c.start(m); err != nil {
			return err
		}
	}
	return nil
}

// stop ends all processes and clients.
func (c *cluster) stop() {
	for _, m := range c.members {
		if err := m.kill(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		m.client.Close()
	}
	if c.network != nil {
		_ = c.network.close() // nobody is left to talk
	}
}

// leader asks every running member who leads and believes the one with the highest term.
func (c *cluster) leader(ctx context.Context) (*member, error) {
	byID := map[uint64]*member{}
	var leader, term uint64
	for _, m := range c.members {
		if !m.running() || m.paused {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, time.Second)
		status, err := m.client.Status(ask, m.clientListen)
		cancel()
		if err != nil {
			continue
		}
		byID[status.Header.MemberId] = m
		if status.Leader != 0 && status.RaftTerm >= term {
			leader, term = status.Leader, status.RaftTerm
		}
	}
	if m := byID[leader]; m != nil {
		c.term = max(c.term, term)
		return m, nil
	}
	return nil, fmt.Errorf("no member knows a leader that answers")
}

// awaitHealth waits until every member serves, and gives up after the limit: a cluster that does
// not recover is a failure.
func (c *cluster) awaitHealth(ctx context.Context, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	for _, m := range c.members {
		for {
			err := c.serves(ctx, m)
			if err == nil {
				break
			}
			if err := c.revive(); err != nil {
				return 0, err
			}
			if time.Since(began) > limit || ctx.Err() != nil {
				return 0, fmt.Errorf("%s does not serve %v after all faults ended: %w",
					m.name, limit, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	c.filled = nil
	return time.Since(began), nil
}

// serves asks a member for a linearizable read, which needs a leader and a quorum, and for a write
// that needs room but changes nothing: a put that keeps the value of a key that does not exist.
func (c *cluster) serves(ctx context.Context, m *member) error {
	ask, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := m.client.Get(ask, "health"); err != nil {
		return err
	}
	_, err := m.client.Put(ask, "health", "", clientv3.WithIgnoreValue())
	switch {
	case err == nil:
		return errors.New("there is a key that nobody has written")
	case refused(err) == linearizability.ErrKeyNotFound:
		return nil
	case errors.Is(err, rpctypes.ErrNoSpace) && c.filled != nil:
		// What an operator does who has made room. A member needs a second to see it, and until
		// then raises its alarm again.
		_, disarmed := m.client.AlarmDisarm(ask, &clientv3.AlarmMember{})
		time.Sleep(disarmEvery)
		return errors.Join(err, disarmed)
	}
	return err
}
