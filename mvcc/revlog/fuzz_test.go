package revlog

// Decoders meet bytes from disks and peers: whatever those are, the answer is a value or an error,
// and what is accepted encodes to the same bytes again.

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzManifest(f *testing.F) {
	l := shipped(f)
	f.Add(l.newest.encode())
	f.Add((&generation{number: 1}).encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, lines, err := decodeManifest("m", b)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.Equal(t, len(b), manifestBodyStart+manifestFixed+len(lines)*manifestSegment+4)
		require.Less(t, g.previous, g.number)
	})
}

// FuzzManifestBody has the checksums made right, so that the fields behind them are reached.
func FuzzManifestBody(f *testing.F) {
	whole := shipped(f).newest.encode()
	f.Add(whole[manifestBodyStart:len(whole)-4], uint64(2))
	f.Add(make([]byte, manifestFixed), uint64(0))
	f.Fuzz(func(t *testing.T, body []byte, life uint64) {
		b := make([]byte, manifestBodyStart)
		putHeader(b, kindManifest, life)
		putU32(b[headerBytes:], uint32(len(body)))
		b = append(append(b, body...), 0, 0, 0, 0)
		end := len(b) - 4
		putU32(b[end:], checksum(seedOf(life), b[headerBytes:end]))
		g, lines, err := decodeManifest("m", b)
		if err != nil {
			return
		}
		for i := range lines {
			s := lines[i].span("engine")
			s.table.mains = make([]uint32, lines[i].records&0xff)
			g.spans = append(g.spans, s)
			if lines[i].records > 0xff {
				return
			}
		}
		require.Equal(t, b, g.encode())
	})
}

func putU32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func FuzzOffer(f *testing.F) {
	s, _ := shipped(f).Ship(1000)
	_, header := s.Offer()
	f.Add(header[:len(header)-4])
	f.Add([]byte("\x04\x00\x00\x00abcd\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		putEnd := append(append([]byte(nil), b...), 0, 0, 0, 0)
		putU32(putEnd[len(b):], checksum(0, b))
		for _, bytes := range [][]byte{b, putEnd} {
			o, err := decodeOffer(bytes)
			require.True(t, err != nil || o.stride > 0 && len(o.gen.check.State) < len(bytes))
		}
	})
}

// FuzzSegment has a manifest line that promises what the file should be.
func FuzzSegment(f *testing.F) {
	l := shipped(f)
	d := l.disk.(*testDisk)
	line := l.newest.spans[0]
	f.Add(d.names[line.name].data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		again := newTestDisk()
		again.names[line.name] = &inode{data: b}
		s := *line
		s.length = max(int64(len(b)), segmentStart)
		records := 0
		_, err := walk(again, &s, line.table.len(), make([]byte, 700), func(Record, int64) error {
			records++
			return nil
		})
		require.True(t, err != nil || records == line.table.len())
	})
}

func FuzzName(f *testing.F) {
	f.Add("0000000000000002-0000000000000001.seg")
	f.Add("000000000000000a.manifest.tmp")
	f.Add("000000000000000A.state")
	f.Fuzz(func(t *testing.T, base string) {
		number, suffix, ok := parseName(base)
		if ok && suffix != segmentSuffix {
			require.Equal(t, generationName("", number, suffix), base)
		}
	})
}
