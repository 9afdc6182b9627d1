package detcd_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// The core: packages whose behaviour must be a function of their inputs.
var core = []string{
	"raft", "raft/...", "kv", "kv/...", "mvcc", "mvcc/...", "diskio", "diskio/simdisk",
	"diskio/keyed", "netsim", "netsim/...", "sim", "sim/...", "linearizability",
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, deep := strings.CutSuffix(p, "...")
		return p == path || deep && strings.HasPrefix(path, prefix)
	})
}

func (u *unit) inCore() bool { return matches(core, u.path) }

// What the core must not import: clocks, chance, the machine, and what orders goroutines.
var banned = map[string]string{
	"time":         "time is an input",
	"math/rand":    "randomness is keyed by entity and seeded by configuration",
	"math/rand/v2": "randomness is keyed by entity and seeded by configuration",
	"crypto/rand":  "randomness is keyed by entity and seeded by configuration",
	"hash/maphash": "its seed differs on every run",
	"os":           "the machine is reached through the disk door only",
	"net":          "the network is reached through the network door only",
	"syscall":      "the machine is reached through the disk door only",
	"sync":         "the core has no goroutines to keep apart",
	"runtime":      "the core must not depend on the scheduler or the collector",
	"unsafe":       "addresses differ on every run",
}

func bannedReason(path string) string {
	for _, p := range []string{path, strings.SplitN(path, "/", 2)[0]} {
		if reason := banned[p]; reason != "" {
			return reason
		}
	}
	return ""
}

// checkCore bans what makes two runs of one input differ.
func checkCore(u *unit, r *report) {
	if !u.inCore() {
		return
	}
	u.shipped(func(s *source) {
		for _, spec := range s.syntax.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if reason := bannedReason(path); reason != "" {
				r.at(spec.Pos(), "import", "the core must not import "+path+": "+reason)
			}
		}
		checkGlobals(u, s, r)
		sortedLater := map[ast.Expr]bool{}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			checkConcurrency(n, r)
			checkFields(u, n, r)
			if u.info != nil {
				checkMapOrder(u, n, sortedLater, r)
			}
			if e, ok := n.(ast.Expr); ok {
				checkFloat(u, e, r)
			}
			return true
		})
	})
}

func checkConcurrency(n ast.Node, r *report) {
	switch n := n.(type) {
	case *ast.GoStmt:
		r.at(n.Pos(), "go", "the core starts no goroutine: the scheduler would order its effects")
	case *ast.SelectStmt:
		r.at(n.Pos(), "select", "select picks a ready case at random")
	case *ast.ChanType:
		r.at(n.Pos(), "chan", "the core has no channels: inputs and effects are values")
	case *ast.SendStmt:
		r.at(n.Pos(), "chan", "the core has no channels: inputs and effects are values")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			r.at(n.Pos(), "chan", "the core has no channels: inputs and effects are values")
		}
	}
}

// checkFloat bans floating point, whose results differ between processors that fuse operations.
func checkFloat(u *unit, e ast.Expr, r *report) {
	const text = "no floating point: processors that fuse operations round differently"
	switch n := e.(type) {
	case *ast.BasicLit:
		if n.Kind == token.FLOAT || n.Kind == token.IMAG {
			r.at(n.Pos(), "float", text)
		}
		return
	case *ast.Ident:
		if n.Name == "float32" || n.Name == "float64" {
			r.at(n.Pos(), "float", text)
		}
	}
	if u.info == nil {
		return
	}
	if t := u.info.Types[e].Type; t != nil {
		b, ok := t.Underlying().(*types.Basic)
		if ok && b.Info()&(types.IsFloat|types.IsComplex) != 0 {
			r.at(e.Pos(), "float", text)
		}
	}
}

