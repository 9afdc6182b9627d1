// Package report draws a run as a space-time diagram: one HTML file that holds everything, needs
// no network and no server, and can be printed. On top it says in a sentence how the run ended. A
// failed one opens at the moments that led to its failure, and tells them one by one.
//
// The page draws on a canvas from columns of numbers, so that runs of several hundred thousand
// events open at once and stay quick: what cannot be told apart at a scale is drawn as a density.
// Beside the diagram lie the picture that porcupine makes of the clients' history, and the plan.
package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/detcd/detcd/diskio"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
	"github.com/detcd/detcd/sim"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/style.css
var pageCSS string

//go:embed page/data.js
var pageData string

//go:embed page/words.js
var pageWords string

//go:embed page/draw.js
var pageDraw string

//go:embed page/marks.js
var pageMarks string

//go:embed page/page.js
var pageScript string

//go:embed page/choose.js
var pageChoose string

// Origin says where a run comes from, for whoever wants to repeat it.
type Origin struct {
	Commit string // of the code; may be empty
	File   string // of the scenario, empty if the seed says all
}

// Run runs a plan and writes its report.
func Run(w io.Writer, plan *sim.Plan, from Origin) (sim.Result, error) {
	var record sim.Record
	result := sim.RunPlan(plan, sim.Options{Record: &record})
	return result, Write(w, plan, &result, &record, from)
}

