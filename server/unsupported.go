// The flags of etcd that have no effect here.
//
// Manifests and unit files name many flags; those must keep starting. What describes parts of etcd
// that do not exist here (its B+tree, its files, its timers) is accepted with any value and named
// once in the log. What asks for something that would be missed is refused, because ignoring it
// would be a lie about safety or durability; it leaves this table on the day it takes effect.
package server

import (
	"fmt"
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

// parkedFlag is a flag without effect, of which only the default is accepted.
type parkedFlag struct {
	name   string
	kind   flagKind
	preset string
}

// idleFlag is a flag without effect of which every value is accepted.
type idleFlag struct {
	name   string
	kind   flagKind
	preset string
	reason string // why nothing is missed
}

func parkedFlags() []parkedFlag {
	return parkedOperationFlags()
}

func idleFlags() []idleFlag {
	const (
		noFile   = "there is no bbolt database"
		bounded  = "compaction works in bounded steps beside the requests"
		recycled = "the log is recycled behind checkpoints"
		links    = "links between members have bounds of their own"
	)
	return []idleFlag{
		{"wal-dir", stringFlag, "", "the log is in the data directory"},
		{"max-snapshots", uintFlag, "5", recycled},
		{"max-wals", uintFlag, "5", recycled},
		{"initial-election-tick-advance", boolFlag, "true", "elections begin at once"},
		{"pre-vote", boolFlag, "true", "pre-vote is always on"},
		{"backend-bbolt-freelist-type", stringFlag, "map", noFile},
		{"backend-batch-interval", durationFlag, "0s", noFile},
		{"backend-batch-limit", intFlag, "0", noFile},
		{"memory-mlock", boolFlag, "false", "no file is mapped into memory"},
		{"bootstrap-defrag-threshold-megabytes", uintFlag, "0", "space is reclaimed all the time"},
		{"unsafe-no-fsync", boolFlag, "false", "writes are always synced"},
		{"raft-read-timeout", durationFlag, "5s", links},
		{"raft-write-timeout", durationFlag, "5s", links},
		{"compaction-batch-limit", intFlag, "0", bounded},
		{"compaction-sleep-interval", durationFlag, "0s", bounded},
		{"downgrade-check-time", durationFlag, "5s", "a downgrade ends when it is cancelled"},
	}
}

// deprecated are the warnings of etcd about flags that will go.
func deprecated() map[string]string {
	return map[string]string{
		"max-snapshots": "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
		"v2-deprecation": "--v2-deprecation is deprecated and scheduled for removal in v3.8. " +
			"The default value is enforced, ignoring user input.",
	}
}

func parkedOperationFlags() []parkedFlag {
	const rotation = `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, ` +
		`"compress": false}`
	return []parkedFlag{
		{name: "enable-log-rotation", kind: boolFlag, preset: "false"},
		{name: "log-rotation-config-json", preset: rotation},
		{name: "warning-apply-duration", kind: durationFlag, preset: "100ms"},
		{name: "warning-unary-request-duration", kind: durationFlag, preset: "300ms"},
		{name: "metrics", preset: "basic"},
		{name: "enable-distributed-tracing", kind: boolFlag, preset: "false"},
		{name: "distributed-tracing-address", preset: "localhost:4317"},
		{name: "distributed-tracing-service-name", preset: "etcd"},
		{name: "distributed-tracing-instance-id"},
		{name: "distributed-tracing-sampling-rate", kind: intFlag, preset: "0"},
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
	for _, idle := range idleFlags() {
		fl := fs.VarPF(&parkedValue{kind: idle.kind, text: idle.preset}, idle.name, "",
			"no effect: "+idle.reason)
		if idle.kind == boolFlag {
			fl.NoOptDefVal = "true"
		}
	}
	v2 := "write-only"
	fs.Var(&choiceValue{&v2, []string{v2, "write-only-skip-check", "write-only-drop-data", "gone"}},
		"v2-deprecation", "no effect: there is no v2 store")
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
		if v != p.preset {
			return fmt.Errorf("--%s is not supported yet by detcd (only its default %q is, not %q)",
				p.name, p.preset, v)
		}
	}
	return nil
}

// noteIdle has the log name every flag that was given and does nothing.
func (f *Flags) noteIdle() {
	for _, idle := range idleFlags() {
		if v := f.set.Lookup(idle.name).Value.String(); v != idle.preset {
			f.note("warn", "flag has no effect", [2]string{"flag", idle.name},
				[2]string{"value", v}, [2]string{"reason", idle.reason})
		}
	}
	f.set.Visit(func(fl *pflag.Flag) {
		if text, ok := deprecated()[fl.Name]; ok {
			f.note("warn", text)
		}
	})
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
