package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/detcd/detcd/sim"
)

// prompt is detsim step's command line: a walk, and the run that a fork came from.
type prompt struct {
	walk   *sim.Walk
	origin *sim.Walk // nil unless walk is a fork
	out    io.Writer
	last   string // an empty line repeats it
}

const promptHelp = `n [N]            go on by one event, or by N
p [N]            go back
goto MOMENT      the first event of the run at which MOMENT comes true
until MOMENT     the next event from here on at which it does
back MOMENT      the latest one before here
where            the event, and one line about each member
show M [SECTION...]          member M here
diff A B [SECTION...]        what differs between members A and B here
since MOMENT M [SECTION...]  what changed of member M between that moment and here
fork SEED        go on with other draws from here on; "unfork" comes back
forks FROM TO    how the forks of these seeds end
plan             the plan of the run
outcome          how the run ends
help, quit

A moment is one of
` + sim.ConditionHelp + `
Sections: process raft log disk engine leases watchers queues. An empty line repeats the last
command.
`

func newPrompt(p *sim.Plan, out io.Writer) *prompt {
	return &prompt{walk: sim.NewWalk(p), out: out}
}

// read performs the commands of in until it ends.
func (p *prompt) read(in io.Reader) error {
	fmt.Fprintf(p.out, "seed %d: \"help\" lists the commands\n", p.walk.Plan().Seed)
	lines := bufio.NewScanner(in)
	for {
		fmt.Fprint(p.out, "> ")
		if !lines.Scan() {
			fmt.Fprintln(p.out)
			return lines.Err()
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			line = p.last
		}
		p.last = line
		err := p.perform(strings.Fields(line))
		if errors.Is(err, errQuit) {
			return nil
		}
		if err != nil {
			fmt.Fprintln(p.out, "error:", err)
		}
	}
}

var errQuit = errors.New("quit")

// perform does one command.
func (p *prompt) perform(words []string) error {
	if len(words) == 0 {
		return nil
	}
	args := words[1:]
	switch words[0] {
	case "n", "next":
		return p.step(args, p.forwards)
	case "p", "prev":
		return p.step(args, p.backwards)
	case "goto", "until", "back":
		return p.move(words[0], args)
	case "where", "w":
		p.where()
		fmt.Fprint(p.out, p.walk.Cluster())
		return nil
	case "show", "s":
		return p.show(args)
	case "diff":
		return p.diff(args)
	case "since":
		return p.since(args)
	case "fork":
		return p.fork(args)
	case "unfork":
		if p.origin == nil {
			return errors.New("this run is no fork")
		}
		p.walk, p.origin = p.origin, nil
		p.where()
		return nil
	case "forks":
		return p.forks(args)
	case "plan":
		fmt.Fprint(p.out, p.walk.Plan().String())
		return nil
	case "outcome":
		fmt.Fprintln(p.out, ending(p.walk.Outcome()))
		return nil
	case "help", "h", "?":
		fmt.Fprint(p.out, promptHelp)
		return nil
	case "quit", "q", "exit":
		return errQuit
	}
	return fmt.Errorf("%q is no command; \"help\" lists them", words[0])
}

func (p *prompt) where() {
	fmt.Fprintln(p.out, p.walk.Head())
	if f := p.walk.Failure(); f != nil {
		fmt.Fprintf(p.out, "FAILURE %v\n", f)
	} else if p.walk.Over() {
		fmt.Fprintln(p.out, "the run is over")
	}
}

// step moves by a number of events.
func (p *prompt) step(args []string, move func(count uint64) error) error {
	count := uint64(1)
	if len(args) > 0 {
		n, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no number of events", args[0])
		}
		count = n
	}
	if err := move(count); err != nil {
		return err
	}
	p.where()
	return nil
}

func (p *prompt) forwards(count uint64) error {
	for range count {
		if !p.walk.Next() {
			return errors.New("the run is over: " + ending(p.walk.Outcome()))
		}
	}
	return nil
}

