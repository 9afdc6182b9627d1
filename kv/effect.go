package kv

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv/watch"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// Effects is what a step wants done. The driver performs it at once, in the order of the fields.
// The lists are reused by the next step; bytes that they lead to are immutable for ever.
type Effects struct {
	Disk    []diskio.Op
	Sends   []raft.Message
	Answers []Answer
	Reads   []Read
	Watch   []watch.Delivery // what watch streams get, in order; see Delivery for how long
	// Passwords are to be hashed or compared off the loop; each ends in an InputPassword.
	Passwords []PasswordJob
	Notes     []Note
	// Applied lists the entries whose effects became visible in this step; filled only when
	// Config.Observed asks for it. The simulator's commit oracle reads it.
	Applied []raft.Entry
	// Again asks for an InputAgain in a later turn, after messages and ticks that wait.
	Again bool
	// Halt, when not empty, says why the node has stopped for good: it is the last step, and
	// nothing but Notes is set beside it.
	Halt string
}

// Answer is the outcome of one request. When Code is OK, the pieces of Body, one after the other,
// are the protobuf response message in wire form. Pieces that a Read borrowed from its scratch's
// Buffers are the answer's alone.
type Answer struct {
	Token Token
	Code  Code
	Body  [][]byte
	// Index is where the log holds the write that this answers, 0 for reads and refusals;
	// Revision is the store's revision in the answer. Both are for observers.
	Index    raft.Index
	Revision mvcc.Revision
	// Confirmed is the read index that permitted the answer to a linearizable read, 0 for all else
	// and where it is not known any more; Applied is the index whose state the answer shows. Both
	// are for observers.
	Confirmed, Applied raft.Index
	// Auth is the auth revision at which an Authenticate was granted, for an edge that signs its
	// own tokens; 0 for all others.
	Auth uint64
}

// Note is something people may want to know, in the shape of a log line.
type Note struct {
	Level   Level
	Message string
	Fields  []Field
}

// Level grades a Note.
type Level uint8

// The levels.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Field is one named value of a Note.
type Field struct {
	Name, Value string
}

// Header is the content of a response header.
type Header struct {
	Cluster  uint64
	Member   raft.MemberID
	Revision mvcc.Revision
	Term     raft.Term
}

// reset empties the lists for the next step, keeping their room. What watches got may be large, and
// is let go.
func (e *Effects) reset() {
	clear(e.Watch)
	*e = Effects{Disk: e.Disk[:0], Sends: e.Sends[:0], Answers: e.Answers[:0],
		Reads: e.Reads[:0], Watch: e.Watch[:0], Passwords: e.Passwords[:0], Notes: e.Notes[:0],
		Applied: e.Applied[:0]}
}
