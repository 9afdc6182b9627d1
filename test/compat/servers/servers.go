// Package servers builds etcd and detcd and runs them as real processes on 127.0.0.1, with the
// same flags, for everything that compares the two.
//
// A server is ended by its process id, and dies with the process that started it. Its data and its
// log are in the folder that the caller names and removes.
package servers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const startLimit = 60 * time.Second

// The names of the two programs.
const (
	Etcd  = "etcd"
	Detcd = "detcd"
)

// Program is one of the two, compiled.
type Program struct {
	Name   string
	Binary string
}

// Programs are both.
type Programs struct{ Etcd, Detcd Program }

// Build compiles both into dir. repo is the folder of detcd's module, here that of this one.
func Build(ctx context.Context, repo, here, dir string) (p Programs, err error) {
	p.Etcd = Program{Name: Etcd, Binary: filepath.Join(dir, "bin", Etcd)}
	p.Detcd = Program{Name: Detcd, Binary: filepath.Join(dir, "bin", Detcd)}
	if err := Compile(ctx, here, "./realetcd", p.Etcd.Binary); err != nil {
		return p, err
	}
	return p, Compile(ctx, repo, "./cmd/detcd", p.Detcd.Binary)
}

// Compile builds one command of the module in dir.
func Compile(ctx context.Context, dir, source, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, source)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", source, err)
	}
	return nil
}

// Server is one member. Its data outlives its process.
type Server struct {
	Program   Program
	Name      string
	Dir       string
	Address   string // of the client URL
	ClientURL string
	LogFile   string
	PeerURL   string      // none for a Single
	TLS       *tls.Config // how to reach it; nil is without TLS

	args    []string
	process *exec.Cmd
	exited  chan struct{}
}

