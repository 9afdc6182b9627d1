package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func reader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

func TestFramesComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		contents := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 5000)).Draw(t, "contents")
		var wire []byte
		for i, c := range contents {
			wire = appendFrame(wire, frameKind(i), c)
		}
		r := reader(wire)
		for i, c := range contents {
			kind, got, err := readFrame(r, 5000)
			require.NoError(t, err)
			require.Equal(t, frameKind(i), kind)
			require.True(t, bytes.Equal(c, got))
		}
		_, _, err := readFrame(r, 5000)
		require.Equal(t, io.EOF, err)
	})
}

func TestAnyFlippedBitIsFound(t *testing.T) {
	wire := appendFrame(nil, frameMessage, []byte("some content"))
	for bit := range 8 * len(wire) {
		damaged := bytes.Clone(wire)
		damaged[bit/8] ^= 1 << (bit % 8)
		_, _, err := readFrame(reader(damaged), 1<<20)
		require.Error(t, err, "bit %d", bit)
	}
}

func TestLargeContentCrossesTheTrustLimit(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 5*trustBytes/16+7)
	_, got, err := readFrame(reader(appendFrame(nil, frameMessage, content)), len(content))
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
}

// A header that is valid but lies about the length gets no memory for it.
func TestAnnouncedLengthIsNotTrusted(t *testing.T) {
	header := make([]byte, frameHeaderBytes)
	binary.BigEndian.PutUint32(header, 60<<20)
	header[4] = byte(frameMessage)
	binary.BigEndian.PutUint32(header[12:], crc32.Checksum(header[:12], castagnoli()))
	allocated := testing.AllocsPerRun(1, func() {
		_, _, err := readFrame(reader(append(bytes.Clone(header), "short"...)), minFrameLimit)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	require.Less(t, allocated, 30.0)
	_, _, err := readFrame(reader(header), 1<<20)
	require.ErrorContains(t, err, "limit 1048576")
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(strings.Repeat("x", 100)))
	f.Add(appendFrame(nil, frameHello, (&hello{MaxProtocol: 1, From: 1, To: 2}).encode()))
	f.Add(appendFrame(appendFrame(nil, frameMessage, []byte("one")), frameMessage, nil))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := reader(wire)
		for {
			kind, content, err := readFrame(r, 1<<16)
			if err != nil {
				return
			}
			again := appendFrame(nil, kind, content)
			if !bytes.Contains(wire, again) {
				t.Fatalf("read a frame that is not in the input: %x", again)
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add([]byte{})
	f.Add((&hello{MinProtocol: 1, MaxProtocol: 2, Cluster: 3, From: 4, To: 5,
		Channel: channelBulk}).encode())
	f.Add((&welcome{Protocol: 1, Cluster: 3, Member: 4}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHello(b); err == nil && !bytes.HasPrefix(b, h.encode()) {
			t.Fatalf("hello %+v does not encode to what it was decoded from", h)
		}
		if w, err := decodeWelcome(b); err == nil && !bytes.HasPrefix(b, w.encode()) {
			t.Fatalf("welcome %+v does not encode to what it was decoded from", w)
		}
	})
}

func TestHandshakeJudgesStrangers(t *testing.T) {
	self := identity{cluster: 7, member: 1}
	good := identity{cluster: 7, member: 2}.hello(1, channelMessages)
	w, err := self.judge(&good)
	require.NoError(t, err)
	require.NoError(t, good.check(&w))

	other := identity{cluster: 8, member: 2}.hello(1, channelMessages)
	_, err = self.judge(&other)
	require.EqualError(t, err, "cluster ID mismatch: this member belongs to cluster 7, member 2 "+
		"to cluster 8")
	_, err = identity{cluster: 7, member: 3}.judge(&good)
	require.EqualError(t, err, "this is member 3, not member 1")
	_, err = identity{cluster: 7, member: 2}.judge(&hello{Cluster: 7, From: 2, To: 2})
	require.EqualError(t, err, "somebody else claims to be member 2")
	future := good
	future.MinProtocol, future.MaxProtocol = 5, 9
	_, err = self.judge(&future)
	require.EqualError(t, err, "no common protocol: this member speaks 1 to 1, member 2 speaks "+
		"5 to 9")

	w.Member = 9
	require.Error(t, good.check(&w))
}
