package report

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// patience bounds one test in the browser; it is reached only when something hangs.
const patience = 5 * time.Minute

// chromium finds the browser, and fails the test with what to do if there is none.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium is installed: apt-get install --no-install-recommends chromium")
	return ""
}

// page is a report open in a browser.
type page struct {
	t   *testing.T
	ctx context.Context
}

// open loads a report and waits until it is drawn.
func open(t *testing.T, file string) *page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox, chromedp.WindowSize(1500, 950))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx}
	absolute, err := filepath.Abs(file)
	require.NoError(t, err)
	p.do(chromedp.Navigate("file://"+absolute), chromedp.WaitReady("body[data-ready]"))
	return p
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, actions...))
}

// value performs an action that returns something.
func value[T any](p *page, action chromedp.Action[T]) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, action)
	require.NoError(p.t, err)
	return v
}

// text is what an element shows.
func (p *page) text(selector string) string {
	p.t.Helper()
	return strings.TrimSpace(value(p, chromedp.Text(chromedp.CSS(selector))))
}

// number is the value of an expression of the page's script.
func (p *page) number(expression string) float64 {
	p.t.Helper()
	return value(p, chromedp.Evaluate[float64]("Number("+expression+")"))
}

// settled waits until the page has drawn what it was last asked for.
func (p *page) settled() {
	p.t.Helper()
	require.True(p.t, value(p, chromedp.Evaluate[bool](`new Promise(r => requestAnimationFrame(
		() => requestAnimationFrame(() => r(true))))`, chromedp.EvalAwaitPromise)))
}

// span is the part of the run that the diagram shows, in nanoseconds.
func (p *page) span() (from, to float64) {
	p.t.Helper()
	p.settled()
	return p.number("canvas.dataset.from"), p.number("canvas.dataset.to")
}

// click presses at a point of the canvas, as a reader does.
func (p *page) click(x, y float64) {
	p.t.Helper()
	left, top := p.number("canvas.getBoundingClientRect().left"),
		p.number("canvas.getBoundingClientRect().top")
	p.do(chromedp.MouseClickXY(left+x, top+y))
	p.settled()
}
