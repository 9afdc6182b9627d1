package server

import (
	"errors"
	"syscall"
)

// The offline tool needs this package wherever people sit; the server itself runs on unix.

// raise cannot be done: a process is ended here, never signalled.
func raise(syscall.Signal) error { return errors.ErrUnsupported }

// reusePort and reuseAddress mean other things here, and are not offered.
func reusePort(uintptr) error { return errors.ErrUnsupported }

func reuseAddress(uintptr) error { return errors.ErrUnsupported }
