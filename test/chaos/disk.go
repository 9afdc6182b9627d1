package main

// A full disk needs a disk that can be filled: each member's data directory has a small file system
// of its own. As root it is ext4 in a file, which allocates late and has metadata as a real disk
// does; in a user namespace it is in memory.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const (
	// diskBytes is the size of a member's file system. detcd claims three segments of 64 MiB and
	// refuses puts when less than 144 MiB are left; each start of a member needs a segment more
	// until there is a checkpoint, and a run has about fifteen. Most of it is claimed and never
	// written, so that the file of an ext4 stays small.
	diskBytes = 2 << 30
	// ballastStep is what the last of a disk is filled with.
	ballastStep = 1 << 20
)

// disk is the file system of one member.
type disk struct {
	point   string // where it is mounted
	image   string // the file that holds it; empty when memory does
	ballast string // the file that fills it
}

// mountDisk makes a file system and mounts it beside the folder that will be named so.
func mountDisk(dir, name string) (*disk, error) {
	if os.Getenv(enclosed) == "" {
		return nil, errors.New("this process has no mounts of its own")
	}
	d := &disk{point: filepath.Join(dir, name+".disk"), image: filepath.Join(dir, name+".ext4")}
	d.ballast = filepath.Join(d.point, "ballast")
	if err := os.Mkdir(d.point, 0o755); err != nil {
		return nil, err
	}
	err := d.mountImage()
	if err == nil {
		return d, nil
	}
	err = errors.Join(err, os.Remove(d.image))
	d.image = ""
	inMemory := command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskBytes), "tmpfs",
		d.point)
	if inMemory != nil {
		return nil, errors.Join(err, inMemory)
	}
	return d, nil
}

func (d *disk) mountImage() error {
	file, err := os.Create(d.image)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(diskBytes), file.Close()); err != nil {
		return err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", d.image); err != nil {
		return err
	}
	return command("mount", "-o", "loop", d.image, d.point)
}

// unmount takes the file system away. A file stays, and can be mounted again; what is in memory is
// copied if somebody may want to see it.
func (d *disk) unmount(failure error) error {
	var err error
	if failure != nil && d.image == "" {
		err = command("cp", "-a", "--sparse=always", d.point, d.point+".copy")
	}
	return errors.Join(err, command("umount", d.point))
}

// fill takes all that is left. What the member gives back later is its own.
func (d *disk) fill() error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.point, &s); err != nil {
		return fmt.Errorf("fill %s: %w", d.point, err)
	}
	free := int64(s.Bavail) * int64(s.Bsize)
	most := max(free-16*ballastStep, ballastStep)
	if err := command("fallocate", "-l", fmt.Sprint(most), d.ballast); err != nil {
		return err
	}
	file, err := os.OpenFile(d.ballast, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for size := ballastStep; size >= 512; {
		_, err := file.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			return fmt.Errorf("fill %s: %w", d.point, err)
		}
	}
	return nil
}

// drain gives everything back.
func (d *disk) drain() error { return os.Remove(d.ballast) }

// command runs a tool of the system.
func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
