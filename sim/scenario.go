package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
)

// Scenario is a plan that stands for itself, in a text that people read and write, with the failure
// that it is expected to show. The text names only what differs from a quiet world (see quiet), so
// a scenario that was shrunk is a few lines:
//
//	expect RAFT member # went back from index # to #
//	world seed 5006 members 3 clients 4 chaos 31s
//	limits checkpoint-count 4 catch-up-entries 1
//	client 3 think 50ms sends 17-19
//	fault 25 power at 8.545s for 2s member 1 ops 3
//
// Lines that begin with # are comments. A seed's plan in this form gives the very same run.
type Scenario struct {
	Plan   Plan
	Expect string // the signature of the failure; empty for none
	// Comments are lines for people, kept apart from the rest.
	Comments []string
}

// quiet is what a scenario's text leaves unsaid: calm links, healthy disks, production's limits but
// for the size of files, clients that put and get. The counts are those of the plan to be told.
func quiet(p *Plan) Plan {
	q := BenchPlan(max(p.Members, 1), 0, 60*second)
	q.Seed, q.Founders = p.Seed, q.Members
	for i := range p.Scripts {
		q.Scripts = append(q.Scripts, Script{Home: i % q.Members, Think: 100 * millisecond,
			Timeout: 3 * second, Mix: Mix{shapePut: 50, shapeGet: 50}, Keys: 4, Silent: true})
	}
	for i := range p.Watchers {
		q.Watchers = append(q.Watchers, WatchScript{Home: i % q.Members, Think: 100 * millisecond,
			Read: millisecond, Window: 16, Most: 1, Keys: 4, Silent: true})
	}
	return q
}

// Signature is what a failure has in common with others of the same cause: the oracle, and its
// words without the numbers, names and contents of this run.
func (f *Failure) Signature() string {
	text := f.Message
	switch f.Oracle {
	case OraclePanic:
		text, _, _ = strings.Cut(text, " < ") // where it was, not how it came there
	case OracleLin, OracleWatch, OracleLive:
		head := strings.SplitN(text, ": ", 3)
		text = strings.Join(head[:min(2, len(head))], ": ")
		if f.Oracle == OracleLive { // whatever is lacking
			text, _, _ = strings.Cut(text, " [")
		}
	}
	for _, r := range particulars {
		text = r.pattern.ReplaceAllString(text, r.by)
	}
	const longest = 120
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest])
	}
	return string(f.Oracle) + " " + strings.TrimSpace(text)
}

// particulars are what differs between failures of one cause.
var particulars = [...]struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`"(\\.|[^"\\])*"`), "#"},
	{regexp.MustCompile(`\[[^\[\]]*\]`), "#"},
	{regexp.MustCompile(`\b[0-9a-f]*[0-9][0-9a-f]*\b`), "#"},
	{regexp.MustCompile(`\s+`), " "},
	{regexp.MustCompile(`#([ .,:]+#)+`), "#"},
}

// section is one part of a plan that has a line of its own.
type section struct {
	name       string
	index      int // -1 for parts of which there is one
	have, base any // pointers to structs of the same type
}

// sections are the parts of a plan beside its own fields, faults and acts of the operator.
func (p *Plan) sections(q *Plan) []section {
	all := []section{
		{"limits", -1, &p.Limits, &q.Limits},
		{"peers", -1, &p.Peers, &q.Peers},
		{"links", -1, &p.Clients, &q.Clients},
		{"auth", -1, &p.Auth, &q.Auth},
		{"fork", -1, &p.Fork, &q.Fork},
	}
	for i := range p.Machines {
		all = append(all, section{"machine", i, &p.Machines[i], &q.Machines[i]})
	}
	for i := range p.Scripts {
		all = append(all, section{"client", i, &p.Scripts[i], &q.Scripts[i]})
	}
	for i := range p.Watchers {
		all = append(all, section{"watcher", i, &p.Watchers[i], &q.Watchers[i]})
	}
	return all
}

// Text is the scenario as text.
func (s *Scenario) Text() string {
	p := &s.Plan
	q := quiet(p)
	var b strings.Builder
	for _, c := range s.Comments {
		fmt.Fprintf(&b, "# %s\n", c)
	}
	if s.Expect != "" {
		fmt.Fprintf(&b, "expect %s\n", s.Expect)
	}
	fmt.Fprintf(&b, "world seed %d members %d", p.Seed, p.Members)
	if len(p.Scripts) > 0 {
		fmt.Fprintf(&b, " clients %d", len(p.Scripts))
	}
	if len(p.Watchers) > 0 {
		fmt.Fprintf(&b, " watchers %d", len(p.Watchers))
	}
	b.WriteString(words(p, &q) + "\n")
	for _, x := range p.sections(&q) {
		text := words(x.have, x.base)
		switch {
		case text == "":
			continue
		case x.index >= 0:
			fmt.Fprintf(&b, "%s %d%s\n", x.name, x.index, text)
		default:
			fmt.Fprintf(&b, "%s%s\n", x.name, text)
		}
	}
	for i := range p.Faults {
		f := &p.Faults[i]
		fmt.Fprintf(&b, "fault %d %s%s\n", f.ID, f.Kind, words(f, &Fault{ID: f.ID, Kind: f.Kind}))
	}
	for i := range p.Reshapes {
		r := &p.Reshapes[i]
		fmt.Fprintf(&b, "operator %s%s\n", hyphens(r.Kind.String()),
			words(r, &Reshape{Kind: r.Kind}))
	}
	return b.String()
}

