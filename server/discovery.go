// Finding the other members of a new cluster through a list that some other cluster keeps (etcd's
// v3 discovery).
//
// An operator writes how many members the new cluster shall have. Each member adds itself, then
// waits until there are as many; the first ones, in the order in which they came, are the cluster,
// and whoever comes later is refused. The service is any etcd or detcd cluster:
//
//	/_etcd/registry/<token>/_config/size           the number of members, decimal
//	/_etcd/registry/<token>/members/<member id>    name=peer URL,name=peer URL
//
// The id in the list is made with the token in the cluster token's place, as with etcd, so that
// members of both kinds of program understand the list alike.
package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
)

// The outcomes that no repetition changes, in etcd's words.
var (
	errDiscoverySize = errors.New("discovery: size key is bad")
	errNoSize        = errors.New("discovery: size key not found")
	errClusterFull   = errors.New("discovery: cluster is full")
	errDuplicateName = errors.New("discovery: duplicate name")
)

// The pause before the discovery service is asked again grows from the first to the second.
const (
	discoveryPause    = time.Second
	discoveryPauseMax = 30 * time.Second
)

// registry is a discovery service on behalf of one member.
type registry struct {
	log    *zap.Logger
	client *clientv3.Client
	set    *Discovery
	prefix string // of all keys of the token
	own    string // the member's key
	value  string
}

// entrant is a member in the list.
type entrant struct {
	key, value string
	created    int64
}

// discover returns the initial cluster that the service's list describes, once it is complete.
func (c *Config) discover(ctx context.Context, log *zap.Logger) (string, error) {
	d := &c.Discovery
	spec := &clientv3.ConfigSpec{Endpoints: d.Endpoints, DialTimeout: d.DialTimeout,
		RequestTimeout: d.RequestTimeout, KeepAliveTime: d.KeepAliveTime,
		KeepAliveTimeout: d.KeepAliveTimeout, Auth: d.auth(), Secure: &clientv3.SecureConfig{
			Cert: d.CertFile, Key: d.KeyFile, Cacert: d.CAFile,
			InsecureTransport: d.InsecureTransport, InsecureSkipVerify: d.InsecureSkipVerify}}
	config, err := clientv3.NewClientConfig(spec, zap.NewNop())
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	config.Logger = zap.NewNop() // what matters of its trouble is in the errors
	client, err := clientv3.New(*config)
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	defer func() { _ = client.Close() }() // nothing is waiting for it any more
	self := types.URLsMap{c.Name: c.AdvertisePeerURLs}
	prefix := "/_etcd/registry/" + d.Token
	r := &registry{log: log, client: client, set: d, prefix: prefix, value: self.String(),
		own: fmt.Sprintf("%s/members/%v", prefix,
			kv.MemberIDFor(c.AdvertisePeerURLs.StringSlice(), d.Token))}
	return r.joinUntil(ctx)
}

func (d *Discovery) auth() *clientv3.AuthConfig {
	if d.User == "" {
		return nil
	}
	if d.Password != "" {
		return &clientv3.AuthConfig{Username: d.User, Password: d.Password}
	}
	name, password, _ := strings.Cut(d.User, ":")
	return &clientv3.AuthConfig{Username: name, Password: password}
}

