// Looking at a data directory while no server runs on it: what it holds, and what is damaged.
package server

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/diskio/osdisk"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft/wal"
)

// CheckedDataDir is what a data directory without damage holds.
type CheckedDataDir struct {
	Cluster   string `json:"clusterId"` // hexadecimal
	Member    string `json:"memberId"`
	Revision  int64  `json:"revision"`
	Compacted int64  `json:"compactRevision"` // -1: never
	Applied   uint64 `json:"appliedIndex"`    // of the newest checkpoint
	Keys      int64  `json:"keys"`
	Bytes     int64  `json:"bytes"` // of data and log
	// Findings are what is wrong. With one that is Fatal the other fields but the ids are empty.
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is something wrong in a data directory, and what it means.
type Finding struct {
	File        string `json:"file"`
	Offset      int64  `json:"offset"`
	Reason      string `json:"reason"`
	Held        string `json:"held"`
	Consequence string `json:"consequence"`
	Advice      string `json:"advice"`
	// Fatal says that the member does not start with it.
	Fatal bool `json:"fatal"`
}

// String is the finding as a paragraph.
func (f *Finding) String() string {
	return fmt.Sprintf("%s at offset %d: %s\n  held:        %s\n  consequence: %s\n"+
		"  what to do:  %s", f.File, f.Offset, f.Reason, f.Held, f.Consequence, f.Advice)
}

const (
	adviceReplace = "if the others of its cluster are well, remove this member from the cluster, " +
		"delete its data directory and add it again; if it was the only one, restore the newest " +
		"backup (docs/recovery.md)"
	adviceNone = "nothing; the next start repairs it"
	adviceCopy = "keep a copy of the directory, and then: " + adviceReplace
)

// KnownDataDir says whether a directory is a data directory of detcd; the error says what it is
// instead.
func KnownDataDir(dir string) error {
	_, err := knownDataDir(dir)
	return err
}

func knownDataDir(dir string) (resident, error) {
	if err := refuseEtcd(dir); err != nil {
		return resident{}, err
	}
	lives, err := readIdentity(dir)
	if errors.Is(err, errFresh) {
		return lives, fmt.Errorf("%s is no data directory: nobody lives there", dir)
	}
	return lives, err
}

// CheckDataDir reads all of a stopped member's files, verifies what they say of each other, and
// changes nothing. Damage is in the findings; an error is what keeps it from looking.
func CheckDataDir(dir string) (found CheckedDataDir, err error) {
	err = onStopped(dir, func(lives resident, disk *osdisk.Disk) error {
		found.Cluster = fmt.Sprintf("%x", lives.identity.cluster)
		found.Member = fmt.Sprintf("%x", uint64(lives.identity.member))
		log, err := wal.Examine(disk, "log")
		if err != nil {
			return err
		}
		for i := range log {
			found.Findings = append(found.Findings, logFinding(&log[i]))
		}
		data, err := mvcc.Examine(disk, "data")
		if err != nil {
			return err
		}
		for i := range data {
			found.Findings = append(found.Findings, dataFinding(&data[i]))
		}
		if !found.Whole() {
			return nil
		}
		found.load(lives, disk)
		return nil
	})
	return found, err
}

// Whole says whether a member would start from the directory.
func (c *CheckedDataDir) Whole() bool {
	for i := range c.Findings {
		if c.Findings[i].Fatal {
			return false
		}
	}
	return true
}

// load opens what has no damage, and looks whether its parts fit together.
func (c *CheckedDataDir) load(lives resident, disk *osdisk.Disk) {
	asked := &Server{cfg: DefaultConfig()}
	node, err := kv.Open(asked.nodeConfig(&bootstrap{resident: lives}), disk)
	if err == nil {
		err = node.Check()
	}
	if err != nil {
		c.Findings = append(c.Findings, Finding{File: memberDir, Reason: err.Error(), Fatal: true,
			Held:        "files that are whole one by one, and contradict each other",
			Consequence: "the member does not start", Advice: adviceCopy})
		return
	}
	s := node.State()
	c.Revision, c.Compacted = int64(s.Revision), int64(s.Compacted)
	c.Applied, c.Keys, c.Bytes = uint64(s.Applied), s.Keys, s.FileBytes+s.LogBytes
}

// logFinding says what a flaw of the log means.
func logFinding(f *wal.Flaw) Finding {
	out := Finding{File: f.File, Offset: f.Offset, Reason: f.Reason, Held: heldInLog(f),
		Fatal: f.Durable}
	if !f.Durable {
		out.Consequence = "none: it is the end of the log, and nothing says that it was ever " +
			"synced; nobody relies on it. If the disk has damaged it since, the member may lack " +
			"what it had acknowledged last"
		out.Advice = adviceNone
		return out
	}
	out.Consequence = "the member does not start: it would have forgotten what others rely on. "
	switch {
	case f.FirstEntry != 0:
		out.Consequence += "The entries may have been acknowledged; they are lost if no majority " +
			"of the others has them"
	case f.Type == wal.RecordHardState:
		out.Consequence += "It could vote twice in a term"
	case f.Type == wal.RecordIncarnation:
		out.Consequence += "It could use the names of its requests twice"
	default:
		out.Consequence += "Entries, terms and votes in it are not known"
	}
	out.Advice = adviceReplace
	return out
}

// heldInLog says what a spot of the log held.
func heldInLog(f *wal.Flaw) string {
	text := fmt.Sprintf("the record at position %d", f.First)
	if f.Last > f.First {
		text = fmt.Sprintf("the records at positions %d to %d", f.First, f.Last)
	} else if f.Last == 0 {
		text = fmt.Sprintf("the records from position %d on", f.First)
	}
	switch {
	case f.Type == wal.RecordHardState:
		text += fmt.Sprintf(", term %d with the vote for member %v", f.Hard.Term, f.Hard.Vote)
	case f.Type != 0:
		text += fmt.Sprintf(", a %v in term %d", f.Type, f.Hard.Term)
	}
	switch {
	case f.FirstEntry == 0:
	case f.LastEntry == 0:
		text += fmt.Sprintf("; entries from index %d on, if it held any", f.FirstEntry)
	case f.LastEntry == f.FirstEntry:
		text += fmt.Sprintf("; entry %d", f.FirstEntry)
	default:
		text += fmt.Sprintf("; entries %d to %d", f.FirstEntry, f.LastEntry)
	}
	return text
}

// dataFinding says what a flaw of the store means.
func dataFinding(f *mvcc.Flaw) Finding {
	out := Finding{File: f.File, Offset: f.Offset, Reason: f.Reason, Fatal: f.Newest,
		Advice: adviceReplace, Consequence: "the member does not start: keys would have values " +
			"that nobody has written, or none"}
	switch f.What {
	case mvcc.FlawedManifest:
		out.Held = "the list of the files that are the store at a checkpoint"
	case mvcc.FlawedState:
		out.Held = "members, leases, users, alarms and request windows at a checkpoint"
	case mvcc.FlawedRecords:
		out.Held = fmt.Sprintf("versions of keys between revisions %d.%d and %d.%d", f.First.Main,
			f.First.Sub, f.Last.Main, f.Last.Sub)
	}
	if !f.Newest {
		out.Consequence = "none: it belongs to the checkpoint before the newest, which nothing " +
			"needs"
		out.Advice = "watch the disk: it damages what is written to it"
	}
	return out
}
