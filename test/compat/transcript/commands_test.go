package transcript

// The commands, in an order in which each has something to show.

import (
	"slices"
)

func lines(all ...string) []command {
	var commands []command
	for _, line := range all {
		commands = append(commands, command{line: line})
	}
	return commands
}

// plainly are commands whose output has no other form, errors of usage above all.
func plainly(all ...string) []command {
	commands := lines(all...)
	for i := range commands {
		commands[i].plain = true
	}
	return commands
}

func commands() []command {
	return slices.Concat(keyCommands(), rangeCommands(), txnCommands(), maintenanceCommands(),
		leaseCommands(), memberCommands(), watchCommands(), globalCommands(), wrongCommands(),
		lines("alarm list", "alarm disarm", "alarm list"))
}

func keyCommands() []command {
	return slices.Concat(lines(
		"put a 1", "put a 2", "put a 3 --prev-kv", "put b 1", "put b1 x", "put b2 y",
		"put a --ignore-value", "put missing --ignore-value", "put a 4 --lease=1234",
		"put a 5 --ignore-lease", "put missing 1 --ignore-lease", "put a 5 --hex", "put %00 1",
		"get a", "get a --hex", "get missing", "get a b2", "get a c --hex",
		"get a --print-value-only", "get a b1 --print-value-only --hex",
	), []command{
		{line: "put typed", stdin: "a value\nof two lines\n"},
		{line: "put -- -dash -value", plain: true}, {line: "get -- -dash", plain: true},
	}, lines(
		"del b1", "del b1", "del b --prefix --prev-kv", "put c1 1", "put c2 1", "put c3 1",
		"del c1 c3 --prev-kv -w json", "del c2 c3 --range", "del c --from-key", "put c1 1",
		"del c1 --hex --prev-kv", "put b 1", "put b1 x", "put b2 y",
	))
}

func rangeCommands() []command {
	all := lines("get b --prefix", "get a --from-key",
		"get --prefix b --keys-only", "get --prefix b --limit 1", "get %00 --prefix",
		"get %00 --from-key --keys-only", "get a --rev 2", "get a --rev 3", "get a --rev 1000",
		"get a --consistency s", "get a --consistency l", "get a --consistency nonsense",
		"get --prefix b --order DESCEND --sort-by VERSION",
		"get --prefix b --order descend --sort-by VALUE", "get --prefix b --sort-by MODIFY",
		"get --prefix b --order ASCEND --sort-by CREATE", "get --prefix b --sort-by KEY",
		"get --prefix b --min-mod-rev 40", "get --prefix b --max-mod-rev 40",
		"get --prefix b --min-create-rev 40", "get --prefix b --max-create-rev 40",
		"get a --stream", "get --prefix b --stream", "get --prefix b --stream --sort-by VALUE",
		"get --stream --prefix b --limit 1", "get --stream missing",
		"get --stream --prefix b --keys-only --rev 3")
	return append(all,
		command{line: "get --prefix b --count-only -w fields"},
		command{line: "get --prefix b --count-only -w json"},
		command{line: "get --prefix b --count-only --limit 1 -w fields"})
}

func txnCommands() []command {
	var all []command
	for _, stdin := range []string{
		"mod(\"a\") > \"0\"\n\nput a txn\nget a\n\nget b\n\n",
		"version(\"none\") = \"0\"\ncreate(\"none\") = \"0\"\n\nput d 1\n\n\n",
		"value(\"a\") != \"x\"\n\ndel a\nput e 1\n\n\n",
		"value(\"a\") = \"x\"\n\ndel a\n\nget a\nget --prefix d\n\n",
		"lease(\"a\") = \"0\"\n\nget a\n\n\n",
		"mod(\"a\") < \"1\"\n\nput a 1\nput a 2\n\n\n",
		"\nput a 1\nput a 2\n\n\n", "\n\n\n", "\nput f \"two words\"\nget f\n\n\n",
		"\ndel --prev-kv f\nget --prefix --keys-only d\n\n\n",
		"nonsense\n\n\n\n", "version(\"a\") = \"x\"\n\n\n\n", "\nnonsense\n\n\n",
	} {
		all = append(all, command{line: "txn", stdin: stdin})
	}
	return append(all, command{line: "txn -i", stdin: "\nput f 1\n\n\n", plain: true},
		command{line: "txn --interactive", stdin: "mod(\"f\") > \"0\"\n\nget f\n\n\n"},
		command{line: "txn --hex", stdin: "\nget f\n\n\n"})
}

