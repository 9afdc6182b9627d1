package client

// Every call of the Auth interface, and that rights hold whatever member is asked.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// done takes an error for success that says that it is so already: an answer may have been lost.
func done(err error) error {
	for _, already := range []error{rpctypes.ErrUserAlreadyExist, rpctypes.ErrRoleAlreadyExist,
		rpctypes.ErrUserNotFound, rpctypes.ErrRoleNotFound, rpctypes.ErrRoleNotGranted,
		rpctypes.ErrPermissionNotGranted, rpctypes.ErrAuthNotEnabled} {
		if errors.Is(err, already) {
			return nil
		}
	}
	return err
}

// firm repeats steps in their order until each has succeeded once.
func firm(ctx context.Context, steps ...func(context.Context) error) error {
	for i, step := range steps {
		if err := again(ctx, func(ctx context.Context) error { return done(step(ctx)) }); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// users switches users on, works as one of them and as root, and switches users off.
func users(ctx context.Context, t *testing.T, all *cluster, c *clientv3.Client) judge {
	failed := func(err error) judge { return func(context.Context) error { return err } }
	if err := firm(ctx,
		func(ctx context.Context) error { _, err := c.UserAdd(ctx, "root", "r"); return err },
		func(ctx context.Context) error { _, err := c.RoleAdd(ctx, "root"); return err },
		func(ctx context.Context) error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func(ctx context.Context) error { _, err := c.UserAdd(ctx, "alice", "a"); return err },
		func(ctx context.Context) error { _, err := c.RoleAdd(ctx, "writer"); return err },
		func(ctx context.Context) error {
			_, err := c.UserGrantRole(ctx, "alice", "writer")
			return err
		},
		func(ctx context.Context) error {
			_, err := c.RoleGrantPermission(ctx, "writer", "alice/", clientv3.GetPrefixRangeEnd("alice/"),
				clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func(ctx context.Context) error { _, err := c.AuthEnable(ctx); return err },
	); err != nil {
		return failed(err)
	}
	as := func(name, password string) (*clientv3.Client, error) {
		var user *clientv3.Client
		return user, again(ctx, func(context.Context) (err error) {
			config := all.config()
			config.Username, config.Password = name, password
			user, err = clientv3.New(config)
			return err
		})
	}
	root, err := as("root", "r")
	if err != nil {
		return failed(err)
	}
	t.Cleanup(func() { _ = root.Close() }) // its context may have ended before
	if err := firm(ctx,
		func(ctx context.Context) error { _, err := root.AuthDisable(ctx); return err },
		func(ctx context.Context) error { _, err := c.AuthEnable(ctx); return err },
	); err != nil {
		return failed(err)
	}
	alice, err := as("alice", "a")
	if err != nil {
		return failed(err)
	}
	t.Cleanup(func() { _ = alice.Close() })
	n := 0
	verdict := repeat(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		n++
		if err := rights(ctx, c, root, alice); err != nil {
			return err
		}
		return administration(ctx, c, root, n)
	})
	calm, cancel := context.WithTimeout(context.WithoutCancel(ctx), healTime)
	defer cancel()
	// The others ask without a name, so users end here and the verdict's last round without them.
	last := errors.Join(verdict(calm), firm(calm,
		func(ctx context.Context) error { _, err := root.AuthDisable(ctx); return err }))
	return func(ctx context.Context) error {
		if last != nil {
			return last
		}
		r, err := c.AuthStatus(ctx)
		if err == nil && r.Enabled {
			err = errors.New("users are still on")
		}
		return err
	}
}

// rights are what alice may and may not do, and what nobody may.
func rights(ctx context.Context, nobody, root, alice *clientv3.Client) error {
	if _, err := alice.Put(ctx, "alice/x", "1"); err != nil {
		return err
	}
	for who, c := range map[string]*clientv3.Client{"alice": alice, "nobody": nobody} {
		_, err := c.Put(ctx, "other", who)
		if err == nil {
			return wrong("%s may write everywhere", who)
		}
		if !errors.Is(err, rpctypes.ErrPermissionDenied) && !errors.Is(err, rpctypes.ErrUserEmpty) {
			return err
		}
	}
	end := clientv3.GetPrefixRangeEnd("alice/")
	if _, err := root.RoleRevokePermission(ctx, "writer", "alice/", end); done(err) != nil {
		return err
	}
	_, refused := alice.Get(ctx, "alice/x")
	if _, err := root.RoleGrantPermission(ctx, "writer", "alice/", end,
		clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
		return err
	}
	if refused == nil {
		return wrong("alice reads without a permission")
	}
	r, err := alice.Get(ctx, "alice/x")
	if err == nil && len(r.Kvs) != 1 {
		return wrong("alice's key is lost")
	}
	return err
}

// administration adds a user and a role, looks at them and deletes them.
func administration(ctx context.Context, c, root *clientv3.Client, n int) error {
	user, role := fmt.Sprint("user", n), fmt.Sprint("role", n)
	if _, err := root.UserAddWithOptions(ctx, user, "", &clientv3.UserAddOptions{
		NoPassword: true}); err != nil {
		return err
	}
	if _, err := root.RoleAdd(ctx, role); err != nil {
		return err
	}
	if _, err := root.UserGrantRole(ctx, user, role); err != nil {
		return err
	}
	if _, err := root.RoleGrantPermission(ctx, role, "k", "",
		clientv3.PermissionType(clientv3.PermRead)); err != nil {
		return err
	}
	got, err := root.UserGet(ctx, user)
	if err != nil {
		return err
	}
	perms, err := root.RoleGet(ctx, role)
	if err != nil {
		return err
	}
	if !slices.Equal(got.Roles, []string{role}) || len(perms.Perm) != 1 ||
		string(perms.Perm[0].Key) != "k" {
		return wrong("%s has %v, %s has %v", user, got.Roles, role, perms.Perm)
	}
	if _, err := root.UserRevokeRole(ctx, user, role); err != nil {
		return err
	}
	if _, err := root.RoleDelete(ctx, role); err != nil {
		return err
	}
	if _, err := root.UserDelete(ctx, user); err != nil {
		return err
	}
	names, err := root.UserList(ctx)
	if err != nil {
		return err
	}
	roles, err := root.RoleList(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(names.Users, user) || slices.Contains(roles.Roles, role) ||
		!slices.Contains(names.Users, "root") {
		return wrong("%v and %v after the deletion of %s and %s", names.Users, roles.Roles, user, role)
	}
	return passwords(ctx, c, root)
}

// passwords let in who knows the newest, and nobody else.
func passwords(ctx context.Context, c, root *clientv3.Client) error {
	if _, err := root.UserAdd(ctx, "bob", "1"); done(err) != nil {
		return err
	}
	if _, err := root.UserChangePassword(ctx, "bob", "2"); err != nil {
		return err
	}
	r, err := c.Authenticate(ctx, "bob", "2")
	if err != nil {
		return err
	}
	if r.Token == "" {
		return wrong("bob was let in without a token")
	}
	if _, err := c.Authenticate(ctx, "bob", "1"); err == nil {
		return wrong("bob's old password opens")
	}
	status, err := root.AuthStatus(ctx)
	if err == nil && !status.Enabled {
		return wrong("users are off")
	}
	return err
}
