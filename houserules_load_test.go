package detcd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const module = "github.com/detcd/detcd"

// source is one Go file.
type source struct {
	path      string // from the module's root, with slashes
	text      []byte
	syntax    *ast.File
	test      bool
	generated bool
}

// unit is one folder's package with what the rules look at.
type unit struct {
	fset    *token.FileSet
	path    string // from the module's root; empty at the root
	sources []*source
	// info has the types of the files that are not tests; nil outside the core, where no rule
	// needs types.
	info *types.Info
	pkg  *types.Package
}

// shipped visits the files that are neither tests nor generated.
func (u *unit) shipped(visit func(*source)) {
	for _, s := range u.sources {
		if !s.test && !s.generated {
			visit(s)
		}
	}
}

// loadUnits parses every Go file of the module. Nested modules and test data are left out.
func loadUnits(root string) ([]*unit, error) {
	byPath := map[string]*unit{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			nested := rel != "." && err == nil
			if name := entry.Name(); nested || name == "testdata" || rel != "." && name[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s, err := parse(fset, rel, text)
		if err != nil {
			return err
		}
		dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(rel)), ".")
		if byPath[dir] == nil {
			byPath[dir] = &unit{fset: fset, path: dir}
		}
		byPath[dir].sources = append(byPath[dir].sources, s)
		return nil
	})
	var units []*unit
	for _, u := range byPath {
		units = append(units, u)
	}
	slices.SortFunc(units, func(a, b *unit) int { return strings.Compare(a.path, b.path) })
	return units, err
}

func parse(fset *token.FileSet, path string, text []byte) (*source, error) {
	syntax, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{
		path: path, text: text, syntax: syntax,
		test: strings.HasSuffix(path, "_test.go"), generated: ast.IsGenerated(syntax),
	}, nil
}

// exports asks the go tool for the compiled form of everything the module needs, out of the build
// cache, which makes checking the types of our own files a matter of milliseconds. It also says
// which files the present platform builds.
type exports struct {
	files map[string][]string // by import path
	data  map[string]string   // by import path: file with export data
}

func loadExports(root string, patterns ...string) (*exports, error) {
	args := append([]string{
		"list", "-e", "-export", "-deps", "-json=ImportPath,Export,GoFiles",
	}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	e := &exports{files: map[string][]string{}, data: map[string]string{}}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Export string
			GoFiles            []string
		}
		if err := in.Decode(&p); err == io.EOF {
			return e, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		e.files[p.ImportPath], e.data[p.ImportPath] = p.GoFiles, p.Export
	}
}

func (e *exports) open(path string) (io.ReadCloser, error) {
	if e.data[path] == "" {
		return nil, fmt.Errorf("no export data for %s", path)
	}
	return os.Open(e.data[path])
}

// checkTypes fills in u.info. The files of other platforms are left out.
func (e *exports) checkTypes(u *unit) error {
	built := e.files[strings.TrimSuffix(module+"/"+u.path, "/")]
	var files []*ast.File
	for _, s := range u.sources {
		if !s.test && (built == nil || slices.Contains(built, filepath.Base(s.path))) {
			files = append(files, s.syntax)
		}
	}
	if len(files) == 0 {
		return nil
	}
	u.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{},
		Uses: map[*ast.Ident]types.Object{},
	}
	conf := types.Config{Importer: importer.ForCompiler(u.fset, "gc", e.open)}
	var err error
	u.pkg, err = conf.Check(module+"/"+u.path, u.fset, files, u.info)
	return err
}

// finding is one violation.
type finding struct {
	path string
	line int
	rule string
	text string
}

// String is how a compiler would print it.
func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.path, f.line, f.rule, f.text)
}

// report gathers findings and takes away those that an annotation allows.
type report struct {
	fset     *token.FileSet
	findings []finding
}

func (r *report) at(pos token.Pos, rule, text string) {
	p := r.fset.Position(pos)
	r.line(p.Filename, p.Line, rule, text)
}

func (r *report) line(path string, line int, rule, text string) {
	f := finding{path, line, rule, text}
	if !slices.Contains(r.findings, f) {
		r.findings = append(r.findings, f)
	}
}

// An annotation excuses one rule on its own line and the next one.
var annotation = regexp.MustCompile(`^//detcd:allow\s+(\S+?)(:\s*(.*))?$`)

// excuse removes what annotations allow. One without a reason, or that excuses nothing, is a
// finding itself, so that they do not outlive what they were written for.
func (r *report) excuse(units []*unit) {
	for _, u := range units {
		for _, s := range u.sources {
			for _, group := range s.syntax.Comments {
				for _, c := range group.List {
					if m := annotation.FindStringSubmatch(c.Text); m != nil {
						r.apply(s.path, r.fset.Position(c.Pos()).Line, m[1], strings.TrimSpace(m[3]))
					}
				}
			}
		}
	}
}

func (r *report) apply(path string, line int, rule, reason string) {
	before := len(r.findings)
	r.findings = slices.DeleteFunc(r.findings, func(f finding) bool {
		return f.path == path && f.rule == rule && (f.line == line || f.line == line+1)
	})
	switch {
	case reason == "":
		r.line(path, line, "allow", "an exception needs a reason: //detcd:allow rule: reason")
	case before == len(r.findings):
		r.line(path, line, "allow", "nothing here breaks the rule "+rule+": remove the annotation")
	}
}
