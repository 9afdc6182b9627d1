package wal

// Recovery. The records are replayed in order, in memory bounded by the newest entries. What lies
// above the highest `synced` was read, perhaps from the page cache, but may not be on the disk: it
// is written once more, into the first segment of this start, before anything counts.

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/raft"
)

// Recovered is what Open found.
type Recovered struct {
	Empty       bool // no log exists: a first start
	Cluster     uint64
	Member      raft.MemberID
	Incarnation raft.Incarnation // the highest on record, 0 if none
	Hard        raft.HardState   // Commit is at most Last
	// Snapshot is the newest marker, zero if there never was one. Compact does not move it: with
	// entries compacted, First is above Snapshot.Index+1, and the state that the log joins is the
	// caller's newest checkpoint.
	Snapshot raft.Snapshot
	// First is the first index the log holds; Last+1 if it holds no entry.
	First raft.Index
	// Last, Runs, Entries and Configs are as in raft.Restored, for First..Last; Entries is the
	// suffix of at most Options.KeepBytes.
	Last      raft.Index
	Runs      []raft.TermRun
	Entries   []raft.Entry
	Configs   []raft.Entry
	TornBytes int64 // length of the torn tail that was cut, for the log line
}

// Open reads the log in opt.Dir. Damage at or below the highest recorded synced position is
// reported as a *DamageError that names file, offset, and what was expected; the caller must not
// serve. A torn tail above it is cut. What was read but is not known durable is queued to be
// rewritten to a fresh segment, and Ready reports false until that is synced. Files of an unknown
// version are a *FormatError, those of another member an *IdentityError.
func Open(disk diskio.Reader, opt Options) (*Log, Recovered, error) {
	sector := disk.SectorSize()
	if sector < headerSize || sector&(sector-1) != 0 || opt.MaxBatch <= 2*recordHeaderSize ||
		opt.SegmentBytes < int64(2*sector) {
		panic(fmt.Sprintf("wal: options %+v with sector size %d", opt, sector))
	}
	opt.MaxBatch = max(min(opt.MaxBatch, int(opt.SegmentBytes/4)), 4*recordHeaderSize)
	s, err := newScanner(disk, opt.Dir)
	if err != nil {
		return nil, Recovered{}, err
	}
	for _, seg := range s.segments {
		h := &seg.header
		if seg.bad == nil && (h.Cluster != opt.Cluster || h.Member != opt.Member) {
			return nil, Recovered{}, &IdentityError{File: seg.name, Cluster: h.Cluster,
				Member: h.Member, WantCluster: opt.Cluster, WantMember: opt.Member}
		}
	}
	r := &replay{scan: s, first: 1}
	if err := s.run(r); err != nil {
		return nil, Recovered{}, err
	}
	if err := s.verdict(); err != nil {
		return nil, Recovered{}, err
	}
	r.settle()
	l := &Log{opt: opt, sector: sector}
	if err := r.install(l); err != nil {
		return nil, Recovered{}, err
	}
	l.noteRecovery(r)
	rec, err := r.recovered(l)
	return l, rec, err
}

