// Memory of large answers. A list of two hundred megabytes is made of thousands of pieces; made
// anew each time they would all be cleared and collected, which costs as much as reading what goes
// into them. So lists borrow their pieces, and a piece goes back when the transport has written it.
//
// Whether an answer was made of borrowed memory is said by who made it, never guessed: any other
// answer may refer to stored records, and those are for ever.
package server

import (
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/detcd/detcd/mvcc"
)

// lentRoom is the capacity of every borrowed piece: what a list gathers in one, and a tail. It is
// no size that the allocator rounds to.
const lentRoom = 33<<10 + 1

type answerPool struct{ pieces, scratches sync.Pool }

func newAnswerPool() *answerPool {
	p := &answerPool{}
	p.pieces.New = func() any {
		piece := make([]byte, 0, lentRoom)
		return &piece
	}
	p.scratches.New = func() any { return &mvcc.Scratch{Buffers: p} }
	return p
}

// Take implements mvcc.Buffers.
func (p *answerPool) Take(size int) []byte {
	if size > lentRoom {
		return make([]byte, 0, size)
	}
	return (*p.pieces.Get().(*[]byte))[:0]
}

func (p *answerPool) scratch() *mvcc.Scratch { return p.scratches.Get().(*mvcc.Scratch) }

func (p *answerPool) giveScratch(s *mvcc.Scratch) { p.scratches.Put(s) }

// lentBuffer hands a piece of an answer that borrowed to the transport, which frees it once it is
// written.
func (p *answerPool) lentBuffer(piece []byte) mem.Buffer {
	if cap(piece) != lentRoom { // too small or too large to be borrowed
		return mem.SliceBuffer(piece)
	}
	return mem.NewBuffer(&piece, (*lentPieces)(p))
}

// lentPieces takes borrowed pieces back; it is the transport's view of the pool.
type lentPieces answerPool

// Get implements mem.BufferPool. The transport asks it for nothing: it only gives back.
func (p *lentPieces) Get(length int) *[]byte {
	piece := make([]byte, length)
	return &piece
}

// Put implements mem.BufferPool.
func (p *lentPieces) Put(piece *[]byte) {
	if cap(*piece) == lentRoom {
		p.pieces.Put(piece)
	}
}
