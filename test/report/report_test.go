package report

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/sim"
	"github.com/detcd/detcd/sim/report"
)

// longestOf is the number of seeds among which the longest is looked for.
const longestOf = 8

// longest writes the report of the default seed with the most events.
func longest(t *testing.T) (file string, seed uint64) {
	t.Helper()
	most := uint64(0)
	for s := uint64(1); s <= longestOf; s++ {
		r := sim.Run(s, sim.Options{History: sim.SkipHistory})
		if r.Counts.Events > most {
			most, seed = r.Counts.Events, s
		}
	}
	plan := sim.Generate(seed)
	var out bytes.Buffer
	_, err := report.Run(&out, &plan, report.Origin{})
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "run.html")
	require.NoError(t, os.WriteFile(file, out.Bytes(), 0o600))
	return file, seed
}

func TestALongRunOpensAndCanBeExplored(t *testing.T) {
	file, seed := longest(t)
	info, err := os.Stat(file)
	require.NoError(t, err)
	p := open(t, file)
	t.Logf("seed %d: %d events, %d bytes, drawn %.0f ms after navigation began", seed,
		int(p.number("run.events")), info.Size(), p.number("document.body.dataset.ready"))

	require.Contains(t, p.text("#verdict"), "This run passed")
	require.Equal(t, "density", p.drawn())
	from, to := p.span()
	require.Equal(t, from, 0.0)
	require.InDelta(t, p.number("run.end"), to, p.number("run.end")/20)
	require.Positive(t, p.inked(), "the canvas is empty")

	t.Run("zoom", func(t *testing.T) {
		p.do(chromedp.Click(chromedp.CSS("#zoom-in")))
		a, b := p.span()
		require.InDelta(t, (to-from)/2, b-a, 2)
		p.do(chromedp.Click(chromedp.CSS("#zoom-out")))
		a, b = p.span()
		require.InDelta(t, to-from, b-a, 2)
		p.wheel(700, 300, -1200)
		a, b = p.span()
		require.Less(t, b-a, (to-from)/4, "the wheel zooms in")
		p.wheel(700, 300, -2500)
		p.wheel(700, 300, -2000)
		p.settled()
		require.Equal(t, "lines", p.drawn())
		p.do(chromedp.Click(chromedp.CSS("#whole")))
		a, b = p.span()
		require.InDelta(t, to-from, b-a, to/20)
	})
	t.Run("filter", func(t *testing.T) {
		all := p.number("canvas.dataset.messages")
		p.do(chromedp.SendKeys(chromedp.CSS("#filter"), "append-resp member"),
			chromedp.WaitVisible(chromedp.CSS("#matches:not(:empty)")))
		p.poll("view.matching !== null")
		p.settled()
		few := p.number("canvas.dataset.messages")
		require.Positive(t, few)
		require.Less(t, few, all)
		p.do(chromedp.SendKeys(chromedp.CSS("#filter"), "\r"))
		p.settled()
		require.Contains(t, p.text("#details h2"), "append-resp")
		p.do(chromedp.Evaluate[chromedp.Void](`$("filter").value = ""; applyFilter()`))
		p.settled()
		p.do(chromedp.Click(chromedp.CSS("#whole")))
		p.settled()
		require.Equal(t, all, p.number("canvas.dataset.messages"))
	})
	t.Run("members and kinds", func(t *testing.T) {
		all := p.number("canvas.dataset.messages")
		p.do(chromedp.Click(`//button[contains(., "member 0")]`))
		p.settled()
		require.Less(t, p.number("canvas.dataset.messages"), all)
		p.do(chromedp.Click(`//button[contains(., "member 0")]`))
		p.settled()
		require.Equal(t, all, p.number("canvas.dataset.messages"))
	})
	t.Run("a click shows the state", func(t *testing.T) {
		p.do(chromedp.Click(chromedp.CSS("#whole")))
		p.settled()
		p.click(900, p.number("view.lanes[1].y + 15"))
		require.Contains(t, p.text("#details h2"), "member 1")
		details := p.text("#details")
		for _, word := range []string{"role", "term", "commit", "applied", "durable up to",
			"revision", "detsim step"} {
			require.Contains(t, details, word)
		}
	})
	t.Run("history", func(t *testing.T) {
		p.do(chromedp.Click(chromedp.CSS(`[data-tab=history]`)), chromedp.WaitVisible(chromedp.CSS("#history iframe")))
		require.Zero(t, p.number("$('diagram').offsetHeight"), "one tab at a time")
		p.poll(`document.querySelector("#history iframe").contentDocument.querySelectorAll(
	"svg rect").length > 10`)
		p.do(chromedp.Click(chromedp.CSS(`[data-tab=diagram]`)))
	})
}

