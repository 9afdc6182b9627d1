package main

// A step is one request of a sequence, as data: it is generated before anything runs, so it names
// what only the run knows (the current revision, a lease that the server drew an id for, the key
// of a lock) by a symbol, and the run replaces symbols by what each server said. So a sequence
// means the same on a store of any age, and a step can be left out without changing the others.

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// kind is how a step is performed.
type kind uint8

const (
	call      kind = iota // a request with one answer, or a stream of answers that ends
	keepAlive             // a message on a stream of its own, whose sending side is closed then
	watch                 // a message on a watch stream, which the first message opens
	watchEnd              // the watch stream is cancelled
	notice                // the watchers of a stream are told of progress without asking
	expiry                // a call, once the lease that it asks about has ended by itself
	begin                 // a call that waits for others while the next steps are performed
	finish                // its answer
	handmade              // a call with headers that no client sends
	second                // a call that comes when a second of the clock has just begun
)

var kindNames = map[kind]string{notice: "told of progress", expiry: "when it has expired",
	begin: "begin", finish: "finish"}

// identity is who sends a request: an index into users, or one of the odd ones.
type identity uint8

const (
	nobody identity = iota
	asRoot
	asAlice
	asBob
	wrongToken
	numIdentities
)

var users = [numIdentities]string{asRoot: "root", asAlice: "alice", asBob: "bob"}

func password(user string) string { return "password of " + user }

// tokenKey is the metadata that carries a token.
type tokenKey uint8

const (
	inToken tokenKey = iota
	inAuthorization
	asBearer
	numTokenKeys
)

var tokenKeys = [numTokenKeys]string{inToken: "token", inAuthorization: "authorization",
	asBearer: "authorization: Bearer"}

// step is one request.
type step struct {
	kind    kind
	method  string        // full method, "/service/method"
	request proto.Message // with symbols
	raw     []byte        // instead of request: bytes that are no message of the method
	as      identity
	stream  int               // of a watch message; number of a call that was begun
	leader  bool              // with the metadata hasleader
	blocks  bool              // may wait for others or never end: gets a short deadline
	headers map[string]string // of a request made by hand
	token   tokenKey
	version string // of the client's API, as it says
	ordered bool   // the order of the answer counts where chance decides it otherwise
}

// The symbols are integers far from everything that a request names in earnest: a number of the
// symbol's kind in the high bits plus an offset.
const (
	symbolShift = 48

	symRevision = 1 // the store's revision, plus the offset
	symCompact  = 2 // the compacted revision, plus the offset
	symLease    = 3 // the lease in a slot
	symMember   = 4 // slot 0: the member itself; others: members that were added
	symOwner    = 5 // the create revision of the key that the last campaign of a slot got
	numSymbols  = 6
)

var symbolNames = [numSymbols]string{symRevision: "rev", symCompact: "compacted",
	symLease: "lease", symMember: "member", symOwner: "owner"}

func symbol(kind, offset int64) int64 { return kind<<symbolShift + offset }

func splitSymbol(v int64) (kind, offset int64, ok bool) {
	kind = (v + 1<<(symbolShift-1)) >> symbolShift
	return kind, v - kind<<symbolShift, kind > 0 && kind < numSymbols
}

// Symbols among bytes: a value of a size that depends on the server's limits, the key that a lock
// or a campaign got.
const (
	sizePrefix  = "@size:"
	ownerPrefix = "@owner:"
)

// newPeer is an address that no step before has named. The id of a new member depends on its address
// and the second only, so etcd knows one again that was removed a moment ago.
const newPeer = "@peer"

func sizedValue(offset int) []byte { return []byte(sizePrefix + strconv.Itoa(offset)) }

func ownerKey(slot int) []byte { return []byte(ownerPrefix + strconv.Itoa(slot)) }

func bytesSymbol(v []byte, prefix string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(string(v), prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil
}

// change replaces one scalar of a message.
type change func(protoreflect.Message, protoreflect.FieldDescriptor,
	protoreflect.Value) protoreflect.Value

// walk hands every scalar that is set to c, depth first.
func walk(m protoreflect.Message, c change) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		message := f.Message() != nil
		switch {
		case f.IsMap(): // only the health service's, of services by name
		case f.IsList() && message:
			for i := range v.List().Len() {
				walk(v.List().Get(i).Message(), c)
			}
		case f.IsList():
			for i := range v.List().Len() {
				v.List().Set(i, c(m, f, v.List().Get(i)))
			}
		case message:
			walk(v.Message(), c)
		default:
			m.Set(f, c(m, f, v))
		}
		return true
	})
}

func isInteger(f protoreflect.FieldDescriptor) bool {
	return f.Kind() == protoreflect.Int64Kind || f.Kind() == protoreflect.Uint64Kind
}

func integer(f protoreflect.FieldDescriptor, v protoreflect.Value) int64 {
	if f.Kind() == protoreflect.Uint64Kind {
		return int64(v.Uint())
	}
	return v.Int()
}

func integerValue(f protoreflect.FieldDescriptor, v int64) protoreflect.Value {
	if f.Kind() == protoreflect.Uint64Kind {
		return protoreflect.ValueOfUint64(uint64(v))
	}
	return protoreflect.ValueOfInt64(v)
}

const longValue = 100 // bytes of a value that are printed

// describe prints a message with symbols as names and long values cut.
func describe(m proto.Message) string {
	m = proto.Clone(m)
	names := map[string]string{}
	walk(m.ProtoReflect(), func(_ protoreflect.Message, f protoreflect.FieldDescriptor,
		v protoreflect.Value,
	) protoreflect.Value {
		switch {
		case isInteger(f):
			n := integer(f, v)
			if kind, offset, ok := splitSymbol(n); ok {
				name := symbolNames[kind]
				if offset != 0 || kind > symCompact {
					name += fmt.Sprintf("%+d", offset)
				}
				names[strconv.FormatInt(n, 10)] = name
			}
		case f.Kind() == protoreflect.BytesKind && len(v.Bytes()) > longValue:
			cut := bytes.Clone(v.Bytes()[:longValue/4])
			return protoreflect.ValueOfBytes(fmt.Appendf(cut, "... %d bytes", len(v.Bytes())))
		}
		return v
	})
	text := strings.Join(strings.Fields(prototext.MarshalOptions{EmitUnknown: true}.Format(m)), " ")
	for number, name := range names {
		text = strings.ReplaceAll(text, number, name)
	}
	return text
}

// String is the step on one line.
func (s *step) String() string {
	var b strings.Builder
	b.WriteString(strings.TrimPrefix(s.method, "/"))
	if s.kind == watch || s.kind == watchEnd {
		fmt.Fprintf(&b, " on stream %d", s.stream)
	}
	switch {
	case s.kind == watchEnd:
		b.WriteString(", cancelled")
	case s.raw != nil:
		fmt.Fprintf(&b, " %q", s.raw)
	default:
		fmt.Fprintf(&b, " {%s}", describe(s.request))
	}
	if s.as == wrongToken {
		b.WriteString(" with a wrong token")
	} else if s.as != nobody {
		b.WriteString(" as " + users[s.as])
	}
	if s.token != inToken {
		b.WriteString(" by " + tokenKeys[s.token])
	}
	for name, value := range s.headers {
		fmt.Fprintf(&b, " with %s %q", name, value)
	}
	if name := kindNames[s.kind]; name != "" {
		fmt.Fprintf(&b, " (%s %d)", name, s.stream)
	}
	if s.leader {
		b.WriteString(" with hasleader")
	}
	return b.String()
}
