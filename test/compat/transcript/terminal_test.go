package transcript

// A terminal for the commands that ask for a password: etcdctl reads it from standard input only
// when that is one.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// giveTerminal makes a new terminal the command's standard input, on which somebody has typed.
func giveTerminal(cmd *exec.Cmd, typed string) (done func() error, err error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, errors.Join(err, master.Close())
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, errors.Join(err, master.Close())
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, errors.Join(err, master.Close())
	}
	if _, err := master.WriteString(typed); err != nil {
		return nil, errors.Join(err, master.Close(), slave.Close())
	}
	cmd.Stdin = slave
	return func() error { return errors.Join(slave.Close(), master.Close()) }, nil
}
