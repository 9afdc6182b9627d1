package report

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/sim"
)

// Stories of what clients saw: an answer that nothing explains, and a watcher that lacks something.

// tellCall tells how a call came to its answer, and what it should have seen.
func (t *teller) tellCall(number uint64) {
	k := &t.record.Calls[number-1]
	if k.Ended >= 0 {
		t.at = k.Ended
	}
	t.members = []int{k.Member}
	t.stress(k.Sent, "calls", int(number-1), "%s sends call %d: %s", t.lane(int(k.Client)),
		number, k.Text)
	answered := -1
	for i := range t.record.Messages {
		m := &t.record.Messages[i]
		if m.Kind == sim.KindAnswer && m.Call == number && len(m.Copies) > 0 {
			answered = i
		}
	}
	if answered >= 0 {
		t.tellAnswer(k, answered)
	}
	t.stress(t.at, "calls", int(number-1), "%s takes the answer of %s to call %d, %s: %s",
		t.lane(int(k.Client)), t.lane(k.Member), number, k.End, k.Answer)
}

// tellAnswer compares what an answer shows with what it had to show.
func (t *teller) tellAnswer(k *sim.CallRecord, answered int) {
	m := &t.record.Messages[answered]
	switch {
	case m.Confirmed > m.Applied:
		t.stress(m.Sent, "messages", answered, "%s answers call %d from its state at index %d, "+
			"although the read index is %d: %s not applied when the read was let through.",
			t.lane(int(m.From)), k.Number, m.Applied, m.Confirmed,
			entriesWere(m.Applied+1, m.Confirmed))
	case m.Confirmed > 0:
		t.stress(m.Sent, "messages", answered, "%s answers call %d at index %d; the read index "+
			"that permits it is %d.", t.lane(int(m.From)), k.Number, m.Applied, m.Confirmed)
	default:
		t.stress(m.Sent, "messages", answered, "%s answers call %d at index %d, revision %d.",
			t.lane(int(m.From)), k.Number, m.Applied, m.Revision)
	}
	told := 0
	for i := len(t.record.Calls) - 1; i >= 0 && told < 3; i-- {
		c := &t.record.Calls[i]
		missed := c.Effective > m.Applied && c.Answered && c.Ended >= 0 && c.Ended < k.Sent
		if !missed {
			continue
		}
		told++
		t.stress(c.Ended, "calls", i, "call %d of %s, which index %d holds (revision %d), was "+
			"answered before call %d was sent, so that call %d has to see it: %s", c.Number,
			t.lane(int(c.Client)), c.Effective, c.Revision, k.Number, k.Number, c.Text)
	}
	t.tellApplied(int(m.From), m.Sent)
}

// tellApplied tells where the member that answered stood, and when it caught up.
func (t *teller) tellApplied(member int, at int64) {
	if member >= t.record.Members {
		return
	}
	last := -1
	for i := range t.record.States {
		s := &t.record.States[i]
		if s.Member != member {
			continue
		}
		if s.At > at {
			break
		}
		last = i
	}
	if last >= 0 {
		s := &t.record.States[last]
		t.say(s.At, "states", last, "%s is %s in term %d: commit %d, applied %d, revision %d.",
			t.lane(member), s.Raft.Role, s.Raft.Term, s.Raft.Commit, s.Applied, s.Revision)
	}
}

// tellWatch tells what a watcher got around the revision that it lacks.
func (t *teller) tellWatch(stream uint32, id int64) {
	at := -1
	for i := range t.record.Watches {
		if w := &t.record.Watches[i]; w.Stream == stream && w.ID == id {
			at = i
		}
	}
	if at < 0 {
		t.tellMoment()
		return
	}
	w := &t.record.Watches[at]
	t.members = []int{w.Member}
	lacks := int64(0)
	missing := regexp.MustCompile(`mod_revision:(\d+)`)
	if groups := missing.FindStringSubmatch(t.failure.Message); groups != nil {
		if n, err := strconv.ParseInt(groups[1], 10, 64); err == nil {
			lacks = n
		}
	}
	created := t.tellCreated(w, at)
	t.at = max(created, 1)
	if lacks > 0 {
		t.tellOwed(w, lacks, created)
	}
	t.tellStream(w)
	t.tellNever(w, at, lacks)
}

// tellCreated tells when the member took the watcher on.
func (t *teller) tellCreated(w *sim.WatchRecord, at int) int64 {
	for i := range t.record.Messages {
		m := &t.record.Messages[i]
		if m.Kind == sim.KindWatchDown && m.Stream == w.Stream && m.Watch.ID == w.ID {
			t.stress(m.Sent, "watches", at, "%s takes watcher %d of %s on, on stream %d: %s.",
				t.lane(w.Member), w.ID, t.lane(int(w.Client)), w.Stream, w.Text)
			return m.Sent
		}
	}
	return 0
}

