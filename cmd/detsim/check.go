package main

import (
	"errors"
	"fmt"
	"slices"
)

// check verifies that every patch applies to the code as it is, and builds. Patches of different
// files are built together, because building takes nearly all of the time; where they do not build,
// each is built alone.
func (y *yard) check(all []mutant) (broken int) {
	for batch := range batches(all) {
		whole := y.together(batch)
		for i := range batch {
			m, alone := &batch[i], whole
			if whole != nil && len(batch) > 1 {
				alone = y.together(batch[i : i+1])
			}
			if alone != nil {
				broken++
				fmt.Printf("%-6s %-22s %-11s BROKEN: %v\n", m.id, m.class, m.rarity, alone)
				continue
			}
			fmt.Printf("%-6s %-22s %-11s builds\n", m.id, m.class, m.rarity)
		}
	}
	return broken
}

// batches deals patches out so that no two of a batch change the same file.
func batches(all []mutant) func(yield func([]mutant) bool) {
	return func(yield func([]mutant) bool) {
		left := slices.Clone(all)
		for len(left) > 0 {
			var batch, rest []mutant
			taken := map[string]bool{}
			for _, m := range left {
				if slices.ContainsFunc(m.changes, func(f string) bool { return taken[f] }) {
					rest = append(rest, m)
					continue
				}
				for _, f := range m.changes {
					taken[f] = true
				}
				batch = append(batch, m)
			}
			if !yield(batch) {
				return
			}
			left = rest
		}
	}
}

// together applies patches that share no file, builds, and takes them back.
func (y *yard) together(all []mutant) (err error) {
	for i := range all {
		undo, failed := y.keep(&all[i])
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, undo()) }()
		if err = y.apply(&all[i]); err != nil {
			return err
		}
	}
	_, err = y.build("check")
	return err
}