// joinUntil joins, and tries again as long as the service cannot be reached.
func (r *registry) joinUntil(ctx context.Context) (string, error) {
	for pause := discoveryPause; ; pause = min(2*pause, discoveryPauseMax) {
		cluster, err := r.join(ctx)
		for _, final := range []error{errDiscoverySize, errNoSize, errClusterFull,
			errDuplicateName} {
			if errors.Is(err, final) {
				return "", err
			}
		}
		if err == nil {
			return cluster, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("discovery: %w", ctx.Err())
		}
		r.log.Warn("the discovery service does not answer", zap.Error(err),
			zap.Duration("retry-after", pause))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// join adds this member to the list and waits until that is complete.
func (r *registry) join(ctx context.Context) (string, error) {
	size, err := r.size(ctx)
	if err != nil {
		return "", err
	}
	list, _, err := r.members(ctx)
	if err != nil {
		return "", err
	}
	if _, err := r.admitted(list, size); err != nil {
		return "", err
	}
	if err := r.register(ctx); err != nil {
		return "", err
	}
	list, at, err := r.members(ctx)
	if err != nil {
		return "", err
	}
	if found, err := r.admitted(list, size); err != nil || !found {
		return "", errors.Join(err, ctx.Err())
	}
	if list, err = r.await(ctx, list, at, size); err != nil {
		return "", err
	}
	return describe(list[:size])
}

func (r *registry) size(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, r.set.RequestTimeout)
	defer cancel()
	got, err := r.client.Get(ctx, r.prefix+"/_config/size")
	if err != nil {
		return 0, err
	}
	if len(got.Kvs) == 0 {
		return 0, errNoSize
	}
	size, err := strconv.ParseInt(string(got.Kvs[0].Value), 10, 32)
	if err != nil || size <= 0 {
		return 0, errDiscoverySize
	}
	return int(size), nil
}

// members reads the list, in the order in which its members came.
func (r *registry) members(ctx context.Context) ([]entrant, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.set.RequestTimeout)
	defer cancel()
	got, err := r.client.Get(ctx, r.prefix+"/members/", clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return nil, 0, err
	}
	var list []entrant
	for _, pair := range got.Kvs {
		list = append(list, entrantOf(pair))
	}
	return list, got.Header.Revision, nil
}

func entrantOf(pair *mvccpb.KeyValue) entrant {
	return entrant{key: string(pair.Key), value: string(pair.Value),
		created: pair.CreateRevision}
}

// admitted says whether this member is in the list; it is an error if it is not and the list is
// complete, or if it came too late.
func (r *registry) admitted(list []entrant, size int) (bool, error) {
	at := slices.IndexFunc(list, func(e entrant) bool { return e.key == r.own })
	if at >= size || at < 0 && len(list) >= size {
		return false, errClusterFull
	}
	return at >= 0, nil
}

func (r *registry) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.set.RequestTimeout)
	defer cancel()
	_, err := r.client.Put(ctx, r.own, r.value)
	if err == nil {
		r.log.Info("registered at the discovery service", zap.String("key", r.own),
			zap.String("value", r.value))
	}
	return err
}

// await watches the list from revision at on until it has as many members as it should.
func (r *registry) await(ctx context.Context, list []entrant, at int64, size int) ([]entrant,
	error) {
	if len(list) >= size {
		return list, nil
	}
	r.log.Info("waiting for other members at the discovery service",
		zap.Int("members", len(list)), zap.Int("size", size))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for w := range r.client.Watch(clientv3.WithRequireLeader(ctx), r.prefix+"/members/",
		clientv3.WithPrefix(), clientv3.WithRev(at+1)) {
		if err := w.Err(); err != nil {
			return nil, err
		}
		for _, e := range w.Events {
			if e.IsCreate() {
				list = append(list, entrantOf(e.Kv))
			}
		}
		if len(list) >= size {
			return list, nil
		}
	}
	return nil, errors.Join(errors.New("discovery: the watch has ended"), ctx.Err())
}

// describe joins the members' own descriptions.
func describe(list []entrant) (string, error) {
	values, names := make([]string, 0, len(list)), map[string]bool{}
	for _, e := range list {
		urls, err := types.NewURLsMap(e.value)
		if err != nil {
			return "", fmt.Errorf("discovery: the value of %s: %w", e.key, err)
		}
		for name := range urls {
			if names[name] {
				return "", fmt.Errorf("%w %q", errDuplicateName, name)
			}
			names[name] = true
		}
		values = append(values, e.value)
	}
	return strings.Join(values, ","), nil
}