// tellOwed tells since when the member owes the watcher a revision.
func (t *teller) tellOwed(w *sim.WatchRecord, lacks, created int64) {
	for i := range t.record.States {
		s := &t.record.States[i]
		if s.Member != w.Member || int64(s.Revision) < lacks {
			continue
		}
		if s.At <= created {
			t.at = created
			t.say(s.At, "states", i, "%s is at revision %d by then: the watcher, which starts at "+
				"%d, is owed revision %d from the history.", t.lane(w.Member), s.Revision, w.Start,
				lacks)
			return
		}
		t.at = s.At
		t.stress(s.At, "states", i, "%s applies revision %d (index %d), which it owes watcher %d.",
			t.lane(w.Member), lacks, s.Applied, w.ID)
		return
	}
}

// streamLines is how many responses of a stream a story lists.
const streamLines = 10

// tellStream lists what the member sends on the stream from shortly before the debt on, and how
// much of it the client has not read.
func (t *teller) tellStream(w *sim.WatchRecord) {
	var sent []int // responses, by their rows
	var full []int // bytes not read when each left, itself included
	var open []int // bytes of each that is not read
	for i := range t.record.Messages {
		m := &t.record.Messages[i]
		switch {
		case m.Stream != w.Stream:
		case m.Kind == sim.KindWatchDown:
			open = append(open, m.Bytes)
			bytes := 0
			for _, each := range open {
				bytes += each
			}
			sent, full = append(sent, i), append(full, bytes)
		case m.Watch.Text == "has read a response" && len(open) > 0:
			open = open[1:]
		}
	}
	from := 0
	for from < len(sent) && t.record.Messages[sent[from]].Sent < t.at {
		from++
	}
	from = max(0, from-2)
	for k := from; k < min(from+streamLines, len(sent)); k++ {
		m := &t.record.Messages[sent[k]]
		t.stress(m.Sent, "messages", sent[k], "on stream %d leaves, for watcher %d: %s; %d bytes "+
			"are not read then, of %d that the stream may hold.", w.Stream, m.Watch.ID,
			describeWatch(&m.Watch), full[k], t.limit)
		t.at = max(t.at, m.Sent)
	}
}

// tellNever tells whether what the watcher lacks ever left for it.
func (t *teller) tellNever(w *sim.WatchRecord, at int, lacks int64) {
	if lacks == 0 {
		return
	}
	for i := range t.record.Messages {
		m := &t.record.Messages[i]
		if m.Stream == w.Stream && m.Watch.ID == w.ID && m.Watch.Events > 0 &&
			m.Watch.First <= lacks && lacks <= m.Watch.Last {
			t.say(m.Sent, "messages", i, "a response with revisions %d to %d left for watcher %d.",
				m.Watch.First, m.Watch.Last, w.ID)
			return
		}
	}
	t.stress(t.at, "watches", at, "no response with revision %d ever leaves %s for watcher %d, "+
		"though later ones do or its client waits.", lacks, t.lane(w.Member), w.ID)
}

func entriesWere(first, last raft.Index) string {
	if first == last {
		return fmt.Sprintf("entry %d was", first)
	}
	return fmt.Sprintf("entries %d to %d were", first, last)
}

func describeWatch(w *sim.WatchResponse) string {
	if w.Events == 0 {
		return fmt.Sprintf("%s, revision %d", w.Text, w.Revision)
	}
	return fmt.Sprintf("%d events, revisions %d to %d", w.Events, w.First, w.Last)
}

// describe is a message for people.
func describe(m *sim.MessageRecord) string {
	text := fmt.Sprintf("%s of term %d", m.Kind, m.Term)
	switch m.Kind {
	case sim.KindRequest:
		return fmt.Sprintf("call %d", m.Call)
	case sim.KindAnswer:
		return fmt.Sprintf("the answer to call %d", m.Call)
	case sim.KindWatchUp, sim.KindWatchDown:
		return fmt.Sprintf("%s on stream %d: %s", m.Kind, m.Stream, describeWatch(&m.Watch))
	}
	switch {
	case m.First > 0:
		text += fmt.Sprintf(" with entries %d to %d after index %d of term %d", m.First, m.Last,
			m.Index, m.LogTerm)
	case m.Index > 0:
		text += fmt.Sprintf(", index %d", m.Index)
	}
	if m.Rejects {
		text += ", which rejects"
	}
	return text
}

// describeOp is a disk operation for people.
func describeOp(d *sim.DiskRecord) string {
	switch {
	case d.Kind == diskio.Write && d.First > 0:
		return fmt.Sprintf("the write of entries %d to %d to %s", d.First, d.Last, d.File)
	case d.Kind == diskio.Write && d.Term > 0:
		return fmt.Sprintf("the write of term %d to %s", d.Term, d.File)
	}
	return fmt.Sprintf("the %s of %s", d.Kind, d.File)
}
