package raft

import (
	"encoding/binary"
	"fmt"
)

// The wire form of a message: a header of 112 bytes, the entries (each as in codec_entry.go), then
// the data. All numbers are little-endian.
//
//	offset  0      1      2        4         8
//	        | form | type | flags  | entries | data length (8 bytes)
//	       16      24    32      40               48             56
//	        | from | to  | start | start known  | term         | log term
//	       64      72       80     88          96     104     112
//	        | index | commit | hint | hint term | round | read | entries ... data ...
//
// "start" is FromIncarnation, "start known" is ToIncarnation. Flag 1 is Reject, flag 2 Transfer.
// The transport keeps a message from being altered unnoticed; entries carry a checksum besides,
// because they go on to the disk.

const (
	messageHeaderSize = 112
	messageForm       = 1

	flagReject   = 1
	flagTransfer = 2
)

// EncodeMessage appends m's wire form to buf.
func EncodeMessage(buf []byte, m *Message) []byte {
	flags := uint16(0)
	if m.Reject {
		flags |= flagReject
	}
	if m.Transfer {
		flags |= flagTransfer
	}
	le := binary.LittleEndian
	buf = append(buf, messageForm, byte(m.Type))
	buf = le.AppendUint16(buf, flags)
	buf = le.AppendUint32(buf, uint32(len(m.Entries)))
	for _, v := range [...]uint64{
		uint64(len(m.Data)), uint64(m.From), uint64(m.To), uint64(m.FromIncarnation),
		uint64(m.ToIncarnation), uint64(m.Term), uint64(m.LogTerm), uint64(m.Index),
		uint64(m.Commit), uint64(m.Hint), uint64(m.HintTerm), m.Round, uint64(m.Read),
	} {
		buf = le.AppendUint64(buf, v)
	}
	for i := range m.Entries {
		buf = EncodeEntry(buf, &m.Entries[i])
	}
	return append(buf, m.Data...)
}

// MessageSize is the length of m's wire form.
func MessageSize(m *Message) int {
	return messageHeaderSize + sizeOf(m.Entries) + len(m.Data)
}

// DecodeMessage reads a message that fills buf exactly. Byte fields alias buf. Every length is
// checked against what buf can hold before anything is allocated.
func DecodeMessage(buf []byte) (Message, error) {
	if len(buf) < messageHeaderSize {
		return Message{}, errShort
	}
	le := binary.LittleEndian
	flags := le.Uint16(buf[2:])
	switch {
	case buf[0] != messageForm:
		return Message{}, errForm
	case buf[1] == 0 || MessageType(buf[1]) >= NumMessageTypes:
		return Message{}, fmt.Errorf("%w: message type %d", errRange, buf[1])
	case flags&^(flagReject|flagTransfer) != 0:
		return Message{}, errReserved
	}
	count, size := uint64(le.Uint32(buf[4:])), le.Uint64(buf[8:])
	rest := buf[messageHeaderSize:]
	if size > uint64(len(rest)) || count > (uint64(len(rest))-size)/entryHeaderSize {
		return Message{}, errShort
	}
	word := func(offset int) uint64 { return le.Uint64(buf[offset:]) }
	m := Message{
		Type: MessageType(buf[1]), From: MemberID(word(16)), To: MemberID(word(24)),
		FromIncarnation: Incarnation(word(32)), ToIncarnation: Incarnation(word(40)),
		Term: Term(word(48)), LogTerm: Term(word(56)), Index: Index(word(64)),
		Commit: Index(word(72)), Hint: Index(word(80)), HintTerm: Term(word(88)),
		Round: word(96), Read: ReadID(word(104)),
		Reject: flags&flagReject != 0, Transfer: flags&flagTransfer != 0,
	}
	if count > 0 {
		m.Entries = make([]Entry, count)
	}
	for i := range m.Entries {
		var err error
		if m.Entries[i], rest, err = DecodeEntry(rest); err != nil {
			return Message{}, fmt.Errorf("entry %d of %d: %w", i, count, err)
		}
	}
	if uint64(len(rest)) != size {
		return Message{}, errTrailing
	}
	if size > 0 {
		m.Data = rest[:size:size]
	}
	return m, nil
}
