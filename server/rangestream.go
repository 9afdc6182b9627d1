// RangeStream: a list of any length in bounded memory, at the pace of its client.
//
// A chunk is read when the transport has taken the one before. The view that the chunks are read
// from holds up reclaim, and a client may read as slowly as it likes; so a view that has rested for
// viewPatience is given back, and the stream asks for another one of the same revision when it goes
// on. Only a compaction in between can then end it.
package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/kv"
)

// viewPatience is how long a view may wait for the client of its stream.
const viewPatience = 5 * time.Second

func (s *service) rangeStream(_ any, stream grpc.ServerStream) error {
	c := s.loop.calls.take()
	if err := stream.RecvMsg(c); err != nil {
		s.loop.calls.give(c)
		return err
	}
	ctx := stream.Context()
	err := s.checkMetadata(ctx, manyMessages)
	if err == nil {
		err = s.statuses[kv.Validate(kv.MethodRangeStream, c.raw, &s.loop.limits)]
	}
	if err != nil {
		s.loop.calls.give(c)
		return err
	}
	identity := s.identity(ctx)
	c.identity = identity
	read, err := s.takeView(ctx, kv.MethodRangeStream, c)
	if err != nil {
		return err
	}
	return s.sendChunks(stream, read.Stream(), &listing{identity, read.AuthRevision()})
}

// takeView has c's request granted a view, to be read piece by piece. The call is used up; whoever
// gets the read owes the node the end of its view.
func (s *service) takeView(ctx context.Context, method kv.Method, c *call) (*kv.Read, error) {
	if !s.loop.send(ctx, method, c) {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	read, granted, code := c.read, c.granted, c.answer.Code
	s.loop.calls.give(c)
	if !granted {
		return nil, s.statuses[code]
	}
	return &read, nil
}

// listing is on whose behalf a stream lists, and at which auth revision that was granted.
type listing struct {
	identity *kv.Identity
	auth     uint64
}

func (s *service) sendChunks(stream grpc.ServerStream, chunks *kv.RangeStream,
	who *listing) error {
	lent := newLentView(s.loop.inbox, chunks.View(), viewPatience)
	defer lent.end()
	leader := s.newLeaderWatch(stream.Context())
	defer leader.stop()
	out := s.loop.calls.take()
	defer s.loop.calls.give(out)
	for {
		scratch := s.loop.answers.scratch()
		a, last := chunks.Next(scratch)
		out.lent = scratch.Lent()
		s.loop.answers.giveScratch(scratch)
		s.loop.reportDamage(&a)
		if last {
			lent.end()
		}
		if a.Code != kv.OK {
			return s.statuses[a.Code]
		}
		if last && who.auth != 0 && s.loop.state.Load().AuthRevision > who.auth {
			return s.statuses[kv.ErrAuthOld]
		}
		out.reply = a.Body
		lent.rest()
		if err := stream.SendMsg(out); err != nil || last {
			return err
		}
		select {
		case <-leader.ticks:
			if leader.tick(s.loop) {
				return s.statuses[kv.ErrNoLeader]
			}
		default:
		}
		if lent.back() {
			continue
		}
		c := s.loop.calls.take()
		c.raw, c.identity = chunks.Again(), who.identity
		read, err := s.takeView(stream.Context(), kv.MethodRangeStream, c)
		if err != nil {
			return err
		}
		chunks.Resume(read)
		lent.renew(read.View)
	}
}

// lentView is a view that is given back when it is not used for a while.
type lentView struct {
	inbox    *inbox
	patience time.Duration

	mu    sync.Mutex
	view  kv.ViewID
	use   viewUse
	timer *time.Timer // nil until the first rest
}

type viewUse uint8

const (
	viewRead  viewUse = iota // somebody reads it
	viewRests                // nobody does, and the timer runs
	viewReturned
)

func newLentView(b *inbox, v kv.ViewID, patience time.Duration) *lentView {
	return &lentView{inbox: b, view: v, patience: patience}
}

// rest says that the view is not read until back says that it may be.
func (l *lentView) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.use == viewReturned {
		return
	}
	l.use = viewRests
	if l.timer == nil {
		l.timer = time.AfterFunc(l.patience, l.expire)
		return
	}
	l.timer.Reset(l.patience)
}

// back ends a rest. It says whether the view is still there.
func (l *lentView) back() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.use != viewRests {
		return false
	}
	l.use = viewRead
	l.timer.Stop()
	return true
}

// renew takes another view over, after back has said that the old one is gone.
func (l *lentView) renew(v kv.ViewID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view, l.use = v, viewRead
}

// expire gives a resting view back. A timer that fires late meets a view that is read or gone.
func (l *lentView) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.use == viewRests {
		l.use = viewReturned
		l.inbox.viewEnd(l.view)
	}
}

// end gives the view back, if that has not happened yet.
func (l *lentView) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.use != viewReturned {
		l.use = viewReturned
		l.inbox.viewEnd(l.view)
	}
}
