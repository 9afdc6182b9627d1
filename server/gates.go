// Feature gates: etcd's switches for behaviour that is new or optional, as one flag,
// --feature-gates=Name=true,Other=false.
//
// A gate that asks for something this server does not do is refused by name. Most ask for nothing
// that would be missed, because what they switch is always so here.
package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/detcd/detcd/server/metrics"
)

// gate is one switch; allowed lists the settings that are honoured.
type gate struct {
	name    string
	preset  bool
	allowed []bool
}

// The gates that change what this server does.
const (
	gateAllAlpha               = "AllAlpha" // all that are off by default
	gateLeaseCheckpoint        = "LeaseCheckpoint"
	gateLeaseCheckpointPersist = "LeaseCheckpointPersist"
	gateInitialCorruptCheck    = "InitialCorruptCheck"
	gateCompactHashCheck       = "CompactHashCheck"
	gateSetMemberLocalAddr     = "SetMemberLocalAddr"
)

func gates() []gate {
	either := []bool{false, true}
	return []gate{
		{name: gateAllAlpha, allowed: either},
		{name: "AllBeta", allowed: either}, // every beta gate is on anyway
		// No defragmentation stops anything.
		{name: "StopGRPCServiceOnDefrag", allowed: either},
		{name: gateInitialCorruptCheck, allowed: either},
		{name: gateCompactHashCheck, allowed: either},
		{name: gateLeaseCheckpoint, allowed: either},
		{name: gateLeaseCheckpointPersist, allowed: either}, // what is checkpointed is persisted
		{name: gateSetMemberLocalAddr, allowed: either},
		// What ends leases is no request here, and no backlog refuses it.
		{name: "PriorityRequest", allowed: either},
		{name: "TxnModeWriteWithSharedBuffer", preset: true, allowed: either},
		// A renewal waits until what was decided before it is applied, always.
		{name: "FastLeaseKeepAlive", preset: true, allowed: either},
	}
}

// gatesValue is the flag's value: the gates that were named, by name.
type gatesValue struct{ set *map[string]bool }

// Set adds the gates of one occurrence of the flag.
func (v *gatesValue) Set(text string) error {
	for _, pair := range strings.Split(text, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !ok {
			return fmt.Errorf("missing bool value for %s", name)
		}
		on, err := strconv.ParseBool(strings.TrimSpace(value))
		if err != nil {
			return fmt.Errorf("invalid value of %s=%s, err: %w", name, value, err)
		}
		all := gates()
		i := slices.IndexFunc(all, func(g gate) bool { return g.name == name })
		switch {
		case i < 0:
			return fmt.Errorf("unrecognized feature gate: %s", name)
		case !slices.Contains(all[i].allowed, on):
			return fmt.Errorf("feature gate %s=%v is not supported yet by detcd", name, on)
		}
		if *v.set == nil {
			*v.set = map[string]bool{}
		}
		(*v.set)[name] = on
	}
	return nil
}

// String lists the gates that were named.
func (v *gatesValue) String() string {
	if v.set == nil {
		return ""
	}
	var pairs []string
	for _, g := range gates() {
		if on, named := (*v.set)[g.name]; named {
			pairs = append(pairs, fmt.Sprintf("%s=%v", g.name, on))
		}
	}
	return strings.Join(pairs, ",")
}

// Type is shown in the usage.
func (v *gatesValue) Type() string { return "string" }

// gate says whether a feature is on.
func (c *Config) gate(name string) bool {
	if on, named := c.FeatureGates[name]; named {
		return on
	}
	for _, g := range gates() {
		if g.name == name {
			return g.preset || c.FeatureGates[gateAllAlpha]
		}
	}
	panic("server: no feature gate is called " + name)
}

// gateSettings lists all gates as they are set, for the metrics.
func (c *Config) gateSettings() (all []metrics.Gate) {
	for _, g := range gates() {
		stage := "ALPHA"
		if g.preset || g.name == "AllBeta" {
			stage = "BETA"
		}
		all = append(all, metrics.Gate{Name: g.name, Stage: stage, On: c.gate(g.name)})
	}
	return all
}

// validateGates refuses gates that make no sense together.
func (c *Config) validateGates() error {
	if c.gate(gateLeaseCheckpointPersist) && !c.gate(gateLeaseCheckpoint) {
		return fmt.Errorf("enabling feature gate %s requires enabling feature gate %s",
			gateLeaseCheckpointPersist, gateLeaseCheckpoint)
	}
	return nil
}
