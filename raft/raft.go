package raft

// Settings are the fixed parameters of one Raft instance.
type Settings struct {
	ID          MemberID
	Incarnation Incarnation // this start; strictly larger than every earlier one
	// Seed keys every random draw: a draw is hash(Seed, ID, Incarnation, purpose, counter).
	Seed uint64
	// HeartbeatTicks and ElectionTicks are measured in calls of Tick. An election timeout is drawn
	// from [ElectionTicks, 2*ElectionTicks).
	HeartbeatTicks int
	ElectionTicks  int
	// MaxMessageBytes bounds the entries of one MsgAppend, MaxInflightBytes and
	// MaxInflightMessages what is unacknowledged per follower.
	MaxMessageBytes     int
	MaxInflightBytes    int
	MaxInflightMessages int
	// MaxLogBytes bounds the entries kept in memory. Entries that are durable and applied leave
	// memory first; a follower that needs older ones is served through Fetch.
	MaxLogBytes int
	// MaxUncommittedBytes bounds what a leader accepts beyond its commit index.
	MaxUncommittedBytes int
	// MaxPendingReads bounds the read rounds in flight.
	MaxPendingReads int
}

// Restored is what recovery found: the durable state this instance continues from.
type Restored struct {
	Hard HardState
	// Snapshot is the state the log starts after; its Config was in force there. The state machine
	// has applied at least Snapshot.Index, and Applied says how far.
	Snapshot Snapshot
	Applied  Index
	// Last is the last index of the log and Runs the terms of everything in it: a run starts at
	// First and reaches to the next run. All of it is durable.
	Last Index
	Runs []TermRun
	// Entries is the log's suffix that is kept in memory, ending at Last; what precedes it is
	// served through Fetch.
	Entries []Entry
	// Configs holds every EntryConfig of the log after Snapshot.Index, in order.
	Configs []Entry
}

// TermRun says that the entries from First on, up to the next run, have Term.
type TermRun struct {
	First Index
	Term  Term
}

// Raft is one member's view of the consensus: plain data, no I/O, no clock, no goroutine. Its
// methods are its inputs; each does bounded work and leaves what it wants done in an Output that
// Take hands over. It is not safe for concurrent use.
type Raft struct {
	TODO int
}

// New returns a follower that continues from st. It panics if st contradicts itself.
func New(set Settings, st Restored) *Raft { panic("todo") }

// Tick advances logical time by one. now is the wall clock in nanoseconds, used only to stamp
// entries that this member creates as a leader.
func (r *Raft) Tick(now int64) { panic("todo") }

// Receive handles a message of another member. Anything may arrive, in any order, any number of
// times; a malformed message is dropped.
func (r *Raft) Receive(m Message) { panic("todo") }

// Propose asks for entries (Type, Proposer, Incarnation, Sequence and Data are set) to be
// appended: a leader appends them as one batch, a follower forwards them to its leader, and what
// cannot be taken comes back in Output.Dropped. An EntryConfig is refused while another one is
// uncommitted, and before the leader has committed an entry of its own term.
func (r *Raft) Propose(entries []Entry) { panic("todo") }

// ReadIndex asks for a read index under id. All requests between two calls of Take share a round.
func (r *Raft) ReadIndex(id ReadID) { panic("todo") }

// Transfer makes a leader hand leadership to a voter; it is given up after an election timeout.
// Proposals are dropped meanwhile.
func (r *Raft) Transfer(to MemberID) { panic("todo") }

// Synced reports that every Append up to and including ticket t is durable.
func (r *Raft) Synced(t Ticket) { panic("todo") }

// Fetched answers a Fetch. entries are consecutive from the Lo asked for; empty says that the log
// no longer holds them (a snapshot is needed).
func (r *Raft) Fetched(id uint64, entries []Entry) { panic("todo") }

