// Where the time of a slow request went.
//
// Only requests that took long pay for the answer. Each carries three times anyway: when it came,
// when the loop took it, and in which turn it was answered. What lies between for a write (its log
// entry durable here, committed by a quorum) is the same for all writes of a turn, so the loop
// keeps a ring of how far the log was at which time, and looks a slow write's index up in it.
//
//	came    taken by      durable here   committed       answered   handed to
//	        the loop                                                the transport
//	|-queue-|----sync-----|---quorum-----|----apply------|---send---|
//	|-queue-|----------------quorum------|----apply------|---send---|    a read
//
// A write whose quorum was faster than the own disk has waited for no sync beyond it.
package server

import (
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	caller "google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/kv"
)

// slowness says what counts as slow.
type slowness struct {
	log *zap.Logger
	// apply bounds what a request may take once it may take effect, whole what it may take at all.
	apply, whole time.Duration
	// each is set when every request is written down.
	each bool
}

func newSlowness(c *Config, log *zap.Logger) slowness {
	return slowness{log: log, apply: c.WarningApplyDuration, whole: c.WarningUnaryRequestDuration,
		each: log.Core().Enabled(zap.DebugLevel)}
}

// least is what every request that is worth a look exceeds.
func (s *slowness) least() time.Duration {
	if s.each {
		return 0
	}
	return min(s.apply, s.whole)
}

// phases are the times of a request's way, on the loop's clock.
type phases struct {
	came, taken, durable, committed, answered, sent time.Duration
}

// phasesOf joins what the call knows with what its handler has measured.
func phasesOf(c *call, came, answered, sent time.Duration) phases {
	p := phases{came: came, taken: time.Duration(c.turn), answered: answered, sent: sent}
	p.committed = max(c.served, p.taken)
	p.durable = p.taken
	if c.answer.Index != 0 {
		if c.committed != 0 {
			p.committed = max(min(c.committed, answered), p.taken)
		}
		p.durable = p.committed
		if c.durable != 0 {
			p.durable = max(min(c.durable, p.committed), p.taken)
		}
	}
	return p
}

func (p *phases) apply() time.Duration { return p.answered - p.committed }

func (p *phases) fields() []zap.Field {
	return []zap.Field{
		zap.Duration("queue", p.taken-p.came), zap.Duration("sync", p.durable-p.taken),
		zap.Duration("quorum", p.committed-p.durable), zap.Duration("apply", p.apply()),
		zap.Duration("send", p.sent-p.answered),
	}
}

// report writes down a request that was slow. It says whether applying it was.
func (s *slowness) report(stream grpc.ServerStream, method kv.Method, c *call, p *phases,
	err error) (slowApply bool) {
	size := 0
	for _, piece := range c.answer.Body {
		size += len(piece)
	}
	text := requestText(method, c.raw)
	if slowApply = p.apply() > s.apply; slowApply {
		s.log.Warn("apply request took too long", append([]zap.Field{
			zap.Duration("took", p.answered-p.committed),
			zap.Duration("expected-duration", s.apply), zap.String("prefix", prefixOf(method, c)),
			zap.String("request", text), zap.String("response", "size:"+strconv.Itoa(size)),
			zap.Error(err)}, p.fields()...)...)
	}
	took := p.sent - p.came
	if took <= s.whole && !s.each {
		return slowApply
	}
	write := s.log.Debug
	if took > s.whole && !s.each {
		write = s.log.Warn
	}
	write(requestStats, append(s.stats(stream, text, took, err), append(p.fields(),
		zap.Int("request size", len(c.raw)), zap.Int("response size", size))...)...)
	return slowApply
}

// requestStats is etcd's message about a request that took long.
const requestStats = "request stats"

// stats are the fields about a request as a whole.
func (s *slowness) stats(stream grpc.ServerStream, text string, took time.Duration,
	err error) []zap.Field {
	remote := "No remote client info."
	if from, ok := caller.FromContext(stream.Context()); ok {
		remote = from.Addr.String()
	}
	name, _ := grpc.MethodFromServerStream(stream)
	return []zap.Field{zap.Time("start time", time.Now().Add(-took)),
		zap.Duration("time spent", took), zap.String("remote", remote),
		zap.String("response type", name), zap.String("request content", text), zap.Error(err)}
}

// abandoned writes down a request whose client did not wait for the outcome. Where its time went is
// not known: it may not be over.
func (s *slowness) abandoned(stream grpc.ServerStream, text string, took time.Duration,
	err error) {
	s.log.Warn(requestStats, s.stats(stream, text, took, err)...)
}

// prefixOf is etcd's word for what kind of request it was.
func prefixOf(method kv.Method, c *call) string {
	switch {
	case method == kv.MethodRange:
		return "read-only range "
	case method == kv.MethodTxn && c.answer.Index == 0:
		return "read-only txn "
	}
	return ""
}

// textBytes bounds what the log gets of one request.
const textBytes = 4 << 10

// requestText is a request for people: keys, but no values, which are nobody's business.
func requestText(method kv.Method, raw []byte) string {
	text := ""
	switch method {
	case kv.MethodRange:
		var r pb.RangeRequest
		if proto.Unmarshal(raw, &r) == nil {
			text = r.String()
		}
	case kv.MethodPut:
		var r pb.PutRequest
		if proto.Unmarshal(raw, &r) == nil {
			text = "put:<" + pb.NewLoggablePutRequest(&r).String() + ">"
		}
	case kv.MethodDeleteRange:
		var r pb.DeleteRangeRequest
		if proto.Unmarshal(raw, &r) == nil {
			text = "delete_range:<" + r.String() + ">"
		}
	case kv.MethodTxn:
		var r pb.TxnRequest
		if proto.Unmarshal(raw, &r) == nil {
			text = "txn:<" + pb.NewLoggableTxnRequest(&r).String() + ">"
		}
	case kv.MethodCompact:
		var r pb.CompactionRequest
		if proto.Unmarshal(raw, &r) == nil {
			text = "compaction:<" + r.String() + ">"
		}
	}
	if len(text) > textBytes {
		text = text[:textBytes]
	}
	return text
}
