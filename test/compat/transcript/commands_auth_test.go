package transcript

// Users, roles and what they may do. For a while these commands leave the store closed to everybody
// else.

func authCommands() []command {
	all := lines(
		"auth status", "auth enable", "auth disable", "user add root:secret", "user add root:secret",
		"user add alice:a", "user add bob --no-password", "user add x --new-user-password=y",
		"user add client --no-password", "role add readers", "role add readers",
		"role grant-permission readers read a",
		"role grant-permission readers readwrite b --prefix",
		"role grant-permission readers write c d", "role grant-permission readers read x --from-key",
		"role get readers", "role revoke-permission readers x --from-key",
		"role grant-permission readers read --prefix=false y",
		"role revoke-permission readers y --from-key=false", "role add all",
		"role grant-permission all readwrite %00 --prefix", "role get all",
		"role revoke-permission all %00 --prefix",
		"role grant-permission all readwrite %00 --from-key", "role get all",
		"role grant-permission nobody read a", "role get readers", "role get nobody", "role list",
		"user grant-role alice readers", "user grant-role alice nothing",
		"user grant-role nobody readers", "user grant-role client all", "user get alice",
		"user get alice --detail", "user get nobody", "user list",
		"role revoke-permission readers c d", "role revoke-permission readers b --prefix",
		"role grant-permission readers readwrite b --prefix",
		"role revoke-permission readers nothing")
	all = append(all,
		command{line: "user add carol --interactive=false", stdin: "c\n", plain: true},
		command{line: "user passwd carol --interactive=false", stdin: "cc\n"},
		command{line: "user add dora", typed: "d\nd\n", plain: true},
		command{line: "user add eve", typed: "e\nf\n", plain: true},
		command{line: "user add fred", typed: "\n\n", plain: true},
		command{line: "user passwd dora", typed: "dd\ndd\n", plain: true})
	all = append(all, lines(
		"auth enable", "auth status", "get a", "get a --user alice:a", "get a --user alice:wrong",
		"put a 1 --user alice:a", "put b1 1 --user alice:a", "get q --user alice:a",
		"del b1 --user alice:a", "compaction 9 --user alice:a", "member list --user alice:a",
		"endpoint status --user alice:a", "endpoint health --user alice:a",
		"endpoint hashkv --user alice:a", "alarm list --user alice:a", "defrag --user alice:a",
		"lease list --user alice:a", "watch zz --user alice:a --rev 3 -w simple",
		"user list --user alice:a", "user get alice --user alice:a",
		"role get readers --user alice:a", "get a --user carol:cc", "get b1 --user dora:dd",
		"get a --user bob:x", "get a --user nobody:x", "get a --auth-jwt-token nonsense")...)
	certificate := "--endpoints https://$SECURE --cacert $CERTS/ca.pem --cert $CERTS/client.pem " +
		"--key $CERTS/client-key.pem "
	all = append(all,
		command{line: certificate + "get a", bare: true},
		command{line: certificate + "member list", bare: true},
		command{line: certificate + "user list", bare: true},
		command{line: "user passwd alice --interactive=false --user root:secret"},
		command{line: "get a --user root", typed: "secret\n", plain: true},
		command{line: "get a --user root", typed: "wrong\n", plain: true},
		command{line: "get a", env: "ETCDCTL_USER=root:secret"},
		command{line: "get a", env: "ETCDCTL_USER=root ETCDCTL_PASSWORD=secret"})
	for i, c := range all {
		all[i].runs = c.line == "watch zz --user alice:a --rev 3 -w simple"
	}
	return append(all, lines("get a --user root --password secret",
		"user revoke-role alice readers --user root:secret",
		"user revoke-role alice readers --user root:secret",
		"user delete alice --user root:secret", "role delete readers --user root:secret",
		"user delete root --user root:secret", "auth status --user root:secret",
		"auth disable --user root:secret", "auth status", "user list", "role list")...)
}
