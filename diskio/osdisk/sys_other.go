//go:build !linux

package osdisk

import (
	"errors"
	"os"
)

// syncData makes content and size durable. On darwin File.Sync flushes the drive's cache too.
func syncData(file *os.File) error {
	return file.Sync()
}

// reserve claims nothing: there is no portable call, so zeros are written.
func reserve(*os.File, int64, int64) (done bool, err error) {
	return false, nil
}

// freeBytes is not known: there is no portable call.
func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }

// writeAll writes the buffers one behind the other at off.
func writeAll(file *os.File, buffers [][]byte, off int64) (int, error) {
	written := 0
	for _, b := range buffers {
		n, err := file.WriteAt(b, off+int64(written))
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