// bugs are planted, and what a reader of the report has to be told.
var bugs = []struct{ id, says string }{
	{"B05", "before its disk has synced entries"},
	{"B20", "although the read index is"},
	{"B37", "ever leaves"},
}

func TestAFailureIsToldInWordsAndInThePicture(t *testing.T) {
	for _, bug := range bugs {
		shrunk, whole := planted(t, bug.id)
		t.Run(bug.id+" shrunk", func(t *testing.T) { told(t, shrunk, bug.says) })
		t.Run(bug.id+" whole", func(t *testing.T) { told(t, whole, bug.says) })
	}
}

// told opens the report of a failure, which has to say some words.
func told(t *testing.T, file, says string) {
	p := open(t, file)
	require.Contains(t, p.text("#verdict"), "This run failed")
	require.NotEmpty(t, p.text("#message"))
	require.Contains(t, p.text("#story"), says)

	from, to := p.span()
	at := p.number("run.verdict.at")
	require.Less(t, from, at)
	require.Less(t, at, to)
	require.Equal(t, "lines", p.drawn())

	p.do(chromedp.Click(chromedp.CSS("#story li.key")))
	p.settled()
	require.Contains(t, p.text("#details"), "member")
	p.do(chromedp.Click(chromedp.CSS(`[data-tab=plan]`)))
	require.Contains(t, p.text("#plan-text"), "seed")
}

// planted hunts a bug in a copy of the repository with its patch, and returns the reports of the
// shrunk run and of the whole one.
func planted(t *testing.T, id string) (shrunk, whole string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	work := t.TempDir()
	copied := filepath.Join(work, "repository")
	command(t, root, "git", "clone", "--quiet", "--shared", root, copied)
	diff := command(t, root, "git", "diff", "HEAD", "--binary")
	if diff != "" {
		apply := exec.Command("git", "apply")
		apply.Dir, apply.Stdin = copied, strings.NewReader(diff)
		out, err := apply.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	command(t, copied, "git", "apply", "--unidiff-zero", "sim/mutants/"+id+".patch")
	command(t, copied, "go", "build", "-o", "detsim", "./cmd/detsim")
	hunt := exec.Command("./detsim", "run", "--seeds", "300", "--jobs", "1", "--quiet",
		"--report", work)
	hunt.Dir = copied
	out, err := hunt.CombinedOutput()
	require.Error(t, err, "nothing was found: %s", out)
	reports, err := filepath.Glob(filepath.Join(work, "seed-*.html"))
	require.NoError(t, err)
	require.Len(t, reports, 2, string(out)) // seed-N-whole.html before seed-N.html
	require.Contains(t, reports[0], "whole")
	return reports[1], reports[0]
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// drawn says how messages are drawn: as lines or as a density.
func (p *page) drawn() string {
	p.t.Helper()
	return value(p, chromedp.Evaluate[string]("canvas.dataset.drawn"))
}

// inked counts the colours of the canvas's pixels beyond its background.
func (p *page) inked() float64 {
	p.t.Helper()
	return p.number(`new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width,
		canvas.height).data.buffer)).size - 1`)
}

func (p *page) poll(expression string) {
	p.t.Helper()
	require.True(p.t, value(p, chromedp.Poll[bool](expression)))
}

// wheel turns the wheel over a point of the window.
func (p *page) wheel(x, y, delta float64) {
	p.t.Helper()
	const across = 0.01 // the protocol leaves out a zero and then misses it
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.DispatchMouseEvent, input.DispatchMouseEventParams{
			Type: chromedp.MouseWheel, X: x, Y: y, DeltaX: across, DeltaY: delta})
		return err
	}))
	p.settled()
}
