package revlog

// Pins keep files on disk for snapshots and shipments. Taking one must not cost more with more
// segments, so a pin is a number: the epoch in which it was taken. The epoch grows whenever files
// are given up. A file that was made in epoch b and given up in epoch d is needed by pins of
// epochs b to d and by no other.
//
// A log, its receivers and its successor share one household, so that a snapshot of a log that has
// been replaced can be released at its successor.

import (
	"fmt"
	"sort"

	"github.com/detcd/detcd/diskio"
)

type pin struct {
	epoch uint64
	count int
}

type pins struct {
	epoch uint64
	held  []pin // ascending epochs, count > 0
}

func (p *pins) take() (epoch uint64) {
	if n := len(p.held); n > 0 && p.held[n-1].epoch == p.epoch {
		p.held[n-1].count++
	} else {
		p.held = append(p.held, pin{p.epoch, 1})
	}
	return p.epoch
}

func (p *pins) drop(epoch uint64) {
	i := sort.Search(len(p.held), func(i int) bool { return p.held[i].epoch >= epoch })
	if i == len(p.held) || p.held[i].epoch != epoch {
		panic(fmt.Sprintf("revlog: released a pin of epoch %d that nobody holds", epoch))
	}
	if p.held[i].count--; p.held[i].count == 0 {
		p.held = append(p.held[:i], p.held[i+1:]...)
	}
}

// needed says whether a pin of the epochs [born, doomed] is held.
func (p *pins) needed(born, doomed uint64) bool {
	i := sort.Search(len(p.held), func(i int) bool { return p.held[i].epoch >= born })
	return i < len(p.held) && p.held[i].epoch <= doomed
}

// household is what a log shares with its receivers and its successor.
type household struct {
	pins       pins
	nextID     uint64 // of segments
	generation uint64 // highest number that any name bears or bore
	received   int64  // bytes that receivers have stored and not given up or handed over
	logTicket  diskio.Ticket
	recvTicket diskio.Ticket
}

func (h *household) newID() uint64 {
	h.nextID++
	return h.nextID - 1
}

func (h *household) newGeneration() uint64 {
	h.generation++
	return h.generation
}
