package servers

import "strings"

// unserved are prefixes of methods that detcd does not serve yet. Nothing asks for them, and a run
// of the comparison fails when detcd answers one of them after all. Pages are "http /path".
var unserved = []string{}

// Served says whether detcd has a method.
func Served(method string) bool {
	for _, prefix := range unserved {
		if strings.HasPrefix(method, prefix) {
			return false
		}
	}
	return true
}
