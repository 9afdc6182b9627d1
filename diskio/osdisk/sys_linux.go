package osdisk

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// What Linux can do better than the portable calls.

// syncData makes content and size durable, and leaves out the times of access and change.
func syncData(file *os.File) error {
	for {
		if err := unix.Fdatasync(int(file.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// reserve extends the file by length bytes of zeros from off on, its end, and claims their space,
// so that a full disk is found out now. It says false where the file system cannot.
func reserve(file *os.File, off, length int64) (done bool, err error) {
	for {
		err := unix.Fallocate(int(file.Fd()), 0, off, length)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

// freeBytes is how much more the file system that holds path takes from us.
func freeBytes(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// writeAll writes the buffers one behind the other at off, with as few calls as it takes. It
// consumes the outer slice.
func writeAll(file *os.File, buffers [][]byte, off int64) (int, error) {
	if len(buffers) == 1 {
		return file.WriteAt(buffers[0], off)
	}
	written := 0
	for len(buffers) > 0 {
		n, err := unix.Pwritev(int(file.Fd()), buffers, off+int64(written))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return written, err
		}
		if n == 0 {
			return written, io.ErrShortWrite
		}
		written += n
		for len(buffers) > 0 && n >= len(buffers[0]) {
			n -= len(buffers[0])
			buffers = buffers[1:]
		}
		if n > 0 {
			buffers[0] = buffers[0][n:]
		}
	}
	return written, nil
}
