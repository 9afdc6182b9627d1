package wal

// The files of the log. A segment is prepared under a temporary name: made long enough, given a
// header, synced, and only then renamed; so a file named as a segment has a durable header and
// either nothing else or what the log wrote there. Preparation runs in the bulk lane while the
// active segment fills. The first segment of every start is special: recovery's rewrite and the
// new incarnation are in it before it gets its name, so it counts as a whole or not at all.
//
// Files that are no longer part of the log are material: they are renamed and get a new life
// instead of being deleted, because blocks that were written once need no allocation on sync.

import (
	"fmt"
	"path"

	"github.com/detcd/detcd/diskio"
)

const (
	// reserveSegments is how many prepared segments wait for use: what a full disk leaves us. When
	// they are used up, writes wait for space; no write is ever given to a disk that may be full.
	reserveSegments = 2
	// starvedTicks is how many ticks pass before a full disk is asked for space again.
	starvedTicks = 64
)

// file is one file of the log's directory.
type file struct {
	sequence uint64
	name     string // made once, because each operation on the file needs it
	size     int64
}

// segment is a file that is part of the log, or ready to become one.
type segment struct {
	file
	life   uint64
	sector int // of its writes
	pins   int // fetches in flight
}

type segments struct {
	live     []segment // ascending; the last is active
	spares   []segment // prepared, ascending, all above live
	material []file    // to be prepared again
	later    []file    // material once the start is durable: until then it is the log
	doomed   []file    // to be removed
	offset   int64     // end of what was written to the active segment
	fresh    int64     // end of its segment start record
	nextSeq  uint64    // of the next file; no file of the directory ever had it
	prep     prep
	boot     chunk // the start's rewrite: segment start, recovered tail, incarnation
	existed  bool  // the directory was there before this start

	starved  bool // the disk was full; nothing is prepared meanwhile
	waited   int  // ticks since then
	removals span
	freed    int64 // bytes that the removals in flight give back
}

// prep is the preparation of one segment, in stages that each wait for the one before.
type prep struct {
	stage   stage
	failed  bool // there was no space for it
	tickets span
	segment segment
	from    file // material to be renamed; sequence 0 if none
	boot    bool
	header  []byte
}

// stage is what a preparation is about to do.
type stage uint8

const (
	stageNone   stage = iota
	stageGround       // of a start: the directory, and the name of the file to be taken over
	stageFile
	stageContent
	stageName
)

func (s *segments) active() *segment { return &s.live[len(s.live)-1] }

func (s *segments) find(sequence uint64) *segment {
	for i := range s.live {
		if s.live[i].sequence == sequence {
			return &s.live[i]
		}
	}
	return nil
}

func (s *segments) bytes() (n int64) {
	for i := range s.live {
		n += s.live[i].size
	}
	for i := range s.spares {
		n += s.spares[i].size
	}
	for i := range s.material {
		n += s.material[i].size
	}
	if s.prep.stage != stageNone {
		n += s.prep.segment.size
	}
	return n
}

// roll makes the oldest spare the active segment.
func (s *segments) roll(sector int) {
	s.live = append(s.live, s.spares[0])
	s.spares = append(s.spares[:0], s.spares[1:]...)
	s.offset, s.fresh = int64(sector), int64(sector)
}

func (s *segments) tick() {
	if s.starved {
		if s.waited++; s.waited >= starvedTicks {
			s.starved, s.waited = false, 0
		}
	}
}

// release turns segments that recovery needs no more into material, oldest first, except while a
// fetch reads one.
func (l *Log) release() {
	set := &l.segments
	n := 0
	for n < len(set.live)-1 && set.live[n].sequence < l.durableOldest && set.live[n].pins == 0 {
		set.material = append(set.material, set.live[n].file)
		n++
	}
	if n < len(set.live)-1 && set.live[n].sequence < l.durableOldest {
		l.probes[ProbeFetchPins]++
	}
	if n == 0 {
		return
	}
	set.live = append(set.live[:0], set.live[n:]...)
	l.index.dropBefore(set.live[0].sequence)
	set.starved = false
}

