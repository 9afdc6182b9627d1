package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// The time of a write may end while it is half applied. Its client hears of that, and nothing more.
func TestAWriteThatTimesOutHalfAppliedIsAnsweredOnce(t *testing.T) {
	w := newWorld(t, 1, func(l *Limits) { l.StepUnits = 50 })
	w.leader()
	for i := range 300 {
		w.put(0, fmt.Sprintf("k%03d", i), "v")
	}
	m := w.members[0]
	const token = 9001
	raw := []byte{0x0a, 1, 'a', 0x12, 1, 'z'} // everything from a to z
	m.inbox = append(m.inbox, Input{Kind: InputRequest,
		Request: &Request{Token: token, Method: MethodDeleteRange, Raw: raw}})
	for m.driver.Node.apply == nil {
		w.turn(m)
	}
	w.now += m.driver.Node.requestTimeout()
	m.inbox = append(m.inbox, Input{Kind: InputTick, Mono: w.now, Wall: w.now})
	w.turn(m)
	require.NotNil(t, m.driver.Node.apply)
	require.True(t, w.answers[token].Code.Maybe())
	w.settle() // which finds a second answer
	require.Nil(t, m.driver.Node.apply)
	require.Empty(t, w.get(0, "k000").Kvs)
}
