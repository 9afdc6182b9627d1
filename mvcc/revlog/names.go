package revlog

// The names of files. A name is used once: segment ids and generation numbers only grow, and Open
// starts above every number that it sees in a name, finished or not. So a write never meets the
// content of an earlier attempt, and a removal that a crash undoes never hits a new file.
//
//	<first main, 16 hex>-<id, 16 hex>.seg   segment
//	<generation, 16 hex>.state              state file of a generation
//	<generation, 16 hex>.manifest.tmp       manifest until its content is synced
//	<generation, 16 hex>.manifest           manifest

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

const (
	segmentSuffix  = ".seg"
	stateSuffix    = ".state"
	manifestSuffix = ".manifest"
	tmpSuffix      = ".manifest.tmp"
)

func segmentName(dir string, first Revision, id uint64) string {
	return path.Join(dir, fmt.Sprintf("%016x-%016x%s", uint64(first), id, segmentSuffix))
}

func generationName(dir string, generation uint64, suffix string) string {
	return path.Join(dir, fmt.Sprintf("%016x%s", generation, suffix))
}

// parseName returns the number and the suffix of a base name that is one of ours: a segment's id
// or a generation.
func parseName(base string) (number uint64, suffix string, ok bool) {
	hex, rest, found := strings.Cut(base, ".")
	if !found {
		return 0, "", false
	}
	suffix = "." + rest
	switch suffix {
	case segmentSuffix:
		first, id, dash := strings.Cut(hex, "-")
		if _, good := parseHex(first); !dash || !good {
			return 0, "", false
		}
		hex = id
	case stateSuffix, manifestSuffix, tmpSuffix:
	default:
		return 0, "", false
	}
	number, ok = parseHex(hex)
	return number, suffix, ok
}

func parseHex(s string) (uint64, bool) {
	if len(s) != 16 || strings.ToLower(s) != s {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return n, err == nil
}
