//go:build unix

package server

import (
	"os"
	"syscall"
)

// openFiles is how many files and connections this process may have open.
func openFiles() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}

// raise sends this process a signal.
func raise(s syscall.Signal) error { return syscall.Kill(os.Getpid(), s) }
