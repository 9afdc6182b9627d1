package revlog

// Loading. Open decides which generation to load, Scan reads its segments.
//
// The newest manifest under its final name is the one. It can never be half written: its content
// is synced before it gets that name. So there is no torn manifest to excuse: under its temporary
// name it was never completed, and is ignored; under its final name it was, perhaps acknowledged by
// a shortened raft log, and anything wrong with it or with what it names is damage. Falling back
// further would serve an older state as the newest.
//
// Records after the generation are not looked for, and nothing is appended to a file that was
// found: raft's log brings the same revisions again, into new files. Whatever else has a name of
// ours is left of an unfinished or superseded attempt, and is removed, but only by operations of
// the running node.
//
// A manifest that can be seen need not be durable: the process may have ended between the rename
// and the sync of the directory, or because that sync failed, and then a second sync may succeed
// without having done anything. So the loaded generation is published once more, under a new number
// and with the same predecessor. Nothing is removed before, and Ready says when others (raft's log,
// above all after an install) may rely on the generation too. Its segments and its state need no
// such care: their contents and names were synced, with success, before the rename was issued.

import (
	"fmt"
	"path"

	"github.com/detcd/detcd/diskio"
)

// found is a directory listing, sorted out.
type found struct {
	manifests []uint64 // ascending
	others    []string // names (with the directory) of all our files
	lengths   []int64
	nextID    uint64
	highest   uint64 // generation number in any name
}

func list(disk diskio.Reader, dir string) (found, error) {
	f := found{nextID: 1}
	infos, err := disk.List(dir)
	if err != nil {
		return f, fmt.Errorf("revlog: list %s: %w", dir, err)
	}
	for _, info := range infos {
		number, suffix, ok := parseName(info.Name)
		if !ok {
			continue
		}
		f.others = append(f.others, path.Join(dir, info.Name))
		f.lengths = append(f.lengths, info.Size)
		if suffix == segmentSuffix {
			f.nextID = max(f.nextID, number+1)
			continue
		}
		f.highest = max(f.highest, number)
		if suffix == manifestSuffix {
			f.manifests = append(f.manifests, number)
		}
	}
	return f, nil
}

// Open loads the newest manifest. Records after it are not loaded: raft's log replays them. Scan
// must be called before anything else unless Loaded.Empty. Damage of the newest manifest, its state
// file or its segments is a *DamageError, files of an unknown version give a *FormatError.
func Open(disk diskio.Reader, opt Options) (*Log, Loaded, error) {
	opt.validate()
	f, err := list(disk, opt.Dir)
	if err != nil {
		return nil, Loaded{}, err
	}
	l := &Log{disk: disk, opt: opt, cache: newCache(opt.CacheBytes - opt.CacheBytes/2),
		home: &household{nextID: f.nextID, generation: f.highest}}
	l.first = opt.TicketBase
	loaded := Loaded{Empty: len(f.manifests) == 0}
	if loaded.Empty {
		l.scanned = true
		l.setup = []diskio.Op{{Kind: diskio.MakeDir, File: opt.Dir},
			{Kind: diskio.SyncDir, File: path.Dir(opt.Dir)}}
		l.known = true
	} else if err := l.load(f, &loaded); err != nil {
		return nil, Loaded{}, err
	}
	l.bury(f)
	l.noteOpened(&f, &loaded)
	return l, loaded, nil
}

// Ready says whether the loaded generation, or on a first start the directory, is known to be
// durable. Nothing that the generation replaces may be given up before.
func (l *Log) Ready() bool { return len(l.setup) == 0 && l.known }

// load reads the newest generation and, if there is one, the older.
func (l *Log) load(f found, loaded *Loaded) error {
	n := len(f.manifests)
	g, err := readManifest(l.disk, l.opt.Dir, f.manifests[n-1])
	if err != nil {
		return err
	}
	if err := readState(l.disk, l.opt.Dir, g.generation); err != nil {
		return err
	}
	for i, s := range g.spans {
		if size, err := l.disk.Size(s.name); err != nil || size != s.length {
			return s.damage(0, fmt.Sprintf("has %d of %d bytes: %v", size, s.length, err))
		}
		s.table.room(int(g.lines[i].records))
		l.home.nextID = max(l.home.nextID, s.id+1)
	}
	l.newest = g.generation
	*loaded = Loaded{Generation: g.number, Previous: g.previous, Checkpoint: g.check}
	if g.previous == 0 {
		return nil
	}
	older, err := readManifest(l.disk, l.opt.Dir, g.previous)
	if err != nil {
		loaded.Ignored = generationName(l.opt.Dir, g.previous, manifestSuffix)
		return nil
	}
	l.older = older.generation
	return nil
}

// readGeneration is a manifest with the lines that its spans came from.
type readGeneration struct {
	*generation
	lines []listed
}

func readManifest(disk diskio.Reader, dir string, number uint64) (readGeneration, error) {
	file := generationName(dir, number, manifestSuffix)
	b, err := readWhole(disk, file, maxManifestBytes)
	if err != nil {
		return readGeneration{}, err
	}
	g, lines, err := decodeManifest(file, b)
	if err != nil {
		return readGeneration{}, err
	}
	if g.number != number {
		return readGeneration{}, &DamageError{file, headerBytes, fmt.Sprintf("is generation %d",
			g.number)}
	}
	for i := range lines {
		g.spans = append(g.spans, lines[i].span(dir))
	}
	return readGeneration{g, lines}, nil
}

// bury notes the files that a kept generation needs, and queues the removal of all others. Of the
// files that it notes, those that the newest generation does not name are superseded.
func (l *Log) bury(f found) {
	var keep []string
	for _, g := range []*generation{l.newest, l.older} {
		if g == nil {
			continue
		}
		keep = append(keep, generationName(l.opt.Dir, g.number, manifestSuffix),
			generationName(l.opt.Dir, g.number, stateSuffix))
		for _, s := range g.spans {
			keep = append(keep, s.name)
		}
	}
	needed := make(map[string]bool, len(keep))
	for _, name := range keep {
		needed[name] = true
	}
	if l.newest != nil {
		for _, s := range l.newest.spans {
			l.superseded -= s.length
		}
	}
	for i, name := range f.others {
		if !needed[name] {
			l.graves = append(l.graves, free(name, f.lengths[i]))
			l.bytes += f.lengths[i]
			continue
		}
		if id, suffix, _ := parseName(path.Base(name)); suffix == segmentSuffix {
			l.files = append(l.files, file{id: id, name: name, length: f.lengths[i]})
			l.bytes += f.lengths[i]
			l.superseded += f.lengths[i]
		}
	}
}
