package conformance

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/diskio"
)

// model is the obvious disk: a map from names to contents, and a set of directories.
type model struct {
	files map[string][]byte
	dirs  map[string]bool
}

var modelNames = []string{"a", "b", "d/a", "d/b", "e/a", "d", "e"}

func dirOf(name string) string {
	dir, _, nested := strings.Cut(name, "/")
	if !nested {
		return ""
	}
	return dir
}

// home is the outcome of looking for the directory that name would be in.
func (m *model) home(name string) diskio.Status {
	dir := dirOf(name)
	switch {
	case dir == "" || m.dirs[dir]:
		return diskio.OK
	case m.files[dir] != nil:
		return diskio.Failed
	}
	return diskio.NotFound
}

// have is the outcome of looking for a file that must exist.
func (m *model) have(name string) diskio.Status {
	switch {
	case m.home(name) != diskio.OK:
		return m.home(name)
	case m.dirs[name]:
		return diskio.Failed
	case m.files[name] == nil:
		return diskio.NotFound
	}
	return diskio.OK
}

// make is the outcome of looking for a file that is made when missing.
func (m *model) make(name string) diskio.Status {
	status := m.have(name)
	if status == diskio.NotFound && m.home(name) == diskio.OK {
		m.files[name] = []byte{}
		return diskio.OK
	}
	return status
}

func resized(b []byte, n int64) []byte {
	if int64(len(b)) >= n {
		return b[:n:n]
	}
	return append(slices.Clone(b), make([]byte, n-int64(len(b)))...)
}

func (m *model) do(op diskio.Op) (diskio.Status, []byte) {
	status := diskio.OK
	switch op.Kind {
	case diskio.Write:
		if status = m.make(op.File); status == diskio.OK && len(op.Data) > 0 {
			old := m.files[op.File]
			end := op.Offset + int64(len(op.Data))
			b := slices.Clone(resized(old, max(end, int64(len(old)))))
			copy(b[op.Offset:], op.Data)
			m.files[op.File] = b
		}
	case diskio.Allocate:
		if status = m.make(op.File); status == diskio.OK {
			m.files[op.File] = resized(m.files[op.File], op.Length)
		}
	case diskio.Truncate:
		if status = m.have(op.File); status == diskio.OK {
			m.files[op.File] = resized(m.files[op.File], op.Length)
		}
	case diskio.Sync:
		status = m.have(op.File)
	case diskio.Read:
		if status = m.have(op.File); status == diskio.OK {
			b := m.files[op.File]
			lo := min(op.Offset, int64(len(b)))
			return status, b[lo:min(lo+op.Length, int64(len(b)))]
		}
	case diskio.Rename:
		status = m.rename(op.File, op.To)
	case diskio.Remove:
		status = m.have(op.File)
		if status == diskio.OK {
			delete(m.files, op.File)
		} else if status == diskio.NotFound {
			status = diskio.OK
		}
	case diskio.MakeDir:
		switch {
		case m.home(op.File) != diskio.OK:
			status = m.home(op.File)
		case m.files[op.File] != nil:
			status = diskio.Failed
		default:
			m.dirs[op.File] = true
		}
	case diskio.SyncDir:
		switch {
		case m.home(op.File) != diskio.OK:
			status = m.home(op.File)
		case m.files[op.File] != nil:
			status = diskio.Failed
		case !m.dirs[op.File]:
			status = diskio.NotFound
		}
	}
	return status, nil
}

func (m *model) rename(from, to string) diskio.Status {
	if status := m.have(from); status != diskio.OK {
		return status
	}
	if m.home(to) != diskio.OK {
		return m.home(to)
	}
	if m.dirs[to] {
		return diskio.Failed
	}
	b := m.files[from]
	delete(m.files, from)
	m.files[to] = b
	return diskio.OK
}

func (m *model) list(dir string) []diskio.FileInfo {
	var infos []diskio.FileInfo
	for _, name := range modelNames {
		if b := m.files[name]; b != nil && dirOf(name) == dir {
			infos = append(infos, diskio.FileInfo{
				Name: name[strings.LastIndexByte(name, '/')+1:], Size: int64(len(b))})
		}
	}
	return infos
}

func drawOp(t *rapid.T) diskio.Op {
	kinds := []diskio.Kind{diskio.Write, diskio.Write, diskio.Write, diskio.Allocate,
		diskio.Truncate, diskio.Rename, diskio.Rename, diskio.Remove, diskio.MakeDir,
		diskio.Read, diskio.Read, diskio.SyncDir, diskio.Sync}
	op := diskio.Op{
		Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
		File: rapid.SampledFrom(modelNames).Draw(t, "file"),
	}
	position := rapid.OneOf(rapid.Int64Range(0, 64), rapid.Int64Range(0, 20000),
		rapid.SampledFrom([]int64{511, 512, 4095, 4096, 4097, 8192}))
	switch op.Kind {
	case diskio.Write:
		op.Offset = position.Draw(t, "offset")
		op.Data = make([]byte, rapid.IntRange(0, 9000).Draw(t, "size"))
		fill := rapid.Byte().Draw(t, "fill")
		for i := range op.Data {
			op.Data[i] = fill + byte(i)
		}
	case diskio.Allocate, diskio.Truncate:
		op.Length = position.Draw(t, "length")
	case diskio.Read:
		op.Offset = position.Draw(t, "offset")
		op.Length = position.Draw(t, "length")
	case diskio.Rename:
		op.To = rapid.SampledFrom(modelNames).Draw(t, "to")
	}
	return op
}

// behavesAsModel runs random operations, several of them queued at a time so that writes gather,
// and compares every completion and then every file with the model.
func behavesAsModel(t *testing.T, newDisk func(*testing.T) Subject) {
	rapid.Check(t, func(r *rapid.T) {
		disk := newDisk(t)
		defer disk.Close()
		m := &model{files: make(map[string][]byte), dirs: make(map[string]bool)}
		for range rapid.IntRange(1, 8).Draw(r, "batches") {
			ops := rapid.SliceOfN(rapid.Custom(drawOp), 1, 8).Draw(r, "ops")
			for i := range ops {
				ops[i].Ticket = diskio.Ticket(i)
				disk.Submit(ops[i])
			}
			for i, c := range disk.Await(len(ops)) {
				status, data := m.do(ops[i])
				require.Equal(r, ops[i].Ticket, c.Ticket)
				require.Equal(r, status, c.Status, "%v: %s", ops[i], c.Detail)
				require.Equal(r, string(data), string(c.Data), "%v", ops[i])
			}
			agree(r, disk, m)
		}
	})
}

func agree(r *rapid.T, disk Subject, m *model) {
	for _, name := range modelNames {
		size, err := disk.Size(name)
		if status := m.have(name); status != diskio.OK {
			require.ErrorIs(r, err, status.Err(), name)
			continue
		}
		require.NoError(r, err)
		got := make([]byte, size+1)
		n, err := disk.ReadAt(name, got, 0)
		require.Equal(r, io.EOF, err)
		require.Equal(r, string(m.files[name]), string(got[:n]), name)
	}
	for _, dir := range []string{"", "d", "e"} {
		infos, err := disk.List(dir)
		if m.files[dir] != nil {
			require.ErrorIs(r, err, diskio.ErrFailed)
			continue
		}
		require.NoError(r, err)
		require.Equal(r, m.list(dir), infos, dir)
	}
}
