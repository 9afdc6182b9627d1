// The flags of etcd that this server knows by name but does not act on yet.
//
// Manifests and unit files name many flags with their default value; those must keep starting. A
// value that asks for something is refused, because ignoring it would be a lie about safety or
// durability. A flag leaves this table on the day it takes effect.
package server

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// flagKind is how a flag's value is parsed, which decides what is a syntax error.
type flagKind uint8

const (
	stringFlag flagKind = iota
	boolFlag
	intFlag
	uintFlag
	durationFlag
)

// parkedFlag is a flag without effect. harmless lists values beside the default that ask for
// nothing which would be missed.
type parkedFlag struct {
	name     string
	kind     flagKind
	preset   string
	harmless []string
}

func parkedFlags() []parkedFlag {
	return slices.Concat(parkedStorageFlags(), parkedSecurityFlags(), parkedOperationFlags())
}

func parkedStorageFlags() []parkedFlag {
	return []parkedFlag{
		{name: "wal-dir"},
		{name: "max-snapshots", kind: uintFlag, preset: "5"},
		{name: "max-wals", kind: uintFlag, preset: "5"},
		{name: "initial-election-tick-advance", kind: boolFlag, preset: "true"},
		{name: "pre-vote", kind: boolFlag, preset: "true"},
		{name: "socket-reuse-port", kind: boolFlag, preset: "false"},
		{name: "socket-reuse-address", kind: boolFlag, preset: "false"},
		// Those describe etcd's B+tree file, which does not exist here: any value is satisfied.
		{name: "backend-bbolt-freelist-type", preset: "map", harmless: []string{"array"}},
		{name: "backend-batch-interval", kind: durationFlag, preset: "0s"},
		{name: "backend-batch-limit", kind: intFlag, preset: "0"},
		{name: "memory-mlock", kind: boolFlag, preset: "false"},
		{name: "bootstrap-defrag-threshold-megabytes", kind: uintFlag, preset: "0"},
		{name: "unsafe-no-fsync", kind: boolFlag, preset: "false"},
		{name: "raft-read-timeout", kind: durationFlag, preset: "5s"},
		{name: "raft-write-timeout", kind: durationFlag, preset: "5s"},
	}
}

func parkedSecurityFlags() []parkedFlag {
	return []parkedFlag{
		{name: "cert-file"},
		{name: "key-file"},
		{name: "client-cert-auth", kind: boolFlag, preset: "false"},
		{name: "trusted-ca-file"},
		{name: "client-cert-file"},
		{name: "client-key-file"},
		{name: "client-crl-file"},
		{name: "client-cert-allowed-hostname"},
		{name: "auto-tls", kind: boolFlag, preset: "false"},
		{name: "peer-cert-file"},
		{name: "peer-key-file"},
		{name: "peer-trusted-ca-file"},
		{name: "peer-client-cert-auth", kind: boolFlag, preset: "false"},
		{name: "peer-client-cert-file"},
		{name: "peer-client-key-file"},
		{name: "peer-crl-file"},
		{name: "peer-cert-allowed-cn"},
		{name: "peer-cert-allowed-hostname"},
		{name: "peer-skip-client-san-verification", kind: boolFlag, preset: "false"},
		{name: "peer-auto-tls", kind: boolFlag, preset: "false"},
		{name: "self-signed-cert-validity", kind: uintFlag, preset: "1"},
		{name: "cipher-suites"},
		{name: "tls-min-version", preset: "TLS1.2"},
		{name: "tls-max-version"},
	}
}

func parkedOperationFlags() []parkedFlag {
	return []parkedFlag{
		{name: "compaction-batch-limit", kind: intFlag, preset: "0"},
		{name: "compaction-sleep-interval", kind: durationFlag, preset: "0s"},
		{name: "downgrade-check-time", kind: durationFlag, preset: "5s"},
		{name: "config-file"},
		{name: "v2-deprecation", preset: "write-only",
			harmless: []string{"write-only-skip-check", "write-only-drop-data", "gone"}},
	}
}

// ignoredFlags are accepted with any value and never mattered in any release that still runs.
func ignoredFlags() []string {
	return []string{"cluster-active-size", "cluster-remove-delay", "cluster-sync-interval",
		"config", "force", "max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval",
		"peer-election-timeout", "retry-interval", "snapshot", "v", "vv", "test.coverprofile",
		"test.outputdir"}
}

func defineUnsupported(fs *pflag.FlagSet) {
	for _, p := range parkedFlags() {
		fl := fs.VarPF(&parkedValue{kind: p.kind, text: p.preset}, p.name, "",
			"not supported yet; only the default is accepted")
		if p.kind == boolFlag {
			fl.NoOptDefVal = "true"
		}
	}
	for _, name := range ignoredFlags() {
		fl := fs.VarPF(&parkedValue{}, name, "", "ignored")
		fl.NoOptDefVal = "true"
		fl.Hidden = true
	}
}

// checkUnsupported refuses a flag that asks for something the server would not do.
func checkUnsupported(fs *pflag.FlagSet) error {
	for _, p := range parkedFlags() {
		v := fs.Lookup(p.name).Value.String()
		if v != p.preset && !slices.Contains(p.harmless, v) {
			return fmt.Errorf("--%s is not supported yet by detcd (only its default %q is, not %q)",
				p.name, p.preset, v)
		}
	}
	return nil
}

// parkedValue remembers a value in its normal form, so that 60s and 1m are the same.
type parkedValue struct {
	kind flagKind
	text string
}

func (v *parkedValue) String() string { return v.text }

func (v *parkedValue) Set(s string) error {
	switch v.kind {
	case boolFlag:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return err
		}
		v.text = strconv.FormatBool(b)
	case intFlag:
		n, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			return err
		}
		v.text = strconv.FormatInt(n, 10)
	case uintFlag:
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return err
		}
		v.text = strconv.FormatUint(n, 10)
	case durationFlag:
		d, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		v.text = d.String()
	default:
		v.text = s
	}
	return nil
}

func (v *parkedValue) Type() string {
	return [...]string{"string", "bool", "int", "uint", "duration"}[v.kind]
}