// prepare issues the next stage of the preparation in progress, or starts one. What is to be
// removed goes first, because it may be the space that the next file needs.
func (l *Log) prepare(ops []diskio.Op) []diskio.Op {
	set := &l.segments
	p := &set.prep
	if p.tickets.left > 0 {
		return ops
	}
	if p.stage == stageNone {
		ops = l.removeDoomed(ops)
		switch {
		case !l.ready && !set.starved:
			l.startPrep()
			p.segment.size = max(p.segment.size,
				int64(l.sector)+alignUp(int64(set.boot.length), int64(l.sector)))
			if p.boot = true; !set.existed || p.from.sequence != 0 {
				p.stage = stageGround
			}
		case l.ready && len(set.doomed) == 0 && len(set.spares) < reserveSegments && !set.starved:
			l.startPrep()
		default:
			set.doomSurplus()
			return l.removeDoomed(ops)
		}
	}
	first := l.tickets + 1
	ops = l.stageOps(ops)
	p.tickets = span{first: first, last: l.tickets, left: l.tickets + 1 - first}
	return ops
}

func (l *Log) startPrep() {
	set := &l.segments
	set.prep = prep{stage: stageFile, segment: segment{
		file: file{sequence: set.nextSeq, name: fileName(l.opt.Dir, set.nextSeq, suffixNew),
			size: l.opt.SegmentBytes},
		life:   l.life(set.nextSeq),
		sector: l.sector,
	}}
	set.nextSeq++
	set.starved, set.waited = false, 0
	if n := len(set.material); n > 0 {
		l.probes[ProbeRecycled]++
		p := &set.prep
		p.from, set.material = set.material[n-1], set.material[:n-1]
		p.segment.size = max(p.from.size, l.opt.SegmentBytes)
	}
}

// stageOps issues the operations of the current stage. A stage is complete before the next one
// begins because each depends on the success of the last: a file is renamed only when its name is
// durable, content goes only into a file whose durable name says that it is in preparation, and
// only synced content gets a segment's name.
func (l *Log) stageOps(ops []diskio.Op) []diskio.Op {
	set := &l.segments
	p := &set.prep
	dir, name := l.opt.Dir, p.segment.name
	lane := diskio.LaneBulk
	if p.boot {
		lane = diskio.LaneLog
	}
	add := func(op diskio.Op) {
		op.Lane = lane
		ops = append(ops, l.op(op))
	}
	switch p.stage {
	case stageGround:
		if !set.existed {
			add(diskio.Op{Kind: diskio.MakeDir, File: dir})
			add(diskio.Op{Kind: diskio.SyncDir, File: path.Dir(dir)})
		}
		if p.from.sequence != 0 {
			// The name that Open saw may itself be volatile. Were it and the next one lost or kept
			// independently, one file could come back under two names.
			add(diskio.Op{Kind: diskio.SyncDir, File: dir})
		}
	case stageFile:
		if p.from.sequence != 0 {
			add(diskio.Op{Kind: diskio.Rename, File: p.from.name, To: name})
		}
		if p.from.size < p.segment.size {
			add(diskio.Op{Kind: diskio.Allocate, File: name, Length: p.segment.size})
		}
		add(diskio.Op{Kind: diskio.SyncDir, File: dir})
	case stageContent:
		h := Header{Version: formatVersion, Cipher: cipherNone, Life: p.segment.life,
			Cluster: l.opt.Cluster, Member: l.opt.Member, Sequence: p.segment.sequence,
			Position: l.synced + 1, Sector: uint32(l.sector)}
		h.Nonce = nonceFor(&h)
		p.header = encodeHeader(nil, &h)
		add(diskio.Op{Kind: diskio.Write, File: name, Data: p.header})
		if p.boot {
			add(l.bootWrite(name))
		}
		add(diskio.Op{Kind: diskio.Sync, File: name})
	case stageName:
		add(diskio.Op{Kind: diskio.Rename, File: name, To: l.finalName(p)})
		add(diskio.Op{Kind: diskio.SyncDir, File: dir})
	}
	return ops
}

