package main

// Samples, medians, ratios: a table for people and JSON for machines.

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// metric names one measured quantity.
type metric struct {
	Members int    `json:"members"`
	Row     string `json:"row"`
	Name    string `json:"metric"`
	Unit    string `json:"unit"`
}

// line is a metric with its samples per subject, one per round.
type line struct {
	metric
	Samples map[string][]float64 `json:"samples"`
	Medians map[string]float64   `json:"medians"`
	// Ratio is the second subject's median over the first one's; 0 if either is missing.
	Ratio float64 `json:"ratio"`
}

// report collects the lines in the order in which they first appeared.
type report struct {
	Machine  string   `json:"machine"`
	Subjects []string `json:"subjects"`
	Rounds   int      `json:"rounds"`
	Lines    []*line  `json:"lines"`
	Notes    []string `json:"notes"`
}

func newReport(subjects []subject, rounds int) *report {
	r := &report{Rounds: rounds, Machine: fmt.Sprintf("%s, %d CPUs, %s", cpuModel(),
		runtime.NumCPU(), runtime.Version())}
	for _, s := range subjects {
		r.Subjects = append(r.Subjects, s.name)
	}
	return r
}

func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for l := range strings.Lines(string(data)) {
			if name, ok := strings.CutPrefix(l, "model name"); ok {
				return strings.TrimSpace(strings.TrimLeft(name, " \t:"))
			}
		}
	}
	return "unknown CPU"
}

// session is one subject's part of one round.
type session struct {
	report  *report
	subject string
	members int
	took    int // samples added
}

func (s *session) add(row, name, unit string, value float64) {
	m := metric{Members: s.members, Row: row, Name: name, Unit: unit}
	i := slices.IndexFunc(s.report.Lines, func(l *line) bool { return l.metric == m })
	if i < 0 {
		i = len(s.report.Lines)
		s.report.Lines = append(s.report.Lines, &line{metric: m, Samples: map[string][]float64{}})
	}
	l := s.report.Lines[i]
	l.Samples[s.subject] = append(l.Samples[s.subject], value)
	s.took++
}

// load adds the usual metrics of a load.
func (s *session) load(row string, l *load) {
	s.add(row, "throughput", "1/s", l.perSecond())
	s.add(row, "median", "ms", l.quantile(0.5))
	s.add(row, "99th percentile", "ms", l.quantile(0.99))
	s.add(row, "server CPU", "us", l.cpuMicros())
}

func median(samples []float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func (r *report) finish() {
	for _, l := range r.Lines {
		l.Medians = map[string]float64{}
		for _, s := range r.Subjects {
			if len(l.Samples[s]) > 0 {
				l.Medians[s] = median(l.Samples[s])
			}
		}
		if len(r.Subjects) == 2 && l.Medians[r.Subjects[0]] != 0 {
			l.Ratio = l.Medians[r.Subjects[1]] / l.Medians[r.Subjects[0]]
		}
	}
}

func (r *report) table(w io.Writer) error {
	fmt.Fprintf(w, "%s; medians of %d rounds\n\n", r.Machine, r.Rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "members\trow\tmetric\tunit\t%s\tratio\t\n", strings.Join(r.Subjects, "\t"))
	for _, l := range r.Lines {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t", l.Members, l.Row, l.Name, l.Unit)
		for _, s := range r.Subjects {
			if v, ok := l.Medians[s]; ok {
				fmt.Fprintf(t, "%.*f\t", digits(v), v)
			} else {
				fmt.Fprint(t, "-\t")
			}
		}
		if l.Ratio != 0 {
			fmt.Fprintf(t, "%.2f\t\n", l.Ratio)
		} else {
			fmt.Fprint(t, "-\t\n")
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", n)
	}
	return nil
}

func digits(v float64) int {
	switch {
	case v >= 100:
		return 0
	case v >= 10:
		return 1
	}
	return 3
}

func (r *report) json(path string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
