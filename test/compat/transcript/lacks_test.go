package transcript

// What is left out, and why.

// neverUsed are the flags of the offered release that no run has.
func neverUsed() []lack {
	const dns = "it asks the name service before it asks any server"
	return []lack{{flag: "--discovery-srv", reason: dns}, {flag: "--discovery-srv-name", reason: dns}}
}

// currentLacks are what the offered release does not have, or no run has.
func currentLacks() []lack {
	return append(neverUsed(), lack{flag: "--no-descriptions", reason: "only Debian's has it"})
}

// debianLacks are commands and flags that Debian's release does not have, or that no run has.
func debianLacks() []lack {
	const later = "a later release brought it"
	all := neverUsed()
	for _, command := range []string{"auth status", "downgrade", "options"} {
		all = append(all, lack{command: command, reason: later})
	}
	for command, flags := range map[string][]string{
		"": {"--auth-jwt-token", "--max-recv-bytes", "--max-request-bytes"},
		"get": {"--count-only", "--min-mod-rev", "--max-mod-rev", "--min-create-rev",
			"--max-create-rev", "--stream"},
		"del":         {"--range"},
		"watch":       {"--progress-notify"},
		"member list": {"--consistency"},
		"make-mirror": {"--rev", "--max-txn-ops", "--dest-user", "--dest-password"},
	} {
		for _, flag := range flags {
			all = append(all, lack{command: command, flag: flag, reason: later})
		}
	}
	return append(all,
		lack{command: "migrate", reason: "it converts the files of etcd 2 and asks no server"},
		lack{command: "defrag", flag: "--data-dir",
			reason: "it works on the files of an etcd that is stopped"})
}
