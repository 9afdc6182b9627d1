package transcript

// The commands, in an order in which each has something to show.

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func lines(needs string, all ...string) []command {
	var commands []command
	for _, line := range all {
		commands = append(commands, command{line: line, needs: needs})
	}
	return commands
}

func commands() []command {
	return slices.Concat(keyCommands(), txnCommands(), maintenanceCommands(), leaseCommands(),
		memberCommands(), watchCommands(), alarmCommands(), authCommands())
}

func keyCommands() []command {
	return slices.Concat(lines("",
		"put a 1", "put a 2", "put a 3 --prev-kv", "put b 1", "put b1 x", "put b2 y",
		"put a --ignore-value", "put missing --ignore-value", "put a 4 --lease=1234",
		"put a 5 --ignore-lease",
		"get a", "get a --hex", "get missing", "get a b2", "get b --prefix", "get a --from-key",
		"get --prefix b --keys-only", "get --prefix b --count-only", "get --prefix b --limit 1",
		"get a --rev 2", "get a --rev 3", "get a --rev 1000", "get a --consistency s",
		"get a --print-value-only", "get --prefix b --order DESCEND --sort-by VERSION",
		"get --prefix b --order DESCEND --sort-by VALUE", "get --prefix b --sort-by MODIFY",
		"get --prefix b --order ASCEND --sort-by CREATE", "get --prefix b --min-mod-rev 5",
		"get --prefix b --max-mod-rev 5", "get --prefix b --min-create-rev 5",
		"get --prefix b --max-create-rev 5", "get a --order nonsense",
		"del b1", "del b1", "del b --prefix --prev-kv", "put c1 1", "put c2 1", "put c3 1",
		"del c1 c3 --prev-kv", "del c --from-key", "del --prefix --from-key x",
	), lines(pb.KV_RangeStream_FullMethodName,
		"get a --stream", "get --prefix b --stream", "get --prefix b --stream --sort-by VALUE",
		"get --stream --prefix b --limit 1", "get --stream missing",
	))
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
		"\nput a 1\nput a 2\n\n\n",
		"nonsense\n\n\n\n",
	} {
		all = append(all, command{line: "txn", stdin: stdin})
	}
	return append(all, command{line: "txn -i", stdin: "\nput f 1\n\n\n", plain: true})
}

func maintenanceCommands() []command {
	return slices.Concat(lines("",
		"compaction 4", "compaction 4", "compaction 5 --physical", "compaction 100000",
		"get a --rev 2", "defrag", "endpoint health", "endpoint status", "endpoint hashkv",
		"endpoint hashkv --rev 7", "endpoint hashkv --rev 2", "endpoint health --hex", "version",
		"member list", "member list --hex", "member list --consistency s", "move-leader $MEMBER",
		"move-leader 1234", "nonsense", "get", "put a",
	), lines(pb.Maintenance_Downgrade_FullMethodName,
		"downgrade validate 3.6", "downgrade validate 3.4", "downgrade validate x",
		"downgrade enable 3.4", "downgrade cancel",
	), lines(pb.Maintenance_Snapshot_FullMethodName, "snapshot save $DIR/saved"))
}

func leaseCommands() []command {
	all := lines(pb.Lease_LeaseGrant_FullMethodName,
		"lease grant 100", "lease timetolive $LEASE", "lease grant 100 --hex", "lease list",
		"put leased 1 --lease=$LEASE", "lease timetolive $LEASE --keys", "get leased",
		"lease keep-alive --once $LEASE", "lease revoke $LEASE", "lease revoke $LEASE",
		"lease timetolive $LEASE", "lease timetolive 1234", "lease keep-alive --once $LEASE",
		"get leased", "lease grant 99999999999", "lease grant -- -1", "lease grant nonsense",
	)
	for i := range all {
		all[i].words = true
	}
	return all
}

func memberCommands() []command {
	return slices.Concat(lines(pb.Cluster_MemberAdd_FullMethodName,
		"member add bad --peer-urls=nonsense", "member add same --peer-urls=http://127.0.0.1:2380",
		"member remove 1234", "member remove $MEMBER", "member promote $MEMBER",
		"member promote 1234", "member update 1234 --peer-urls=http://127.0.0.1:9",
	), []command{
		{line: "member add learner --learner --peer-urls=http://127.0.0.1:1", plain: true,
			needs: pb.Cluster_MemberAdd_FullMethodName},
		{line: "member list", needs: pb.Cluster_MemberAdd_FullMethodName},
		{line: "member add second --learner --peer-urls=http://127.0.0.1:2",
			needs: pb.Cluster_MemberAdd_FullMethodName},
		{line: "member promote $ADDED", needs: pb.Cluster_MemberAdd_FullMethodName},
		{line: "member update $ADDED --peer-urls=http://127.0.0.1:3", plain: true,
			needs: pb.Cluster_MemberAdd_FullMethodName},
		{line: "member remove $ADDED", needs: pb.Cluster_MemberAdd_FullMethodName},
		{line: "member list", needs: pb.Cluster_MemberAdd_FullMethodName},
	})
}

func watchCommands() []command {
	var all []command
	for _, line := range []string{
		"watch a --rev 6", "watch a --rev 6 --prev-kv", "watch a b --rev 6", "watch --prefix b --rev 6",
		"watch a --rev 2", "watch a --rev 6 -w json", "watch a --rev 6 -w fields",
		"watch a --rev 6 -- echo event", "watch b a",
	} {
		all = append(all, command{line: line, runs: true, needs: pb.Watch_Watch_FullMethodName})
	}
	return append(all, command{line: "watch -i", stdin: "watch a --rev 6\nprogress\ncancel 0\n",
		runs: true, needs: pb.Watch_Watch_FullMethodName})
}

func alarmCommands() []command {
	return lines(pb.Maintenance_Alarm_FullMethodName, "alarm list", "alarm disarm", "alarm list")
}

func authCommands() []command {
	return lines(pb.Auth_AuthEnable_FullMethodName,
		"auth status", "auth enable", "auth disable", "user add root:secret", "user add root:secret",
		"user add alice:a", "user add bob --no-password", "user add x --new-user-password=y",
		"role add readers", "role add readers", "role grant-permission readers read a",
		"role grant-permission readers readwrite b --prefix",
		"role grant-permission readers write c d", "role grant-permission readers read x --from-key",
		"role grant-permission nobody read a", "role get readers", "role list",
		"user grant-role alice readers", "user grant-role alice nothing",
		"user grant-role nobody readers", "user get alice", "user get alice --detail", "user list",
		"role revoke-permission readers c d", "role revoke-permission readers nothing",
		"auth enable", "auth status", "get a", "get a --user alice:a", "get a --user alice:wrong",
		"put a 1 --user alice:a", "put b1 1 --user alice:a", "get q --user alice:a",
		"del b1 --user alice:a", "compaction 9 --user alice:a", "member list --user alice:a",
		"endpoint status --user alice:a", "endpoint health --user alice:a",
		"user list --user alice:a", "user get alice --user alice:a", "role get readers --user alice:a",
		"user passwd alice --interactive=false --user root:secret", "get a --user nobody:x",
		"get a --user root --password secret", "user revoke-role alice readers --user root:secret",
		"user revoke-role alice readers --user root:secret", "user delete alice --user root:secret",
		"role delete readers --user root:secret", "user delete root --user root:secret",
		"auth status --user root:secret", "auth disable --user root:secret", "user list",
		"role list",
	)
}
