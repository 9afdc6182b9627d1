package sim

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// Record is what happened in a run, each list in the order of its happening, for people: the
// space-time diagram is drawn from it. A run fills it in when Options ask for one. Watching changes
// nothing: no draw, no event and no word of the trace depends on it.
//
// Times are virtual nanoseconds, events their numbers; endpoints are places of the network.
type Record struct {
	// Endpoints names every place of the network: members first, then clients, the operator, the
	// world itself, and watchers.
	Endpoints []string
	Members   int
	IDs       []raft.MemberID // of the members, at the end
	States    []StateRecord
	Messages  []MessageRecord
	Disk      []DiskRecord
	Faults    []FaultRecord
	Lives     []LifeRecord
	Notes     []NoteRecord
	Calls     []CallRecord
	Watches   []WatchRecord
	// Picture is the judgement to draw the clients' history from.
	Picture linearizability.Result
}

// StateRecord is a member after an event that changed it.
type StateRecord struct {
	Member int
	At     int64
	Event  uint64
	Run    uint32 // number of the process
	kv.State
}

// LifeRecord is a change of whether a member runs.
type LifeRecord struct {
	Member int
	At     int64
	Event  uint64
	Life   Life
	Reason string
}

// Life says what a member's process does.
type Life uint8

// The choices.
const (
	Started   Life = iota
	Stopped        // the process died, its machine goes on
	PowerLost      // the machine lost power
	Lost           // it stays down for good
	Frozen         // the process stands still
	Thawed
)

// String says it in words.
func (l Life) String() string {
	return [...]string{"starts", "stops", "loses power", "is lost for good", "stands still",
		"goes on"}[l]
}

// NoteRecord is what a node says.
type NoteRecord struct {
	Member int
	At     int64
	Event  uint64
	Text   string
}

// FaultRecord is a fault from its beginning to its end.
type FaultRecord struct {
	ID       uint32
	Kind     FaultKind
	From, To int64 // To is -1 when it had not ended by the end of the run
	Event    uint64
	Members  netsim.Set
	Text     string
	Felt     uint64 // what it did: messages, operations, crashes
}

// MessageKind is a raft.MessageType, or one of the kinds of client traffic.
type MessageKind uint8

// Client traffic, behind raft's types.
const (
	KindRequest MessageKind = 64 + iota
	KindAnswer
	KindWatchUp
	KindWatchDown
)

// String names the kind.
func (k MessageKind) String() string {
	if k < KindRequest {
		return messageName(raft.MessageType(k))
	}
	return [...]string{"request", "answer", "watch-up", "watch-down"}[k-KindRequest]
}

// MessageRecord is one message and what became of it. Which fields mean something depends on Kind.
type MessageRecord struct {
	Kind     MessageKind
	From, To netsim.Endpoint
	Sent     int64
	Event    uint64
	Why      netsim.Why // what the network did to it when it was sent
	Copies   []CopyRecord
	// Raft's messages, without their content; First and Last are those of the entries, if any.
	Term, LogTerm, HintTerm          raft.Term
	Index, Commit, First, Last, Hint raft.Index
	Round                            uint64
	Read                             raft.ReadID
	Rejects                          bool
	Bytes                            int
	// Requests and answers: the call; of answers, the code, where the log holds the write, the
	// index that permitted the read, what the member had applied, and the revision.
	Call               uint64
	Code               kv.Code
	Broken             bool
	Confirmed, Applied raft.Index
	Revision           int64
	// Watch traffic: the stream, and in short what is said on it.
	Stream uint32
	Watch  WatchResponse
}

// WatchResponse is what one response of a watch stream brings.
type WatchResponse struct {
	ID          int64
	Revision    int64 // in its header
	First, Last int64 // revisions of its events
	Events      int
	Text        string // created, canceled and the like
}

// CopyRecord is one copy of a message.
type CopyRecord struct {
	At      int64  // when it arrives, or would have
	Event   uint64 // 0 while it is under way
	Outcome Outcome
	Why     netsim.Why // why it was refused
}

// Outcome is what became of a copy.
type Outcome uint8

// The outcomes.
const (
	Underway  Outcome = iota // the run ended before it arrived
	Delivered                //
	Refused                  // by the network, see Why
	Altered                  // its bits were wrong, and its connection was given up
	Unheard                  // nobody was there to take it
)

// String says it in words.
func (o Outcome) String() string {
	return [...]string{"under way", "delivered", "dropped", "altered", "nobody there"}[o]
}

// DiskRecord is one operation of a disk.
type DiskRecord struct {
	Member                  int
	Lane                    diskio.Lane
	Kind                    diskio.Kind
	File                    string
	Offset, Length          int64
	Submitted, Begun, Ended int64 // -1 for what did not happen
	Event, EndEvent         uint64
	Status                  diskio.Status
	Fate                    DiskFate
	// Of a write to the log: its entries, term and vote.
	First, Last raft.Index
	Term        raft.Term
	Vote        raft.MemberID
}

// DiskFate is what became of an operation.
type DiskFate uint8

// The fates.
const (
	Pending  DiskFate = iota // not finished when the run ended
	Finished                 //
	Lied                     // reported as done, and is not durable
	Dropped                  // the process or the machine stopped before it was finished
)

// String says it in words.
func (f DiskFate) String() string {
	return [...]string{"pending", "done", "lied about", "lost by a crash"}[f]
}

// CallRecord is one request of a client from its sending to its end.
type CallRecord struct {
	Number           uint64
	Client           netsim.Endpoint
	Text             string
	Sent, Ended      int64 // Ended is -1 for one that has no end
	End              string
	Answer           string
	Member           int // asked last
	Tries            int
	Revision         int64
	Effective        raft.Index // where the log has it, as far as it took effect
	EffectiveAt      int64
	Answered, Failed bool
}

// WatchRecord is one watcher on one stream, as its client saw it.
type WatchRecord struct {
	Client netsim.Endpoint
	Member int
	Stream uint32
	ID     int64
	Text   string
	Start  int64
	Seen   []SeenRecord
}

// SeenRecord is a response when its client reads it.
type SeenRecord struct {
	At int64
	WatchResponse
}