func (p *prompt) backwards(count uint64) error {
	n, ok := p.walk.Event()
	if !ok || n < count {
		return fmt.Errorf("there are no %d events before this", count)
	}
	return p.walk.Goto(n - count)
}

func (p *prompt) move(how string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs one moment, as in %s fault:2", how, how)
	}
	c, err := sim.ParseCondition(args[0])
	if err != nil {
		return err
	}
	switch how {
	case "goto":
		err = p.walk.First(c)
	case "until":
		err = p.walk.Until(c)
	default:
		err = p.walk.BackTo(c)
	}
	if err != nil {
		return err
	}
	p.where()
	return nil
}

func (p *prompt) show(args []string) error {
	if len(args) == 0 {
		return errors.New("show needs a member, as in show 0 raft disk")
	}
	v, err := memberView(p.walk, args[0])
	if err != nil {
		return err
	}
	if err := checkSections(args[1:]); err != nil {
		return err
	}
	fmt.Fprint(p.out, v.Print(args[1:]...))
	return nil
}

func (p *prompt) diff(args []string) error {
	if len(args) < 2 {
		return errors.New("diff needs two members, as in diff 0 1 log")
	}
	a, err := memberView(p.walk, args[0])
	if err != nil {
		return err
	}
	b, err := memberView(p.walk, args[1])
	if err != nil {
		return err
	}
	if err := checkSections(args[2:]); err != nil {
		return err
	}
	fmt.Fprint(p.out, sim.PrintDifferences(a, b, args[2:]...))
	return nil
}

// since compares a member with itself at another moment, and comes back to where it was.
func (p *prompt) since(args []string) error {
	if len(args) < 2 {
		return errors.New("since needs a moment and a member, as in since event:12000 1 disk")
	}
	c, err := sim.ParseCondition(args[0])
	if err != nil {
		return err
	}
	if err := checkSections(args[2:]); err != nil {
		return err
	}
	now, err := memberView(p.walk, args[1])
	if err != nil {
		return err
	}
	other := sim.NewWalk(p.walk.Plan())
	if err := other.First(c); err != nil {
		return err
	}
	then, err := memberView(other, args[1])
	if err != nil {
		return err
	}
	fmt.Fprint(p.out, sim.PrintDifferences(then, now, args[2:]...))
	return nil
}

func (p *prompt) fork(args []string) error {
	if len(args) != 1 {
		return errors.New("fork needs a seed, as in fork 5")
	}
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no seed", args[0])
	}
	fork, err := p.walk.Forked(seed)
	if err != nil {
		return err
	}
	p.origin, p.walk = p.walk, fork
	fmt.Fprintf(p.out, "fork %d:%d: %s\n", fork.Plan().Fork.Event, seed, ending(fork.Outcome()))
	return nil
}

// forks tries the surroundings of the present event.
func (p *prompt) forks(args []string) error {
	if len(args) != 2 {
		return errors.New("forks needs two seeds, as in forks 1 20")
	}
	from, err := strconv.ParseUint(args[0], 10, 64)
	to, err2 := strconv.ParseUint(args[1], 10, 64)
	if err != nil || err2 != nil || from == 0 || to < from {
		return fmt.Errorf("%s to %s are no seeds in order, from 1 on", args[0], args[1])
	}
	failed := 0
	for seed := from; seed <= to; seed++ {
		fork, err := p.walk.Forked(seed)
		if err != nil {
			return err
		}
		r := fork.Outcome()
		if r.Failure != nil {
			failed++
			fmt.Fprintf(p.out, "fork %d:%d: %s\n", fork.Plan().Fork.Event, seed, ending(r))
		}
	}
	fmt.Fprintf(p.out, "%d of %d forks fail\n", failed, to-from+1)
	return nil
}

// ending says how a run ends.
func ending(r *sim.Result) string {
	if r.Failure != nil {
		return fmt.Sprintf("FAIL %v", r.Failure)
	}
	return fmt.Sprintf("passes %s, %d events", r.Verdict, r.Counts.Events)
}
