package kv

import (
	"fmt"
	"io"
	"path"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/kv/watch"
	"github.com/detcd/detcd/mvcc"
	"github.com/detcd/detcd/raft"
)

// memDisk is a disk that performs at once and never fails; completions wait for the next turn. A
// test may let lanes stand still, and bound what the files may hold together.
type memDisk struct {
	files    map[string][]byte
	done     []diskio.Completion
	still    [diskio.NumLanes]bool
	waiting  []diskio.Op
	capacity int // bytes; 0 is no bound
}

// goOn lets every lane move again.
func (d *memDisk) goOn() {
	d.still = [diskio.NumLanes]bool{}
	waiting := d.waiting
	d.waiting = nil
	for _, op := range waiting {
		d.Submit(op)
	}
}

func (d *memDisk) used() (n int) {
	for _, b := range d.files {
		n += len(b)
	}
	return n
}

func (d *memDisk) SectorSize() int { return 512 }

func (d *memDisk) ReadAt(file string, p []byte, off int64) (int, error) {
	b, ok := d.files[file]
	if !ok {
		return 0, diskio.ErrNotFound
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *memDisk) Size(file string) (int64, error) {
	b, ok := d.files[file]
	if !ok {
		return 0, diskio.ErrNotFound
	}
	return int64(len(b)), nil
}

func (d *memDisk) List(dir string) ([]diskio.FileInfo, error) {
	var out []diskio.FileInfo
	for name, b := range d.files {
		if path.Dir(name) == dir {
			out = append(out, diskio.FileInfo{Name: path.Base(name), Size: int64(len(b))})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

func (d *memDisk) Submit(op diskio.Op) {
	if d.still[op.Lane] {
		d.waiting = append(d.waiting, op)
		return
	}
	c := diskio.Completion{Ticket: op.Ticket, Lane: op.Lane, Kind: op.Kind, File: op.File}
	b, ok := d.files[op.File]
	grow := func(n int64) {
		for int64(len(b)) < n {
			b = append(b, 0)
		}
	}
	end := op.Length
	if op.Kind == diskio.Write {
		end = op.Offset + int64(len(op.Data))
	}
	more := int(end) - len(b)
	if d.capacity > 0 && more > 0 && d.used()+more > d.capacity &&
		(op.Kind == diskio.Write || op.Kind == diskio.Allocate) {
		c.Status = diskio.NoSpace
		d.done = append(d.done, c)
		return
	}
	switch op.Kind {
	case diskio.Write:
		grow(op.Offset + int64(len(op.Data)))
		copy(b[op.Offset:], op.Data)
		d.files[op.File] = b
	case diskio.Allocate:
		grow(op.Length)
		d.files[op.File] = b
	case diskio.Truncate:
		d.files[op.File] = b[:op.Length]
	case diskio.Rename:
		if !ok {
			c.Status = diskio.NotFound
			break
		}
		d.files[op.To] = b
		delete(d.files, op.File)
	case diskio.Remove:
		delete(d.files, op.File)
	case diskio.Read:
		if !ok {
			c.Status = diskio.NotFound
			break
		}
		end := min(op.Offset+op.Length, int64(len(b)))
		c.Data = append([]byte(nil), b[min(op.Offset, end):end]...)
	}
	d.done = append(d.done, c)
}

// member is one node of a small world without faults: every turn delivers all that waits.
type member struct {
	world  *world
	driver Driver
	disk   *memDisk
	inbox  []Input
	halted string
	// watched are the responses of watch streams, by stream, and what each was charged.
	watched map[watch.StreamID][]watchSeen
	held    []PasswordJob // kept back, unless it is nil
	// backups are granted snapshot reads; whoever takes one ends its view.
	backups []Read
}

type world struct {
	t       *testing.T
	cfgs    []Config
	members []*member
	now     int64
	token   Token
	answers map[Token]Answer
	streams []Read                 // granted, and up to the test
	cut     map[raft.MemberID]bool // cut off from the others
}

func (m *member) Send(msg raft.Message) {
	// Through the codec, as in every other world.
	got, err := raft.DecodeMessage(raft.EncodeMessage(nil, &msg))
	require.NoError(m.world.t, err)
	if m.world.cut[msg.From] || m.world.cut[msg.To] {
		return
	}
	for _, to := range m.world.members {
		if to.driver.Node != nil && to.driver.Node.cfg.Member == msg.To {
			to.inbox = append(to.inbox, Input{Kind: InputMessage, Message: &got})
		}
	}
}

func (m *member) Answer(a Answer) {
	_, again := m.world.answers[a.Token]
	require.False(m.world.t, again, "token %d is answered twice", a.Token)
	m.world.answers[a.Token] = a
}

func (m *member) Read(r Read) {
	if r.Streams() {
		m.world.streams = append(m.world.streams, r)
		return
	}
	if r.method == MethodSnapshot {
		m.backups = append(m.backups, r)
		return
	}
	a := r.Run(&mvcc.Scratch{})
	if words := a.Damage(); words != "" {
		m.inbox = append(m.inbox, Input{Kind: InputDamaged, Damage: words})
	}
	m.world.answers[r.Token] = a
	m.inbox = append(m.inbox, Input{Kind: InputViewEnd, View: r.View})
}

func (m *member) Note(Note) {}

func (m *member) Watch(d *watch.Delivery) { m.seen(d) }

// Password makes a hash that is none: good enough to compare with.
func (m *member) Password(j PasswordJob) {
	if m.held != nil {
		m.held = append(m.held, j)
		return
	}
	m.inbox = append(m.inbox, Input{Kind: InputPassword, Password: &PasswordResult{ID: j.ID,
		Hash: append([]byte("#"), j.Password...),
		Fits: string(j.Hash) == "#"+string(j.Password)}})
}

func (m *member) Halt(reason string) { m.halted = reason }

// newWorld makes n members with limits that adjust may change.
func newWorld(t *testing.T, n int, adjust func(*Limits)) *world {
	w := &world{t: t, answers: map[Token]Answer{}, cut: map[raft.MemberID]bool{}}
	var all []Member
	for i := range n {
		all = append(all, Member{ID: raft.MemberID(i + 1),
			PeerURLs: []string{fmt.Sprintf("http://127.0.0.1:%d", 2380+i)}})
	}
	for i := range n {
		cfg := Config{Cluster: 7, Member: all[i].ID, Members: all, Name: fmt.Sprint("m", i),
			ClientURLs: []string{fmt.Sprintf("http://127.0.0.1:%d", 3379+i)}, Seed: 1,
			TickNanos: 100e6, HeartbeatTicks: 1, ElectionTicks: 10, Version: "3.7.1",
			Limits: DefaultLimits(), Observed: ObserveApplied}
		cfg.Limits.LogSegmentBytes, cfg.Limits.DataSegmentBytes = 64<<10, 64<<10
		if adjust != nil {
			adjust(&cfg.Limits)
		}
		w.cfgs = append(w.cfgs, cfg)
		w.members = append(w.members, &member{world: w, disk: &memDisk{
			files: map[string][]byte{}}})
		w.start(i)
	}
	return w
}

func (w *world) start(i int) {
	m := w.members[i]
	m.inbox, m.disk.done, m.halted = nil, nil, ""
	node, err := Open(w.cfgs[i], m.disk)
	require.NoError(w.t, err)
	m.driver = Driver{Node: node, Disk: m.disk, Network: m, Edge: m}
	m.inbox = append(m.inbox, Input{Kind: InputAgain})
}

func (w *world) stop(i int) { w.members[i].driver.Node = nil }

// settle runs turns until nothing waits anywhere.
func (w *world) settle() {
	for busy := true; busy; {
		busy = false
		for _, m := range w.members {
			if m.driver.Node == nil || m.halted != "" {
				continue
			}
			turn := m.inbox
			m.inbox = nil
			for i := range m.disk.done {
				turn = append(turn, Input{Kind: InputDisk, Done: &m.disk.done[i]})
			}
			m.disk.done = nil
			if len(turn) == 0 {
				continue
			}
			busy = true
			if again, _ := m.driver.Turn(turn); again {
				m.inbox = append(m.inbox, Input{Kind: InputAgain})
			}
		}
	}
}

// run lets n ticks pass.
func (w *world) run(n int) {
	for range n {
		w.now += 100e6
		for _, m := range w.members {
			m.inbox = append(m.inbox, Input{Kind: InputTick, Mono: w.now, Wall: w.now})
		}
		w.settle()
	}
}

func (w *world) leader() int {
	w.t.Helper()
	for range 100 {
		for i, m := range w.members {
			if m.driver.Node != nil && m.driver.Node.role == raft.Leader &&
				!w.cut[m.driver.Node.cfg.Member] {
				return i
			}
		}
		w.run(1)
	}
	require.FailNow(w.t, "no leader")
	return 0
}

// ask sends a request to member i and waits for the answer, which it decodes into response.
func (w *world) ask(i int, method Method, request, response proto.Message) Code {
	w.t.Helper()
	return w.askAs(nil, i, method, request, response)
}

// askAs is ask on somebody's behalf.
func (w *world) askAs(who *Identity, i int, method Method, request, response proto.Message) Code {
	w.t.Helper()
	raw, err := proto.Marshal(request)
	require.NoError(w.t, err)
	lim := w.cfgs[i].Limits
	if code := Validate(method, raw, &lim); code != OK {
		return code
	}
	w.token++
	token := w.token
	m := w.members[i]
	m.inbox = append(m.inbox, Input{Kind: InputRequest,
		Request: &Request{Token: token, Method: method, Raw: raw, Identity: who,
			Random: [2]uint64{uint64(token), 1<<63 + uint64(i)}}})
	for range 200 {
		w.settle()
		if a, ok := w.answers[token]; ok {
			var body []byte
			for _, p := range a.Body {
				body = append(body, p...)
			}
			if a.Code == OK {
				require.NoError(w.t, proto.Unmarshal(body, response))
			}
			return a.Code
		}
		w.run(1)
	}
	require.FailNow(w.t, "no answer", "method %d at member %d", method, i)
	return OK
}

func (w *world) put(i int, key, value string) *pb.PutResponse {
	w.t.Helper()
	var res pb.PutResponse
	require.Equal(w.t, OK, w.ask(i, MethodPut,
		&pb.PutRequest{Key: []byte(key), Value: []byte(value)}, &res))
	return &res
}

func (w *world) get(i int, key string) *pb.RangeResponse {
	w.t.Helper()
	var res pb.RangeResponse
	require.Equal(w.t, OK, w.ask(i, MethodRange, &pb.RangeRequest{Key: []byte(key)}, &res))
	return &res
}

// agree demands that all running members have equal digests at equal applied indexes.
func (w *world) agree() {
	w.t.Helper()
	w.run(30)
	var want *State
	for _, m := range w.members {
		if m.driver.Node == nil {
			continue
		}
		require.Empty(w.t, m.halted)
		require.NoError(w.t, m.driver.Node.Check())
		s := m.driver.Node.State()
		if want == nil {
			want = &s
		}
		require.Equal(w.t, want.Applied, s.Applied)
		require.Equal(w.t, want.Digest, s.Digest)
		require.Equal(w.t, want.Revision, s.Revision)
	}
}
