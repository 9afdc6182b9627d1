package detcd_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 70
	maxColumns       = 100
	tabColumns       = 4
)

// checkSize keeps files, functions and lines readable. Tests and generated files may be longer.
func checkSize(u *unit, r *report) {
	u.shipped(func(s *source) {
		lines := strings.Split(strings.TrimSuffix(string(s.text), "\n"), "\n")
		if len(lines) > maxFileLines {
			r.line(s.path, 1, "file", fmt.Sprintf("%d lines, at most %d: split it by concept",
				len(lines), maxFileLines))
		}
		for i, l := range lines {
			columns := utf8.RuneCountInString(l) + strings.Count(l, "\t")*(tabColumns-1)
			if columns > maxColumns {
				r.line(s.path, i+1, "line", fmt.Sprintf("%d columns with tabs of %d, at most %d",
					columns, tabColumns, maxColumns))
			}
		}
		for _, decl := range s.syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := r.fset.Position(fn.End()).Line - r.fset.Position(fn.Pos()).Line + 1
			if n > maxFunctionLines {
				r.at(fn.Pos(), "function", fmt.Sprintf("%s has %d lines, at most %d: move leaves out",
					fn.Name.Name, n, maxFunctionLines))
			}
		}
	})
}

// standard says whether d is a method whose meaning the standard library gives it.
func standard(d *ast.FuncDecl) bool {
	name := d.Name.Name
	return d.Recv != nil && (name == "Error" || name == "String" || name == "Unwrap")
}

// checkDocs demands a comment on the package and on everything that it exports.
func checkDocs(u *unit, r *report) {
	documented, any := false, false
	u.shipped(func(s *source) {
		any = true
		documented = documented || s.syntax.Doc != nil
		for _, decl := range s.syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && exported(d) && !standard(d) {
					r.at(d.Pos(), "doc", d.Name.Name+" is exported and has no comment")
				}
			case *ast.GenDecl:
				checkSpecs(d, r)
			}
		}
	})
	if any && !documented {
		r.line(u.sources[0].path, 1, "doc", "the package has no comment that says what it is for")
	}
}

func checkSpecs(d *ast.GenDecl, r *report) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				r.at(s.Pos(), "doc", s.Name.Name+" is exported and has no comment")
			}
		case *ast.ValueSpec:
			if s.Doc != nil || s.Comment != nil || d.Doc != nil {
				continue
			}
			if i := slices.IndexFunc(s.Names, (*ast.Ident).IsExported); i >= 0 {
				r.at(s.Pos(), "doc", s.Names[i].Name+" is exported and has no comment")
			}
		}
	}
}

