package sim

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func condition(t *testing.T, text string) Condition {
	t.Helper()
	c, err := ParseCondition(text)
	require.NoError(t, err)
	return c
}

// Whichever way an event is reached, the members are the same there.
func TestAWalkIsTheSameBothWays(t *testing.T) {
	plan := Generate(quick)
	walk := NewWalk(&plan)
	require.NoError(t, walk.Goto(20_000))
	there, err := walk.View(0)
	require.NoError(t, err)
	head := walk.Head()

	require.NoError(t, walk.Goto(25_000))
	beyond, err := walk.View(0)
	require.NoError(t, err)
	require.NotEmpty(t, Differences(there, beyond))

	require.NoError(t, walk.Goto(20_001))
	back, err := walk.Back()
	require.NoError(t, err)
	require.True(t, back)
	again, err := walk.View(0)
	require.NoError(t, err)
	require.Equal(t, there, again)
	require.Equal(t, head, walk.Head())
}

// A walk to the end is the run.
func TestAWalkEndsAsTheRunDoes(t *testing.T) {
	plan := Generate(quick)
	walk := NewWalk(&plan)
	require.NoError(t, walk.Until(condition(t, "end")))
	require.True(t, walk.Over())
	require.Equal(t, Run(quick, Options{History: SkipHistory}).Hash, walk.world.trace.hash)
	require.ErrorContains(t, walk.Goto(1<<40), "the run ends with event")
}

func TestConditionsAreMetWhereTheyBecomeTrue(t *testing.T) {
	plan := Generate(quick)
	walk := NewWalk(&plan)
	highest := func() (term, commit uint64) {
		for _, m := range walk.world.members {
			if m.life == up {
				g := m.driver.Node.Glance()
				term, commit = max(term, uint64(g.Term)), max(commit, uint64(g.Commit))
			}
		}
		return term, commit
	}
	for _, text := range []string{"term:3", "commit:200"} {
		require.NoError(t, walk.First(condition(t, text)))
		n, _ := walk.Event()
		term, commit := highest()
		require.True(t, term >= 3 && text == "term:3" || commit >= 200 && text == "commit:200")
		require.NoError(t, walk.Goto(n-1))
		term, commit = highest()
		require.True(t, term < 3 && text == "term:3" || commit < 200 && text == "commit:200")
	}
	require.NoError(t, walk.First(condition(t, "answer:50")))
	require.NotEqual(t, callPending, walk.world.calls[49].end)
	require.NoError(t, walk.First(condition(t, "fault:power")))
	first, _ := walk.Event()
	require.NoError(t, walk.Until(condition(t, "crash")))
	crash, _ := walk.Event()
	require.Greater(t, crash, first)
	require.NoError(t, walk.BackTo(condition(t, "fault:power")))
	back, _ := walk.Event()
	require.GreaterOrEqual(t, back, first)
	require.Less(t, back, crash)
	require.NoError(t, walk.First(condition(t, "time:10.5")))
	require.GreaterOrEqual(t, walk.Time(), int64(10_500_000_000))
	require.ErrorContains(t, walk.Until(condition(t, "failure")), "does not fail")
	require.ErrorContains(t, walk.Until(condition(t, "commit:99999999")), "never comes")
}

func TestConditionsThatMakeNoSenseAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"moon": "is no condition", "term": "needs a number", "term:x": "is no number",
		"failure:2": "takes no number", "fault:flood": "neither the number", "time:x": "no seconds",
	} {
		_, err := ParseCondition(text)
		require.ErrorContains(t, err, says, text)
	}
}

// Up to its event a fork is the run that it came from, and from there on it is another one.
func TestAForkLeavesThePastAlone(t *testing.T) {
	plan := Generate(quick)
	walk := NewWalk(&plan)
	require.NoError(t, walk.Goto(15_000))
	fork, err := walk.Forked(7)
	require.NoError(t, err)
	require.Equal(t, walk.world.trace.hash, fork.world.trace.hash)
	require.NoError(t, walk.Goto(15_500))
	require.NoError(t, fork.Goto(15_500))
	require.NotEqual(t, walk.world.trace.hash, fork.world.trace.hash)
	require.NotEqual(t, walk.Outcome().Hash, fork.Outcome().Hash)
	require.Nil(t, fork.Outcome().Failure)
	require.Equal(t, Generate(quick).Seed, plan.Seed, "the plan is the caller's")

	same, err := walk.Forked(7)
	require.NoError(t, err)
	require.NotEqual(t, fork.Outcome().Hash, same.Outcome().Hash, "another event")
	twice := RunPlan(fork.Plan(), Options{})
	require.Equal(t, fork.Outcome().Hash, twice.Hash, "a fork is a run like any other")
	_, err = fork.Forked(8)
	require.ErrorContains(t, err, "fork itself")
}

// A view tells what a member's disk holds for good from what it only has in its cache.
func TestViewsShowTheVolatilePartOfDisks(t *testing.T) {
	plan := Generate(quick)
	walk := NewWalk(&plan)
	found := false
	for walk.world.trace.events < 3000 && walk.Next() {
		for i := range walk.world.members {
			v, err := walk.View(i)
			require.NoError(t, err)
			for _, f := range v.section("disk") {
				found = found || strings.Contains(f.Value, "only cached")
			}
		}
		if found {
			return
		}
	}
	t.Fatal("nothing was ever cached and not durable")
}