// Lines counts the lines of the text that are no comments.
func (s *Scenario) Lines() int {
	return strings.Count(s.Text(), "\n") - len(s.Comments)
}

// maxScenario bounds the text of a scenario, in bytes.
const maxScenario = 4 << 20

// ParseScenario reads a scenario. Errors name the line, what is wrong with it, and what may stand
// there.
func ParseScenario(text []byte) (*Scenario, error) {
	if len(text) > maxScenario {
		return nil, fmt.Errorf("sim: a scenario of %d bytes; %d are allowed", len(text),
			maxScenario)
	}
	s, told, q := &Scenario{}, false, Plan{}
	for number, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		var err error
		rest := ""
		switch word := ""; {
		case line == "":
		case line[0] == '#':
			s.Comments = append(s.Comments, strings.TrimSpace(line[1:]))
		case strings.HasPrefix(line, "expect "):
			s.Expect = strings.TrimSpace(line[len("expect "):])
		default:
			if word, rest, _ = strings.Cut(line, " "); word == "world" {
				if told {
					err = fmt.Errorf("the world is told twice")
					break
				}
				told, err = true, s.Plan.readWorld(strings.Fields(rest))
				q = quiet(&s.Plan)
				break
			}
			if !told {
				err = fmt.Errorf("the first line must be: world seed N members N ...")
				break
			}
			err = s.Plan.readLine(word, strings.Fields(rest), &q)
		}
		if err != nil {
			return nil, fmt.Errorf("sim: line %d: %w", number+1, err)
		}
	}
	if !told {
		return nil, fmt.Errorf("sim: no line says: world seed N members N ...")
	}
	if err := s.Plan.check(); err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	return s, nil
}

// readWorld reads the line that everything else depends on.
func (p *Plan) readWorld(fields []string) error {
	counts := struct{ Seed, Members, Clients, Watchers uint64 }{}
	var rest []string
	for i := 0; i+1 < len(fields); i += 2 {
		switch fields[i] {
		case "seed", "members", "clients", "watchers":
			if err := readWords(&counts, fields[i:i+2]); err != nil {
				return err
			}
		default:
			rest = append(rest, fields[i:i+2]...)
		}
	}
	switch {
	case len(fields)%2 != 0:
		return fmt.Errorf("%q has no value", fields[len(fields)-1])
	case counts.Members < 1 || counts.Members > maxMachines:
		return fmt.Errorf("%d members; 1 to %d are possible", counts.Members, maxMachines)
	case counts.Members+counts.Clients+counts.Watchers > 60 ||
		counts.Clients > 60 || counts.Watchers > 60:
		return fmt.Errorf("too many clients and watchers: with the members 60 are possible")
	}
	*p = Plan{Seed: counts.Seed, Members: int(counts.Members),
		Scripts:  make([]Script, counts.Clients),
		Watchers: make([]WatchScript, counts.Watchers)}
	*p = quiet(p)
	return readWords(p, rest)
}

// readLine reads any other line.
func (p *Plan) readLine(word string, fields []string, q *Plan) error {
	switch word {
	case "fault":
		return p.readFault(fields)
	case "operator":
		if len(fields) == 0 {
			return fmt.Errorf("the operator does nothing")
		}
		var r Reshape
		if err := readWords(&r, append([]string{"kind"}, fields...)); err != nil {
			return err
		}
		p.Reshapes = append(p.Reshapes, r)
		return nil
	}
	index := ""
	for _, x := range p.sections(q) {
		if x.name != word {
			continue
		}
		if x.index < 0 {
			return readWords(x.have, fields)
		}
		if len(fields) > 0 {
			index = fields[0]
		}
		if index == fmt.Sprint(x.index) {
			return readWords(x.have, fields[1:])
		}
	}
	if index != "" {
		return fmt.Errorf("there is no %s %s in this world", word, index)
	}
	return fmt.Errorf("%q begins no line; there are: expect, world, limits, peers, links, auth, "+
		"fork, machine N, client N, watcher N, fault N KIND, operator ACT", word)
}

func (p *Plan) readFault(fields []string) error {
	if len(fields) < 2 {
		return fmt.Errorf("a fault has a number and a kind: fault 1 crash at 3s")
	}
	var f Fault
	head := []string{"id", fields[0], "kind", fields[1]}
	if err := readWords(&f, append(head, fields[2:]...)); err != nil {
		return err
	}
	p.Faults = append(p.Faults, f)
	return nil
}