// checkMapOrder bans loops whose order changes from run to run: over a map, or over the keys of
// one, unless a sort takes them.
func checkMapOrder(u *unit, n ast.Node, sortedLater map[ast.Expr]bool, r *report) {
	const text = "the order of a map changes from run to run: visit sorted keys"
	switch n := n.(type) {
	case *ast.RangeStmt:
		if t := u.info.Types[n.X].Type; t != nil && isMap(t) {
			r.at(n.Pos(), "maprange", text)
		}
	case *ast.CallExpr:
		pkg, name := u.callee(n)
		if pkg == "slices" && strings.HasPrefix(name, "Sorted") && len(n.Args) > 0 {
			sortedLater[n.Args[0]] = true
		}
		order := pkg == "maps" && slices.Contains([]string{"Keys", "Values", "All"}, name)
		if order && !sortedLater[n] {
			r.at(n.Pos(), "maprange", text)
		}
	}
}

func isMap(t types.Type) bool {
	if p, ok := t.(*types.TypeParam); ok {
		t = p.Constraint()
		if i, ok := t.Underlying().(*types.Interface); ok && i.NumEmbeddeds() == 1 {
			if union, ok := i.EmbeddedType(0).(*types.Union); ok && union.Len() == 1 {
				t = union.Term(0).Type()
			}
		}
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// callee names the package and the function that a call goes to.
func (u *unit) callee(call *ast.CallExpr) (pkg, name string) {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if obj := u.info.Uses[sel.Sel]; obj != nil && obj.Pkg() != nil {
		return obj.Pkg().Path(), obj.Name()
	}
	return "", ""
}

// checkFields bans functions inside of state: such a struct cannot be compared, printed or hashed.
func checkFields(u *unit, n ast.Node, r *report) {
	st, ok := n.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		_, literal := f.Type.(*ast.FuncType)
		if literal || u.info != nil && holdsFunc(u.info.Types[f.Type].Type) {
			r.at(f.Pos(), "funcfield", "state is plain data: a function cannot be compared or hashed")
		}
	}
}

func holdsFunc(t types.Type) bool {
	if t == nil {
		return false
	}
	switch t := t.Underlying().(type) {
	case *types.Signature:
		return true
	case *types.Slice:
		return holdsFunc(t.Elem())
	case *types.Array:
		return holdsFunc(t.Elem())
	case *types.Map:
		return holdsFunc(t.Elem())
	}
	return false
}

// checkGlobals bans package-level variables that carry state. Error values and tables that are
// never assigned may stay.
func checkGlobals(u *unit, s *source, r *report) {
	const text = "no package-level state: only error values and tables that nobody assigns"
	for _, decl := range s.syntax.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if name.Name == "_" || u.info == nil {
					continue
				}
				obj := u.info.Defs[name]
				if obj == nil || isConstantKind(obj.Type()) && !u.assigned(obj) {
					continue
				}
				r.at(name.Pos(), "global", text)
			}
		}
	}
}

func isConstantKind(t types.Type) bool {
	if t.String() == "error" || t.String() == "*hash/crc32.Table" {
		return true
	}
	switch t := t.Underlying().(type) {
	case *types.Basic, *types.Map, *types.Slice, *types.Array:
		return true
	case *types.Pointer:
		// A typed error value.
		return types.Implements(t, errorInterface())
	}
	return false
}

func errorInterface() *types.Interface {
	return types.Universe.Lookup("error").Type().Underlying().(*types.Interface)
}

// assigned says whether anything outside its declaration writes to obj or takes its address.
func (u *unit) assigned(obj types.Object) bool {
	found := false
	mark := func(e ast.Expr) {
		for {
			switch x := ast.Unparen(e).(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.SelectorExpr:
				e = x.X
				continue
			case *ast.Ident:
				found = found || u.info.Uses[x] == obj
			}
			return
		}
	}
	for _, s := range u.sources {
		if s.test {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					mark(e)
				}
			case *ast.IncDecStmt:
				mark(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					mark(n.X)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") {
					mark(n.Args[0])
				}
			}
			return true
		})
	}
	return found
}
