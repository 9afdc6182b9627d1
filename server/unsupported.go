// The flags of etcd that have no effect here.
//
// Manifests and unit files name many flags; those must keep starting. What describes parts of etcd
// that do not exist here (its B+tree, its files, its timers) is accepted with any value and named
// once in the log.
package server

import (
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

// idleFlag is a flag without effect of which every value is accepted.
type idleFlag struct {
	name   string
	kind   flagKind
	preset string
	reason string // why nothing is missed
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
		{"downgrade-check-time", durationFlag, "5s", "the leader looks at every tick"},
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

// ignoredFlags are accepted with any value and never mattered in any release that still runs.
func ignoredFlags() []string {
	return []string{"cluster-active-size", "cluster-remove-delay", "cluster-sync-interval",
		"config", "force", "max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval",
		"peer-election-timeout", "retry-interval", "snapshot", "v", "vv", "test.coverprofile",
		"test.outputdir"}
}

func defineUnsupported(fs *pflag.FlagSet) {
	for _, idle := range idleFlags() {
		fl := fs.VarPF(&idleValue{kind: idle.kind, text: idle.preset}, idle.name, "",
			"no effect: "+idle.reason)
		if idle.kind == boolFlag {
			fl.NoOptDefVal = "true"
		}
	}
	v2 := "write-only"
	fs.Var(&choiceValue{&v2, []string{v2, "write-only-skip-check", "write-only-drop-data", "gone"}},
		"v2-deprecation", "no effect: there is no v2 store")
	for _, name := range ignoredFlags() {
		fl := fs.VarPF(&idleValue{}, name, "", "ignored")
		fl.NoOptDefVal = "true"
		fl.Hidden = true
	}
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

// idleValue remembers a value in its normal form, so that 60s and 1m are the same.
type idleValue struct {
	kind flagKind
	text string
}

func (v *idleValue) String() string { return v.text }

func (v *idleValue) Set(s string) error {
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

func (v *idleValue) Type() string {
	return [...]string{"string", "bool", "int", "uint", "duration"}[v.kind]
}