// check refuses what no world could be made of.
func (p *Plan) check() error {
	seen := make(map[uint32]bool)
	for i := range p.Faults {
		f := &p.Faults[i]
		switch {
		case f.ID == 0 || seen[f.ID]:
			return fmt.Errorf("fault %d: its number must be its own, and not 0", f.ID)
		case f.Kind == 0:
			return fmt.Errorf("fault %d has no kind", f.ID)
		case f.Member < 0 || f.Member >= p.Members:
			return fmt.Errorf("fault %d: there is no member %d", f.ID, f.Member)
		case f.At < 0 || f.For < 0 || f.Lag < 0 || f.Amount < 0 && f.Kind != FaultClock:
			return fmt.Errorf("fault %d: times and amounts are not negative", f.ID)
		case (f.Kind == FaultSyncError || f.Kind == FaultWriteError) &&
			f.Amount >= int64(len(syncScopes)):
			return fmt.Errorf("fault %d: the amount is a scope, 0 to %d", f.ID, len(syncScopes)-1)
		case f.Kind == FaultBurst && (f.Ops < 0 || f.Ops >= len(p.Scripts) || f.Amount > 10_000):
			return fmt.Errorf("fault %d: no such client, or too many writes", f.ID)
		}
		seen[f.ID] = true
	}
	for i := range p.Scripts {
		s := &p.Scripts[i]
		if s.Home < 0 || s.Home >= p.Members || s.Think < 1 || s.Timeout < 1 || s.Keys < 1 ||
			s.Mix == (Mix{}) || s.Start < 0 {
			return fmt.Errorf("client %d: impossible home, mix, number of keys, or time", i)
		}
	}
	for i := range p.Watchers {
		s := &p.Watchers[i]
		if s.Home < 0 || s.Home >= p.Members || s.Think < 1 || s.Read < 1 || s.Window < 1 ||
			s.Keys < 1 || s.Start < 0 || s.Most < 0 {
			return fmt.Errorf("watcher %d: impossible home, window, number of keys, or time", i)
		}
	}
	for i := range p.Reshapes {
		if r := &p.Reshapes[i]; r.Kind == 0 || r.At < 0 {
			return fmt.Errorf("the operator's act %d has no kind, or a negative time", i)
		}
	}
	return p.checkWorld()
}

// checkWorld looks at what is not about anyone in particular.
func (p *Plan) checkWorld() error {
	const longest = 3600 * second
	l := &p.Limits
	switch {
	case p.Founders < 1 || p.Founders > p.Members:
		return fmt.Errorf("founders %d: 1 to %d are possible", p.Founders, p.Members)
	case p.Chaos < 0 || p.Chaos > longest:
		return fmt.Errorf("chaos lasts 0 to 3600 s")
	case p.TickNanos < millisecond || p.TickNanos > 10*second:
		return fmt.Errorf("a tick takes 1 ms to 10 s")
	case p.HeartbeatTicks < 1 || p.ElectionTicks < 2 || p.ElectionTicks > 1000 ||
		p.HeartbeatTicks >= p.ElectionTicks:
		return fmt.Errorf("an election takes more ticks than a heartbeat")
	case p.TurnDelay < 0 || p.ReadDelay < 0 || p.NotifyNanos < 0 || p.LeaseNanos < 0:
		return fmt.Errorf("times are not negative")
	case min(l.MaxRequestBytes, l.MaxTxnOps, l.MaxPending, l.MaxBacklog, l.LogMemoryBytes,
		l.MessageBytes, l.InflightBytes, l.InflightMessages, l.ChunkBytes, l.StepUnits,
		l.WatchBytes, l.WatchPasses, l.LiveChanges, l.MaxLearners) < 1,
		min(l.MaxPendingBytes, l.UnwrittenBytes, l.CheckpointBytes, l.CheckpointCount,
			l.CatchUpEntries) < 1, min(l.LogSegmentBytes, l.DataSegmentBytes) < 1<<10:
		return fmt.Errorf("limits are positive, and segments have at least 1024 bytes")
	case l.MaxPending > kv.DefaultLimits().MaxPending ||
		max(l.LogSegmentBytes, l.DataSegmentBytes) > 1<<30:
		return fmt.Errorf("limits are at most production's, segments have at most 1 GiB")
	}
	for _, q := range []netsim.Quality{p.Peers, p.Clients} {
		if q.MinDelay < 0 || q.MeanDelay < 0 || q.TailDelay < 0 || q.Capacity < 1 {
			return fmt.Errorf("links have times that are not negative, and room for a message")
		}
	}
	if slices.ContainsFunc(p.Machines, func(m Machine) bool {
		return m.SyncDelay < 1 || m.CheckpointCount < 0 || m.CatchUpEntries < 0 ||
			m.DriftPPM <= -million
	}) {
		return fmt.Errorf("a machine syncs in some time, and its clock goes forward")
	}
	return nil
}
