//go:build unix

package server

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// raise sends this process a signal.
func raise(s syscall.Signal) error { return syscall.Kill(os.Getpid(), s) }

// reusePort lets other processes listen on the same port.
func reusePort(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// reuseAddress takes a port over while connections to it end.
func reuseAddress(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
}