func maintenanceCommands() []command {
	return slices.Concat(lines(
		"compaction 4", "compaction 4", "compaction 5 --physical", "compaction 100000",
		"get a --rev 2", "defrag", "endpoint health", "endpoint status", "endpoint hashkv",
		"endpoint hashkv --rev 7", "endpoint hashkv --rev 2", "endpoint health --hex",
		"endpoint status --hex", "endpoint hashkv --hex", "member list", "member list --hex",
		"member list --consistency s", "move-leader $MEMBER", "move-leader 1234",
		"downgrade validate 3.6", "downgrade validate 3.4", "downgrade validate x",
		"downgrade enable 3.4", "downgrade cancel",
	), plainly("version", "help", "options", "completion bash", "completion zsh",
		"completion fish", "completion powershell", "completion nonsense",
		"completion bash --no-descriptions", "completion fish --no-descriptions",
		"completion zsh --no-descriptions", "completion powershell --no-descriptions", "get --help",
		"help member add"))
}

func leaseCommands() []command {
	return append(lines("lease grant 1000", "lease timetolive $LEASE", "lease grant 1000 --hex",
		"lease list", "put leased 1 --lease=$LEASE", "lease timetolive $LEASE --keys", "get leased",
		"put leased 2 --ignore-lease", "lease keep-alive --once $LEASE", "lease list --hex",
		"txn", "lease revoke $LEASE", "lease revoke $LEASE", "lease timetolive $LEASE",
		"lease timetolive 1234", "lease keep-alive --once $LEASE", "get leased",
		"lease grant 99999999999", "lease grant -- -1", "lease grant nonsense", "lease grant 1000",
	), command{line: "lease keep-alive $LEASE", runs: true},
		command{line: "lease keep-alive 1234", runs: true},
		command{line: "lease keep-alive $LEASE -w json", runs: true})
}

func memberCommands() []command {
	learner := "--learner --peer-urls=http://127.0.0.1:"
	all := lines("member add bad --peer-urls=nonsense",
		"member add same --peer-urls=http://127.0.0.1:2380",
		"member remove 1234", "member remove $MEMBER", "member promote $MEMBER",
		"member promote 1234", "member update 1234 --peer-urls=http://127.0.0.1:9")
	return append(all,
		command{line: "member add learner " + learner + "1", plain: true},
		command{line: "member list"}, command{line: "member list --hex"},
		command{line: "member add second " + learner + "2"},
		command{line: "member promote $ADDED"},
		command{line: "member update $ADDED --peer-urls=http://127.0.0.1:3", plain: true},
		command{line: "member update $ADDED --peer-urls=http://127.0.0.1:3 -w json"},
		command{line: "member update $ADDED --peer-urls=http://127.0.0.1:3 -w protobuf"},
		command{line: "member remove $ADDED"}, command{line: "member list"},
		command{line: "member add third " + learner + "4 -w json"},
		command{line: "member list"})
}

func watchCommands() []command {
	var all []command
	for _, line := range []string{
		"watch a --rev 6", "watch a --rev 6 --prev-kv", "watch a b --rev 6",
		"watch --prefix b --rev 6", "watch a --rev 2", "watch a --rev 6 -w json",
		"watch a --rev 6 -w fields", "watch a --rev 6 -w table", "watch a --rev 6 -w protobuf",
		"watch a --rev 2 -w json", "watch a --rev 6 --hex", "watch a --rev 6 -w json --hex",
		"watch a --rev 6 --prev-kv -w fields", "watch %00 --prefix --rev 6",
		"watch a --rev 1000000", "watch a --rev 6 --progress-notify",
		"watch a --rev 6 -- echo event", "watch b a", "watch a --prefix --rev 6 -- env",
		"watch a --rev 6 -- false", "watch a --rev 6 -- missing-program", "watch",
		"watch a --", "watch a b --prefix",
	} {
		c := command{line: line, runs: true}
		if line == "watch a --prefix --rev 6 -- env" {
			c.line = "watch a --rev 6 -- sh -c echo%20$ETCD_WATCH_REVISION%20$ETCD_WATCH_EVENT_TYPE" +
				"%20$ETCD_WATCH_KEY%20$ETCD_WATCH_VALUE"
		}
		all = append(all, c)
	}
	for _, stdin := range []string{
		"watch a --rev 6\ncancel 0\n", "watch zz\nprogress\n", "watch --prefix b --rev 6 --prev-kv\n", "watch\n",
		"nonsense\n\n", "watch a --rev 6 -- echo seen\n",
	} {
		all = append(all, command{line: "watch -i", stdin: stdin, runs: true})
	}
	return append(all,
		command{line: "watch --interactive", stdin: "watch a --rev 2\n", runs: true},
		command{line: "watch --rev 6", env: "ETCDCTL_WATCH_KEY=a", runs: true},
		command{line: "watch --rev 6", env: "ETCDCTL_WATCH_KEY=a ETCDCTL_WATCH_RANGE_END=c",
			runs: true},
		command{line: "watch", env: "ETCDCTL_WATCH_RANGE_END=c", runs: true},
		command{line: "watch b", env: "ETCDCTL_WATCH_KEY=a", runs: true})
}