// exported says whether others can call fn: a function, or a method of an exported type.
func exported(fn *ast.FuncDecl) bool {
	if !fn.Name.IsExported() || fn.Recv == nil {
		return fn.Name.IsExported()
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// checkBools bans bool parameters: a reader of the call cannot tell what true means.
func checkBools(u *unit, r *report) {
	u.shipped(func(s *source) {
		for _, decl := range s.syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !exported(fn) {
				continue
			}
			for _, p := range fn.Type.Params.List {
				if id, ok := p.Type.(*ast.Ident); ok && id.Name == "bool" {
					r.at(fn.Pos(), "boolparam", fn.Name.Name+
						" takes a bool, which its callers cannot read: use a named type")
				}
			}
		}
	})
}

// The words are put together here so that this file does not contain them.
var (
	leftOver = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	machine  = regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(work|root|tmp|home|Users)/`)
)

// checkWords looks for notes of unfinished work, and in comments for paths of somebody's machine.
func checkWords(u *unit, r *report) {
	for _, s := range u.sources {
		for i, l := range strings.Split(string(s.text), "\n") {
			if w := leftOver.FindString(l); w != "" {
				r.line(s.path, i+1, "word", w+": do it, or write the limit down in DESIGN.md")
			}
		}
		for _, group := range s.syntax.Comments {
			for _, c := range group.List {
				if machine.MatchString(c.Text) {
					r.at(c.Pos(), "path", "a path of one machine means nothing to readers")
				}
			}
		}
	}
}

// checkDocument does the same for README.md, DESIGN.md and their like.
func checkDocument(name, text string, r *report) {
	for i, l := range strings.Split(text, "\n") {
		if machine.MatchString(l) {
			r.line(name, i+1, "path", "a path of one machine means nothing to readers")
		}
	}
}

// checkName bans packages named after nothing.
func checkName(u *unit, r *report) {
	for _, s := range u.sources {
		name := strings.TrimSuffix(s.syntax.Name.Name, "_test")
		for _, n := range []string{name, path.Base(u.path)} {
			if slices.Contains([]string{"util", "utils", "common", "manager", "helpers"}, n) {
				r.at(s.syntax.Name.Pos(), "package", "the name "+n+" says nothing of what is inside")
			}
		}
	}
}

// directions lists what each package may import of ours; the longest matching pattern counts. A
// package that is not listed may import whatever is below cmd.
var directions = []struct {
	pattern string
	may     []string
}{
	{"", nil},
	{"diskio", nil},
	{"diskio/...", []string{"diskio", "diskio/..."}},
	{"raft", nil},
	{"raft/...", []string{"raft", "raft/..."}},
	{"raft/wal", []string{"raft", "diskio"}},
	{"mvcc", []string{"mvcc/...", "diskio"}},
	{"mvcc/...", []string{"mvcc", "mvcc/...", "diskio"}},
	{"mvcc/revlog", []string{"diskio"}},
	{"kv", []string{"kv/...", "raft", "raft/wal", "mvcc", "mvcc/...", "diskio"}},
	{"kv/...", []string{"kv/...", "raft", "raft/wal", "mvcc", "mvcc/...", "diskio"}},
	{"backup", []string{"kv", "raft", "mvcc"}},
	{"backup/...", nil},
	{"migration", nil},
	{"netsim", []string{"kv", "raft", "diskio", "diskio/keyed"}},
	{"linearizability", nil},
	{"server", []string{"server/...", "backup", "backup/...", "kv", "raft", "raft/wal", "mvcc",
		"mvcc/...", "diskio", "diskio/..."}},
	{"server/...", []string{"server", "server/...", "kv", "raft", "raft/wal", "mvcc",
		"mvcc/...", "diskio", "diskio/..."}},
	{"sim", []string{"sim/...", "linearizability", "netsim", "kv", "raft", "raft/wal", "mvcc",
		"mvcc/...", "diskio", "diskio/..."}},
	{"sim/...", []string{"sim", "sim/...", "linearizability", "netsim", "kv", "raft",
		"raft/wal", "mvcc", "mvcc/...", "diskio", "diskio/..."}},
	{"cmd/detcd", []string{"server", "server/...", "kv", "raft", "diskio", "diskio/..."}},
}

func allowedImports(pkg string) (may []string, listed bool) {
	longest := -1
	for _, d := range directions {
		if d.pattern == pkg {
			return d.may, true
		}
		if matches([]string{d.pattern}, pkg) && len(d.pattern) > longest {
			may, listed, longest = d.may, true, len(d.pattern)
		}
	}
	return may, listed
}

// checkDirections keeps imports pointing down the map of the architecture.
func checkDirections(u *unit, r *report) {
	may, listed := allowedImports(u.path)
	u.shipped(func(s *source) {
		for _, spec := range s.syntax.Imports {
			full, _ := strconv.Unquote(spec.Path.Value)
			if full == module {
				r.at(spec.Pos(), "direction", "the root package is for documentation")
				continue
			}
			target, ours := strings.CutPrefix(full, module+"/")
			switch {
			case !ours:
			case strings.HasPrefix(target, "cmd/"):
				r.at(spec.Pos(), "direction", "nothing imports a command")
			case listed && !matches(may, target):
				r.at(spec.Pos(), "direction", fmt.Sprintf("%s must not import %s: imports point down",
					u.path, target))
			}
		}
	})
}

// checkShipped follows the imports of the server's command: the simulated worlds and their
// oracles must not be in what people run.
func checkShipped(units []*unit, r *report) {
	byPath := map[string]*unit{}
	for _, u := range units {
		byPath[u.path] = u
	}
	seen := map[string]bool{}
	var follow func(path string)
	follow = func(path string) {
		u := byPath[path]
		if u == nil || seen[path] {
			return
		}
		seen[path] = true
		u.shipped(func(s *source) {
			for _, spec := range s.syntax.Imports {
				full, _ := strconv.Unquote(spec.Path.Value)
				target, ours := strings.CutPrefix(full, module+"/")
				if !ours {
					continue
				}
				if matches([]string{"sim", "sim/...", "netsim", "linearizability"}, target) {
					r.at(spec.Pos(), "direction", target+" would be part of the detcd binary")
				}
				follow(target)
			}
		})
	}
	follow("cmd/detcd")
}

// check runs every rule and returns what no annotation allows, in order.
func check(units []*unit, documents map[string]string) []finding {
	r := &report{fset: token.NewFileSet()}
	if len(units) > 0 {
		r.fset = units[0].fset
	}
	for _, u := range units {
		for _, rule := range []func(*unit, *report){
			checkCore, checkSize, checkDocs, checkBools, checkWords, checkName, checkDirections,
		} {
			rule(u, r)
		}
	}
	checkShipped(units, r)
	for name, text := range documents {
		checkDocument(name, text, r)
	}
	r.excuse(units)
	slices.SortFunc(r.findings, func(a, b finding) int {
		return strings.Compare(
			fmt.Sprintf("%s:%08d:%s", a.path, a.line, a.rule),
			fmt.Sprintf("%s:%08d:%s", b.path, b.line, b.rule))
	})
	return r.findings
}
