// A member without a server: its node runs on the caller's goroutine, alone, with nobody to talk to
// and a clock that only passes when there is nothing else to do. So what a stopped member's log
// holds can be applied, and what another store's log holds can be replayed, by the same code as in
// production, as fast as the disk allows.
package server

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// patienceTicks is how many ticks an answer may take. A node that is alone elects itself at once.
const patienceTicks = 1000

// offline is a node and the little world around it.
type offline struct {
	driver  kv.Driver
	tick    int64
	mono    int64
	inputs  []kv.Input
	token   kv.Token
	answer  *kv.Answer
	granted *kv.Read
	hash    []byte // of the password in the request that waits
	reason  string // why the node has stopped

	mu       sync.Mutex
	arrived  sync.Cond
	done     []diskio.Completion
	inFlight int
}

// counted is a disk that knows what it still owes.
type counted struct {
	diskio.Disk
	o *offline
}

func (c counted) Submit(op diskio.Op) {
	c.o.mu.Lock()
	c.o.inFlight++
	c.o.mu.Unlock()
	c.Disk.Submit(op)
}

func newOffline() *offline {
	o := &offline{}
	o.arrived.L = &o.mu
	return o
}

// completed takes an operation's end, on any goroutine.
func (o *offline) completed(c diskio.Completion) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inFlight--
	o.done = append(o.done, c)
	o.arrived.Signal()
}

// open starts the node. The disk must hand its completions to o.completed.
func (o *offline) open(cfg kv.Config, disk diskio.Disk) error {
	node, err := kv.Open(cfg, disk)
	if err != nil {
		return err
	}
	o.tick = cfg.TickNanos
	o.driver = kv.Driver{Node: node, Disk: counted{disk, o}, Network: o, Edge: o}
	o.inputs = append(o.inputs, kv.Input{Kind: kv.InputAgain})
	return nil
}

// turn lets the node take what has happened. When nothing has, it waits for the disk, and when the
// disk has nothing to do either, time passes.
func (o *offline) turn() (ticked bool, err error) {
	o.mu.Lock()
	for len(o.done) == 0 && o.inFlight > 0 && len(o.inputs) == 0 {
		o.arrived.Wait()
	}
	done := o.done
	o.done = nil
	o.mu.Unlock()
	turn := o.inputs
	o.inputs = nil
	for i := range done {
		turn = append(turn, kv.Input{Kind: kv.InputDisk, Done: &done[i]})
	}
	if len(turn) == 0 {
		ticked = true
		o.mono += o.tick
		turn = append(turn, kv.Input{Kind: kv.InputTick, Mono: o.mono,
			Wall: time.Now().UnixNano()})
	}
	again, halted := o.driver.Turn(turn)
	if halted {
		return ticked, errors.New(o.reason)
	}
	if again {
		o.inputs = append(o.inputs, kv.Input{Kind: kv.InputAgain})
	}
	return ticked, nil
}

// until takes turns until something holds.
func (o *offline) until(what string, holds func() bool) error {
	for ticks := 0; !holds(); {
		ticked, err := o.turn()
		if err != nil {
			return err
		}
		if ticked {
			ticks++
		}
		if ticks > patienceTicks {
			return fmt.Errorf("the member, alone, does not come to %s", what)
		}
	}
	return nil
}

// ready waits until the node leads and has applied all that its log held.
func (o *offline) ready() error {
	held := o.driver.Node.State().Raft.Last
	return o.until("apply its log", func() bool {
		s := o.driver.Node.State()
		return s.Ready && s.Applied >= held
	})
}

// ask sends a request and waits for its answer, or for what it is granted.
func (o *offline) ask(r kv.Request) error {
	o.token++
	r.Token = o.token
	o.answer, o.granted = nil, nil
	o.inputs = append(o.inputs, kv.Input{Kind: kv.InputRequest, Request: &r})
	return o.until("answer", func() bool { return o.answer != nil || o.granted != nil })
}

// call asks and decodes the answer; response may be nil.
func (o *offline) call(r kv.Request, response proto.Message) (kv.Code, error) {
	if err := o.ask(r); err != nil {
		return kv.OK, err
	}
	if o.granted != nil {
		a := o.granted.Run(&mvcc.Scratch{})
		o.release()
		if words := a.Damage(); words != "" {
			return a.Code, errors.New(words)
		}
		o.answer = &a
	}
	if o.answer.Code != kv.OK || response == nil {
		return o.answer.Code, nil
	}
	return kv.OK, proto.Unmarshal(joined(o.answer.Body), response)
}

// backup grants the whole state to use, which reads it.
func (o *offline) backup(use func(*kv.Backup) error) error {
	own := &kv.Identity{Own: true}
	if err := o.ask(kv.Request{Method: kv.MethodSnapshot, Identity: own}); err != nil {
		return err
	}
	if o.granted == nil {
		return fmt.Errorf("the member refuses a backup: %s", o.answer.Code.Text())
	}
	defer o.release()
	b, err := o.granted.Backup()
	if err != nil {
		return err
	}
	return use(b)
}

func (o *offline) release() {
	o.inputs = append(o.inputs, kv.Input{Kind: kv.InputViewEnd, View: o.granted.View})
}

// settle waits until the disk has done what it was asked for.
func (o *offline) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.inFlight > 0 {
		o.arrived.Wait()
	}
}

// Send has nobody to send to.
func (o *offline) Send(raft.Message) {}

// Answer takes the answer to the request that waits.
func (o *offline) Answer(a kv.Answer) {
	if a.Token == o.token {
		o.answer = &a
	}
}

// Read takes what the request that waits is granted.
func (o *offline) Read(r kv.Read) { o.granted = &r }

// Watch has no watchers.
func (o *offline) Watch(*kv.WatchDelivery) {}

// Password answers with the hash that a replayed entry holds.
func (o *offline) Password(j kv.PasswordJob) {
	o.inputs = append(o.inputs, kv.Input{Kind: kv.InputPassword,
		Password: &kv.PasswordResult{ID: j.ID, Hash: o.hash}})
}

// Note has no log to write to.
func (o *offline) Note(kv.Note) {}

// Halt keeps why the node has stopped.
func (o *offline) Halt(reason string) { o.reason = reason }