// finalName is the name that the segment in preparation gets when it is ready.
func (l *Log) finalName(p *prep) string {
	return fileName(l.opt.Dir, p.segment.sequence, suffixSegment)
}

// bootWrite writes the start's rewrite into the segment in preparation.
func (l *Log) bootWrite(name string) diskio.Op {
	set := &l.segments
	p := &set.prep
	if l.durableOldest == 0 {
		l.durableOldest = p.segment.sequence
	}
	l.next = set.boot.seal(p.segment.life, l.synced+1, l.synced, l.durableOldest, l.sector)
	return diskio.Op{Kind: diskio.Write, File: name, Offset: int64(l.sector), Data: set.boot.buf}
}

// prepared handles the completion of an operation of the preparation in progress.
func (l *Log) prepared(c diskio.Completion) error {
	set := &l.segments
	p := &set.prep
	p.tickets.left--
	err := c.Status.Err()
	if c.Status == diskio.NoSpace && (c.Kind == diskio.Allocate || c.Kind == diskio.Write) {
		p.failed, set.starved, set.waited, err = true, true, 0, nil
		l.probes[ProbeDiskFull]++
	}
	if err != nil {
		return completionError(c, err)
	}
	switch {
	case p.tickets.left > 0:
	case p.failed:
		doomed := p.segment.file
		doomed.size = p.from.size // what was there before; the rest was not given
		set.doomed = append(set.doomed, doomed)
		if l.durableOldest == p.segment.sequence {
			l.durableOldest = 0
		}
		*p = prep{}
	case p.stage < stageName:
		p.stage++
	case p.boot:
		p.segment.name = l.finalName(p)
		l.booted(p.segment)
		*p = prep{}
	default:
		p.segment.name = l.finalName(p)
		set.spares = append(set.spares, p.segment)
		*p = prep{}
	}
	return nil
}

// booted makes the start's segment the active one: from here on the log is as if it had always
// run, and what it replaces is material.
func (l *Log) booted(seg segment) {
	set := &l.segments
	if l.ready {
		panic(fmt.Sprintf("wal: segment %d started twice", seg.sequence))
	}
	set.live = append(set.live, seg)
	set.offset = int64(l.sector + len(set.boot.buf))
	set.fresh = set.offset
	set.boot.applyTo(&l.issued)
	l.enter(&set.boot, seg.sequence, int64(l.sector))
	l.durable = set.boot.durable
	l.covered = l.synced
	l.synced, l.valued = l.next-1, l.next-1
	set.boot = chunk{}
	set.material = append(set.material, set.later...)
	set.later = nil
	l.ready = true
	l.release()
}

// doomSurplus gives up material that is not worth keeping: more than the live log could use up.
func (s *segments) doomSurplus() {
	if keep := max(reserveSegments, len(s.live)); len(s.material) > keep {
		s.doomed = append(s.doomed, s.material[keep:]...)
		s.material = s.material[:keep]
	}
}

func (l *Log) removeDoomed(ops []diskio.Op) []diskio.Op {
	set := &l.segments
	if len(set.doomed) == 0 || set.removals.left > 0 {
		return ops
	}
	first := l.tickets + 1
	set.freed = 0
	for _, f := range set.doomed {
		set.freed += f.size
		ops = append(ops, l.op(diskio.Op{Lane: diskio.LaneBulk, Kind: diskio.Remove,
			File: f.name}))
	}
	set.doomed = set.doomed[:0]
	set.removals = span{first: first, last: l.tickets, left: l.tickets + 1 - first}
	return ops
}
