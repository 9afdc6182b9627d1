package osdisk

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// The cache of open files must never hand out a file under a name that it no longer has. Every
// change of a name goes through rename or remove here, which run one at a time and correct the
// cache before they return. A file that was opened while a name changed may be of either side of
// the change, so it serves the one use that asked for it and is not cached.
//
// A handle with unsynced writes is never closed to make room: the kernel reports a failed writeback
// to those who have the file open, and a handle opened later may not hear of it.

// handle is one open file. All fields but file are guarded by handles.mu.
type handle struct {
	file   *os.File
	name   string        // the key in the cache, while place is not nil
	users  int           // calls that are using file
	writes uint64        // begun through this handle
	synced uint64        // of those, how many came before a successful sync
	place  *list.Element // nil when the cache has let go of it
}

// handles is the cache.
type handles struct {
	mu      sync.Mutex
	limit   int
	byName  map[string]*handle
	recent  list.List // of *handle, the most recently used first
	changes uint64    // of names, so far

	naming sync.Mutex // held while the file system changes a name; taken before mu
}

func (h *handles) init(limit int) {
	h.limit = limit
	h.byName = make(map[string]*handle)
	h.recent.Init()
}

// whenMissing says what acquire does about a file that does not exist.
type whenMissing uint8

const (
	fails whenMissing = iota
	creates
)

// acquire returns an open file, which the caller must release.
func (h *handles) acquire(path string, missing whenMissing) (*handle, error) {
	h.mu.Lock()
	if x := h.byName[path]; x != nil {
		x.users++
		h.recent.MoveToFront(x.place)
		h.mu.Unlock()
		return x, nil
	}
	changes := h.changes
	h.mu.Unlock()

	flags := os.O_RDWR
	if missing == creates {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	x := &handle{file: file, name: path, users: 1}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", path, syscall.EISDIR)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return h.admit(x, changes)
}

// admit puts a freshly opened file into the cache, unless another call was first or a name changed
// since.
func (h *handles) admit(x *handle, changes uint64) (*handle, error) {
	h.mu.Lock()
	if other := h.byName[x.name]; other != nil {
		other.users++
		h.mu.Unlock()
		return h.usable(other, x.file.Close())
	}
	if h.changes != changes {
		h.mu.Unlock()
		return x, nil
	}
	h.byName[x.name] = x
	x.place = h.recent.PushFront(x)
	victims := h.trim()
	h.mu.Unlock()
	return h.usable(x, closeFiles(victims))
}

// usable returns x, unless making room for it failed: then nobody is to use it.
func (h *handles) usable(x *handle, err error) (*handle, error) {
	if err != nil {
		return nil, errors.Join(err, h.release(x))
	}
	return x, nil
}

// trim removes the least recently used handles that may be closed, until the cache fits.
func (h *handles) trim() []*os.File {
	var victims []*os.File
	for e := h.recent.Back(); e != nil && h.recent.Len() > h.limit; {
		x := e.Value.(*handle)
		e = e.Prev()
		if x.users == 0 && x.writes == x.synced {
			h.forget(x)
			victims = append(victims, x.file)
		}
	}
	return victims
}

// forget takes x out of the cache. Its file is closed by whoever uses it last.
func (h *handles) forget(x *handle) {
	delete(h.byName, x.name)
	h.recent.Remove(x.place)
	x.place = nil
}

// release ends a use of x.
func (h *handles) release(x *handle) error {
	h.mu.Lock()
	x.users--
	last := x.users == 0 && x.place == nil
	h.mu.Unlock()
	if last {
		return x.file.Close()
	}
	return nil
}

// soil notes that a write through x begins.
func (h *handles) soil(x *handle) {
	h.mu.Lock()
	x.writes++
	h.mu.Unlock()
}

// begun returns how many writes a sync that starts now covers.
func (h *handles) begun(x *handle) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return x.writes
}

// clean notes that a sync of the first writes through x succeeded.
func (h *handles) clean(x *handle, writes uint64) {
	h.mu.Lock()
	x.synced = max(x.synced, writes)
	h.mu.Unlock()
}

// rename gives the file at from the name to, on disk and in the cache.
func (h *handles) rename(from, to string) error {
	h.naming.Lock()
	defer h.naming.Unlock()
	for _, path := range []string{from, to} {
		info, err := os.Lstat(path)
		if err == nil && info.IsDir() {
			return fmt.Errorf("rename %s to %s: %w", from, to, syscall.EISDIR)
		}
		if err != nil && (path == from || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	if from == to {
		return nil
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	h.mu.Lock()
	h.changes++
	replaced := h.drop(to)
	if x := h.byName[from]; x != nil {
		// The handle moves along, with its unsynced writes.
		delete(h.byName, from)
		x.name = to
		h.byName[to] = x
	}
	h.mu.Unlock()
	return closeFiles(replaced)
}

// remove removes the name on disk and in the cache; a missing file is no error.
func (h *handles) remove(path string) error {
	h.naming.Lock()
	defer h.naming.Unlock()
	if err := unlink(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	h.mu.Lock()
	h.changes++
	removed := h.drop(path)
	h.mu.Unlock()
	return closeFiles(removed)
}

// drop forgets the handle of path and returns its file if it can be closed now.
func (h *handles) drop(path string) []*os.File {
	x := h.byName[path]
	if x == nil {
		return nil
	}
	h.forget(x)
	if x.users > 0 {
		return nil
	}
	return []*os.File{x.file}
}

// closeAll closes every file; nothing may be in use.
func (h *handles) closeAll() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var files []*os.File
	for h.recent.Len() > 0 {
		x := h.recent.Front().Value.(*handle)
		h.forget(x)
		if x.users == 0 {
			files = append(files, x.file)
		}
	}
	return closeFiles(files)
}

func closeFiles(files []*os.File) error {
	var err error
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}
