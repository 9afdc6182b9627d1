package transcript

// The etcdctl of Debian's package etcd-client: the installed one, or else the package is fetched
// from the system's own archive into a folder of the test and unpacked there, which needs no rights.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const debianPackage = "etcd-client"

var versionLine = regexp.MustCompile(`etcdctl version: (\S+)`)

// debian returns the program and its version, or skips the test when there is no way to have it.
func debian(ctx context.Context, t *testing.T) (path, version string) {
	path, err := installed(ctx)
	if err != nil {
		var fetchErr error
		if path, fetchErr = fetch(ctx, t.TempDir()); fetchErr != nil {
			t.Skipf("Debian's %s is neither installed (%v) nor can it be had (%v)", debianPackage, err,
				fetchErr)
		}
	}
	out, err := exec.CommandContext(ctx, path, "version").CombinedOutput()
	m := versionLine.FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%s does not say its version: %v %s", path, err, out)
	}
	return path, string(m[1])
}

// installed is the program of the package when dpkg knows of it.
func installed(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-L", debianPackage).Output()
	if err != nil {
		return "", fmt.Errorf("ask dpkg for %s: %w", debianPackage, err)
	}
	for file := range strings.Lines(string(out)) {
		if file = strings.TrimSpace(file); filepath.Base(file) == "etcdctl" {
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("the package %s has no etcdctl", debianPackage)
}

// fetch downloads the package, with the lists that the system has or with fresh ones of its own.
func fetch(ctx context.Context, dir string) (string, error) {
	if err := download(ctx, dir); err != nil {
		lists := filepath.Join(dir, "lists")
		if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil {
			return "", err
		}
		own := []string{"-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + dir,
			"-o", "APT::Sandbox::User="}
		if out, err := inFolder(ctx, dir, "apt-get", append(own, "update")...); err != nil {
			return "", fmt.Errorf("apt-get update: %w: %s", err, out)
		}
		if err := download(ctx, dir, own...); err != nil {
			return "", err
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, debianPackage+"_*.deb"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("apt-get has downloaded nothing: %w", err)
	}
	root := filepath.Join(dir, "unpacked")
	if out, err := inFolder(ctx, dir, "dpkg-deb", "-x", files[0], root); err != nil {
		return "", fmt.Errorf("unpack %s: %w: %s", files[0], err, out)
	}
	return filepath.Join(root, "usr", "bin", "etcdctl"), nil
}

func download(ctx context.Context, dir string, options ...string) error {
	out, err := inFolder(ctx, dir, "apt-get", append(options, "download", debianPackage)...)
	if err != nil {
		return fmt.Errorf("apt-get download: %w: %s", err, out)
	}
	return nil
}

func inFolder(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}
