package server

import (
	"context"
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// compareRegularly runs the leader's comparisons until the member stops.
func (s *Server) compareRegularly() {
	if every := s.cfg.CorruptCheckTime; every > 0 {
		s.serving.Go(func() { s.repeat(every, s.compareAll) })
	}
	if s.cfg.gate(gateCompactHashCheck) {
		w := compactWatch{s: s, checked: -1}
		s.serving.Go(func() { s.repeat(s.cfg.CompactHashCheckTime, w.compare) })
	}
}

// repeat does something now and then, while this member leads.
func (s *Server) repeat(every time.Duration, do func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-s.stopServe:
			return
		case <-s.loop.halted:
			return
		case <-ticker.C:
		}
		if leading, _ := s.loop.leads(); !leading {
			continue
		}
		ctx, cancel := s.whileRunning(hashTimeout)
		if err := do(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("failed to check the members' hashes", zap.Error(err))
		}
		cancel()
	}
}

// compareAll compares every member with this one, at this one's newest revision. Between two
// hashes of its own lies a read that the cluster has confirmed: a member that claims to be further
// than the second has revisions that do not exist.
func (s *Server) compareAll(ctx context.Context) error {
	first, err := s.ownHash(ctx, 0)
	if err != nil {
		return err
	}
	others := s.othersHashes(ctx, first.HashRevision)
	key := &pb.RangeRequest{Key: []byte{0}}
	if err := s.ownCall(ctx, kv.MethodRange, key, &pb.RangeResponse{}); err != nil {
		return err
	}
	second, err := s.ownHash(ctx, 0)
	if err != nil {
		return err
	}
	suspects := map[raft.MemberID]bool{}
	if first.comparable(second) && first.Hash != second.Hash {
		suspects[s.State().Raft.ID] = true
	}
	for _, h := range others {
		if h.Header.Revision > second.HashRevision || h.CompactRevision > second.CompactRevision ||
			h.comparable(first) && h.Hash != first.Hash {
			suspects[raft.MemberID(h.Header.MemberID)] = true
		}
	}
	return s.accuse(ctx, suspects)
}

// accuse raises the alarm for members whose data is not the cluster's; member 0 is a cluster in
// which nobody can say who is right.
func (s *Server) accuse(ctx context.Context, suspects map[raft.MemberID]bool) error {
	for _, id := range slices.Sorted(maps.Keys(suspects)) {
		s.log.Error(corruptWords, zap.Stringer("member-id", id))
		err := s.ownCall(ctx, kv.MethodAlarm, &pb.AlarmRequest{
			Action: pb.AlarmRequest_ACTIVATE, MemberID: uint64(id),
			Alarm: pb.AlarmType_CORRUPT}, &pb.AlarmResponse{})
		if err != nil {
			return err
		}
	}
	return nil
}

// compactWatch compares the members at each compaction that it comes upon.
type compactWatch struct {
	s *Server
	// checked is the compaction at which all members were compared last.
	checked int64
}

// compare compares at the newest compaction. Who has compacted less far, or further, is looked at
// again the next time.
func (w *compactWatch) compare(ctx context.Context) error {
	s := w.s
	at := int64(s.State().Compacted)
	if at <= w.checked || at <= 0 {
		return nil
	}
	own, err := s.ownHash(ctx, at)
	if err != nil {
		return err
	}
	if own.CompactRevision != at {
		return nil // another compaction has come
	}
	groups := map[uint32][]raft.MemberID{own.Hash: {s.State().Raft.ID}}
	answers := 1
	for _, h := range s.othersHashes(ctx, at) {
		if h.comparable(own) {
			groups[h.Hash] = append(groups[h.Hash], raft.MemberID(h.Header.MemberID))
			answers++
		}
	}
	members := len(s.State().Members)
	if len(groups) > 1 {
		return s.accuse(ctx, minority(groups, members))
	}
	if answers == members {
		w.checked = at
		s.log.Info("finished compaction hash check", zap.Int64("revision", at),
			zap.Int("number-of-peers-checked", answers-1))
	}
	return nil
}

// minority lists whom a majority of the members contradicts; member 0 when there is none.
func minority(groups map[uint32][]raft.MemberID, members int) map[raft.MemberID]bool {
	suspects := map[raft.MemberID]bool{}
	agreed := false
	for _, group := range groups {
		if len(group) > members/2 {
			agreed = true
			continue
		}
		for _, id := range group {
			suspects[id] = true
		}
	}
	if !agreed {
		return map[raft.MemberID]bool{0: true}
	}
	return suspects
}