// Write writes the report of a run that was recorded.
func Write(w io.Writer, plan *sim.Plan, result *sim.Result, record *sim.Record,
	from Origin) error {
	data, err := json.Marshal(pageOf(plan, result, record, from))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	picture, err := pictureOf(record)
	if err != nil {
		return err
	}
	replace := strings.NewReplacer(
		"{{title}}", html.EscapeString(fmt.Sprintf("detcd, seed %d", plan.Seed)),
		"{{style}}", pageCSS,
		"{{data}}", string(data),
		"{{picture}}", picture,
		"{{script}}", pageData+pageWords+pageDraw+pageMarks+
			pageScript+pageChoose)
	if _, err := replace.WriteString(w, pageHTML); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// pictureOf is porcupine's page as a string literal of JavaScript, empty if there is no history.
func pictureOf(record *sim.Record) (string, error) {
	var page bytes.Buffer
	if record.Picture.Drawable() {
		if err := record.Picture.Visualize(&page); err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
	}
	// JSON escapes <, so no tag of that page can end the script that holds it.
	literal, err := json.Marshal(page.String())
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return string(literal), nil
}

// page is everything that the script gets.
type page struct {
	Seed    string         `json:"seed"`
	Hash    string         `json:"hash"`
	Commit  string         `json:"commit"`
	Verdict verdict        `json:"verdict"`
	Story   []line         `json:"story"`
	Focus   focus          `json:"focus"`
	End     int64          `json:"end"`
	Events  uint64         `json:"events"`
	Members int            `json:"members"`
	Lanes   []string       `json:"lanes"`
	IDs     []string       `json:"ids"`
	Plan    string         `json:"plan"`
	Repeat  []string       `json:"repeat"`
	Counts  []count        `json:"counts"`
	Names   vocabulary     `json:"names"`
	Tables  map[string]any `json:"tables"`
}

type count struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// vocabulary is the words for the numbers in the tables.
type vocabulary struct {
	Strings   []string `json:"strings"`
	Kinds     []string `json:"kinds"` // of messages; client traffic from 64 on
	Causes    []string `json:"causes"`
	Outcomes  []string `json:"outcomes"`
	Roles     []string `json:"roles"`
	Lives     []string `json:"lives"`
	DiskKinds []string `json:"diskkinds"`
	DiskFates []string `json:"diskfates"`
	DiskLanes []string `json:"disklanes"`
	Statuses  []string `json:"statuses"`
}

func pageOf(plan *sim.Plan, result *sim.Result, record *sim.Record, from Origin) *page {
	names := newInterned()
	watches, seen := watchesTables(record, names)
	tables := map[string]any{
		"states": statesTable(record).pack(), "messages": messagesTable(record, names).pack(),
		"disk": diskTable(record, names).pack(), "calls": callsTable(record, names).pack(),
		"lives": livesTable(record, names).pack(), "notes": notesTable(record, names).pack(),
		"faults": faultsTable(record, names).pack(), "watches": watches.pack(),
		"seen": seen.pack(),
	}
	p := &page{
		Seed: fmt.Sprint(plan.Seed), Hash: fmt.Sprintf("%016x", result.Hash), Commit: from.Commit,
		End: result.Counts.Virtual, Events: result.Counts.Events,
		Members: record.Members, Lanes: record.Endpoints, Plan: plan.String(),
		Repeat: Repeat(plan, result.Failure, from.File), Counts: countsOf(result), Tables: tables,
		Names: words(),
	}
	for _, id := range record.IDs {
		p.IDs = append(p.IDs, id.String())
	}
	p.Verdict, p.Story, p.Focus = tell(plan, result, record)
	p.Names.Strings = names.list
	return p
}

// Repeat lists the commands that show the run again.
func Repeat(plan *sim.Plan, failure *sim.Failure, file string) []string {
	run := file
	if file == "" {
		run = fmt.Sprint(plan.Seed)
	}
	if f := plan.Fork; f.Seed != 0 {
		run += fmt.Sprintf(" --fork %d:%d", f.Event, f.Seed)
	}
	to := "end"
	if failure != nil {
		to = "failure"
	}
	return []string{"detsim step " + run + " --to " + to, "detsim report " + run + " -o run.html"}
}

func countsOf(r *sim.Result) []count {
	c := &r.Counts
	return []count{{"events", c.Events}, {"messages", c.Messages}, {"disk operations", c.DiskOps},
		{"calls", c.Calls}, {"answered", c.Answered}, {"refused", c.Refused}, {"lost", c.Lost},
		{"commits", c.Commits}, {"elections", c.Elections}, {"crashes", c.Crashes},
		{"power losses", c.PowerLosses}, {"snapshots installed", c.Installs},
		{"watch responses", c.WatchResponses}, {"watch events", c.WatchEvents}}
}

func words() vocabulary {
	var v vocabulary
	for k := range raft.NumMessageTypes {
		v.Kinds = append(v.Kinds, sim.MessageKind(k).String())
	}
	for len(v.Kinds) < int(sim.KindRequest) {
		v.Kinds = append(v.Kinds, "")
	}
	for k := sim.KindRequest; k <= sim.KindWatchDown; k++ {
		v.Kinds = append(v.Kinds, k.String())
	}
	for c := netsim.Ordinary; c <= netsim.Cut; c++ {
		v.Causes = append(v.Causes, c.String())
	}
	for o := sim.Underway; o <= sim.Unheard; o++ {
		v.Outcomes = append(v.Outcomes, o.String())
	}
	for r := raft.Follower; r <= raft.Leader; r++ {
		v.Roles = append(v.Roles, r.String())
	}
	for l := sim.Started; l <= sim.Thawed; l++ {
		v.Lives = append(v.Lives, l.String())
	}
	for k := diskio.Kind(0); k <= diskio.Read; k++ {
		v.DiskKinds = append(v.DiskKinds, k.String())
	}
	for f := sim.Pending; f <= sim.Dropped; f++ {
		v.DiskFates = append(v.DiskFates, f.String())
	}
	v.DiskLanes = []string{"log", "engine", "bulk"}
	v.Statuses = []string{"ok", "not found", "no space", "failed"}
	return v
}

// place is a member's number for its id plus one, 0 for nobody.
func place(r *sim.Record, id raft.MemberID) int64 {
	for i, each := range r.IDs {
		if each == id && id != 0 {
			return int64(i) + 1
		}
	}
	return 0
}