// globalCommands try the flags that every command has, and their names in the environment.
func globalCommands() []command {
	tls := "--endpoints https://$SECURE --cacert $CERTS/ca.pem "
	client := "--cert $CERTS/client.pem --key $CERTS/client-key.pem "
	all := []command{
		{line: "--command-timeout 3s --dial-timeout 3s get a"},
		{line: "--keepalive-time 1s --keepalive-timeout 2s get a"},
		{line: "--max-request-bytes 100 put a " + long}, {line: "--max-recv-bytes 20 get a"},
		{line: "--max-recv-bytes 100000 --max-request-bytes 100000 get a"},
		{line: "--insecure-discovery=false get a"},
		{line: "--insecure-skip-tls-verify --insecure-transport=false --dial-timeout 300ms " +
			"--command-timeout 300ms get a", loud: true, plain: true},
		{line: "--debug get a", loud: true}, {line: "get a -w nonsense"}, {line: "--nonsense get a"},
		{line: "get a --endpoints http://$SERVER", bare: true},
		{line: "get a --endpoints $SERVER,$SERVER", bare: true},
		{line: tls + client + "get a", bare: true},
		{line: tls + client + "endpoint health", bare: true},
		{line: tls + client + "--insecure-transport=false get a", bare: true},
		{line: tls + "get a --command-timeout 1s --dial-timeout 1s", bare: true, loud: true},
		{line: "--insecure-skip-tls-verify --insecure-transport=false --endpoints https://$SECURE " +
			client + "get a", bare: true},
		{line: "--cert $CERTS/missing.pem --key $CERTS/client-key.pem get a", plain: true},
		{line: "--cert= get a", plain: true}, {line: "--key= get a", plain: true},
		{line: "--cacert= get a", plain: true},
		{line: "get a --user root:x"}, {line: "get a --user root --password x"},
		{line: "get a --auth-jwt-token nonsense"},
		{line: "get a", env: "ETCDCTL_ENDPOINTS=$SERVER", bare: true},
		{line: "get a", env: "ETCDCTL_WRITE_OUT=json", plain: true},
		{line: "get a", env: "ETCDCTL_HEX=true"}, {line: "get a", env: "ETCDCTL_API=3"},
		{line: "get a", env: "ETCDCTL_USER=root:x"}, {line: "get a", env: "ETCDCTL_NONSENSE=1"},
		{line: "get a", env: "ETCDCTL_DIAL_TIMEOUT=3s ETCDCTL_COMMAND_TIMEOUT=3s"},
		{line: "get a", env: "ETCDCTL_ENDPOINTS=https://$SECURE ETCDCTL_CACERT=$CERTS/ca.pem " +
			"ETCDCTL_CERT=$CERTS/client.pem ETCDCTL_KEY=$CERTS/client-key.pem", bare: true},
	}
	for _, dead := range []string{"get a", "endpoint health", "endpoint status", "member list",
		"defrag", "endpoint hashkv"} {
		all = append(all, command{line: "--endpoints 127.0.0.1:1 --command-timeout 300ms " + dead,
			bare: true, loud: true, plain: true})
	}
	return all
}

const long = "0123456789012345678901234567890123456789012345678901234567890123456789" +
	"0123456789012345678901234567890123456789012345678901234567890123456789"

// wrongCommands are those that etcdctl refuses by itself, each with its exit status.
func wrongCommands() []command {
	return append(plainly("nonsense", "get", "get a b c", "get a b --prefix",
		"get a --prefix --from-key", "get a --keys-only --count-only", "get a --order nonsense",
		"get a --sort-by nonsense", "get a --min-create-rev 9 --max-create-rev 3",
		"get a --min-mod-rev 9 --max-mod-rev 3", "get a --limit x", "put", "put a", "put a b c",
		"put a 1 --lease=nonsense", "put a 1 --ignore-value", "del", "del a b --prefix",
		"del a b --from-key", "del --prefix --from-key x", "del a --range", "txn extra",
		"compaction", "compaction x", "compaction 1 2", "lease", "lease grant", "lease revoke",
		"lease revoke zz", "lease timetolive", "lease keep-alive", "member add", "member add a b",
		"member add a", "member add http://a http://b", "member remove", "member remove zz",
		"member update", "member update 12", "member promote", "member promote zz",
		"move-leader", "move-leader zz", "snapshot save", "alarm list extra",
		"alarm disarm extra", "downgrade validate", "downgrade enable", "lock", "elect",
		"elect a", "elect a b c", "elect -l a b", "make-mirror", "make-mirror a b",
		"check perf --load nonsense", "check datascale --load nonsense", "user add", "user get",
		"user delete", "user passwd", "user list extra", "user grant-role a",
		"user revoke-role a", "user add :x", "role add", "role get", "role delete",
		"role list extra", "role grant-permission a", "role grant-permission a nonsense b",
		"role grant-permission a read b c --prefix", "role grant-permission a read b c --from-key",
		"role grant-permission a read b --prefix --from-key", "role revoke-permission a",
		"auth enable extra", "auth disable extra", "auth status extra"),
		command{line: "user add asks", stdin: "no terminal\n", plain: true},
		command{line: "user passwd asks", stdin: "no terminal\n", plain: true})
}
