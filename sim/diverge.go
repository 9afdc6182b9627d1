package sim

import "fmt"

// Divergence is where two runs that should be equal part.
type Divergence struct {
	Event uint64 // number of the first event that differs
	// First and Second are what the two runs did around it, the differing event included.
	First, Second []TracedEvent
}

// String shows both windows.
func (d *Divergence) String() string {
	text := fmt.Sprintf("the runs differ from event %d on\n", d.Event)
	for i, window := range [][]TracedEvent{d.First, d.Second} {
		text += fmt.Sprintf("run %d:\n", i+1)
		for _, e := range window {
			text += fmt.Sprintf("  %8d %016x %s\n", e.Number, e.Hash, e.Text)
		}
	}
	return text
}

// around is how many events before and after a difference are shown.
const around = 8

// Diverge runs a plan twice and looks for the first event at which the runs differ; nil says that
// they are equal. Only the stretch between two checkpoints is compared event by event, in a second
// pair of runs; should those part elsewhere, as they may when nothing is deterministic, that is the
// place reported.
func Diverge(plan *Plan) *Divergence {
	first := RunPlan(plan, Options{History: SkipHistory})
	second := RunPlan(plan, Options{History: SkipHistory})
	if first.Hash == second.Hash && first.Counts.Events == second.Counts.Events {
		return nil
	}
	from := uint64(0)
	for i := range min(len(first.Checkpoints), len(second.Checkpoints)) {
		if first.Checkpoints[i] != second.Checkpoints[i] {
			break
		}
		from = uint64(i+1) * checkpointEvery
	}
	for {
		window := Options{History: SkipHistory, From: from, To: from + checkpointEvery}
		first, second = RunPlan(plan, window), RunPlan(plan, window)
		if d := compareWindows(first.Window, second.Window); d != nil || from == 0 {
			return d
		}
		from -= min(from, checkpointEvery)
	}
}

func compareWindows(first, second []TracedEvent) *Divergence {
	for i := range max(len(first), len(second)) {
		if i < len(first) && i < len(second) && first[i] == second[i] {
			continue
		}
		lo := max(0, i-around)
		d := &Divergence{First: clip(first, lo, i+around), Second: clip(second, lo, i+around)}
		if i < len(first) {
			d.Event = first[i].Number
		} else {
			d.Event = second[i].Number
		}
		return d
	}
	return nil
}

func clip(events []TracedEvent, lo, hi int) []TracedEvent {
	hi = min(hi, len(events))
	return events[min(lo, hi):hi]
}
