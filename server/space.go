package server

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/detcd/detcd/kv"
)

// spaceEvery is how often the node is told how much room its disk has.
const spaceEvery = time.Second

// measureSpace tells the node how much room its disk has, until the loop ends. It has a goroutine
// of its own, because a file system that hangs must not hold the loop.
func (s *Server) measureSpace() {
	ticker := time.NewTicker(spaceEvery)
	defer ticker.Stop()
	for {
		switch free, err := s.disk.Free(); {
		case err == nil:
			s.loop.inbox.put(kv.Input{Kind: kv.InputSpace, Free: free})
		case errors.Is(err, errors.ErrUnsupported):
			return
		default:
			s.log.Warn("failed to measure the free space", zap.Error(err))
		}
		select {
		case <-ticker.C:
		case <-s.loop.stopped:
			return
		}
	}
}