// SnapshotSent reports the end of a transfer to a member: ok when the member installed the state
// at index. Until then the member is sent no entries.
func (r *Raft) SnapshotSent(to MemberID, index Index, ok bool) { panic("todo") }

// WantsSnapshot says whether a snapshot offered at (index, term) would bring this member forward.
func (r *Raft) WantsSnapshot(index Index, term Term) bool { panic("todo") }

// Restore tells that the state machine has durably installed s (which WantsSnapshot wanted): the
// log is replaced, commit and applied move to s.Index, and an Append with the marker leaves. The
// leader hears of it once that ticket is durable.
func (r *Raft) Restore(s Snapshot) { panic("todo") }

// Compact drops entries up to and including i (applied) from the log.
func (r *Raft) Compact(i Index) { panic("todo") }

// Take moves what is to be done since the last call into out, whose slices are reused.
func (r *Raft) Take(out *Output) { panic("todo") }

// NextCommitted returns committed entries after the applied index, at most maxBytes of them but at
// least one when any is in memory. If they left memory a Fetch is in the next Output and the
// result is empty until it is answered. The slice is valid until the next call of any method.
func (r *Raft) NextCommitted(maxBytes int) []Entry { panic("todo") }

// Applied tells that the state machine has applied everything up to i.
func (r *Raft) Applied(i Index) { panic("todo") }

// Status is a copy of what people and the layers above want to know.
type Status struct {
	ID          MemberID
	Role        Role
	Term        Term
	Vote        MemberID
	Leader      MemberID // 0 when unknown
	Commit      Index
	Applied     Index
	First       Index // first index in the log
	Last        Index
	Durable     Index // last index whose final write is durable here
	Config      Config
	ConfigIndex Index // index of the entry that made Config, adopted when appended
	Transferee  MemberID
}

// Status returns the current status.
func (r *Raft) Status() Status { panic("todo") }

// Progress tells how far a leader knows a member to be; ok is false on a non-leader or a stranger.
type Progress struct {
	Match, Next Index
	State       string // probe, replicate, snapshot
	Active      bool   // heard of within the last election timeout
}

// Progress returns the leader's view of member m.
func (r *Raft) Progress(m MemberID) (Progress, bool) { panic("todo") }

// LeaderHint returns the known leader, 0 if none; cheaper than Status.
func (r *Raft) LeaderHint() MemberID { panic("todo") }

// Check verifies the internal invariants and says what is broken. For tests and the simulator.
func (r *Raft) Check() error { panic("todo") }

// EncodeEntry appends e's durable and wire form to buf: a fixed header of entryHeaderSize bytes
// (term, index, type, proposer, incarnation, sequence, time, data length, CRC32C of header and
// data), then the data.
func EncodeEntry(buf []byte, e *Entry) []byte { panic("todo") }

// DecodeEntry reads one entry from the start of buf and returns the rest. The entry's Data aliases
// buf.
func DecodeEntry(buf []byte) (e Entry, rest []byte, err error) { panic("todo") }

// EncodeMessage appends m's wire form to buf.
func EncodeMessage(buf []byte, m *Message) []byte { panic("todo") }

// DecodeMessage reads a message that fills buf exactly. Byte fields alias buf. Every length is
// checked against what buf can hold before anything is allocated.
func DecodeMessage(buf []byte) (Message, error) { panic("todo") }

// EncodeConfig and DecodeConfig are the durable form of a Config.
func EncodeConfig(buf []byte, c Config) []byte { panic("todo") }

// DecodeConfig reads a Config that fills buf exactly and checks its invariant.
func DecodeConfig(buf []byte) (Config, error) { panic("todo") }

// EncodeChange and DecodeChange are the durable form of a ConfigChange.
func EncodeChange(buf []byte, c ConfigChange) []byte { panic("todo") }

// DecodeChange reads a ConfigChange that fills buf exactly.
func DecodeChange(buf []byte) (ConfigChange, error) { panic("todo") }

const entryHeaderSize = 64
