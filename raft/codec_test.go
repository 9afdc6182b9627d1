package raft

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawEntry(t *rapid.T) Entry {
	data := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data")
	if len(data) == 0 {
		data = nil
	}
	u := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
	return Entry{
		Term: Term(u("term")), Index: Index(u("index")),
		Type:        EntryType(rapid.IntRange(1, 255).Draw(t, "type")),
		Proposer:    MemberID(u("proposer")),
		Incarnation: Incarnation(u("incarnation")), Sequence: Sequence(u("sequence")),
		Time: rapid.Int64().Draw(t, "time"), Data: data,
	}
}

// plainEntry is the obvious twin of EncodeEntry: field by field, at the offsets of the diagram.
func plainEntry(e *Entry) []byte {
	b := make([]byte, 64+len(e.Data))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(e.Data)))
	binary.LittleEndian.PutUint64(b[8:], uint64(e.Term))
	binary.LittleEndian.PutUint64(b[16:], uint64(e.Index))
	binary.LittleEndian.PutUint64(b[24:], uint64(e.Proposer))
	binary.LittleEndian.PutUint64(b[32:], uint64(e.Incarnation))
	binary.LittleEndian.PutUint64(b[40:], uint64(e.Sequence))
	binary.LittleEndian.PutUint64(b[48:], uint64(e.Time))
	b[56], b[57] = byte(e.Type), 1
	copy(b[64:], e.Data)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestEntryCodecEqualsItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		buf := EncodeEntry([]byte("before"), &e)
		require.Equal(t, append([]byte("before"), plainEntry(&e)...), buf)
		require.Equal(t, e.Size(), len(buf)-6)
		got, rest, err := DecodeEntry(append(buf[6:], "after"...))
		require.NoError(t, err)
		require.Equal(t, e, got)
		require.Equal(t, []byte("after"), rest)
	})
}

func TestDamagedEntryIsRecognized(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		buf := EncodeEntry(nil, &e)
		bit := rapid.IntRange(0, 8*len(buf)-1).Draw(t, "bit")
		buf[bit/8] ^= 1 << (bit % 8)
		_, _, err := DecodeEntry(buf)
		require.Error(t, err)
		_, _, err = DecodeEntry(EncodeEntry(nil, &e)[:rapid.IntRange(0, len(buf)-1).Draw(t, "cut")])
		require.Error(t, err)
	})
}

func drawMessage(t *rapid.T) Message {
	u := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
	m := Message{
		Type: MessageType(rapid.IntRange(1, int(NumMessageTypes)-1).Draw(t, "type")),
		From: MemberID(u("from")), To: MemberID(u("to")),
		FromIncarnation: Incarnation(u("start")), ToIncarnation: Incarnation(u("known")),
		Term: Term(u("term")), LogTerm: Term(u("logterm")), Index: Index(u("index")),
		Commit: Index(u("commit")), Hint: Index(u("hint")), HintTerm: Term(u("hintterm")),
		Round: u("round"), Read: ReadID(u("read")),
		Reject: rapid.Bool().Draw(t, "reject"), Transfer: rapid.Bool().Draw(t, "transfer"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "entries") {
		m.Entries = append(m.Entries, drawEntry(t))
	}
	if data := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data"); len(data) > 0 {
		m.Data = data
	}
	return m
}

func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		buf := EncodeMessage(nil, &m)
		require.Len(t, buf, MessageSize(&m))
		got, err := DecodeMessage(buf)
		require.NoError(t, err)
		require.Equal(t, m, got)
		_, err = DecodeMessage(append(slices.Clone(buf), 0))
		require.Error(t, err)
		_, err = DecodeMessage(buf[:len(buf)-1])
		require.Error(t, err)
	})
}

func drawConfig(t *rapid.T) Config {
	var c Config
	for m := MemberID(1); m <= 8; m++ {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 1:
			c.Voters = append(c.Voters, m)
		case 2:
			c.Outgoing = append(c.Outgoing, m)
		case 3:
			c.Voters, c.Outgoing = append(c.Voters, m), append(c.Outgoing, m)
		case 4:
			c.Learners = append(c.Learners, m)
		}
	}
	return c
}

func TestConfigRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		require.NoError(t, c.Check())
		got, err := DecodeConfig(EncodeConfig(nil, c))
		require.NoError(t, err)
		require.Equal(t, c, got)
		ch := ConfigChange{Changes: []Change{}}
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			one := Change{
				Kind:   ChangeKind(rapid.IntRange(1, 4).Draw(t, "kind")),
				Member: MemberID(rapid.Uint64().Draw(t, "member")),
			}
			if data := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "context"); len(data) > 0 {
				one.Context = data
			}
			ch.Changes = append(ch.Changes, one)
		}
		back, err := DecodeChange(EncodeChange(nil, ch))
		require.NoError(t, err)
		require.Equal(t, ch, back)
	})
}

func TestWrongConfigsAreRefused(t *testing.T) {
	for _, c := range []Config{
		{Voters: []MemberID{2, 1}}, {Voters: []MemberID{1, 1}}, {Voters: []MemberID{0}},
		{Voters: []MemberID{1}, Learners: []MemberID{1}},
	} {
		_, err := DecodeConfig(EncodeConfig(nil, c))
		require.Error(t, err, "%v", c)
	}
}

// Whatever decodes must encode to the same bytes: there is one form of everything.
func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeEntry(nil, &Entry{Term: 1, Index: 2, Type: EntryNormal, Data: []byte("x")}))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if e, rest, err := DecodeEntry(buf); err == nil {
			require.Equal(t, buf[:len(buf)-len(rest)], EncodeEntry(nil, &e))
		}
	})
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeMessage(nil, &Message{Type: MsgHeartbeat, From: 1, To: 2, Data: []byte("d")}))
	f.Add(EncodeMessage(nil, &Message{Type: MsgAppend, From: 1, To: 2, Entries: []Entry{
		{Term: 1, Index: 1, Type: EntryNormal}, {Term: 1, Index: 2, Type: EntryEmpty},
	}}))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if m, err := DecodeMessage(buf); err == nil {
			require.Equal(t, buf, EncodeMessage(nil, &m))
		}
	})
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeConfig(nil, Config{Voters: []MemberID{1, 2}, Learners: []MemberID{3}}))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if c, err := DecodeConfig(buf); err == nil {
			require.Equal(t, buf, EncodeConfig(nil, c))
		}
	})
}

func FuzzDecodeChange(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeChange(nil, ConfigChange{Changes: []Change{
		{Kind: AddVoter, Member: 4, Context: []byte("addr")}, {Kind: RemoveMember, Member: 2},
	}}))
	f.Fuzz(func(t *testing.T, buf []byte) {
		if c, err := DecodeChange(buf); err == nil {
			require.Equal(t, buf, EncodeChange(nil, c))
		}
	})
}
