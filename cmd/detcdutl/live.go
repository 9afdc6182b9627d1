package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/detcd/detcd/migration"
)

// cluster is the flags that lead to one of the two clusters.
type cluster struct {
	name      string // source or target
	endpoints []string
	user      string
	secure    clientv3.SecureConfig
}

func (c *cluster) define(fs *pflag.FlagSet, flag string) {
	fs.StringSliceVar(&c.endpoints, flag, nil, "Required. Client URLs of the "+c.name)
	fs.StringVar(&c.user, flag+"-user", "", "name:password of the "+c.name+"'s root user")
	fs.StringVar(&c.secure.Cacert, flag+"-cacert", "", "authority that signed the "+c.name+
		"'s certificates")
	fs.StringVar(&c.secure.Cert, flag+"-cert", "", "certificate to show to the "+c.name)
	fs.StringVar(&c.secure.Key, flag+"-key", "", "key of that certificate")
}

// dial connects as soon as the cluster answers.
func (c *cluster) dial(ctx context.Context) (migration.Store, error) {
	spec := &clientv3.ConfigSpec{Endpoints: c.endpoints, DialTimeout: 5 * time.Second,
		KeepAliveTime: 10 * time.Second, KeepAliveTimeout: 5 * time.Second, Secure: &c.secure}
	if c.user != "" {
		name, password, _ := strings.Cut(c.user, ":")
		spec.Auth = &clientv3.AuthConfig{Username: name, Password: password}
	}
	cfg, err := clientv3.NewClientConfig(spec, zap.NewNop())
	if err != nil {
		return migration.Store{}, fmt.Errorf("%s: %w", c.name, err)
	}
	cfg.Logger, cfg.Context = zap.NewNop(), ctx
	client, err := clientv3.New(*cfg)
	if err != nil {
		return migration.Store{}, fmt.Errorf("%s: %w", c.name, err)
	}
	return migration.Store{Client: client, Name: c.name}, nil
}

func liveCommand() *cobra.Command {
	from, to := cluster{name: "source"}, cluster{name: "target"}
	cmd := &cobra.Command{
		Use:   "live --from {endpoints} --to {endpoints} [--cutover]",
		Short: "Follows a running etcd or detcd with another one, until clients move over",
		Long: "Applies every revision of the source to the target, which has to begin as a " +
			"restored snapshot of it, as the same revision\nof the target. With --cutover it " +
			"then compares all data, freezes the source, brings the target to its last revision, " +
			"and\n" +
			"prints how long writes were refused: clients go on at the target. A cutover that " +
			"fails lets the source go on.\nSee docs/migration.md.",
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	from.define(fs, "from")
	to.define(fs, "to")
	cutover := fs.Bool("cutover", false, "Move over once the target is near; else follow until a "+
		"signal")
	mustRequire(cmd, "from")
	mustRequire(cmd, "to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		log, err := logger()
		if err != nil {
			return err
		}
		f := &migration.Follower{Log: log}
		for _, each := range []struct {
			c    *cluster
			into *migration.Store
		}{{&from, &f.From}, {&to, &f.To}} {
			if *each.into, err = each.c.dial(ctx); err != nil {
				return err
			}
			defer func() { _ = each.into.Close() }() // nothing is under way any more
		}
		if err := f.Begin(ctx); err != nil {
			return err
		}
		return live(ctx, f, *cutover, cmd.OutOrStdout())
	}
	return cmd
}

// live follows, or moves over and prints the outcome.
func live(ctx context.Context, f *migration.Follower, cutover bool, out io.Writer) error {
	if cutover {
		result, err := f.Cutover(ctx)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(result)
	}
	said := time.Now()
	err := f.Follow(ctx, func() bool {
		if time.Since(said) > lineEvery {
			said = time.Now()
			f.Log.Info("following", zap.Int64("target-revision", f.Done()),
				zap.Int64("behind", f.Behind()))
		}
		return false
	})
	if errors.Is(err, context.Canceled) {
		return nil // a signal ends it in good order
	}
	return err
}
