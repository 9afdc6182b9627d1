package mvcc

// Shipping: a member that is too far behind gets the newest durable checkpoint. The log ships whole
// records and verifies them on both sides; here is only what the index adds: the receiver builds a
// second one, record by record as chunks arrive, beside the engine that still answers reads.

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/mvcc/revlog"
)

// ReceiverTickets is the offset from Options.TicketBase of the tickets that receivers use; the
// engine's own are below it.
const ReceiverTickets = revlog.ReceiverTickets

// ShipmentError says that a peer's offer or chunk is not what a peer may send.
type ShipmentError = revlog.ShipmentError

// Shipment is a pinned checkpoint on its way to one receiver: a list of chunks by number.
type Shipment struct {
	log *revlog.Shipment
}

// Ship pins the newest durable checkpoint; ok is false when there is none.
func (e *Engine) Ship() (s *Shipment, ok bool) {
	shipped, ok := e.log.Ship(int(e.opt.StepBytes))
	if !ok {
		return nil, false
	}
	return &Shipment{log: shipped}, true
}

// Offer is the header that the receiver needs first: the manifest, the length of a chunk, and the
// state; the number of chunks follows from the first two.
func (s *Shipment) Offer() (applied, term uint64, header []byte) {
	c, header := s.log.Offer()
	return c.Applied, c.Term, header
}

// Chunk returns chunk n (from 0) as bytes to send, and whether it exists. It reads sealed files.
func (e *Engine) Chunk(s *Shipment, n int) (data []byte, ok bool, err error) {
	data, ok, err = e.log.Chunk(s.log, n)
	if err != nil {
		return nil, false, fmt.Errorf("mvcc: read chunk %d of a shipment: %w", n, err)
	}
	return data, ok, nil
}

// EndShip releases the pins.
func (e *Engine) EndShip(s *Shipment) { e.log.EndShip(s.log) }

// Receiver builds a new engine from a shipment, chunk by chunk, beside the running one. Each chunk
// is verified record by record, indexed and written in bounded steps.
type Receiver struct {
	opt     Options
	log     *revlog.Receiver
	rebuild *rebuild
}

// Receive starts a receiver for an offer's header; its files get names that no engine uses.
func (e *Engine) Receive(header []byte) (*Receiver, error) {
	log, c, err := e.log.Receive(header)
	if err != nil {
		return nil, fmt.Errorf("mvcc: receive a shipment: %w", err)
	}
	return &Receiver{opt: e.opt, log: log, rebuild: newRebuild(c, e.opt)}, nil
}

// Chunk takes chunk n, which must be the next one; others are ignored (ok false). After an error
// the receiver can only be aborted.
func (r *Receiver) Chunk(n int, data []byte) (ok bool, err error) {
	ok, err = r.log.Chunk(n, data, r.rebuild.add)
	if err != nil {
		if bad := (*recordError)(nil); errors.As(err, &bad) {
			err = &ShipmentError{Chunk: n, Reason: bad.Error()}
		}
		return false, fmt.Errorf("mvcc: receive chunk %d: %w", n, err)
	}
	return ok, nil
}

// Next is the number of the chunk expected next; done is true when all have come.
func (r *Receiver) Next() (n int, done bool) { return r.log.Next() }

// Unwritten is the number of bytes that were taken in and not yet written, for flow control.
func (r *Receiver) Unwritten() int64 { return r.log.Unwritten() }

// Flush and Complete are as on Engine; Installed turns true when the new manifest generation is
// durable, which happens only after Install.
func (r *Receiver) Flush(ops []diskio.Op) []diskio.Op { return r.log.Flush(ops) }

// Complete handles the completion of one of the receiver's operations.
func (r *Receiver) Complete(c diskio.Completion) error { return r.log.Complete(c) }

// Full and Retry are as on Engine, for an installation. A transfer that is still coming in when the
// disk is full fails.
func (r *Receiver) Full() bool { return r.log.Full() }

// Retry lets an installation that met a full disk write again.
func (r *Receiver) Retry() { r.log.Retry() }

// Install makes the received state the newest manifest generation on disk (after all chunks).
func (r *Receiver) Install() { r.log.Install() }

// Installed returns the engine that replaces the running one, once it is durable.
func (r *Receiver) Installed() (*Engine, Loaded, bool) {
	log, loaded, ok := r.log.Installed()
	if !ok {
		return nil, Loaded{}, false
	}
	return newEngine(r.opt, log, r.rebuild), publicLoaded(loaded), true
}

// Abort gives up; the returned operations remove the files. It must not be called after Install.
func (r *Receiver) Abort(ops []diskio.Op) []diskio.Op { return r.log.Abort(ops) }
