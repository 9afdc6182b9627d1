package raft

import (
	"encoding/binary"
	"fmt"
)

// The durable forms of a configuration and of a change to one. All numbers are little-endian.
//
//	Config        | form 1 | voters 4 | outgoing 4 | learners 4 | that many members, 8 bytes each
//	ConfigChange  | form 1 | changes 4 | then each: kind 1 | context length 4 | member 8 | context
//
// Whoever stores them adds a checksum.

const configForm = 1

// EncodeConfig appends c's durable form to buf.
func EncodeConfig(buf []byte, c Config) []byte {
	le := binary.LittleEndian
	buf = append(buf, configForm)
	lists := [...][]MemberID{c.Voters, c.Outgoing, c.Learners}
	for _, list := range lists {
		buf = le.AppendUint32(buf, uint32(len(list)))
	}
	for _, list := range lists {
		for _, m := range list {
			buf = le.AppendUint64(buf, uint64(m))
		}
	}
	return buf
}

// DecodeConfig reads a Config that fills buf exactly and checks its invariant.
func DecodeConfig(buf []byte) (Config, error) {
	if len(buf) < 13 {
		return Config{}, errShort
	}
	if buf[0] != configForm {
		return Config{}, errForm
	}
	le := binary.LittleEndian
	rest := buf[13:]
	var lists [3][]MemberID
	for k := range lists {
		n := uint64(le.Uint32(buf[1+4*k:]))
		if n*8 > uint64(len(rest)) {
			return Config{}, errShort
		}
		for ; n > 0; n-- {
			lists[k] = append(lists[k], MemberID(le.Uint64(rest)))
			rest = rest[8:]
		}
	}
	if len(rest) != 0 {
		return Config{}, errTrailing
	}
	c := Config{Voters: lists[0], Outgoing: lists[1], Learners: lists[2]}
	if err := c.Check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// changeHeaderSize is the length of one change without its context.
const changeHeaderSize = 13

// EncodeChange appends c's durable form to buf.
func EncodeChange(buf []byte, c ConfigChange) []byte {
	le := binary.LittleEndian
	buf = append(buf, configForm)
	buf = le.AppendUint32(buf, uint32(len(c.Changes)))
	for i := range c.Changes {
		ch := &c.Changes[i]
		buf = append(buf, byte(ch.Kind))
		buf = le.AppendUint32(buf, uint32(len(ch.Context)))
		buf = le.AppendUint64(buf, uint64(ch.Member))
		buf = append(buf, ch.Context...)
	}
	return buf
}

// DecodeChange reads a ConfigChange that fills buf exactly. Contexts alias buf.
func DecodeChange(buf []byte) (ConfigChange, error) {
	if len(buf) < 5 {
		return ConfigChange{}, errShort
	}
	if buf[0] != configForm {
		return ConfigChange{}, errForm
	}
	le := binary.LittleEndian
	count, rest := uint64(le.Uint32(buf[1:])), buf[5:]
	if count*changeHeaderSize > uint64(len(rest)) {
		return ConfigChange{}, errShort
	}
	c := ConfigChange{Changes: make([]Change, count)}
	for i := range c.Changes {
		if len(rest) < changeHeaderSize {
			return ConfigChange{}, errShort
		}
		kind, size := ChangeKind(rest[0]), uint64(le.Uint32(rest[1:]))
		if kind == 0 || kind > LeaveJoint {
			return ConfigChange{}, fmt.Errorf("%w: kind of change %d", errRange, kind)
		}
		c.Changes[i] = Change{Kind: kind, Member: MemberID(le.Uint64(rest[5:]))}
		rest = rest[changeHeaderSize:]
		if size > uint64(len(rest)) {
			return ConfigChange{}, errShort
		}
		if size > 0 {
			c.Changes[i].Context = rest[:size:size]
		}
		rest = rest[size:]
	}
	if len(rest) != 0 {
		return ConfigChange{}, errTrailing
	}
	return c, nil
}
