package raft

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Scenarios are scripts: the files in testdata tell a story in commands, each followed by what the
// cluster then does. `go test -update` rewrites what they expect.
//
// A file is a sequence of blocks, separated by empty lines. A block is comment lines (#), command
// lines, a line "----", and the expected output. Nothing happens but what a command says: Raft's
// output waits until `take`, messages wait until `deliver`, writes wait until `sync`.

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := runScript(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

func runScript(t *testing.T, text string) string {
	s := &script{t: t, c: &testCluster{t: t}}
	var blocks []string
	for block := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		head, _, _ := strings.Cut(block+"\n", "----\n")
		s.out.Reset()
		ran := false
		for line := range strings.SplitSeq(strings.TrimRight(head, "\n"), "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				s.run(strings.Fields(line))
				ran = true
			}
		}
		if ran {
			block = strings.TrimRight(head, "\n") + "\n----\n" + strings.TrimRight(s.out.String(), "\n")
		}
		blocks = append(blocks, strings.TrimRight(block, "\n"))
	}
	for _, n := range s.c.nodes {
		if n.up {
			require.NoError(t, n.r.Check())
		}
	}
	return strings.Join(blocks, "\n\n") + "\n"
}

type script struct {
	t   *testing.T
	c   *testCluster
	out strings.Builder
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func memberList(text string) (ids []MemberID) {
	for part := range strings.SplitSeq(text, ",") {
		if part != "" {
			ids = append(ids, MemberID(number(part)))
		}
	}
	return ids
}

// option returns the value of name=value among args, and fallback without it.
func option(args []string, name, fallback string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return fallback
}

// run executes one command. Members are named by number.
func (s *script) run(args []string) {
	c := s.c
	nodes := func(text string) []*testNode {
		if text == "all" {
			return c.nodes
		}
		var list []*testNode
		for _, id := range memberList(text) {
			list = append(list, c.node(id))
		}
		return list
	}
	switch args[0] {
	case "member":
		// member 1,2,3 voters=1,2,3 learners=4: new members that know that configuration.
		// logs: terms=1,1,4 gives entries of those terms; term=, vote=, commit= are durable state;
		// memory= is MaxLogBytes, flight= is MaxInflightMessages.
		s.member(args[1], args[2:])
	case "tick":
		// tick 1 5: time passes for member 1 alone. tick all 5: for everyone.
		for range number(args[2]) {
			c.now++
			for _, n := range nodes(args[1]) {
				n.r.Tick(c.now)
			}
		}
	case "campaign":
		// campaign 1: time passes for member 1 until its election timer fires; the others have
		// heard nothing of a leader for that long either.
		s.campaign(c.node(memberList(args[1])[0]), args[2:])
	case "elect":
		// elect 1: member 1 becomes the leader and everything comes to rest.
		l := c.elect(memberList(args[1])[0])
		s.printf("leader %v of term %d, last %d", l.id, l.r.term, l.r.log.last)
	case "settle":
		// settle: everything that waits happens, until nothing does.
		c.settle()
	case "take":
		// take 1: what member 1 wants done, printed; it then waits in the network and the disk.
		for _, n := range nodes(args[1]) {
			s.take(n)
		}
	case "deliver", "drop", "copy":
		// deliver 1->2 Append: deliver what waits from 1 to 2; 0 is anyone, no type is any type.
		// drop loses it; copy delivers it and keeps it under way.
		s.messages(args)
	case "net":
		// net: lists what is under way.
		for i := range c.net {
			s.printf("%s", describe(&c.net[i]))
		}
	case "sync":
		// sync 1 2: the first 2 writes of member 1 reach the disk; without a number, all.
		n := c.node(memberList(args[1])[0])
		k := len(n.writing)
		if len(args) > 2 {
			k = number(args[2])
		}
		c.sync(n, k)
		s.printf("%v durable %d", n.id, n.r.disk.durable)
	case "apply":
		// apply 1: member 1 applies what is committed and in memory.
		for _, n := range nodes(args[1]) {
			was := len(n.applied)
			c.apply(n, 1<<20)
			s.printf("%v applies %s", n.id, entryList(n.applied[was:]))
		}
	case "fetch":
		// fetch 1: the oldest Fetch of member 1 is answered from its disk.
		c.fetch(c.node(memberList(args[1])[0]))
	default:
		s.wish(args)
	}
}

// wish executes the commands that ask a member for something, or hurt it.
func (s *script) wish(args []string) {
	c := s.c
	n := c.nodes[0]
	if len(args) > 1 && args[0] != "ship" {
		n = c.node(memberList(args[1])[0])
	}
	switch args[0] {
	case "propose":
		// propose 1 a b: one proposal of two entries.
		c.propose(n, args[2:]...)
	case "change":
		// change 1 add-voter 4: also add-learner, remove, update; more pairs make a longer list.
		var list []Change
		for k := 2; k+1 < len(args); k += 2 {
			kind := map[string]ChangeKind{"add-voter": AddVoter, "add-learner": AddLearner,
				"remove": RemoveMember, "update": UpdateMember}[args[k]]
			list = append(list, Change{Kind: kind, Member: MemberID(number(args[k+1]))})
		}
		c.proposeChange(n, list...)
	case "read":
		// read 1 7: member 1 asks for a read index under id 7.
		n.r.ReadIndex(ReadID(number(args[2])))
	case "transfer":
		// transfer 1 2: leader 1 hands leadership to 2.
		n.r.Transfer(MemberID(number(args[2])))
	case "crash":
		// crash 1 2: member 1 loses power; of its unsynced writes the first 2 survive.
		survive := 0
		if len(args) > 2 {
			survive = number(args[2])
		}
		c.crash(n, survive)
		s.printf("%v on disk: term %d vote %v, entries %s",
			n.id, n.disk.hard.Term, n.disk.hard.Vote, entryList(n.disk.log))
	case "restart":
		// restart 1: member 1 starts again from its disk, in a new incarnation.
		c.restart(n)
	case "compact":
		// compact 1 5: member 1 drops its log up to 5.
		i := Index(number(args[2]))
		config := n.r.configs.at(i).config
		n.disk.sm = max(n.disk.sm, i)
		n.r.Compact(i)
		n.disk.compact(i, config)
	case "ship":
		// ship ok: the oldest state transfer ends; ship fail: it fails.
		sh := c.shipments[0]
		c.shipments = c.shipments[1:]
		s.printf("state at %d (term %d) %v->%v", sh.snap.Index, sh.snap.Term, sh.from, sh.to)
		c.ship(sh, args[1] == "ok")
	case "status":
		// status: one line per member.
		for _, n := range c.nodes {
			s.status(n)
		}
	case "progress":
		// progress 1: what leader 1 knows of the others.
		for i := range n.r.peers {
			p := &n.r.peers[i]
			s.printf("%v %s match=%d next=%d inflight=%d", p.id, p.state, p.match, p.next,
				len(p.inflight))
		}
	case "log":
		// log 1: the entries on disk, (index of) term.
		s.printf("%v %s", n.id, entryList(n.disk.log))
	default:
		panic("unknown command " + args[0])
	}
}

func (s *script) member(ids string, args []string) {
	config := Config{
		Voters:   memberList(option(args, "voters", "")),
		Learners: memberList(option(args, "learners", "")),
	}
	for _, id := range memberList(ids) {
		set := testSettings(id)
		set.MaxLogBytes = number(option(args, "memory", "1000000"))
		set.MaxInflightMessages = number(option(args, "flight", "8"))
		set.MaxMessageBytes = number(option(args, "message", "4096"))
		n := &testNode{id: id, set: set, disk: diskImage{snap: Snapshot{Config: config}}}
		n.disk.hard.Term = Term(number(option(args, "term", "0")))
		n.disk.hard.Vote = MemberID(number(option(args, "vote", "0")))
		n.disk.hard.Commit = Index(number(option(args, "commit", "0")))
		for i, t := range memberList(option(args, "terms", "")) {
			e := Entry{Term: Term(t), Index: Index(i + 1), Type: EntryNormal}
			n.disk.log = append(n.disk.log, e)
		}
		s.c.nodes = append(s.c.nodes, n)
		n.start()
	}
}

// campaign ticks n until it leaves the role that it has. With the word "alone", the others keep
// what they know of a leader.
func (s *script) campaign(n *testNode, args []string) {
	for _, o := range s.c.nodes {
		if o.up && !slices.Contains(args, "alone") {
			o.r.sinceLeader = o.set.ElectionTicks
		}
	}
	draws := n.r.draws
	for n.r.draws == draws {
		n.r.Tick(s.c.now)
	}
}

func (s *script) take(n *testNode) {
	s.c.take(n)
	for i := range n.out.Appends {
		a := &n.out.Appends[i]
		line := fmt.Sprintf("%v writes #%d term=%d vote=%v", n.id, a.Ticket, a.Hard.Term, a.Hard.Vote)
		if a.Snapshot.Index > 0 {
			line += fmt.Sprintf(" marker %d/t%d", a.Snapshot.Index, a.Snapshot.Term)
		}
		if len(a.Entries) > 0 {
			line += " " + entryList(a.Entries)
		}
		if !a.MustSync {
			line += " (no sync)"
		}
		s.printf("%s", line)
	}
	for i := range n.out.Messages {
		s.printf("%s", describe(&n.out.Messages[i]))
	}
	for _, rd := range n.out.Reads {
		s.printf("%v read %d at %d", n.id, rd.ID, rd.Index)
	}
	for _, f := range n.out.Fetches {
		s.printf("%v fetch #%d %d..%d", n.id, f.ID, f.Lo, f.Hi)
	}
	for _, m := range n.out.Snapshots {
		s.printf("%v must send %v a state", n.id, m)
	}
	if len(n.out.Dropped) > 0 {
		s.printf("%v drops %d proposals", n.id, len(n.out.Dropped))
	}
}

// messages delivers, drops or copies what waits and fits: args are verb, from->to, types.
func (s *script) messages(args []string) {
	from, to, _ := strings.Cut(args[1], "->")
	wanted := func(m *Message) bool {
		return (from == "0" || m.From == MemberID(number(from))) &&
			(to == "0" || m.To == MemberID(number(to))) &&
			(len(args) == 2 || slices.Contains(args[2:], messageName(m.Type)))
	}
	var chosen, rest []Message
	for _, m := range s.c.net {
		if wanted(&m) {
			chosen = append(chosen, m)
		}
		if !wanted(&m) || args[0] == "copy" {
			rest = append(rest, m)
		}
	}
	s.c.net = rest
	for i := range chosen {
		if args[0] != "drop" {
			s.c.deliver(chosen[i])
		}
	}
	s.printf("%d messages", len(chosen))
}

func (s *script) status(n *testNode) {
	if !n.up {
		s.printf("%v down", n.id)
		return
	}
	st := n.r.Status()
	s.printf("%v %v term=%d vote=%v leader=%v commit=%d applied=%d last=%d durable=%d voters=%v%s%s",
		st.ID, st.Role, st.Term, st.Vote, st.Leader, st.Commit, st.Applied, st.Last, st.Durable,
		st.Config.Voters, outgoingOf(st.Config), learnersOf(st.Config))
}

func outgoingOf(c Config) string {
	if len(c.Outgoing) == 0 {
		return ""
	}
	return fmt.Sprintf(" outgoing=%v", c.Outgoing)
}

func learnersOf(c Config) string {
	if len(c.Learners) == 0 {
		return ""
	}
	return fmt.Sprintf(" learners=%v", c.Learners)
}

func messageName(t MessageType) string {
	return [...]string{
		"", "PreVote", "PreVoteResp", "Vote", "VoteResp", "Append", "AppendResp", "Heartbeat",
		"HeartbeatResp", "TimeoutNow", "Propose", "ReadIndex", "ReadIndexResp",
	}[t]
}

func describe(m *Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v->%v %s term=%d", m.From, m.To, messageName(m.Type), m.Term)
	switch m.Type {
	case MsgPreVote, MsgVote, MsgAppend:
		fmt.Fprintf(&b, " at %d/t%d", m.Index, m.LogTerm)
	case MsgAppendResp, MsgReadIndexResp:
		fmt.Fprintf(&b, " index=%d", m.Index)
	}
	for _, f := range [...]struct {
		name  string
		value uint64
	}{
		{"commit", uint64(m.Commit)}, {"round", m.Round}, {"read", uint64(m.Read)},
	} {
		if f.value != 0 {
			fmt.Fprintf(&b, " %s=%d", f.name, f.value)
		}
	}
	if len(m.Entries) > 0 {
		fmt.Fprintf(&b, " %s", entryList(m.Entries))
	}
	if m.Reject {
		b.WriteString(" REJECT")
		if m.Type == MsgAppendResp {
			fmt.Fprintf(&b, " hint=%d/t%d", m.Hint, m.HintTerm)
		}
	}
	if m.Transfer {
		b.WriteString(" TRANSFER")
	}
	return b.String()
}

// entryList shows entries as index/term and content.
func entryList(entries []Entry) string {
	var parts []string
	for i := range entries {
		e := &entries[i]
		text := fmt.Sprintf("%d/t%d", e.Index, e.Term)
		switch {
		case e.Type == EntryConfig:
			text += " config"
		case e.Type == EntryNormal && len(e.Data) > 0:
			text += " " + string(e.Data)
		}
		parts = append(parts, text)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
