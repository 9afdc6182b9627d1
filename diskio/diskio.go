// Package diskio is the disk door: the one way in which the store meets durable media.
//
// The core never calls a disk. It hands out Op values, which the driver submits, and it gets
// Completion values back as inputs. Two worlds implement the door: the operating system's disk
// (package diskio/osdisk) and the simulated one (package diskio/simdisk), and one conformance
// suite (package diskio/conformance) judges both.
//
// Three shapes of access exist:
//
//   - Op values, performed in lanes: strictly in order within a lane, concurrently between lanes.
//   - Recovery: an Open function reads through a Reader before the node's first step.
//   - Positional reads of sealed files through a Reader, the only call a step or a view may make.
//
// What it promises after a crash is exactly what POSIX promises, no more: a Write is volatile until
// a Sync of that file completed; a created, renamed or removed name is volatile until a SyncDir of
// its directory completed; sectors of unsynced writes may be old, new or garbage in any mixture.
package diskio

import (
	"errors"
	"fmt"
)

// Lane is a queue of operations that are performed in the order of their submission. Different
// lanes proceed concurrently and promise nothing about each other.
type Lane uint8

// The lanes of a node.
const (
	LaneLog    Lane = iota // raft's log: appends, votes, terms; nothing else may delay it
	LaneEngine             // the engine's segments, state files and manifests
	LaneBulk               // reads of old log entries, the preparation and removal of log segments
	NumLanes
)

// Kind says what an Op does.
type Kind uint8

// The kinds of operation. File names are slash-separated and relative to the data directory.
const (
	_        Kind = iota
	Write         // write Data at Offset; creates the file when missing, extends it when needed
	Sync          // make the file's content and size durable
	Allocate      // make the file Length bytes long, space claimed, new bytes zeros; creates it
	Truncate      // cut the file to Length bytes
	Rename        // give File the name To, replacing what To named
	Remove        // remove the name; removing a missing file succeeds
	SyncDir       // make the names in directory File durable
	MakeDir       // create directory File; succeeds when it exists
	Read          // read Length bytes at Offset; fewer only at the end of the file
)

// String returns the name of k.
func (k Kind) String() string {
	names := [...]string{"?", "write", "sync", "allocate", "truncate", "rename", "remove",
		"syncdir", "makedir", "read"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Ticket names one operation to whoever issued it. The issuer chooses it; the door only hands it
// back.
type Ticket uint64

// Op is one disk operation as a plain value.
type Op struct {
	Ticket Ticket
	Lane   Lane
	Kind   Kind
	File   string
	To     string // Rename: the new name
	Offset int64  // Write, Read: bytes from the start of the file
	Length int64  // Read, Allocate, Truncate: bytes
	// Data is what a Write writes. It must not change from Submit until the Op's Completion was
	// delivered; the disk neither changes it nor looks at it afterwards.
	Data []byte
}

// String describes o in one line.
func (o Op) String() string {
	switch o.Kind {
	case Write:
		return fmt.Sprintf("write %s @%d +%d", o.File, o.Offset, len(o.Data))
	case Read:
		return fmt.Sprintf("read %s @%d +%d", o.File, o.Offset, o.Length)
	case Allocate, Truncate:
		return fmt.Sprintf("%s %s to %d", o.Kind, o.File, o.Length)
	case Rename:
		return fmt.Sprintf("rename %s to %s", o.File, o.To)
	}
	return fmt.Sprintf("%s %s", o.Kind, o.File)
}

// Status is the outcome of an operation, as a value that can be recorded and compared.
type Status uint8

// The outcomes.
const (
	OK       Status = iota
	NotFound        // the file does not exist
	NoSpace         // the disk is full; nothing of a Write may be assumed to have happened
	Failed          // the device reported an error
)

// The errors that a Status stands for; a Reader returns errors that match them with errors.Is.
var (
	ErrNotFound = errors.New("diskio: file does not exist")
	ErrNoSpace  = errors.New("diskio: no space left on device")
	ErrFailed   = errors.New("diskio: device error")
)

// Err returns the error that s stands for, nil for OK.
func (s Status) Err() error {
	switch s {
	case OK:
		return nil
	case NotFound:
		return ErrNotFound
	case NoSpace:
		return ErrNoSpace
	}
	return ErrFailed
}

// Completion reports the end of one Op.
type Completion struct {
	Ticket Ticket
	Lane   Lane
	Kind   Kind
	File   string
	Status Status
	Detail string // for people: the operating system's words when Status is not OK
	Data   []byte // Read: what was read; owned by the receiver
}

// FileInfo describes one file of a directory listing.
type FileInfo struct {
	Name string // base name
	Size int64
}

// Reader reads files synchronously. It is safe for concurrent use in production.
type Reader interface {
	// ReadAt fills p from offset off of the file. It returns the number of bytes read, which is
	// less than len(p) only with io.EOF or another error.
	ReadAt(file string, p []byte, off int64) (int, error)
	// Size returns the file's length in bytes, or ErrNotFound.
	Size(file string) (int64, error)
	// List returns the regular files of a directory, sorted by name; a missing directory is empty.
	List(dir string) ([]FileInfo, error)
	// SectorSize is the unit in bytes that the device writes as a whole at best. Durable data must
	// never share a sector with data that is written later.
	SectorSize() int
}

// Disk is the whole door. Submit never blocks on the device; every submitted Op is answered by one
// Completion, delivered in the way of its world (a simulated event, an inbox in production).
type Disk interface {
	Reader
	Submit(op Op)
}
