package sim

import "testing"

// Virtual seconds of a cluster under load, every oracle on.
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		plan := BenchPlan(5, 100, 30*second)
		r := RunPlan(&plan, Options{})
		if r.Failure != nil {
			b.Fatal(r.Failure)
		}
	}
}
