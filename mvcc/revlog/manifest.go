package revlog

// The two files of a generation. Both are written under names that no generation has borne, and
// synced before the manifest gets its final name; so a manifest under its final name is complete,
// and anything wrong with it is damage.
//
// State file:
//
//	 0        64      72    76
//	 +--------+-------+-----+-------+
//	 | header | bytes | crc | state |
//	 +--------+-------+-----+-------+
//
// Manifest:
//
//	 0        64      68                                               -4
//	 +--------+-------+------------------------------------------------+-----+
//	 | header | bytes | body                                           | crc |
//	 +--------+-------+------------------------------------------------+-----+
//
//	 body: generation, previous (8 each), applied, term, current, compacted, digest (8 each),
//	       state bytes (8), state crc (4), segment count (4), segments
//	 segment (60): id, life (8 each), first main (8), first sub (4), last main (8), last sub (4),
//	       length (8), records (8), sum of record checksums (4)
//
// Checksums are seeded with the life, which is the generation. previous names the generation
// before this one in the same history, 0 if there is none: after an install, a manifest that is
// left of the replaced history has a lower number but is nobody's previous one.

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/detcd/detcd/diskio"
)

const (
	stateStart        = headerBytes + 12
	manifestFixed     = 72
	manifestSegment   = 60
	maxStateBytes     = 1 << 32
	maxManifestBytes  = 1 << 28
	manifestBodyStart = headerBytes + 4
)

// generation is one checkpoint that exists on disk or is being made.
type generation struct {
	number   uint64
	previous uint64
	check    Checkpoint
	stateLen int64
	stateCRC uint32
	spans    []*span // whole segments in order, without memory
}

// stateFile is the length of the state file.
func (g *generation) stateFile() int64 { return stateStart + g.stateLen }

// manifestFile is the length of the manifest.
func (g *generation) manifestFile() int64 {
	return manifestBodyStart + manifestFixed + int64(len(g.spans))*manifestSegment + 4
}

// encodeState returns what precedes the state in its file.
func (g *generation) encodeState() []byte {
	b := make([]byte, stateStart)
	putHeader(b, kindState, g.number)
	binary.LittleEndian.PutUint64(b[headerBytes:], uint64(g.stateLen))
	binary.LittleEndian.PutUint32(b[headerBytes+8:], g.stateCRC)
	return b
}

func (g *generation) encode() []byte {
	b := make([]byte, manifestBodyStart, g.manifestFile())
	putHeader(b, kindManifest, g.number)
	le := binary.LittleEndian
	c := &g.check
	for _, v := range []uint64{g.number, g.previous, c.Applied, c.Term, uint64(c.Current),
		uint64(c.Compacted), c.Digest, uint64(g.stateLen)} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, g.stateCRC)
	b = le.AppendUint32(b, uint32(len(g.spans)))
	for _, s := range g.spans {
		b = le.AppendUint64(b, s.id)
		b = le.AppendUint64(b, s.life)
		b = le.AppendUint64(b, uint64(s.first.Main))
		b = le.AppendUint32(b, uint32(s.first.Sub))
		b = le.AppendUint64(b, uint64(s.last.Main))
		b = le.AppendUint32(b, uint32(s.last.Sub))
		b = le.AppendUint64(b, uint64(s.length))
		b = le.AppendUint64(b, uint64(s.table.len()))
		b = le.AppendUint32(b, s.sum)
	}
	le.PutUint32(b[headerBytes:], uint32(len(b)-manifestBodyStart))
	return le.AppendUint32(b, checksum(seedOf(g.number), b[headerBytes:]))
}

// listed is a manifest's line about a segment.
type listed struct {
	id, life    uint64
	first, last Rev
	length      int64
	records     int64
	sum         uint32
}

