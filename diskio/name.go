package diskio

import "strings"

// File names cross from the core into a file system, and some are read back from manifests and
// peers' snapshots, so a name is judged by the door itself: it can never leave the data directory,
// and it means the same file on every system. Symbolic links inside the data directory are the
// operator's own business and are followed.

// maxName bounds a whole name in bytes; no file system in use accepts much longer ones.
const maxName = 1024

// ValidFile says whether name may name a file: slash-separated, relative, and without empty, "."
// or ".." elements.
func ValidFile(name string) bool {
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "\\\x00:") {
		return false
	}
	for rest, more := name, true; more; {
		var element string
		element, rest, more = strings.Cut(rest, "/")
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

// ValidDir says whether name may name a directory: as ValidFile, or "" or "." for the data
// directory itself.
func ValidDir(name string) bool {
	return name == "" || name == "." || ValidFile(name)
}
