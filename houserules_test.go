// Package detcd_test holds the rules of the house as tests. They read every Go file of the module
// and fail on what a reviewer would otherwise have to notice: code in the core that makes two runs
// of one input differ, imports that point up, files and functions too long to read, exported names
// without a word of explanation.
//
// A deliberate exception is written on the line, or the line before, with its reason:
//
//	//detcd:allow maprange: the sum does not depend on the order
package detcd_test

import (
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHouseRules(t *testing.T) {
	units, err := loadUnits(".")
	require.NoError(t, err)
	exports, err := loadExports(".", "./...")
	require.NoError(t, err)
	for _, u := range units {
		if u.inCore() {
			require.NoError(t, exports.checkTypes(u))
		}
	}
	documents := map[string]string{}
	names, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		documents[name] = string(text)
	}
	for _, f := range check(units, documents) {
		t.Error(f)
	}
}

// plant is a file with one violation, and the explanation that its author should read.
type plant struct {
	name   string
	path   string // of the file; raft/x.go when empty
	source string // after the package clause, which planted adds; a whole file if it has its own
	rule   string // empty: nothing to find
	says   string
}

var plants = []plant{
	{name: "clean", source: "// F is fine.\nfunc F() {}"},
	{name: "goroutine", source: "func f() { go f() }", rule: "go", says: "scheduler"},
	{name: "channel", source: "func f(c chan int) {}", rule: "chan", says: "values"},
	{name: "select", source: "func f() { select {} }", rule: "select", says: "random"},
	{name: "clock", source: `import "time"` + "\nvar _ = time.Now", rule: "import",
		says: "time is an input"},
	{name: "global rand", source: `import "math/rand/v2"` + "\nvar _ = rand.Int", rule: "import",
		says: "randomness"},
	{name: "lock", source: `import "sync/atomic"` + "\nvar _ atomic.Int64", rule: "import",
		says: "goroutines"},
	{name: "unsafe", source: `import "unsafe"` + "\nvar _ unsafe.Pointer", rule: "import",
		says: "addresses"},
	{name: "the edge may", path: "server/x.go", source: `import "time"` + "\nvar _ = time.Now"},
	{name: "float literal", source: "const half = 0.5", rule: "float", says: "fuse"},
	{name: "float type", source: "type t struct{ a float64 }", rule: "float", says: "fuse"},
	{name: "hidden float", source: `import "math"` + "\nfunc f(n int) bool { return math.Inf(n) == math.Inf(1) }",
		rule: "float", says: "fuse"},
	{name: "map order", source: "func f(m map[int]int) { for range m {} }", rule: "maprange",
		says: "sorted keys"},
	{name: "named map", source: "type m map[int]int\nfunc f(x struct{ m }) { for range x.m {} }",
		rule: "maprange", says: "sorted keys"},
	{name: "order of map keys",
		source: `import "maps"` + "\nfunc f(m map[int]int) { for range maps.Keys(m) {} }",
		rule:   "maprange", says: "sorted keys"},
	{name: "sorted keys", source: `import ("maps"; "slices")` +
		"\nfunc f(m map[int]int) { for range slices.Sorted(maps.Keys(m)) {} }"},
	{name: "slice", source: "func f(s []int) { for range s {} }"},
	{name: "state in the package", source: "type s struct{}\nvar x s", rule: "global",
		says: "state"},
	{name: "assigned table", source: "var x = []int{1}\nfunc f() { x[0]++ }", rule: "global",
		says: "state"},
	{name: "shrinking map", source: "var x = map[int]int{}\nfunc f() { delete(x, 1) }",
		rule: "global", says: "state"},
	{name: "constants of a kind", source: `import ("errors"; "hash/crc32")` +
		"\nvar e = errors.New(\"x\")\nvar t = crc32.MakeTable(1)\nvar a = [...]int{1}\nvar _ = a[0]"},
	{name: "function in state", source: "type t struct{ less func() bool }", rule: "funcfield",
		says: "plain data"},
	{name: "named function in state", source: "type fn func()\ntype t struct{ all []fn }",
		rule: "funcfield", says: "plain data"},
	{name: "import upwards", source: `import _ "` + module + `/kv"`, rule: "direction",
		says: "raft must not import kv"},
	{name: "worlds apart", path: "server/x.go", source: `import _ "` + module + `/sim"`,
		rule: "direction", says: "server must not import sim"},
	{name: "checker on its own", path: "linearizability/x.go",
		source: `import _ "` + module + `/mvcc"`, rule: "direction", says: "imports point down"},
	{name: "simulator shipped", path: "cmd/detcd/x.go", source: `import _ "` + module + `/netsim"`,
		rule: "direction", says: "part of the detcd binary"},
	{name: "long file", source: strings.Repeat("\n", 500), rule: "file", says: "split"},
	{name: "long function", source: "func f() {" + strings.Repeat("\n", 70) + "}",
		rule: "function", says: "move leaves out"},
	{name: "long line", source: "// " + strings.Repeat("x", 98), rule: "line", says: "101 columns"},
	{name: "long test", path: "raft/x_test.go", source: strings.Repeat("\n", 500)},
	{name: "silent function", source: "func F() {}", rule: "doc", says: "F is exported"},
	{name: "silent method", source: "// T is fine.\ntype T struct{}\nfunc (t *T) M() {}",
		rule: "doc", says: "M is exported"},
	{name: "silent constant", source: "const C = 1", rule: "doc", says: "C is exported"},
	{name: "silent package", source: "package raft", rule: "doc", says: "what it is for"},
	{name: "bool parameter", source: "// F is fine.\nfunc F(sure bool) {}", rule: "boolparam",
		says: "named type"},
	{name: "note to self", source: "// TO" + "DO: all of it", rule: "word", says: "DESIGN.md"},
	{name: "path of a machine", source: "// See /home" + "/me/notes.", rule: "path",
		says: "readers"},
	{name: "name without meaning", path: "server/util/x.go", source: "", rule: "package",
		says: "says nothing"},
	{name: "allowed",
		source: "//detcd:allow go: the test of tests\nfunc f() { go f() }"},
	{name: "allowed on the line", source: "func f() { go f() } //detcd:allow go: the test of tests"},
	{name: "allowed without a reason", source: "func f() { go f() } //detcd:allow go",
		rule: "allow", says: "needs a reason"},
	{name: "allowed for nothing", source: "//detcd:allow go: it went\nfunc f() {}", rule: "allow",
		says: "remove the annotation"},
}