// decodeManifest is the inverse of encode; the segments come as lines, since their tables are not
// known yet.
func decodeManifest(file string, b []byte) (*generation, []listed, error) {
	life, err := parseHeader(file, b, kindManifest)
	if err != nil {
		return nil, nil, err
	}
	le := binary.LittleEndian
	bad := func(off int, format string, args ...any) (*generation, []listed, error) {
		return nil, nil, &DamageError{file, int64(off), fmt.Sprintf(format, args...)}
	}
	if len(b) < manifestBodyStart+manifestFixed+4 {
		return bad(len(b), "manifest ends early")
	}
	end := len(b) - 4
	if n := le.Uint32(b[headerBytes:]); int64(n) != int64(end-manifestBodyStart) {
		return bad(headerBytes, "manifest of %d bytes, says %d", end-manifestBodyStart, n)
	}
	if have, want := checksum(seedOf(life), b[headerBytes:end]), le.Uint32(b[end:]); have != want {
		return bad(end, "manifest checksum %08x, want %08x", have, want)
	}
	p := b[manifestBodyStart:end]
	word := func(i int) uint64 { return le.Uint64(p[8*i:]) }
	g := &generation{number: word(0), previous: word(1), check: Checkpoint{
		Applied: word(2), Term: word(3), Current: Revision(word(4)), Compacted: Revision(word(5)),
		Digest: word(6)}, stateLen: int64(word(7)), stateCRC: le.Uint32(p[64:])}
	count := int64(le.Uint32(p[68:]))
	if count*manifestSegment != int64(len(p)-manifestFixed) {
		return bad(manifestBodyStart+68, "manifest of %d bytes lists %d segments", len(p), count)
	}
	if g.number != life || g.previous >= g.number || g.stateLen < 0 || g.stateLen > maxStateBytes {
		return bad(manifestBodyStart, "impossible generation %d after %d, state of %d bytes",
			g.number, g.previous, g.stateLen)
	}
	lines := make([]listed, count)
	for i := range lines {
		at := manifestFixed + i*manifestSegment
		lines[i] = decodeListed(p[at:])
		if reason := lines[i].flaw(); reason != "" {
			return bad(manifestBodyStart+at, "%s", reason)
		}
		if i > 0 && !lines[i-1].last.Less(lines[i].first) {
			return bad(manifestBodyStart+at, "segments %d and %d overlap", i-1, i)
		}
	}
	return g, lines, nil
}

func decodeListed(p []byte) listed {
	le := binary.LittleEndian
	return listed{
		id: le.Uint64(p), life: le.Uint64(p[8:]),
		first:  Rev{Revision(le.Uint64(p[16:])), int32(le.Uint32(p[24:]))},
		last:   Rev{Revision(le.Uint64(p[28:])), int32(le.Uint32(p[36:]))},
		length: int64(le.Uint64(p[40:])), records: int64(le.Uint64(p[48:])),
		sum: le.Uint32(p[56:]),
	}
}

// flaw says what is impossible about a line, empty if nothing.
func (s *listed) flaw() string {
	switch {
	case s.first.Main < 0 || s.first.Sub < 0 || s.last.Sub < 0 || s.last.Less(s.first):
		return fmt.Sprintf("impossible range %v to %v", s.first, s.last)
	case s.length < segmentStart || s.length > math.MaxUint32:
		return fmt.Sprintf("impossible segment length %d", s.length)
	case s.records < 1 || s.records > (s.length-segmentStart)/recordHeader:
		return fmt.Sprintf("%d records in a segment of %d bytes", s.records, s.length)
	}
	return ""
}

// span makes the unread span of a listed segment.
func (s *listed) span(dir string) *span {
	return &span{id: s.id, name: segmentName(dir, s.first.Main, s.id), life: s.life,
		seed: seedOf(s.life), first: s.first, last: s.last, length: s.length, sum: s.sum}
}

// readWhole reads a file of at most limit bytes.
func readWhole(disk diskio.Reader, file string, limit int64) ([]byte, error) {
	size, err := disk.Size(file)
	if err != nil {
		return nil, &DamageError{file, 0, fmt.Sprintf("cannot be opened: %v", err)}
	}
	if size > limit {
		return nil, &DamageError{file, limit, fmt.Sprintf("is %d bytes long", size)}
	}
	b := make([]byte, size)
	if n, err := disk.ReadAt(file, b, 0); n != len(b) {
		return nil, &DamageError{file, int64(n), fmt.Sprintf("read %d of %d bytes: %v", n, size,
			err)}
	}
	return b, nil
}

// readState loads and verifies the state of g.
func readState(disk diskio.Reader, dir string, g *generation) error {
	file := generationName(dir, g.number, stateSuffix)
	b, err := readWhole(disk, file, g.stateLen+stateStart)
	if err != nil {
		return err
	}
	life, err := parseHeader(file, b, kindState)
	if err != nil {
		return err
	}
	if life != g.number || int64(len(b)) != g.stateLen+stateStart {
		return &DamageError{file, int64(len(b)), fmt.Sprintf("state of generation %d in %d bytes",
			life, len(b))}
	}
	if string(b[headerBytes:stateStart]) != string(g.encodeState()[headerBytes:]) {
		return &DamageError{file, headerBytes, "length or checksum differ from the manifest's"}
	}
	if have := checksum(seedOf(life), b[stateStart:]); have != g.stateCRC {
		return &DamageError{file, stateStart, fmt.Sprintf("state checksum %08x, want %08x", have,
			g.stateCRC)}
	}
	g.check.State = b[stateStart:]
	return nil
}
