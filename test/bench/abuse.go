package main

// The row of clients that mean no good: thousands of connections that say nothing, readers that do
// not read, and a flood of logins with a wrong password, all on one member, while ordinary clients
// put. What counts is what the ordinary ones notice, and how much memory the member takes.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	methodAuthenticate = "/etcdserverpb.Auth/Authenticate"

	abuseSpace = "abuse/"
	abuseEnd   = "abuse0"
	// abuseKeys of abuseValue bytes are what the readers ask for and do not take: 4 MiB.
	abuseKeys  = 1000
	abuseValue = 4 << 10
	// abuseLogins is how many logins are under way at any time.
	abuseLogins = 32
	// abuseCallers are the ordinary clients.
	abuseCallers = 8
	rootPassword = "secret"
)

func (b *bench) rowAbuse() string {
	return fmt.Sprintf("%d idle connections, %d readers that do not read, a flood of logins",
		b.opt.idle, b.opt.slow)
}

// abuse measures the puts of ordinary clients alone, and then among the others.
func (b *bench) abuse(ctx context.Context, c *cluster, s *session) error {
	name := b.rowAbuse()
	cl, err := dial(c.addresses(), connections)
	if err != nil {
		return err
	}
	defer cl.close()
	if err := fill(ctx, cl, abuseSpace, 0, abuseKeys, abuseValue); err != nil {
		return err
	}
	token, err := enableUsers(ctx, cl)
	if err != nil {
		return fmt.Errorf("%s: enable users: %w", name, err)
	}
	user := metadata.AppendToOutgoingContext(ctx, "token", token)
	o := newOperations(cl, smallSpace, smallKeys, smallValue)
	calm, err := run(user, c, abuseCallers, b.opt.period(), o.put)
	if err != nil {
		return fmt.Errorf("%s: before: %w", name, err)
	}
	crowd, err := b.gather(user, c.servers[0].address)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer crowd.disperse()
	busy, err := run(user, c, abuseCallers, b.opt.period(), o.put)
	if err != nil {
		return fmt.Errorf("%s: meanwhile: %w", name, err)
	}
	logins := crowd.logins.Load()
	s.add(name, "99 % of puts before", "ms", calm.quantile(0.99))
	s.add(name, "99 % of puts meanwhile", "ms", busy.quantile(0.99))
	s.add(name, "99 % of puts, meanwhile by before", "x", busy.quantile(0.99)/calm.quantile(0.99))
	s.add(name, "puts per second meanwhile", "1/s", busy.perSecond())
	s.add(name, "logins refused", "", float64(logins))
	s.add(name, "peak memory", "MiB", float64(busy.used.Peak)/(1<<20))
	return nil
}

// enableUsers makes root and turns users on; the token is root's.
func enableUsers(ctx context.Context, cl *client) (token string, err error) {
	steps := []struct {
		method  string
		request []byte
	}{
		{"/etcdserverpb.Auth/UserAdd", encode(&pb.AuthUserAddRequest{Name: "root",
			Password: rootPassword})},
		{"/etcdserverpb.Auth/UserGrantRole", encode(&pb.AuthUserGrantRoleRequest{User: "root",
			Role: "root"})},
		{"/etcdserverpb.Auth/AuthEnable", nil},
	}
	for _, step := range steps {
		if _, err := cl.call(ctx, 0, step.method, step.request); err != nil {
			return "", err
		}
	}
	response, err := cl.call(ctx, 0, methodAuthenticate, encode(&pb.AuthenticateRequest{
		Name: "root", Password: rootPassword}))
	return string(bytesField(response, 2)), err
}

// crowd is everybody who means no good.
type crowd struct {
	idle   []net.Conn
	slow   []*grpc.ClientConn
	logins atomic.Int64 // refused so far
	stop   context.CancelFunc
	group  sync.WaitGroup
}

// gather lets them all come and returns when they are there.
func (b *bench) gather(ctx context.Context, address string) (*crowd, error) {
	ctx, stop := context.WithCancel(ctx)
	w := &crowd{stop: stop}
	for range b.opt.idle {
		if err := w.addIdle(ctx, address); err != nil {
			w.disperse()
			return nil, fmt.Errorf("idle connection %d: %w", len(w.idle), err)
		}
	}
	for i := range b.opt.slow {
		if err := w.addSlow(ctx, address, i%2 == 0); err != nil {
			w.disperse()
			return nil, fmt.Errorf("reader %d: %w", i, err)
		}
	}
	for i := range abuseLogins {
		if err := w.addFlood(ctx, address, i); err != nil {
			w.disperse()
			return nil, err
		}
	}
	return w, nil
}

// addIdle opens a connection that says that it speaks HTTP/2, and nothing more.
func (w *crowd) addIdle(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	w.idle = append(w.idle, conn)
	const emptySettings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	_, err = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + emptySettings))
	return err
}

// addSlow opens a connection whose only stream is never read: a watch from the first revision on,
// or a list.
func (w *crowd) addSlow(ctx context.Context, address string, watch bool) error {
	cl, err := dial([]string{address}, 1)
	if err != nil {
		return err
	}
	w.slow = append(w.slow, cl.conns...)
	method, request := methodRange, encode(&pb.RangeRequest{Key: []byte(abuseSpace),
		RangeEnd: []byte(abuseEnd)})
	if watch {
		method, request = methodWatch, encode(&pb.WatchRequest{
			RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
				Key: []byte(abuseSpace), RangeEnd: []byte(abuseEnd), StartRevision: 1,
				PrevKv: true}}})
	}
	stream, err := cl.conns[0].NewStream(ctx,
		&grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method,
		grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil || watch {
		return err
	}
	return stream.CloseSend()
}

// addFlood logs in with a wrong password, again and again, until it is stopped.
func (w *crowd) addFlood(ctx context.Context, address string, i int) error {
	cl, err := dial([]string{address}, 1)
	if err != nil {
		return err
	}
	w.slow = append(w.slow, cl.conns...)
	r := rand.New(rand.NewPCG(3, uint64(i)))
	w.group.Go(func() {
		for ctx.Err() == nil {
			request := encode(&pb.AuthenticateRequest{Name: "root",
				Password: fmt.Sprintf("guess %x", r.Uint64())})
			call, done := context.WithTimeout(ctx, callLimit)
			_, err := cl.call(call, 0, methodAuthenticate, request)
			done()
			if err != nil && ctx.Err() == nil {
				w.logins.Add(1)
			}
		}
	})
	return nil
}

// disperse ends them all.
func (w *crowd) disperse() {
	w.stop()
	for _, conn := range w.slow {
		_ = conn.Close() // nothing is lost with a connection
	}
	w.group.Wait()
	for _, conn := range w.idle {
		_ = conn.Close()
	}
}
