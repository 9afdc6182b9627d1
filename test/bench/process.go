package main

// The servers: real processes on 127.0.0.1 with the settings that ship, the same flags for every
// subject, ended by process id. What they cost is read from the kernel: /proc while they run, the
// resource usage of the dead process at the end.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 120 * time.Second
	stopLimit  = 120 * time.Second
	// clockTicks is the unit of CPU times in /proc; it is 100 on every Linux that Go runs on.
	clockTicks = 100
)

// subject is one of the two programs compared.
type subject struct {
	name   string
	binary string
}

// server is one process.
type server struct {
	name      string
	dir       string
	clientURL string
	peerURL   string
	address   string // of the client URL; over TLS with its scheme
	logFile   string
	process   *exec.Cmd
	exited    chan struct{}
}

// cluster is the members of one subject.
type cluster struct {
	subject subject
	dir     string
	servers []*server
	started time.Duration // from the start of the processes to the first answer
}

// usage is what processes have consumed.
type usage struct {
	CPU     time.Duration
	Written int64 // bytes handed to the block layer
	Peak    int64 // resident set at its highest, bytes
}

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

// The schemes of URLs.
const (
	schemePlain = "http"
	schemeTLS   = "https"
)

// startCluster starts size members in a new directory below dir and waits until each serves.
func startCluster(
	ctx context.Context, s subject, dir string, size int, scheme string,
) (*cluster, error) {
	dir, err := os.MkdirTemp(dir, s.name+"-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2 * size)
	if err != nil {
		return nil, err
	}
	c := &cluster{subject: s, dir: dir}
	for i := range size {
		name := fmt.Sprintf("n%d", i+1)
		address := fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		clientURL := scheme + "://" + address
		if scheme == schemeTLS {
			address = clientURL
		}
		c.servers = append(c.servers, &server{
			name: name, dir: filepath.Join(dir, name), logFile: filepath.Join(dir, name+".log"),
			address: address, clientURL: clientURL,
			peerURL: fmt.Sprintf("%s://127.0.0.1:%d", scheme, ports[2*i+1]),
		})
	}
	return c, c.start(ctx)
}

// start runs the members, for the first time or again.
func (c *cluster) start(ctx context.Context) error {
	var initial []string
	for _, s := range c.servers {
		initial = append(initial, s.name+"="+s.peerURL)
	}
	begin := time.Now()
	for _, s := range c.servers {
		if err := s.start(c.subject, strings.Join(initial, ",")); err != nil {
			c.kill()
			return err
		}
	}
	for _, s := range c.servers {
		if err := s.waitReady(ctx); err != nil {
			c.kill()
			return err
		}
	}
	c.started = time.Since(begin)
	return nil
}

func (s *server) start(sub subject, initial string) error {
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(sub.binary,
		"--name", s.name, "--data-dir", s.dir,
		"--listen-client-urls", s.clientURL, "--advertise-client-urls", s.clientURL,
		"--listen-peer-urls", s.peerURL, "--initial-advertise-peer-urls", s.peerURL,
		"--initial-cluster", initial, "--initial-cluster-state", "new",
		"--quota-backend-bytes", strconv.FormatInt(16<<30, 10), "--log-level", "warn",
	)
	if strings.HasPrefix(s.clientURL, schemeTLS+":") {
		cmd.Args = append(cmd.Args, "--auto-tls", "--peer-auto-tls")
	}
	cmd.Stdout, cmd.Stderr = log, log
	// The server must not outlive a benchmark that dies.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", sub.name, err)
	}
	s.process, s.exited = cmd, make(chan struct{})
	go func(exited chan<- struct{}) {
		_ = cmd.Wait() // the state tells how it ended
		close(exited)
	}(s.exited)
	return nil
}

// waitReady asks until a linearizable read is answered.
func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client, err := dial([]string{s.address}, 1)
	if err != nil {
		return err
	}
	defer client.close()
	request := encodeRange(rangeSpec{key: "ready"})
	for {
		try, cancelTry := context.WithTimeout(ctx, 2*time.Second)
		_, err := client.call(try, 0, methodRange, request)
		cancelTry()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%s ended while starting (%v): see %s", s.name,
				s.process.ProcessState, s.logFile)
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve after %v: %w", s.name, startLimit, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the members in an orderly way and returns what they used over their whole life. The
// peak is that until they are asked to end: the kernel's figure for a dead process counts what its
// parent had resident when it forked.
func (c *cluster) stop() (u usage, err error) {
	running, err := c.usage()
	if err != nil {
		return u, err
	}
	u.Peak = running.Peak
	for _, s := range c.servers {
		if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
			return u, fmt.Errorf("end %s: %w", s.name, err)
		}
	}
	deadline := time.After(stopLimit)
	for _, s := range c.servers {
		select {
		case <-s.exited:
		case <-deadline:
			c.kill()
			return u, fmt.Errorf("%s %s did not end within %v", c.subject.name, s.name, stopLimit)
		}
		state := s.process.ProcessState
		r, ok := state.SysUsage().(*syscall.Rusage)
		if !ok {
			return u, errors.New("no resource usage of a dead process")
		}
		u.CPU += state.UserTime() + state.SystemTime()
		u.Written += r.Oublock * 512
	}
	return u, nil
}

// kill ends what still runs, at once. It is safe to call it twice.
func (c *cluster) kill() {
	for _, s := range c.servers {
		if s.process == nil {
			continue
		}
		_ = s.process.Process.Kill() // it may have ended already
		<-s.exited
	}
}

// remove deletes the data.
func (c *cluster) remove() error { return os.RemoveAll(c.dir) }

func (c *cluster) addresses() (all []string) {
	for _, s := range c.servers {
		all = append(all, s.address)
	}
	return all
}

// usage sums what the running members have used so far; Peak is the highest of one member.
func (c *cluster) usage() (u usage, err error) {
	for _, s := range c.servers {
		select {
		case <-s.exited:
			return u, fmt.Errorf("%s %s ended on its own (%v): see %s", c.subject.name, s.name,
				s.process.ProcessState, s.logFile)
		default:
		}
		one, err := processUsage(s.process.Process.Pid)
		if err != nil {
			return u, err
		}
		u.CPU += one.CPU
		u.Written += one.Written
		u.Peak = max(u.Peak, one.Peak)
	}
	return u, nil
}

func processUsage(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The name in parentheses may hold anything; the fields after it count from 3.
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return u, fmt.Errorf("unexpected /proc/%d/stat: %q", pid, stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	written, err3 := procField(pid, "io", "write_bytes:")
	peak, err4 := procField(pid, "status", "VmHWM:")
	u.CPU = time.Duration(user+system) * time.Second / clockTicks
	u.Written, u.Peak = written, peak<<10
	return u, errors.Join(err1, err2, err3, err4)
}

func procField(pid int, file, field string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s in /proc/%d/%s", field, pid, file)
}
