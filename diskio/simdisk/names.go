package simdisk

import (
	"slices"
	"sort"
	"strings"

	"github.com/detcd/detcd/diskio"
)

// Names are a layer of their own: a file's content may be durable while its name is not. The live
// table is what the running system sees. A change of a name goes there at once and is remembered as
// pending until a SyncDir of its directory puts it into the durable table. A power loss keeps an
// arbitrary subset of the pending changes, applied in their order; that is weaker than what
// journaling file systems do, and is what POSIX promises. A rename inside one directory is one
// change: it is lost or kept as a whole, and never shows neither name. A rename between two
// directories is a link in one and an unlink in the other.

// table maps whole names to inodes. The data directory itself has no name in it.
type table struct {
	names []string // sorted
	nodes map[string]*inode
}

func newTable() table {
	return table{nodes: make(map[string]*inode)}
}

func (t *table) get(name string) *inode {
	return t.nodes[name]
}

func (t *table) set(name string, node *inode) {
	if _, exists := t.nodes[name]; !exists {
		i, _ := slices.BinarySearch(t.names, name)
		t.names = slices.Insert(t.names, i, name)
	}
	t.nodes[name] = node
}

func (t *table) unset(name string) {
	if _, exists := t.nodes[name]; !exists {
		return
	}
	i, _ := slices.BinarySearch(t.names, name)
	t.names = slices.Delete(t.names, i, i+1)
	delete(t.nodes, name)
}

// hasDir says whether dir is a directory all of whose parents are directories too.
func (t *table) hasDir(dir string) bool {
	for dir != "" {
		if node := t.nodes[dir]; node == nil || !node.isDir {
			return false
		}
		dir = parent(dir)
	}
	return true
}

// reach returns the inode of name unless a directory on the way to it is missing.
func (t *table) reach(name string) *inode {
	if node := t.nodes[name]; node != nil && t.hasDir(parent(name)) {
		return node
	}
	return nil
}

// prune drops names whose directories are gone.
func (t *table) prune() {
	for _, name := range slices.Clone(t.names) {
		// Parents sort before what is in them, so one pass in order is enough.
		if dir := parent(name); dir != "" && (t.nodes[dir] == nil || !t.nodes[dir].isDir) {
			t.unset(name)
		}
	}
}

// children returns the names directly in dir, sorted.
func (t *table) children(dir string) []string {
	prefix := ""
	if dir = cleanDir(dir); dir != "" {
		prefix = dir + "/"
	}
	var found []string
	for _, name := range t.names[sort.SearchStrings(t.names, prefix):] {
		if !strings.HasPrefix(name, prefix) {
			break
		}
		if parent(name) == dir {
			found = append(found, name)
		}
	}
	return found
}

// changeKind says what happens to a name.
type changeKind uint8

const (
	link changeKind = iota
	unlink
	rename
)

// nameChange is one change that SyncDir of its directory makes durable.
type nameChange struct {
	kind changeKind
	dir  string
	name string
	to   string // rename: the new name
	node *inode
	lied bool // a SyncDir reported it durable
}

// apply makes c visible in t. Any subset of changes can be applied, so a link may be missing when
// its unlink comes, and then an older file of that name stays.
func (t *table) apply(c nameChange) {
	switch c.kind {
	case link:
		t.set(c.name, c.node)
	case unlink:
		if t.nodes[c.name] == c.node {
			t.unset(c.name)
		}
	case rename:
		if t.nodes[c.name] == c.node {
			t.unset(c.name)
		}
		t.set(c.to, c.node)
	}
}

// changeName makes c visible to the running system and remembers it as not durable.
func (d *Disk) changeName(c nameChange) {
	d.live.apply(c)
	d.pending = append(d.pending, c)
}

// takePending removes and returns the pending changes of dir, in order.
func (d *Disk) takePending(dir string) []nameChange {
	var taken []nameChange
	rest := d.pending[:0]
	for _, c := range d.pending {
		if c.dir == dir {
			taken = append(taken, c)
		} else {
			rest = append(rest, c)
		}
	}
	clear(d.pending[len(rest):])
	d.pending = rest
	return taken
}

// lieAbout marks the changes of dir as reported durable, which they are not.
func (d *Disk) lieAbout(dir string) {
	for i := range d.pending {
		if d.pending[i].dir == dir {
			d.pending[i].lied = true
		}
	}
}

func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

func base(name string) string {
	return name[strings.LastIndexByte(name, '/')+1:]
}

func cleanDir(dir string) string {
	if dir == "." {
		return ""
	}
	return dir
}

// listing describes the files of dir in t; each size is taken from the cache or from the media.
func (t *table) listing(dir string, from source) []diskio.FileInfo {
	if !t.hasDir(cleanDir(dir)) {
		return nil
	}
	var infos []diskio.FileInfo
	for _, name := range t.children(dir) {
		if node := t.nodes[name]; !node.isDir {
			infos = append(infos, diskio.FileInfo{Name: base(name), Size: node.length(from)})
		}
	}
	return infos
}
