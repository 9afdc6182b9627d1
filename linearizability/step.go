package linearizability

// step is the heart of every check of the whole store: the state after op was executed on s, or
// how what the client saw differs from what it would have seen.
func (s *State) step(op *Operation) (*State, *difference) {
	if op.Outcome == OK && !op.Request.asksLeader() {
		// Most candidates of a search fail at this line, before anything is executed.
		if rev := op.Response.Revision(); rev != s.revision && rev != s.revision+1 {
			return s, differs("revision", rev, s.revision)
		}
	}
	next, res, err := s.apply(&op.Request)
	switch op.Outcome {
	case OK:
		if err != "" {
			return s, differs("answer", op.Response.message(), err)
		}
		if d := res.mismatch(&op.Response); d != nil {
			return s, d
		}
	case Failed:
		if err != op.Err {
			return s, differs("error", op.Err, err)
		}
	case Applied:
		if next == s || next.revision != op.Revision {
			return s, differs("new revision", op.Revision, next.revision)
		}
	case Unknown:
		// Any answer may have been lost.
	}
	return next, nil
}

// judged says whether op says something about the order of the store's states. A refusal that
// the model does not know says nothing, and serializable reads are judged apart, against the
// states.
func (op *Operation) judged() bool {
	if op.Outcome == Failed && !isModelled(op.Err) {
		return false
	}
	return !op.Request.Serializable()
}
