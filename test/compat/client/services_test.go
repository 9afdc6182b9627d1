package client

// The library's packages for services that find each other and for Kubernetes.

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// naming registers the members under a service's name and reaches them by it.
func naming(ctx context.Context, t *testing.T, all *cluster, c *clientv3.Client) judge {
	failed := func(err error) judge { return func(context.Context) error { return err } }
	service, err := endpoints.NewManager(c, "service")
	if err != nil {
		return failed(err)
	}
	names, err := resolver.NewBuilder(c)
	if err != nil {
		return failed(err)
	}
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.Cleanup(stop)
	for i, m := range all.members {
		if err := again(ctx, func(ctx context.Context) error {
			return service.AddEndpoint(ctx, fmt.Sprint("service/", i),
				endpoints.Endpoint{Addr: m.Address, Metadata: "x"})
		}); err != nil {
			return failed(err)
		}
	}
	var updates endpoints.WatchChannel
	if err := again(ctx, func(context.Context) (err error) {
		updates, err = service.NewWatchChannel(alive)
		return err
	}); err != nil {
		return failed(err)
	}
	known := map[string]string{}
	conn, err := grpc.NewClient(names.Scheme()+":///service", grpc.WithResolvers(names),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		return failed(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nobody uses it any more
	verdict := repeat(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		if _, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("x")}); err != nil {
			return err
		}
		add := endpoints.NewAddUpdateOpts("service/extra", endpoints.Endpoint{Addr: "nowhere:1"})
		if err := service.Update(ctx, []*endpoints.UpdateWithOpts{add}); err != nil {
			return err
		}
		remove := endpoints.NewDeleteUpdateOpts("service/extra")
		return service.Update(ctx, []*endpoints.UpdateWithOpts{remove})
	})
	return func(ctx context.Context) error {
		if err := verdict(ctx); err != nil {
			return err
		}
		if err := again(ctx, func(ctx context.Context) error {
			return service.DeleteEndpoint(ctx, "service/0")
		}); err != nil {
			return err
		}
		want := map[string]string{"service/1": all.members[1].Address,
			"service/2": all.members[2].Address}
		return again(ctx, func(ctx context.Context) error {
			return sameNames(ctx, service, updates, known, want)
		})
	}
}

func sameNames(
	ctx context.Context, service endpoints.Manager, updates endpoints.WatchChannel,
	known, want map[string]string,
) error {
	for {
		select {
		case all := <-updates:
			for _, u := range all {
				known[u.Key] = u.Endpoint.Addr
				if u.Op == endpoints.Delete {
					delete(known, u.Key)
				}
			}
			continue
		case <-time.After(100 * time.Millisecond):
		}
		break
	}
	list, err := service.List(ctx)
	if err != nil {
		return err
	}
	listed := map[string]string{}
	for key, e := range list {
		listed[key] = e.Addr
	}
	if !maps.Equal(listed, want) || !maps.Equal(known, want) {
		return fmt.Errorf("%v listed, %v watched, %v registered", listed, known, want)
	}
	return nil
}

// kubernetesCalls are those of the API server. Each round has keys of its own.
func kubernetesCalls(
	ctx context.Context, t *testing.T, all *cluster, _ *clientv3.Client,
) judge {
	c, err := kubernetes.New(all.config())
	if err != nil {
		return func(context.Context) error { return err }
	}
	t.Cleanup(func() { _ = c.Close() }) // its context may have ended before
	n := 0
	return repeat(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		n++
		return kubernetesRound(ctx, c, fmt.Sprintf("registry/%06d/", n))
	})
}

func kubernetesRound(ctx context.Context, c *kubernetes.Client, prefix string) error {
	var revs []int64
	for i := range 3 {
		r, err := c.OptimisticPut(ctx, fmt.Sprint(prefix, i), []byte{byte(i)}, 0,
			kubernetes.PutOptions{})
		if err != nil {
			return err
		}
		if !r.Succeeded {
			return wrong("%s%d was there", prefix, i)
		}
		revs = append(revs, r.Revision)
	}
	key := prefix + "0"
	again, err := c.OptimisticPut(ctx, key, []byte("x"), revs[0]-1,
		kubernetes.PutOptions{GetOnFailure: true})
	if err != nil {
		return err
	}
	if again.Succeeded || again.KV == nil || again.KV.ModRevision != revs[0] {
		return wrong("a put over another revision: %+v", again)
	}
	one, err := c.Kubernetes.Get(ctx, key, kubernetes.GetOptions{})
	if err != nil {
		return err
	}
	if one.KV == nil || one.KV.ModRevision != revs[0] || one.Revision < revs[2] {
		return wrong("%q at %d is %+v", key, revs[0], one)
	}
	page, err := c.List(ctx, prefix, kubernetes.ListOptions{Limit: 2})
	if err != nil {
		return err
	}
	rest, err := c.List(ctx, prefix, kubernetes.ListOptions{Revision: page.Revision,
		Continue: string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"})
	if err != nil {
		return err
	}
	if len(page.Kvs) != 2 || page.Count != 3 || len(rest.Kvs) != 1 {
		return wrong("%d of %d, then %d", len(page.Kvs), page.Count, len(rest.Kvs))
	}
	gone, err := c.OptimisticDelete(ctx, key, revs[0]+1,
		kubernetes.DeleteOptions{GetOnFailure: true})
	if err != nil {
		return err
	}
	if gone.Succeeded || gone.KV == nil {
		return wrong("a deletion of another revision: %+v", gone)
	}
	if gone, err = c.OptimisticDelete(ctx, key, revs[0], kubernetes.DeleteOptions{}); err != nil {
		return err
	}
	left, err := c.Count(ctx, prefix, kubernetes.CountOptions{})
	if err != nil {
		return err
	}
	if !gone.Succeeded || left != 2 {
		return wrong("%+v, and %d are left of 3", gone, left)
	}
	return nil
}
