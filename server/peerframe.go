// Frames: how bytes between members are cut into pieces that cannot be misread.
//
//	preamble   once per connection, from whoever dialled: DE 7C D0 'P' 'E' 'E' 'R' '\n'
//	frame      0   length of the content, uint32 big-endian
//	           4   kind, 1 byte, then three zero bytes
//	           8   CRC32C of the content
//	           12  CRC32C of bytes 0 to 11
//	           16  content
//
// The header has a checksum of its own, so that a length is believed only when it is undamaged.
// It is still not trusted: content that is announced as large gets memory as it arrives, never
// ahead of it.
package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	framePreamble    = "\xde\x7c\xd0PEER\n"
	frameHeaderBytes = 16
	// maxHandshakeBytes bounds hello, welcome and refusal.
	maxHandshakeBytes = 4 << 10
	// minFrameLimit is the least that a member is ready to receive in one frame, whatever its own
	// limits are: other members may be configured with larger requests.
	minFrameLimit = 64 << 20
	// trustBytes is what is allocated at once on the word of a header.
	trustBytes = 1 << 20
)

type frameKind uint8

const (
	frameHello   frameKind = 1 // who I am and what I speak; from the dialling side
	frameWelcome frameKind = 2 // the answer to a hello
	frameRefusal frameKind = 3 // the other answer: why not; the connection ends
	frameMessage frameKind = 4 // an encoded raft.Message
)

var (
	errFrameHeader  = errors.New("damaged frame header")
	errFrameContent = errors.New("damaged frame content")
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// sealFrame fills in the header of a frame whose content has been appended to buf after
// frameHeaderBytes of room at start.
func sealFrame(buf []byte, start int, kind frameKind) {
	header := buf[start : start+frameHeaderBytes]
	content := buf[start+frameHeaderBytes:]
	if uint64(len(content)) > 1<<32-1 {
		panic(fmt.Sprintf("server: frame of %d bytes", len(content)))
	}
	binary.BigEndian.PutUint32(header, uint32(len(content)))
	header[4], header[5], header[6], header[7] = byte(kind), 0, 0, 0
	binary.BigEndian.PutUint32(header[8:], crc32.Checksum(content, castagnoli()))
	binary.BigEndian.PutUint32(header[12:], crc32.Checksum(header[:12], castagnoli()))
}

// appendFrame appends a whole frame.
func appendFrame(buf []byte, kind frameKind, content []byte) []byte {
	start := len(buf)
	buf = append(buf, make([]byte, frameHeaderBytes)...)
	buf = append(buf, content...)
	sealFrame(buf, start, kind)
	return buf
}

// readFrame reads one frame whose content is at most limit bytes. The content is the caller's.
func readFrame(r *bufio.Reader, limit int) (frameKind, []byte, error) {
	var header [frameHeaderBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	if crc32.Checksum(header[:12], castagnoli()) != binary.BigEndian.Uint32(header[12:]) ||
		header[5]|header[6]|header[7] != 0 {
		return 0, nil, errFrameHeader
	}
	length := int64(binary.BigEndian.Uint32(header[:]))
	if length > int64(limit) {
		return 0, nil, fmt.Errorf("frame of %d bytes, limit %d", length, limit)
	}
	content, err := readContent(r, int(length))
	if err != nil {
		return 0, nil, err
	}
	if crc32.Checksum(content, castagnoli()) != binary.BigEndian.Uint32(header[8:]) {
		return 0, nil, errFrameContent
	}
	return frameKind(header[4]), content, nil
}

// readContent reads length bytes. What is beyond trustBytes grows with what has arrived.
func readContent(r io.Reader, length int) ([]byte, error) {
	content := make([]byte, min(length, trustBytes))
	for have := 0; ; {
		if _, err := io.ReadFull(r, content[have:]); err != nil {
			return nil, noEOF(err)
		}
		if len(content) == length {
			return content, nil
		}
		have = len(content)
		grown := make([]byte, min(length, 2*have))
		copy(grown, content)
		content = grown
	}
}

// noEOF says that an end inside a frame is no orderly end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
