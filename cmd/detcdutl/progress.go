package main

// Progress of what takes long, on standard error: a bar that is drawn again in place on a terminal,
// a line now and then anywhere else. What is over within a moment says nothing.

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/detcd/detcd/server"
)

const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 40
)

// bar shows one work's progress.
type bar struct {
	out      io.Writer
	what     string
	terminal bool
	last     time.Time
	shown    bool
}

func newBar(out io.Writer, what string) *bar {
	b := &bar{out: out, what: what, last: time.Now()}
	if f, ok := out.(*os.File); ok {
		b.terminal = isatty.IsTerminal(f.Fd())
	}
	return b
}

// progress is what the work calls.
func (b *bar) progress() server.Progress {
	return func(done, total int64) {
		every := lineEvery
		if b.terminal {
			every = barEvery
		}
		if time.Since(b.last) < every || total <= 0 {
			return
		}
		b.last, b.shown = time.Now(), true
		share := int(100 * done / total)
		// There is nobody left to tell when standard error is gone.
		if b.terminal {
			full := barWidth * share / 100
			_, _ = fmt.Fprintf(b.out, "\r%s [%s%s] %3d%%", b.what, strings.Repeat("#", full),
				strings.Repeat(".", barWidth-full), share)
			return
		}
		_, _ = fmt.Fprintf(b.out, "%s: %d%%\n", b.what, share)
	}
}

// end leaves the line of the bar.
func (b *bar) end() {
	if b.terminal && b.shown {
		_, _ = fmt.Fprintln(b.out)
	}
}
