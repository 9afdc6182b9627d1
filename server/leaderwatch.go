// Streams of clients that want a leader end when there is none for long. Of watch streams there may
// be very many, so the loop looks after those (watchtable.go); others look for themselves.
package server

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"
)

// leaderMisses is how many election timeouts without a leader end a stream that wants one.
const leaderMisses = 3

// leaderWatch is one stream's look at the leader, an election timeout apart.
type leaderWatch struct {
	ticker *time.Ticker
	ticks  <-chan time.Time // nil, for ever silent, when the client does not mind
	misses int
}

func (s *service) newLeaderWatch(ctx context.Context) leaderWatch {
	if !wantsLeader(ctx) {
		return leaderWatch{}
	}
	t := time.NewTicker(s.loop.watches.election)
	return leaderWatch{ticker: t, ticks: t.C}
}

// wantsLeader says whether a client would rather have no stream than no leader.
func wantsLeader(ctx context.Context) bool {
	v := metadata.ValueFromIncomingContext(ctx, "hasleader")
	return len(v) > 0 && v[0] == "true"
}

func (w *leaderWatch) stop() {
	if w.ticker != nil {
		w.ticker.Stop()
	}
}

// tick looks for the leader and says whether the stream has to end.
func (w *leaderWatch) tick(l *loop) bool {
	w.misses++
	if _, known := l.leads(); known {
		w.misses = 0
	}
	return w.misses >= leaderMisses
}
