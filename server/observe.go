// What the loop tells the metrics: turns as they end, and, at every tick, the node's state and what
// began or ended since the last one.
package server

import (
	"time"

	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/server/metrics"
)

// sight is what the loop remembers of the node from one look to the next.
type sight struct {
	turn    time.Duration // when the running turn began
	marks   marks
	applied raft.Index // as of the last turn
	counts  [kv.NumOperations]kv.AppliedCount

	ticked time.Duration // when the last tick was due
	// Since when what lasts longer than a tick goes on, 0 for not.
	checkpoint, compaction time.Duration
	compacted              int64 // seconds since 1970 of the newest compaction
	revision               int64 // that it compacted to
	transfers              map[raft.MemberID]*transferTimes
}

// transferTimes is since when snapshots are on their way to and from a member, 0 for not.
type transferTimes struct{ sending, receiving time.Duration }

// turnEnded measures a turn of so many inputs.
func (l *loop) turnEnded(inputs int) {
	s := &l.sight
	now := l.now()
	took := now - s.turn
	l.metrics.Loop.Turns.Observe(took.Seconds())
	l.metrics.Loop.Inputs.Observe(float64(inputs))
	p := l.driver.Node.Progress()
	s.marks.add(now, p)
	if p.Applied != s.applied {
		s.applied = p.Applied
		l.countApplied(took)
	}
}

// countApplied shares the time of a turn among the entries that took effect in it.
func (l *loop) countApplied(took time.Duration) {
	counts := l.driver.Node.AppliedCounts()
	total := uint64(0)
	for op := range counts {
		total += counts[op].Done - l.sight.counts[op].Done
		total += counts[op].Refused - l.sight.counts[op].Refused
	}
	each := took / time.Duration(max(total, 1))
	for op := range counts {
		old := l.sight.counts[op]
		if counts[op] == old {
			continue
		}
		of := kv.Operation(op)
		l.metrics.Requests.Applied(of, kv.OK, counts[op].Done-old.Done, each)
		l.metrics.Requests.Applied(of, kv.ErrStopped, counts[op].Refused-old.Refused, each)
	}
	l.sight.counts = counts
}

// lateness notices a leader whose heartbeats come too late because the loop was held up.
func (l *loop) lateness(now time.Duration) {
	s := &l.sight
	late := now - s.ticked - ticksPerHeartbeat*l.tick
	began := s.ticked
	s.ticked = now
	if began == 0 || late <= ticksPerHeartbeat*l.tick {
		return
	}
	if st := l.state.Load(); st.Raft.Role != raft.Leader || len(st.Members) < 2 {
		return
	}
	l.metrics.Loop.LateBeat.Inc()
	l.log.Warn("leader failed to send out heartbeat on time; took too long, leader is overloaded "+
		"likely from slow disk", zap.Duration("heartbeat-interval", ticksPerHeartbeat*l.tick),
		zap.Duration("expected-duration", 2*ticksPerHeartbeat*l.tick),
		zap.Duration("exceeded-duration", late))
}

// snapshot is what the metrics show until the next one.
func (l *loop) snapshot(node *kv.Node) *metrics.Snapshot {
	s := &metrics.Snapshot{State: node.State(), Counters: node.Counters(),
		Figures: node.Figures(), Quota: l.limits.QuotaBytes}
	l.timeSpans(s)
	s.CompactedAt = l.sight.compacted
	return s
}

// timeSpans measures what has ended since the last look, as finely as looks are.
func (l *loop) timeSpans(s *metrics.Snapshot) {
	now, old, disk := max(l.now(), 1), &l.sight, &l.metrics.Disk
	if took, ended := span(&old.checkpoint, now, runs(s.Figures.Checkpointing)); ended {
		disk.CheckpointDurable(took)
	}
	if took, ended := span(&old.compaction, now, runs(s.Figures.Compacting)); ended {
		disk.Compaction.Observe(float64(took.Milliseconds()))
	}
	if compacted := int64(s.Compacted); compacted > old.revision {
		if old.revision != 0 {
			old.compacted = time.Now().Unix()
		}
		old.revision = compacted
	}
	receiving := 0
	for i := range s.Counters.Transfers {
		t := &s.Counters.Transfers[i]
		times := old.transfers[t.Peer]
		if times == nil {
			times = &transferTimes{}
			old.transfers[t.Peer] = times
		}
		receiving += t.ReceivingNow
		if took, ended := span(&times.sending, now, runs(t.SendingNow > 0)); ended {
			l.metrics.Peers.Sent(t.Peer, took)
		}
		if took, ended := span(&times.receiving, now, runs(t.ReceivingNow > 0)); ended {
			l.metrics.Peers.Received(t.Peer, took)
			disk.Receive.Observe(took.Seconds())
		}
	}
	disk.Receiving(receiving)
}

// running says whether something goes on.
type running uint8

const (
	rests running = iota
	goesOn
)

func runs(b bool) running {
	if b {
		return goesOn
	}
	return rests
}

// span notes when something begins, and says how long it took when it has ended.
func span(since *time.Duration, now time.Duration, state running) (took time.Duration, ended bool) {
	began := *since
	switch {
	case state == goesOn && began == 0:
		*since = now
	case state == rests && began != 0:
		*since = 0
		return now - began, true
	}
	return 0, false
}

// queues is what waits at the edge, for the metrics.
func (l *loop) queues() metrics.Queues {
	var q metrics.Queues
	l.inbox.mu.Lock()
	q.Requests, q.RequestBytes = len(l.inbox.waiting.calls), l.inbox.requestBytes
	q.Messages = l.inbox.messages
	l.inbox.mu.Unlock()
	table := &l.watches.table
	table.mu.Lock()
	streams := make([]*watchStream, 0, len(table.slots))
	for _, s := range table.slots {
		if s != nil {
			streams = append(streams, s)
		}
	}
	table.mu.Unlock()
	for _, s := range streams {
		s.mu.Lock()
		q.Responses += len(s.queue)
		q.ResponseBytes += s.waiting
		s.mu.Unlock()
	}
	return q
}
