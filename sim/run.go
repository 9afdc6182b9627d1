// Package sim is the simulated world: a cluster of real nodes over a simulated clock, network and
// disk, with clients that use it and oracles that judge it, all driven by one seed.
//
// A seed becomes a Plan (plan.go), a plan becomes a run (world.go): one heap of events, each a
// value, performed one after the other by one goroutine. What the nodes do is production's code,
// kv.Driver and all below it; only the doors are the world's (doors.go, disk.go, clock.go). Faults
// follow the plan (faults.go, strike.go). Oracles (oracle*.go, ledger.go) know the truth of the
// whole world and object during the run; the clients' histories are judged after it (history.go).
//
// Everything is deterministic: equal plans give equal trace hashes (trace.go), on every machine.
package sim

import (
	"io"

	"github.com/detcd/detcd/diskio/keyed"
	"github.com/detcd/detcd/netsim"
)

// Options say how a run is watched. They never change what happens in it.
type Options struct {
	Trace io.Writer // readable form of every event; nil for none
	// From and To number the events that Result.Window holds.
	From, To uint64
	// MaxEvents ends a run that does not end by itself; 0 is DefaultMaxEvents.
	MaxEvents uint64
	// Record, if not nil, is filled with all that happens, for people.
	Record *Record
	// History says whether the clients' histories are judged after the run.
	History Judging
}

// Judging says whether histories are judged.
type Judging uint8

// The choices.
const (
	JudgeHistory Judging = iota
	SkipHistory          // for measurements of the simulator itself
)

// DefaultMaxEvents bounds a run of the usual length many times over.
const DefaultMaxEvents = 20_000_000

// Counts says what happened in a run.
type Counts struct {
	Events, Turns, Messages, Encoded, DiskOps, Reads  uint64
	Starts, Crashes, PowerLosses, Halts, Refusals     uint64
	TornSectors, LostSectors, LostNames               uint64
	Requests, Calls, Answered, Refused, Lost, Commits uint64
	Elections, Offers, Installs                       uint64
	Chunks, Resumed                                   uint64 // of range streams
	Reshapes, Changes, Joints, Alarms                 uint64
	Recovery                                          int64 // longest time to recover, nanoseconds
	Virtual                                           int64 // length of the run, nanoseconds
	Undecided                                         uint64
	Unreadable                                        uint64 // altered messages that do not decode
	WatchResponses, WatchEvents, BrokenStreams        uint64
	Passwords                                         uint64
	Injected, Felt                                    [numFaultKinds]uint64
}

// Result is the outcome of a run.
type Result struct {
	Seed    uint64
	Failure *Failure // nil if no oracle objected
	Verdict Verdict
	Hash    uint64 // of the whole trace
	Counts  Counts
	// Checkpoints are the trace's hashes every 4096 events, Window the events asked for.
	Checkpoints []uint64
	Window      []TracedEvent
	// Probes says how often each probe was reached, in the order of ProbeNames.
	Probes []uint64
	// Acts says how often each client of the plan came to its turn.
	Acts []uint64
}

// Run generates a seed's plan and runs it.
func Run(seed uint64, options Options) Result {
	plan := Generate(seed)
	return RunPlan(&plan, options)
}

// RunPlan runs a plan.
func RunPlan(plan *Plan, options Options) Result {
	if options.MaxEvents == 0 {
		options.MaxEvents = DefaultMaxEvents
	}
	w := newWorld(plan, &options)
	w.run(&options)
	if w.failure == nil && options.History == JudgeHistory {
		w.judge()
	}
	w.tally()
	if w.record != nil {
		w.record.finish()
	}
	return Result{
		Seed: plan.Seed, Failure: w.failure, Verdict: w.budget, Hash: w.trace.hash,
		Counts:      w.counts,
		Checkpoints: w.trace.checkpoints, Window: w.trace.window,
		Probes: w.probes.total(), Acts: w.acts(),
	}
}

func (w *world) acts() (all []uint64) {
	for i := range w.plan.Scripts {
		all = append(all, w.clients[i].act)
	}
	return all
}

// tally completes the counts.
func (w *world) tally() {
	w.counts.Events, w.counts.Virtual = w.trace.events, w.now
	for i := range w.faults {
		f, s := &w.plan.Faults[i], &w.faults[i]
		w.counts.Injected[f.Kind] += s.injected
		for k, m := range w.members {
			kind := unreliable[f.Kind]
			if kind > 0 && s.members.Has(netsim.Endpoint(k)) &&
				m.disk.Counts().Felt[kind] > s.before {
				s.felt++
			}
		}
		if s.felt > 0 || w.net.Felt(f.ID) > 0 {
			w.counts.Felt[f.Kind]++
		}
	}
}

// ConfigHash identifies what a seed means in this version of the code: it changes when the
// generator does.
func ConfigHash() uint64 {
	var h uint64
	for seed := range uint64(16) {
		plan := Generate(seed)
		h = keyed.Hash(h, keyed.String(plan.String()))
	}
	return h
}
