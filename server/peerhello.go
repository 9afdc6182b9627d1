// The handshake between members: both sides learn whom they talk to before a message counts.
//
// The dialling side says which protocol versions and features it knows, which cluster it belongs
// to, who it is and whom it means; the other side agrees on the highest version both know and the
// features both have, or says why it refuses. A member of another cluster at a familiar address (a
// restored backup, a test beside production) is the mistake that this catches.
package server

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/raft"
)

// The protocol versions this release speaks, and its features.
const (
	minProtocol      = 1
	maxProtocol      = 1
	protocolFeatures = uint64(0)
)

// channelKind is what a connection carries. State transfers have a connection of their own, so
// that no heartbeat waits behind a gigabyte.
type channelKind uint8

const (
	channelMessages channelKind = 1
	channelBulk     channelKind = 2
	numChannels                 = 2
)

func (k channelKind) String() string {
	if k == channelBulk {
		return "bulk"
	}
	return "messages"
}

// hello is what the dialling side says first.
type hello struct {
	MinProtocol, MaxProtocol uint16
	Features                 uint64
	Cluster                  uint64
	From, To                 raft.MemberID
	Incarnation              raft.Incarnation // 0: raft's messages name their starts themselves
	Channel                  channelKind
}

const helloBytes = 2 + 2 + 8 + 8 + 8 + 8 + 8 + 1

func (h *hello) encode() []byte {
	b := make([]byte, 0, helloBytes)
	b = binary.BigEndian.AppendUint16(b, h.MinProtocol)
	b = binary.BigEndian.AppendUint16(b, h.MaxProtocol)
	b = binary.BigEndian.AppendUint64(b, h.Features)
	b = binary.BigEndian.AppendUint64(b, h.Cluster)
	b = binary.BigEndian.AppendUint64(b, uint64(h.From))
	b = binary.BigEndian.AppendUint64(b, uint64(h.To))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Incarnation))
	return append(b, byte(h.Channel))
}

// decodeHello reads a hello. What later releases append is skipped.
func decodeHello(b []byte) (hello, error) {
	if len(b) < helloBytes {
		return hello{}, fmt.Errorf("hello of %d bytes, want at least %d", len(b), helloBytes)
	}
	h := hello{
		MinProtocol: binary.BigEndian.Uint16(b[0:]),
		MaxProtocol: binary.BigEndian.Uint16(b[2:]),
		Features:    binary.BigEndian.Uint64(b[4:]),
		Cluster:     binary.BigEndian.Uint64(b[12:]),
		From:        raft.MemberID(binary.BigEndian.Uint64(b[20:])),
		To:          raft.MemberID(binary.BigEndian.Uint64(b[28:])),
		Incarnation: raft.Incarnation(binary.BigEndian.Uint64(b[36:])),
		Channel:     channelKind(b[44]),
	}
	if h.MinProtocol > h.MaxProtocol || h.From == 0 || h.To == 0 ||
		h.Channel < channelMessages || h.Channel > numChannels {
		return hello{}, errors.New("hello contradicts itself")
	}
	return h, nil
}

// errRemoved refuses, and is how the refused one knows the reason.
var errRemoved = errors.New(kv.Removed)

// welcome is the answer to a hello that is accepted.
type welcome struct {
	Protocol    uint16
	Features    uint64
	Cluster     uint64
	Member      raft.MemberID
	Incarnation raft.Incarnation
}

const welcomeBytes = 2 + 8 + 8 + 8 + 8

func (w *welcome) encode() []byte {
	b := make([]byte, 0, welcomeBytes)
	b = binary.BigEndian.AppendUint16(b, w.Protocol)
	b = binary.BigEndian.AppendUint64(b, w.Features)
	b = binary.BigEndian.AppendUint64(b, w.Cluster)
	b = binary.BigEndian.AppendUint64(b, uint64(w.Member))
	return binary.BigEndian.AppendUint64(b, uint64(w.Incarnation))
}

func decodeWelcome(b []byte) (welcome, error) {
	if len(b) < welcomeBytes {
		return welcome{}, fmt.Errorf("welcome of %d bytes, want at least %d", len(b), welcomeBytes)
	}
	return welcome{
		Protocol:    binary.BigEndian.Uint16(b[0:]),
		Features:    binary.BigEndian.Uint64(b[2:]),
		Cluster:     binary.BigEndian.Uint64(b[10:]),
		Member:      raft.MemberID(binary.BigEndian.Uint64(b[18:])),
		Incarnation: raft.Incarnation(binary.BigEndian.Uint64(b[26:])),
	}, nil
}

// identity is who this member is, for handshakes.
type identity struct {
	cluster uint64
	member  raft.MemberID
}

// hello says who dials whom.
func (id identity) hello(to raft.MemberID, channel channelKind) hello {
	return hello{
		MinProtocol: minProtocol,
		MaxProtocol: maxProtocol,
		Features:    protocolFeatures,
		Cluster:     id.cluster,
		From:        id.member,
		To:          to,
		Channel:     channel,
	}
}

// judge decides about a hello: a welcome, or the reason of a refusal.
func (id identity) judge(h *hello) (welcome, error) {
	switch {
	case h.Cluster != id.cluster:
		return welcome{}, fmt.Errorf("cluster ID mismatch: this member belongs to cluster %x, "+
			"member %v to cluster %x", id.cluster, h.From, h.Cluster)
	case h.To != id.member:
		return welcome{}, fmt.Errorf("this is member %v, not member %v", id.member, h.To)
	case h.From == id.member:
		return welcome{}, fmt.Errorf("somebody else claims to be member %v", h.From)
	case h.MinProtocol > maxProtocol || h.MaxProtocol < minProtocol:
		return welcome{}, fmt.Errorf("no common protocol: this member speaks %d to %d, "+
			"member %v speaks %d to %d", minProtocol, maxProtocol, h.From, h.MinProtocol,
			h.MaxProtocol)
	}
	return welcome{
		Protocol: min(h.MaxProtocol, maxProtocol),
		Features: h.Features & protocolFeatures,
		Cluster:  id.cluster,
		Member:   id.member,
	}, nil
}

// check verifies that a welcome comes from whom the hello meant.
func (h *hello) check(w *welcome) error {
	if w.Cluster != h.Cluster || w.Member != h.To {
		return fmt.Errorf("welcome from member %v of cluster %x, want member %v of cluster %x",
			w.Member, w.Cluster, h.To, h.Cluster)
	}
	if w.Protocol < h.MinProtocol || w.Protocol > h.MaxProtocol {
		return fmt.Errorf("peer chose protocol %d, offered were %d to %d", w.Protocol,
			h.MinProtocol, h.MaxProtocol)
	}
	return nil
}
