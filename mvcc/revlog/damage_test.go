package revlog

// What happens to damaged files: the log says so, or does not need what was damaged. It never loads
// anything but what was written.

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detcd/detcd/diskio"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// load is Open and Scan.
func load(d *testDisk) (records []Record, loaded Loaded, err error) {
	l, loaded, err := Open(d, testOptions())
	if err == nil {
		err = l.Scan(func(r Record) error {
			r.KV = append([]byte{}, r.KV...)
			records = append(records, r)
			return nil
		})
	}
	return records, loaded, err
}

func TestDamageIsReportedOrHarmless(t *testing.T) {
	l := shipped(t)
	whole := l.disk.(*testDisk)
	want, wantLoaded, err := load(whole)
	require.NoError(t, err)
	names := sortedNames(whole.names)
	reported := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		d := whole.clone()
		name := rapid.SampledFrom(names).Draw(t, "file")
		data := d.names[name].data
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "header") {
			at %= 80
		}
		switch rapid.IntRange(0, 4).Draw(t, "damage") {
		case 0:
			data[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			clear(data[at/testSector*testSector : min(len(data), (at/testSector+1)*testSector)])
		case 2:
			d.names[name].data = data[:at]
		case 3:
			delete(d.names, name)
		case 4:
			other := rapid.SampledFrom(names).Draw(t, "other")
			d.names[name].data = append([]byte(nil), whole.names[other].data...)
		}
		records, loaded, err := load(d)
		var damage *DamageError
		if errors.As(err, &damage) {
			require.Equal(t, name, damage.File)
			require.NotEmpty(t, damage.Error())
			reported[filepath.Ext(name)] = true
			return
		}
		require.NoError(t, err)
		if _, lost := d.names[name]; !lost && loaded.Generation != wantLoaded.Generation {
			require.True(t, strings.HasSuffix(name, manifestSuffix))
			return // the newest manifest is gone without a trace: the log will not join
		}
		loaded.Ignored = ""
		require.Equal(t, wantLoaded, loaded)
		require.Equal(t, want, records)
	})
	if !testing.Short() { // a short run draws too few cases to meet them all
		require.Equal(t, map[string]bool{".manifest": true, ".state": true, ".seg": true}, reported)
	}
}

// TestDamageAfterTheStartIsReported damages segments under a running log.
func TestDamageAfterTheStartIsReported(t *testing.T) {
	whole := shipped(t).disk.(*testDisk)
	d := whole.clone()
	l, _, records := mustOpen(t, d, testOptions())
	for _, name := range d.find(segmentSuffix) {
		data := d.names[name].data
		data[len(data)-1] ^= 4
	}
	s := l.Snapshot()
	for _, sp := range l.spans {
		damaged := 0
		for range 3 {
			for _, r := range records {
				kv, err := l.Read(r.Rev)
				batch := make([][]byte, 1)
				require.Equal(t, err, s.ReadBatch([]Rev{r.Rev}, batch))
				if err == nil {
					require.Equal(t, r.KV, append([]byte{}, kv...))
					continue
				}
				var damage *DamageError
				require.ErrorAs(t, err, &damage)
				damaged++
			}
		}
		require.Equal(t, 3*len(l.spans), damaged, sp.name)
	}
	require.Error(t, l.Check())
	ship, _ := l.Ship(1000)
	var err error
	for n := 0; err == nil && n < ship.Chunks(); n++ {
		_, _, err = l.Chunk(ship, n)
	}
	require.Error(t, err)
	for _, r := range records[:len(records)*2/3] {
		l.Dead(r.Rev)
	}
	for err = nil; err == nil; {
		l.Work(100)
		for _, op := range l.Flush(nil) {
			d.Submit(op)
		}
		require.NotEmpty(t, d.queue, "reclaim copied damaged records")
		err = l.Complete(d.step())
	}
	var damage *DamageError
	require.ErrorAs(t, err, &damage)
}

func TestAnUnknownVersionIsNotDamage(t *testing.T) {
	whole := shipped(t).disk.(*testDisk)
	for _, name := range sortedNames(whole.names) {
		for _, field := range []int{8, 16} {
			d := whole.clone()
			data := d.names[name].data
			data[field] = 9
			crc := checksum(0, data[:60])
			data[60], data[61], data[62], data[63] = byte(crc), byte(crc>>8), byte(crc>>16),
				byte(crc>>24)
			_, _, err := load(d)
			var format *FormatError
			if err != nil {
				require.ErrorAs(t, err, &format)
				require.Equal(t, name, format.File)
				require.NotEmpty(t, err.Error())
			} else {
				l, _, _ := mustOpen(t, whole, testOptions())
				needed := []string{generationName("engine", l.newest.number, manifestSuffix),
					generationName("engine", l.newest.number, stateSuffix)}
				for _, sp := range l.spans {
					needed = append(needed, sp.name)
				}
				require.NotContains(t, needed, name)
			}
		}
	}
}

// golden compares the operations that were performed with a file.
func golden(t *testing.T, file string, lines []string) {
	file = filepath.Join("testdata", file)
	have := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(have), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), have, "run the test with -update if this is meant")
}

func TestOrderOfOperations(t *testing.T) {
	d := newTestDisk()
	d.record = true
	note := func(what string) { d.done = append(d.done, "# "+what) }
	l, _, _ := mustOpen(t, d, testOptions())
	note("A first start makes its directory; records are written behind, without a sync.")
	fill(l, 2, 100, 100)
	settle(t, d, l)
	note("A first checkpoint.")
	checkpoint(t, d, l, Checkpoint{Applied: 1, Current: 100, State: make([]byte, 4000)})
	note("A second one, with reclaim beside it.")
	for m := Revision(2); m < 100; m++ {
		l.Dead(Rev{m, 0})
	}
	fill(l, 101, 105, 100)
	checkpoint(t, d, l, Checkpoint{Applied: 2, Current: 105})
	note("A third one: the first generation goes.")
	checkpoint(t, d, l, Checkpoint{Applied: 3, Current: 105})
	note("A fourth one: nothing needs the dead records any more.")
	checkpoint(t, d, l, Checkpoint{Applied: 4, Current: 105})
	golden(t, "checkpoint.txt", d.done)
}

func TestOrderOfAnInstall(t *testing.T) {
	l := shipped(t)
	s, _ := l.Ship(1 << 20)
	_, header := s.Offer()
	m := behind(t)
	m.disk.record = true
	r, _, err := m.log.Receive(header)
	require.NoError(t, err)
	m.recv = r
	for n := range s.Chunks() {
		data, _, err := l.Chunk(s, n)
		require.NoError(t, err)
		_, err = r.Chunk(n, data, noVisit)
		require.NoError(t, err)
		m.pump(t)
	}
	for m.pump(t) {
	}
	m.disk.done = append(m.disk.done, "# Install")
	r.Install()
	for m.pump(t) {
	}
	next, _, ok := r.Installed()
	require.True(t, ok)
	m.disk.done = append(m.disk.done, "# Installed")
	settle(t, m.disk, next)
	golden(t, "install.txt", m.disk.done)
}

var _ diskio.Reader = (*testDisk)(nil)
