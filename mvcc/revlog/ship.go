package revlog

import "github.com/detcd/detcd/diskio"

// Shipment is a pinned checkpoint on its way to one receiver, as numbered chunks.
type Shipment struct{ epoch uint64 }

// Ship pins the newest durable checkpoint; ok is false when there is none.
func (l *Log) Ship(chunkBytes int) (s *Shipment, ok bool) { panic("not yet") }

// Offer is the header that the receiver needs first (it includes the State).
func (s *Shipment) Offer() (c Checkpoint, header []byte) { panic("not yet") }

// Chunk returns chunk n (from 0), whole records read from sealed files and verified, and whether
// it exists. It is stateless, so chunks can be asked for again.
func (l *Log) Chunk(s *Shipment, n int) (data []byte, ok bool, err error) { panic("not yet") }

// EndShip releases the pins.
func (l *Log) EndShip(s *Shipment) { panic("not yet") }

// Receiver builds a new Log from a shipment beside the running one, in files whose names no
// generation uses.
type Receiver struct{ log *Log }

// Receive starts a receiver for an offer's header. generation numbers continue l's.
func (l *Log) Receive(header []byte) (*Receiver, Checkpoint, error) { panic("not yet") }

// Chunk takes chunk n, which must be the next one (others: ok false, nothing happens), verifies it
// and calls visit for each of its records in order.
func (r *Receiver) Chunk(n int, data []byte, visit func(rec Record) error) (ok bool, err error) {
	panic("not yet")
}

// Next is the number of the chunk expected next; done is true when all have come.
func (r *Receiver) Next() (n int, done bool) { panic("not yet") }

// Flush and Complete are as on Log.
func (r *Receiver) Flush(ops []diskio.Op) []diskio.Op { panic("not yet") }

// Complete handles the completion of one of the receiver's operations.
func (r *Receiver) Complete(c diskio.Completion) error { panic("not yet") }

// Install starts making the received state the newest manifest generation on disk.
func (r *Receiver) Install() { panic("not yet") }

// Installed returns the log that replaces the running one once the generation is durable.
func (r *Receiver) Installed() (*Log, Loaded, bool) { panic("not yet") }

// Abort gives up: the returned operations remove the files. It must not be called after Install.
func (r *Receiver) Abort(ops []diskio.Op) []diskio.Op { panic("not yet") }

// Check verifies the invariants: segments partition the revision space in order, offset tables
// match records, counters match contents. It reads everything.
func (l *Log) Check() error { panic("not yet") }
