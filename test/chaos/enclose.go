package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// enclosed is the variable that tells a process that it has its own mounts.
const enclosed = "CHAOS_ENCLOSED"

// enclose starts this program again in a mount namespace of its own, so that small file systems can
// be mounted that nobody else sees, and that are gone when the last process is, however it ends.
// Who may not do that gets a user namespace, too. It returns if this has been done, or why it
// cannot be.
func enclose() error {
	if os.Getenv(enclosed) != "" {
		return nil
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, how := range [][]string{{"--mount"}, {"--mount", "--map-root-user"}} {
		if err = exec.Command(unshare, append(how, "true")...).Run(); err != nil {
			continue
		}
		args := append(append([]string{unshare}, how...), self)
		err = syscall.Exec(unshare, append(args, os.Args[1:]...),
			append(os.Environ(), enclosed+"=1"))
	}
	return fmt.Errorf("no mount namespace: %w", err)
}
