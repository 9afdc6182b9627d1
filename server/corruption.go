// Comparing the members' data. Members that have applied the same entries hold the same records, so
// their HashKV at one revision is the same. Checksums find bytes that are not what was written;
// this finds what was written wrongly, or changed together with its checksum.
//
//	at the start      this member's hash against the others', before it serves a client; it stops
//	                  when they differ (feature gate InitialCorruptCheck)
//	now and then      the leader compares all members (--corrupt-check-time)
//	after compactions the leader compares at the compacted revision, where all that differs in age
//	                  is gone (feature gate CompactHashCheck)
//
// The last two raise the alarm CORRUPT for whoever differs, which stops all writes of the cluster
// until an operator has replaced the member and disarmed the alarm. Whoever does not answer is not
// accused, and neither is one that has compacted further or less far: hashes are compared at equal
// revision and equal compaction only.
package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

const (
	hashPath = "/members/hashkv"
	// hashTimeout bounds one hash: it reads the whole store of a member.
	hashTimeout  = 5 * time.Minute
	maxHashBody  = 64 << 10
	headerFrom   = "X-Etcd-Cluster-ID"
	corruptWords = "found data inconsistency with peers"
)

// dataHash is what a member says of its data. Its JSON is etcd's.
type dataHash struct {
	Header struct {
		ClusterID uint64 `json:"cluster_id"`
		MemberID  uint64 `json:"member_id"`
		Revision  int64  `json:"revision"`
		RaftTerm  uint64 `json:"raft_term"`
	} `json:"header"`
	Hash            uint32 `json:"hash"`
	CompactRevision int64  `json:"compact_revision"`
	HashRevision    int64  `json:"hash_revision"`
}

// comparable says whether two hashes must be equal.
func (h *dataHash) comparable(other *dataHash) bool {
	return h.HashRevision == other.HashRevision && h.CompactRevision == other.CompactRevision
}

// hashError is a refusal to hash at a revision.
type hashError struct{ code kv.Code }

// Error has etcd's words.
func (e hashError) Error() string { return e.code.Text() }

// ownCall asks this member's own node, on nobody's behalf.
func (s *Server) ownCall(ctx context.Context, method kv.Method, request,
	response proto.Message) error {
	raw, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	c := s.loop.calls.take()
	c.raw, c.identity = raw, &kv.Identity{Own: true}
	if !s.loop.do(ctx, method, c) {
		return ctx.Err()
	}
	defer s.loop.calls.give(c)
	if c.answer.Code != kv.OK {
		return hashError{c.answer.Code}
	}
	return proto.Unmarshal(joined(c.answer.Body), response)
}

// ownHash is this member's hash at a revision, 0: the newest.
func (s *Server) ownHash(ctx context.Context, revision int64) (*dataHash, error) {
	var answer pb.HashKVResponse
	err := s.ownCall(ctx, kv.MethodHashKV, &pb.HashKVRequest{Revision: revision}, &answer)
	if err != nil {
		return nil, err
	}
	h := &dataHash{Hash: answer.Hash, CompactRevision: answer.CompactRevision,
		HashRevision: answer.HashRevision}
	h.Header.ClusterID, h.Header.MemberID = answer.Header.ClusterId, answer.Header.MemberId
	h.Header.Revision, h.Header.RaftTerm = answer.Header.Revision, answer.Header.RaftTerm
	return h, nil
}

// serveHash answers another member that compares.
func (s *Server) serveHash(w http.ResponseWriter, r *http.Request) {
	cluster := strconv.FormatUint(s.loop.cluster, 16)
	w.Header().Set(headerFrom, cluster)
	if !allowGet(w, r) {
		return
	}
	if from := r.Header.Get(headerFrom); from != "" && from != cluster {
		http.Error(w, "cluster ID mismatch", http.StatusPreconditionFailed)
		return
	}
	var request struct {
		Revision int64 `json:"revision"`
	}
	err := json.NewDecoder(io.LimitReader(r.Body, maxHashBody)).Decode(&request)
	if err != nil {
		http.Error(w, "error unmarshalling request", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), hashTimeout)
	defer cancel()
	h, err := s.ownHash(ctx, request.Revision)
	switch refused := (hashError{}); {
	case errors.As(err, &refused):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		s.writeJSON(w, http.StatusOK, h)
	}
}

