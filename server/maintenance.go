// The settings of what a cluster does about itself: changes of its membership, and compactions that
// nobody asks for.
package server

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/detcd/detcd/kv"
)

// The modes of auto compaction.
const (
	compactPeriodic = "periodic"
	compactRevision = "revision"
)

func (f *Flags) defineMaintenance(fs *pflag.FlagSet) {
	c := &f.Config
	fs.BoolVar(&c.StrictReconfigCheck, "strict-reconfig-check", c.StrictReconfigCheck,
		"refuse changes of the membership that would take the quorum away")
	fs.IntVar(&c.MaxLearners, "max-learners", c.MaxLearners, "learners that a cluster may have")
	fs.StringVar(&c.AutoCompactionMode, "auto-compaction-mode", c.AutoCompactionMode,
		"what auto-compaction-retention counts: 'periodic' or 'revision'")
	fs.StringVar(&c.AutoCompactionRetention, "auto-compaction-retention",
		c.AutoCompactionRetention, "what is kept: a duration or hours, or revisions; 0 is all")
}

// retention reads how much is to be kept: a number is hours, or revisions, and everything else is a
// duration, in either mode; so 30s are thirty billion revisions, as with etcd.
func (c *Config) retention() (int64, error) {
	unit := int64(1)
	switch c.AutoCompactionMode {
	case compactPeriodic:
		unit = int64(time.Hour)
	case compactRevision:
	default:
		return 0, fmt.Errorf("unknown auto-compaction-mode %q", c.AutoCompactionMode)
	}
	if n, err := strconv.Atoi(c.AutoCompactionRetention); err == nil && n >= 0 {
		return int64(n) * unit, nil
	}
	d, err := time.ParseDuration(c.AutoCompactionRetention)
	if err != nil {
		return 0, fmt.Errorf("error parsing CompactionRetention: %w", err)
	}
	return max(0, int64(d)), nil
}

// autoCompact is the setting in the node's terms. Validate has refused what cannot be read.
func (c *Config) autoCompact() kv.AutoCompact {
	retention, err := c.retention()
	if err != nil {
		panic("server: " + err.Error())
	}
	a := kv.AutoCompact{Retention: retention}
	if c.AutoCompactionMode == compactRevision {
		a.Mode = kv.ByRevision
	}
	return a
}

func (c *Config) strictness() kv.Strictness {
	if c.StrictReconfigCheck {
		return kv.Strict
	}
	return kv.Lenient
}
