package osdisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// ErrLocked says that another process serves the data directory.
var ErrLocked = errors.New("osdisk: data directory is in use by another process")

// Lock claims the data directory for this process, until release is called or the process ends. A
// directory cannot be locked here, so a file in it is. It does not wait: the error matches
// ErrLocked when the directory is claimed already.
func Lock(dir string) (release func() error, err error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("osdisk: lock data directory: %w", err)
	}
	err = windows.LockFileEx(windows.Handle(file.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
		new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrLocked, dir), file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("osdisk: lock %s: %w", dir, err), file.Close())
	}
	return file.Close, nil
}

// Free returns how many bytes the file system of dir has left for this user.
func Free(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("osdisk: free space of %s: %w", dir, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("osdisk: free space of %s: %w", dir, err)
	}
	return int64(min(free, 1<<62)), nil
}

func unlink(path string) error { return os.Remove(path) }

// syncNames does nothing: directories cannot be synced here, and NTFS journals names by itself.
func syncNames(*os.File) error { return nil }

// OpenFiles is what the C library's table would hold; the system knows no such limit.
func OpenFiles() (uint64, error) { return 8192, nil }