// askHash asks another member for its hash, at the first of its URLs that answers.
func (s *Server) askHash(ctx context.Context, m *kv.Member, revision int64) (*dataHash, error) {
	body, err := json.Marshal(map[string]int64{"revision": revision})
	if err != nil {
		return nil, err
	}
	failed := errors.New("it has no peer URL")
	for _, u := range m.PeerURLs {
		var h *dataHash
		if h, failed = s.askHashAt(ctx, u, body); failed == nil {
			if h.Header.MemberID != uint64(m.ID) {
				return nil, fmt.Errorf("%x answers at %s", h.Header.MemberID, u)
			}
			return h, nil
		}
	}
	return nil, failed
}

func (s *Server) askHashAt(ctx context.Context, peerURL string, body []byte) (*dataHash, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, peerURL+hashPath,
		bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set(headerFrom, strconv.FormatUint(s.loop.cluster, 16))
	resp, err := s.dial.http(hashTimeout).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxHashBody))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s: %s", resp.Status, strings.TrimSpace(string(said)))
	}
	h := &dataHash{}
	return h, json.Unmarshal(said, h)
}

// othersHashes asks all other members; who does not answer is logged and left out.
func (s *Server) othersHashes(ctx context.Context, revision int64) (hashes []*dataHash) {
	st := s.State()
	for i := range st.Members {
		m := &st.Members[i]
		if m.ID == st.Raft.ID {
			continue
		}
		h, err := s.askHash(ctx, m, revision)
		if err != nil {
			s.log.Warn("failed to get hash kv from peer", zap.Stringer("remote-peer-id", m.ID),
				zap.Strings("peer-urls", m.PeerURLs), zap.Int64("revision", revision),
				zap.Error(err))
			continue
		}
		hashes = append(hashes, h)
	}
	slices.SortFunc(hashes, func(a, b *dataHash) int {
		return cmp.Compare(a.Header.MemberID, b.Header.MemberID)
	})
	return hashes
}

// checkInitially compares this member's data with the others' before it serves anybody.
func (s *Server) checkInitially(ctx context.Context) error {
	s.log.Info("starting initial corruption check")
	own, err := s.ownHash(ctx, 0)
	if err != nil {
		return err
	}
	different := 0
	for _, h := range s.othersHashes(ctx, own.HashRevision) {
		fields := []zap.Field{zap.Stringer("remote-peer-id", raft.MemberID(h.Header.MemberID)),
			zap.Int64("revision", own.HashRevision),
			zap.Int64("local-member-compact-revision", own.CompactRevision),
			zap.Uint32("local-member-hash", own.Hash),
			zap.Int64("remote-peer-compact-revision", h.CompactRevision),
			zap.Uint32("remote-peer-hash", h.Hash)}
		switch {
		case h.Hash == own.Hash:
		case !own.comparable(h):
			s.log.Warn("found different compact revision values from remote peer", fields...)
		default:
			different++
			s.log.Warn("found different hash values from remote peer", fields...)
		}
	}
	if different > 0 {
		return fmt.Errorf("%v %s", s.State().Raft.ID, corruptWords)
	}
	s.log.Info("initial corruption checking passed; no corruption")
	return nil
}

// guardStart stops the member if its data differs from the others'.
func (s *Server) guardStart() (fit bool) {
	if !s.cfg.gate(gateInitialCorruptCheck) {
		return true
	}
	ctx, cancel := s.whileRunning(hashTimeout)
	defer cancel()
	err := s.checkInitially(ctx)
	if err == nil {
		return true
	}
	s.log.Error("checkInitialHashKV failed", zap.Error(err))
	s.loop.inbox.put(kv.Input{Kind: kv.InputDamaged, Damage: "checkInitialHashKV failed: " +
		err.Error()})
	return false
}

// whileRunning is a context that ends with the member, or after a limit.
func (s *Server) whileRunning(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	go func() {
		select {
		case <-s.stopServe:
		case <-s.loop.halted:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}
