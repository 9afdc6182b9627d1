package linearizability

// Picture is a Result to Visualize for a history that need not be illegal: its end, or what is
// around the operation at which a replay stops.
func Picture(history []Operation) Result {
	run, result := Replay(history)
	if result.Verdict == Legal {
		result.model, result.drawn = run.around(history)
	}
	return result
}

// Drawable says whether there is something to Visualize.
func (r *Result) Drawable() bool { return len(r.drawn) > 0 }
