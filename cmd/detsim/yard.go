package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/detcd/detcd/sim"
)

// mutant is one planted bug: a patch with a head of "key: value" lines before its first diff.
//
//	id: B05
//	class: raft log replication
//	rarity: common
//	oracle: DURABLE LIN RAFT
//	story: The follower acknowledges an append before its log is synced.
type mutant struct {
	file    string // absolute
	id      string
	class   string
	rarity  string
	story   string
	oracles []string
	changes []string // files, in the repository
}

func (m *mutant) expects(o sim.Oracle) bool { return slices.Contains(m.oracles, string(o)) }

// loadMutants reads the heads of all patches of a directory, in the order of their names.
func loadMutants(dir string) ([]mutant, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []mutant
	for _, f := range files {
		m, err := readHead(f)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no patch in %s", dir)
	}
	return all, nil
}

func readHead(file string) (mutant, error) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return mutant{}, err
	}
	data, err := os.ReadFile(absolute)
	if err != nil {
		return mutant{}, err
	}
	m := mutant{file: absolute}
	head, patch, _ := strings.Cut(string(data), "\n\n")
	for line := range strings.Lines(patch) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "--- a/"); ok {
			m.changes = append(m.changes, name)
		}
	}
	for line := range strings.Lines(head) {
		key, value, found := strings.Cut(strings.TrimSpace(line), ": ")
		if !found {
			continue
		}
		switch key {
		case "id":
			m.id = value
		case "class":
			m.class = value
		case "rarity":
			m.rarity = value
		case "story":
			m.story = value
		case "oracle":
			m.oracles = strings.Fields(value)
		}
	}
	if m.id == "" || m.class == "" || m.rarity == "" || len(m.oracles) == 0 {
		return m, fmt.Errorf("%s: the head needs id, class, rarity and oracle", file)
	}
	return m, nil
}

// choose keeps the bugs with the given ids; all if there are none.
func choose(all []mutant, ids []string) ([]mutant, error) {
	if len(ids) == 0 {
		return all, nil
	}
	var chosen []mutant
	for _, id := range ids {
		i := slices.IndexFunc(all, func(m mutant) bool { return m.id == id })
		if i < 0 {
			return nil, fmt.Errorf("no planted bug has the id %s", id)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// yard is a scratch copy of the repository in which one bug is planted at a time.
type yard struct {
	copy     string // root of the copy
	binaries string
}

// newYard copies what the repository tracks, as it is in the working tree or in a commit.
func newYard(repo, commit, scratch string) (*yard, error) {
	y := &yard{copy: filepath.Join(scratch, "copy"), binaries: filepath.Join(scratch, "bin")}
	for _, dir := range []string{y.copy, y.binaries} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if commit != "" {
		archive := filepath.Join(scratch, "commit.tar")
		if _, err := output(repo, "git", "archive", "-o", archive, commit); err != nil {
			return nil, err
		}
		_, err := output(y.copy, "tar", "xf", archive)
		return y, err
	}
	listed, err := output(repo, "git", "ls-files", "-z", "--cached", "--others",
		"--exclude-standard")
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(listed), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(repo, name), filepath.Join(y.copy, name)); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue // tracked, and removed in the working tree
			}
			return nil, err
		}
	}
	return y, nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// plant applies a patch, builds the front end, and takes the patch back.
func (y *yard) plant(m *mutant) (binary string, err error) {
	undo, err := y.keep(m)
	if err != nil {
		return "", err
	}
	// The files are put back as they were: a patch with little context, reversed, may find another
	// place than its own, and would leave its bug to all that come after.
	defer func() { err = errors.Join(err, undo()) }()
	if err := y.apply(m); err != nil {
		return "", err
	}
	return y.build(m.id)
}

func (y *yard) apply(m *mutant) error {
	if _, err := output(y.copy, "git", "apply", "--unidiff-zero", m.file); err != nil {
		return fmt.Errorf("%s does not apply: %w", m.id, err)
	}
	return nil
}

// build builds the front end.
func (y *yard) build(name string) (binary string, err error) {
	binary = filepath.Join(y.binaries, name)
	_, err = output(y.copy, "go", "build", "-buildvcs=false", "-pgo=off", "-o", binary,
		"./cmd/detsim")
	return binary, err
}

// keep remembers the files that a patch changes; undo puts them back.
func (y *yard) keep(m *mutant) (undo func() error, err error) {
	before := make([][]byte, len(m.changes))
	for i, name := range m.changes {
		if before[i], err = os.ReadFile(filepath.Join(y.copy, name)); err != nil {
			return nil, err
		}
	}
	return func() error {
		var errs []error
		for i, name := range m.changes {
			errs = append(errs, os.WriteFile(filepath.Join(y.copy, name), before[i], 0o644))
		}
		return errors.Join(errs...)
	}, nil
}

// output runs a command in a directory; what it complained about becomes the error. The copy is
// no repository of its own, and must not be taken for a part of one around it.
func output(dir, name string, args ...string) ([]byte, error) {
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err,
			strings.TrimSpace(complaint.String()))
	}
	return out.Bytes(), nil
}

// firstFailure hunts with a planted binary and returns the failure with the lowest seed, nil if
// there is none.
func firstFailure(binary string, start, seeds uint64, jobs int) (*verdict, error) {
	c := exec.Command(binary, "run", "--json", "--quiet",
		"--from", strconv.FormatUint(start, 10), "--seeds", strconv.FormatUint(seeds, 10),
		"--jobs", strconv.Itoa(jobs))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	var first *verdict
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v verdict
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return nil, errors.Join(fmt.Errorf("not a verdict: %w", err), c.Wait())
		}
		if v.Oracle != "" && (first == nil || v.Seed < first.Seed) {
			first = &v
		}
	}
	err = errors.Join(lines.Err(), c.Wait())
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && first != nil) {
		return nil, err
	}
	return first, nil
}
