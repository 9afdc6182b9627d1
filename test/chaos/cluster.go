package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// member is one server process on 127.0.0.1. Its data directory outlives the process.
type member struct {
	name         string
	clientURL    string
	peerURL      string
	dir          string
	process      *exec.Cmd
	exited       chan error
	paused       bool
	client       *clientv3.Client // to this member only
	logFile      string
	startedTimes int
}

// cluster is three members and what they were started with.
type cluster struct {
	binary  string
	dir     string
	members []*member
	flags   []string // beyond the usual ones
}

func newCluster(binary, dir string, size int) (*cluster, error) {
	ports, err := freePorts(2 * size)
	if err != nil {
		return nil, err
	}
	c := &cluster{binary: binary, dir: dir}
	for i := range size {
		name := fmt.Sprintf("n%d", i+1)
		m := &member{
			name: name, dir: filepath.Join(dir, name), logFile: filepath.Join(dir, name+".log"),
			clientURL: fmt.Sprintf("http://127.0.0.1:%d", ports[2*i]),
			peerURL:   fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1]),
		}
		c.members = append(c.members, m)
		if m.client, err = dial(m.clientURL); err != nil {
			return nil, err
		}
	}
	return c, nil
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
		"--listen-client-urls", m.clientURL, "--advertise-client-urls", m.clientURL,
		"--listen-peer-urls", m.peerURL, "--initial-advertise-peer-urls", m.peerURL,
		"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-state", "new",
	}, c.flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.process, m.paused, m.exited = cmd, false, make(chan error, 1)
	m.startedTimes++
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

// died finds a member whose process ended on its own: no fault of this harness justifies that.
func (c *cluster) died() error {
	for _, m := range c.members {
		if m.process == nil {
			continue
		}
		select {
		case err := <-m.exited:
			m.process = nil
			return fmt.Errorf("%s ended on its own (%v); its log is %s", m.name, err, m.logFile)
		default:
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
		status, err := m.client.Status(ask, m.clientURL)
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
		return m, nil
	}
	return nil, fmt.Errorf("no member knows a leader that answers")
}

// awaitHealth waits until every member answers a linearizable read, which needs a leader and a
// quorum, and gives up after the limit: a cluster that does not recover is a failure.
func (c *cluster) awaitHealth(ctx context.Context, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	for _, m := range c.members {
		for {
			ask, cancel := context.WithTimeout(ctx, time.Second)
			_, err := m.client.Get(ask, "health")
			cancel()
			if err == nil {
				break
			}
			if died := c.died(); died != nil {
				return 0, died
			}
			if time.Since(began) > limit || ctx.Err() != nil {
				return 0, fmt.Errorf("%s does not serve %v after all faults ended: %w",
					m.name, limit, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return time.Since(began), nil
}
