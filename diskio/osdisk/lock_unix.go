//go:build unix

package osdisk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process serves the data directory.
var ErrLocked = errors.New("osdisk: data directory is in use by another process")

// Lock claims the data directory for this process, until release is called or the process ends. It
// locks the directory itself, so no file is left behind. It does not wait: the error matches
// ErrLocked when the directory is claimed already.
func Lock(dir string) (release func() error, err error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("osdisk: lock data directory: %w", err)
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrLocked, dir), file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("osdisk: lock %s: %w", dir, err), file.Close())
	}
	return file.Close, nil
}

// Free returns how many bytes the file system of dir has left for this user.
func Free(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("osdisk: free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}

func unlink(path string) error {
	for {
		if err := unix.Unlink(path); err != unix.EINTR {
			return err
		}
	}
}

// syncNames makes the names in a directory durable.
func syncNames(dir *os.File) error { return dir.Sync() }

// OpenFiles is how many files and connections this process may have open.
func OpenFiles() (uint64, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}
