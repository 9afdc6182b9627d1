package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/detcd/detcd/sim"
)

// golden is a planted bug's shrunk scenario.
type golden struct {
	lines, runs int
	seconds     float64
}

// shrunkFormat is how `detsim shrink` ends.
const shrunkFormat = "%d lines after %d runs in %f s"

// readable is how many lines a scenario may have that people like to read.
const readable = 12

// shrinkBest shrinks one seed after the other, until what is left of one is readable, and keeps the
// shortest scenario. Some failures hang on a coincidence of many things that another one of the
// same bug does not need.
func shrinkBest(dir string, m *mutant, binary string, seeds []uint64, jobs int) (best golden,
	err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return best, err
	}
	took := 0.0
	for i, seed := range seeds {
		next := filepath.Join(dir, m.id+".next")
		g, err := shrinkTo(next, m, binary, seed, jobs)
		if err != nil {
			return best, err
		}
		took += g.seconds
		if i > 0 && g.lines >= best.lines {
			if err := os.Remove(next); err != nil {
				return best, err
			}
			continue
		}
		best = g
		if err := os.Rename(next, goldenFile(dir, m)); err != nil {
			return best, err
		}
		if g.lines <= readable {
			break
		}
	}
	best.seconds = took
	return best, nil
}

// shrinkTo lets a planted binary shrink a seed that it fails, and puts the bug's story on top.
func shrinkTo(file string, m *mutant, binary string, seed uint64, jobs int) (g golden, err error) {
	clean, err := os.Executable()
	if err != nil {
		return g, err
	}
	c := exec.Command(binary, "shrink", strconv.FormatUint(seed, 10), "-o", file, "--jobs",
		strconv.Itoa(jobs), "--unless", clean)
	var said strings.Builder
	c.Stderr = &said
	if err := c.Run(); err != nil {
		return g, fmt.Errorf("%s: shrinking seed %d: %w: %s", m.id, seed, err, said.String())
	}
	at := strings.LastIndexByte(strings.TrimSpace(said.String()), '\n') + 1
	_, err = fmt.Sscanf(said.String()[at:], shrunkFormat, &g.lines, &g.runs, &g.seconds)
	if err != nil {
		return g, fmt.Errorf("%s: %q is no end of shrinking: %w", m.id, said.String()[at:], err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return g, err
	}
	story := fmt.Sprintf("# planted bug %s: %s\n", m.id, m.story)
	return g, os.WriteFile(file, append([]byte(story), text...), 0o644)
}

func goldenFile(dir string, m *mutant) string { return filepath.Join(dir, m.id+".txt") }

// replayGolden says whether a planted binary still fails its scenario as written there.
func replayGolden(dir string, m *mutant, binary string) error {
	file := goldenFile(dir, m)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	s, err := sim.ParseScenario(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	out, err := exec.Command(binary, "replay", file).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("%s: does not fail any more", file)
	case !errors.As(err, &exit):
		return err
	case strings.Contains(string(out), notSeen) || s.Expect == "" ||
		!strings.Contains(string(out), "\nFAIL "):
		return fmt.Errorf("%s: fails otherwise: %s", file, out)
	}
	return nil
}

// goldens sums up what shrinking made.
func (o *mutantsOptions) goldens(all []golden) {
	if len(all) == 0 {
		return
	}
	lines, seconds := make([]int, len(all)), make([]float64, len(all))
	for i, g := range all {
		lines[i], seconds[i] = g.lines, g.seconds
	}
	slices.Sort(lines)
	slices.Sort(seconds)
	fmt.Printf("%d scenarios in %s: median %d lines, %.1f s; longest %d lines, %.1f s\n", len(all),
		o.shrink, lines[len(all)/2], seconds[len(all)/2], lines[len(all)-1], seconds[len(all)-1])
}