// install gives l what was recovered: the durable part as its past, the tail as the content of the
// first segment of this start.
func (r *replay) install(l *Log) error {
	s := r.scan
	set := &l.segments
	set.existed = len(s.segments) > 0
	set.nextSeq = 1
	for _, f := range s.other {
		set.nextSeq = max(set.nextSeq, f.sequence+1)
		set.material = append(set.material, f)
	}
	for _, seg := range s.segments {
		set.nextSeq = max(set.nextSeq, seg.sequence+1)
		switch {
		case seg.sequence >= s.oldest && seg.first != 0 && seg.first <= s.synced &&
			seg.first < seg.limit:
			set.live = append(set.live, segment{file: seg.file, life: seg.header.Life,
				sector: int(seg.header.Sector)})
		case seg.sequence >= s.oldest && !seg.any:
			set.material = append(set.material, seg.file)
		default:
			set.later = append(set.later, seg.file)
		}
	}
	l.next, l.synced, l.covered = s.synced+1, s.synced, s.synced
	if len(set.live) > 0 {
		l.durableOldest = s.oldest
	}
	l.queued, l.issued, l.index = r.state, r.base, r.index
	l.durable = r.base.last
	set.boot.addStart(&r.base)
	for i := range r.tail {
		t := &r.tail[i]
		if t.meta.kind == RecordStart || t.meta.kind == RecordMark {
			continue
		}
		h, content, ok, err := s.record(t.at.segment, t.at.offset)
		if err != nil || !ok || content == nil {
			return &DamageError{File: t.at.name, Offset: t.at.offset,
				Reason: "the file changed while it was read"}
		}
		set.boot.begin(t.meta)
		set.boot.buf = append(set.boot.buf, content...)
		set.boot.end(h.hard)
		switch h.kind {
		case RecordBatch:
			l.durable = min(l.durable, t.meta.first-1)
		case RecordSnapshot:
			set.boot.metas[len(set.boot.metas)-1].snapshot = len(set.boot.snapshots)
			set.boot.snapshots = append(set.boot.snapshots, t.snapshot)
			l.durable = min(l.durable, t.snapshot.Index)
		}
	}
	set.boot.durable = r.state.last
	return nil
}

// recovered makes the caller's view of what was read.
func (r *replay) recovered(l *Log) (Recovered, error) {
	s := &r.state
	rec := Recovered{
		Empty: len(r.scan.segments) == 0, Cluster: l.opt.Cluster, Member: l.opt.Member,
		Incarnation: s.incarnation, Hard: s.hard, Snapshot: s.snapshot, First: r.first,
		Last: s.last, Runs: r.runs, Configs: r.configs,
	}
	rec.Hard.Commit = max(min(s.hard.Commit, s.last), s.snapshot.Index)
	if f := r.scan.flaw; f != nil {
		rec.TornBytes = f.bytes
	}
	l.queued.hard.Commit = rec.Hard.Commit
	var err error
	rec.Entries, err = r.suffix(l.opt.KeepBytes)
	return rec, err
}

// suffix reads the newest entries, at most keep bytes of them.
func (r *replay) suffix(keep int) ([]raft.Entry, error) {
	x := index{regions: append([]region(nil), r.index.regions...)}
	for i := range r.tail {
		t := &r.tail[i]
		switch t.meta.kind {
		case RecordBatch:
			x.add(t.at.segment.sequence, t.at.offset, t.at.end, t.meta.first, t.meta.last)
		case RecordSnapshot:
			x.reset()
		}
	}
	n, size := len(x.regions), int64(0)
	for n > 0 && size < int64(keep) {
		n--
		size += x.regions[n].end - x.regions[n].offset
	}
	var entries []raft.Entry
	for _, g := range x.regions[n:] {
		some, err := r.read(g)
		if err != nil {
			return nil, err
		}
		entries = append(entries, some...)
	}
	total := 0
	for i := range entries {
		total += entries[i].Size()
	}
	for len(entries) > 0 && total > keep {
		total -= entries[0].Size()
		entries = entries[1:]
	}
	return entries, nil
}

// read reads the entries of one region into memory of their own.
func (r *replay) read(g region) ([]raft.Entry, error) {
	for _, seg := range r.scan.segments {
		if seg.sequence != g.sequence {
			continue
		}
		name := seg.name
		buf := make([]byte, g.end-g.offset)
		if _, err := r.scan.disk.ReadAt(name, buf, g.offset); err != nil &&
			!errors.Is(err, io.EOF) {
			return nil, &DamageError{File: name, Offset: g.offset,
				Reason: "unreadable: " + err.Error()}
		}
		entries, off, err := entriesIn(buf, g.offset, seg.header.Life, int(seg.header.Sector),
			g.first, g.last, math.MaxInt)
		if err != nil {
			return nil, &DamageError{File: name, Offset: g.offset + off, Reason: err.Error()}
		}
		return entries, nil
	}
	panic(fmt.Sprintf("wal: region in unknown segment %016x", g.sequence))
}