// Single starts a cluster of one member. The URLs that it advertises are the same for every server,
// so that both programs compute the same ids and answer the same member lists. $CLIENT in a flag is
// the client URL.
func Single(ctx context.Context, p Program, dir string, flags ...string) (*Server, error) {
	dir, err := os.MkdirTemp(dir, p.Name+"-")
	if err != nil {
		return nil, err
	}
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	s := newServer(p, "n1", dir, "http", ports[0])
	s.args = append(s.args,
		"--listen-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
		"--advertise-client-urls", "http://127.0.0.1:2379",
		"--initial-advertise-peer-urls", "http://127.0.0.1:2380",
		"--initial-cluster", "n1=http://127.0.0.1:2380")
	for _, flag := range flags {
		s.args = append(s.args, strings.ReplaceAll(flag, "$CLIENT", s.ClientURL))
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	if err := s.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s, nil
}

// Cluster returns members that are not started yet.
func Cluster(p Program, dir string, size int, flags ...string) ([]*Server, error) {
	ports, err := FreePorts(2 * size)
	if err != nil {
		return nil, err
	}
	return ClusterAt(p, dir, ports, flags...)
}

// ClusterAt is Cluster with ports of the caller's, two for each member.
func ClusterAt(p Program, dir string, ports []int, flags ...string) ([]*Server, error) {
	return clusterAt(p, dir, ports, "http", flags...)
}

// SecureClusterAt is ClusterAt over TLS, reached as settings say; flags name the certificates.
func SecureClusterAt(
	p Program, dir string, ports []int, settings *tls.Config, flags ...string,
) ([]*Server, error) {
	all, err := clusterAt(p, dir, ports, "https", flags...)
	for _, s := range all {
		s.TLS = settings
	}
	return all, err
}

func clusterAt(
	p Program, dir string, ports []int, scheme string, flags ...string,
) ([]*Server, error) {
	dir, err := os.MkdirTemp(dir, p.Name+"-")
	if err != nil {
		return nil, err
	}
	var all []*Server
	var initial []string
	for i := range len(ports) / 2 {
		s := newServer(p, fmt.Sprintf("n%d", i+1), dir, scheme, ports[2*i])
		peer := fmt.Sprintf("%s://127.0.0.1:%d", scheme, ports[2*i+1])
		s.args = append(s.args, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--advertise-client-urls", s.ClientURL)
		s.PeerURL = peer
		initial = append(initial, s.Name+"="+peer)
		all = append(all, s)
	}
	for _, s := range all {
		s.args = append(s.args, "--initial-cluster", strings.Join(initial, ","))
		s.args = append(s.args, flags...)
	}
	return all, nil
}

// Join returns a member, not started yet, that belongs to a cluster as soon as that knows its peer
// URL.
func Join(p Program, dir, name string, members []*Server) (s *Server, peer string, err error) {
	ports, err := FreePorts(2)
	if err != nil {
		return nil, "", err
	}
	s = newServer(p, name, dir, "http", ports[0])
	s.PeerURL = fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	initial := name + "=" + s.PeerURL
	for _, m := range members {
		initial += "," + m.Name + "=" + m.PeerURL
	}
	s.args = append(s.args, "--listen-peer-urls", s.PeerURL, "--initial-advertise-peer-urls",
		s.PeerURL, "--advertise-client-urls", s.ClientURL, "--initial-cluster", initial,
		"--initial-cluster-state", "existing")
	return s, s.PeerURL, nil
}

func newServer(p Program, name, dir, scheme string, port int) *Server {
	s := &Server{Program: p, Name: name, Dir: filepath.Join(dir, name),
		LogFile: filepath.Join(dir, name+".log"), Address: fmt.Sprintf("127.0.0.1:%d", port)}
	s.ClientURL = scheme + "://" + s.Address
	s.args = []string{"--name", name, "--data-dir", s.Dir, "--listen-client-urls", s.ClientURL,
		"--initial-cluster-state", "new", "--log-level", "warn"}
	return s
}

// handedOut are the ports that this process has given to a server: the system may offer one again
// before the server listens on it.
var (
	handedOut      = map[int]bool{}
	handedOutMutex sync.Mutex
)

// FreePorts asks the system for ports that nobody uses. All are held until the last is known, so
// that they differ.
func FreePorts(n int) (ports []int, err error) {
	handedOutMutex.Lock()
	defer handedOutMutex.Unlock()
	for len(ports) < n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; !handedOut[port] {
			handedOut[port] = true
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// Start runs the process, for the first time or again.
func (s *Server) Start() error {
	log, err := os.OpenFile(s.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.Program.Binary, s.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Program.Name, err)
	}
	s.process, s.exited = cmd, make(chan struct{})
	go func(exited chan<- struct{}) {
		_ = cmd.Wait() // the state tells how it ended
		close(exited)
	}(s.exited)
	return nil
}

// WaitReady asks until a linearizable read is answered.
func (s *Server) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		try, cancelTry := context.WithTimeout(ctx, 2*time.Second)
		_, err := pb.NewKVClient(conn).Range(try, &pb.RangeRequest{Key: []byte("ready")})
		cancelTry()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return s.Died()
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve after %v: %w", s.Program.Name, startLimit, err)
		case <-time.After(20 * time.Millisecond):
			conn.ResetConnectBackoff()
		}
	}
}

func (s *Server) dial() (*grpc.ClientConn, error) {
	how := insecure.NewCredentials()
	if s.TLS != nil {
		how = credentials.NewTLS(s.TLS)
	}
	return grpc.NewClient("passthrough:///"+s.Address, grpc.WithTransportCredentials(how))
}

// Died says how the process ended if nobody ended it, with the end of its log.
func (s *Server) Died() error {
	if s.process == nil {
		return nil
	}
	select {
	case <-s.exited:
	default:
		return nil
	}
	text, err := os.ReadFile(s.LogFile)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s ended on its own (%v): %s", s.Program.Name, s.process.ProcessState,
		text[max(0, len(text)-2000):])
}

// Running says whether the process was started and not killed.
func (s *Server) Running() bool { return s.process != nil }

// Kill ends the process at once and waits until it is gone. It is safe to call it twice.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Kill()
	<-s.exited
	s.process = nil
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Remove deletes what the server left.
func (s *Server) Remove() error {
	return os.RemoveAll(filepath.Dir(s.Dir))
}
