package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// step runs detsim step without a prompt.
func step(t *testing.T, o stepOptions) string {
	t.Helper()
	p, err := seedPlan("2", o.fork)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, o.show(p, &out))
	return out.String()
}

func TestStepShowsMembersAndDifferences(t *testing.T) {
	text := step(t, stepOptions{to: "time:10"})
	require.Contains(t, text, "event ")
	require.Contains(t, text, "member 0 (1000)")

	text = step(t, stepOptions{to: "time:10", members: []int{1}})
	for _, section := range []string{"raft", "log", "disk", "engine", "leases", "watchers",
		"queues"} {
		require.Contains(t, text, "\n"+section+"\n")
	}
	text = step(t, stepOptions{to: "time:10", members: []int{1}, sections: []string{"raft"}})
	require.NotContains(t, text, "\ndisk\n")

	text = step(t, stepOptions{to: "time:10", diff: "0,1", sections: []string{"raft"}})
	require.Contains(t, text, "- member 0 at event")
	require.Contains(t, text, "+ member 1 at event")
	require.Contains(t, text, "role")

	text = step(t, stepOptions{to: "time:10", members: []int{0}, diff: "time:5"})
	require.Contains(t, text, "commit")
}

func TestStepSaysWhatIsWrong(t *testing.T) {
	p, err := seedPlan("2", "")
	require.NoError(t, err)
	for says, o := range map[string]stepOptions{
		"is no condition": {to: "moon"},
		"is none":         {to: "5", members: []int{9}},
		"is no section":   {to: "5", sections: []string{"soul"}},
		"exactly one":     {to: "5", diff: "3"},
		"no member's":     {to: "5", diff: "0,x"},
	} {
		require.ErrorContains(t, o.show(p, &bytes.Buffer{}), says)
	}
	_, err = seedPlan("two", "")
	require.ErrorContains(t, err, "is no seed")
	_, err = seedPlan("2", "5")
	require.ErrorContains(t, err, "EVENT:SEED")
}

// session types lines at the prompt and returns what it says.
func session(t *testing.T, lines ...string) string {
	t.Helper()
	p, err := seedPlan("2", "")
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, newPrompt(p, &out).read(strings.NewReader(strings.Join(lines, "\n"))))
	return out.String()
}

func TestThePromptWalksBothWays(t *testing.T) {
	text := session(t, "goto 5000", "n", "p", "where", "show 0 raft", "diff 0 1 raft",
		"since event:4000 0 raft", "until commit:100", "back term:2", "")
	require.Contains(t, text, "event 5000 at")
	require.Contains(t, text, "event 5001 at")
	require.Equal(t, 3, strings.Count(text, "event 5000 at"), "there, back, and where")
	require.NotContains(t, text, "error:")

	text = session(t, "forward", "show", "goto", "until commit:9999999", "p", "fork 0", "unfork")
	require.Equal(t, 6, strings.Count(text, "error:"), text)

	text = session(t, "goto 20000", "fork 3", "where", "unfork", "where", "forks 1 2", "quit", "n")
	require.Contains(t, text, "fork 20001:3: ")
	require.Contains(t, text, "of 2 forks fail")
	require.NotContains(t, text, "error:")
}