func TestHouseRulesFindPlantedViolations(t *testing.T) {
	standard, err := loadExports(".", "errors", "hash/crc32", "maps", "math", "math/rand/v2", "slices",
		"sync/atomic", "time", "unsafe")
	require.NoError(t, err)
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			findings := check([]*unit{p.unit(t, standard)}, nil)
			if p.rule == "" {
				require.Empty(t, findings)
				return
			}
			require.Condition(t, func() bool {
				return slices.ContainsFunc(findings, func(f finding) bool {
					return f.rule == p.rule && strings.Contains(f.text, p.says) &&
						!strings.Contains(f.String(), "\n")
				})
			}, findings)
		})
	}
}

func (p plant) unit(t *testing.T, standard *exports) *unit {
	path := p.path
	if path == "" {
		path = "raft/x.go"
	}
	text := p.source
	if !strings.HasPrefix(text, "package") {
		name := filepath.Base(filepath.Dir(path))
		text = "// Package " + name + " is planted.\npackage " + name + "\n" + text
	}
	u := &unit{path: filepath.ToSlash(filepath.Dir(path))}
	return u.with(t, path, text, standard)
}

func (u *unit) with(t *testing.T, path, text string, standard *exports) *unit {
	u.fset = token.NewFileSet()
	s, err := parse(u.fset, path, []byte(text))
	require.NoError(t, err)
	u.sources = []*source{s}
	if u.inCore() && !strings.Contains(text, module) {
		require.NoError(t, standard.checkTypes(u))
	}
	return u
}

func TestDocumentsNameNoMachine(t *testing.T) {
	findings := check(nil, map[string]string{"README.md": "fine\nrun /work" + "/main/x\n"})
	require.Len(t, findings, 1)
	require.Equal(t, 2, findings[0].line)
}
