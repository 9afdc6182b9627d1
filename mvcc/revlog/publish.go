package revlog

// Making a generation durable, one operation after the other; a checkpoint and the end of an
// install both do it. The order is the whole point:
//
//  1. sync every segment that is not durable yet;
//  2. write the state file, sync it;
//  3. write the manifest under its temporary name, sync it;
//  4. sync the directory: now every name and byte that the manifest needs is durable;
//  5. rename the manifest: it is complete from the first moment that it can be seen;
//  6. sync the directory: the generation is durable.
//
// A crash before 5 leaves the generation before; after 6, this one; in between either, both whole.
// Each operation is issued only after the one before it has succeeded, so that a rename never
// follows a failed sync.

import (
	"github.com/detcd/detcd/diskio"
)

type publishStage uint8

const (
	stageSegments publishStage = iota
	stageState
	stageStateSync
	stageManifest
	stageManifestSync
	stageNames
	stageRename
	stageDone // the last directory sync
	stagePublished
)

type publisher struct {
	dir      string
	gen      *generation
	segments []*segment // Invariant: sealed; those before at are durable
	at       int
	stage    publishStage
	head     []byte // of the state file
	manifest []byte
	offset   int64 // bytes of the current file that are issued
	asked    int64 // of the last write
	ticket   diskio.Ticket
}

// newPublisher prepares generation g of sealed segments.
func newPublisher(dir string, g *generation, segments []*segment) *publisher {
	g.stateLen = int64(len(g.check.State))
	g.stateCRC = checksum(seedOf(g.number), g.check.State)
	g.spans = make([]*span, len(segments))
	for i, s := range segments {
		bare := *s.span
		bare.chunks = nil
		g.spans[i] = &bare
	}
	return &publisher{dir: dir, gen: g, segments: segments, head: g.encodeState(),
		manifest: g.encode()}
}

// next returns the operation to issue now; ok is false while segments are still being written.
func (p *publisher) next(step int64) (op diskio.Op, ok bool) {
	switch p.stage {
	case stageSegments:
		for ; p.at < len(p.segments); p.at++ {
			if s := p.segments[p.at]; !s.synced {
				return diskio.Op{Kind: diskio.Sync, File: s.name}, s.wholly()
			}
		}
		p.stage = stageState
		fallthrough
	case stageState:
		return p.writeNext(stateSuffix, p.head, p.gen.check.State, step), true
	case stageStateSync:
		return p.named(diskio.Sync, stateSuffix), true
	case stageManifest:
		return p.writeNext(tmpSuffix, p.manifest, nil, step), true
	case stageManifestSync:
		return p.named(diskio.Sync, tmpSuffix), true
	case stageNames, stageDone:
		return diskio.Op{Kind: diskio.SyncDir, File: p.dir}, true
	case stageRename:
		op = p.named(diskio.Rename, tmpSuffix)
		op.To = generationName(p.dir, p.gen.number, manifestSuffix)
		return op, true
	}
	panic("revlog: publisher asked for more after its end")
}

func (p *publisher) named(kind diskio.Kind, suffix string) diskio.Op {
	return diskio.Op{Kind: kind, File: generationName(p.dir, p.gen.number, suffix)}
}

// writeNext writes the next step of a file that consists of head and body.
func (p *publisher) writeNext(suffix string, head, body []byte, step int64) diskio.Op {
	op := p.named(diskio.Write, suffix)
	op.Offset = p.offset
	if rest := p.offset - int64(len(head)); rest >= 0 {
		op.Data = body[rest:min(rest+step, int64(len(body)))]
	} else {
		op.Data = head[p.offset:min(p.offset+step, int64(len(head)))]
	}
	p.asked = int64(len(op.Data))
	p.offset += p.asked
	return op
}

// refused takes the last operation back: there was no space for it.
func (p *publisher) refused() {
	p.ticket = 0
	if p.stage != stageRename {
		p.offset -= p.asked
	}
}

// done notes that the last operation succeeded; it is true when the generation is durable.
func (p *publisher) done() (durable bool) {
	switch p.stage {
	case stageSegments:
		p.segments[p.at].synced = true
		p.at++
		return false
	case stageState:
		if p.offset < int64(len(p.head))+p.gen.stateLen {
			return false
		}
	case stageManifest:
		if p.offset < int64(len(p.manifest)) {
			return false
		}
	}
	p.offset = 0
	p.stage++
	return p.stage == stagePublished
}
