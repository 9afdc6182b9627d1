package kv

import (
	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv/watch"
	"github.com/detcd/detcd/raft"
)

// Network sends messages to other members, best effort: a message may be lost, repeated, delayed
// or reordered, but never altered without notice.
type Network interface {
	Send(m raft.Message)
}

// Edge is where answers go.
type Edge interface {
	Answer(a Answer)
	// Read takes over a read: run it, answer it, and hand in an InputViewEnd.
	Read(r Read)
	// Watch takes a response to all its recipients. d is lent until the turn ends; the bytes that
	// its Body leads to are not.
	Watch(d *watch.Delivery)
	// Password hashes a password or compares it, and hands in an InputPassword.
	Password(j PasswordJob)
	Note(n Note)
	// Halt says that the node has stopped for good and why.
	Halt(reason string)
}

// Driver performs a node's effects. It is the only code between the node and the world, the same
// in production and in the simulator. It is not safe for concurrent use: one loop owns it.
type Driver struct {
	Node    *Node
	Disk    diskio.Disk
	Network Network
	Edge    Edge

	effects Effects
	halted  bool
}

// Turn steps the node through everything that has happened since the last turn and performs the
// effects. It says whether the node asks for another turn (an InputAgain), and whether it halted.
func (d *Driver) Turn(inputs []Input) (again, halted bool) {
	if d.halted {
		return false, true
	}
	out := &d.effects
	d.Node.Step(inputs, out)
	if out.Halt != "" {
		d.halted = true
		for _, n := range out.Notes {
			d.Edge.Note(n)
		}
		d.Edge.Halt(out.Halt)
		return false, true
	}
	for _, op := range out.Disk {
		d.Disk.Submit(op)
	}
	for i := range out.Sends {
		d.Network.Send(out.Sends[i])
	}
	// Notes before answers: whoever hears that a change is done finds it in what the edge shows.
	for _, n := range out.Notes {
		d.Edge.Note(n)
	}
	for _, a := range out.Answers {
		d.Edge.Answer(a)
	}
	for _, r := range out.Reads {
		d.Edge.Read(r)
	}
	for i := range out.Watch {
		d.Edge.Watch(&out.Watch[i])
	}
	for _, j := range out.Passwords {
		d.Edge.Password(j)
	}
	return out.Again, false
}

// Effects gives observers the list of the last turn, until the next one.
func (d *Driver) Effects() *Effects { return &d.effects }
