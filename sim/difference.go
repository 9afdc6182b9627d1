package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Print is the view as text, or only the given sections of it.
func (v *View) Print(sections ...string) string {
	var b strings.Builder
	fmt.Fprintln(&b, v.Title)
	for i := range v.Sections {
		s := &v.Sections[i]
		if len(sections) > 0 && !slices.Contains(sections, s.Name) {
			continue
		}
		fmt.Fprintln(&b, s.Name)
		for _, f := range s.Fields {
			fmt.Fprintf(&b, "  %-28s %s\n", f.Name, f.Value)
		}
	}
	return b.String()
}

// Difference is a field that two views do not share.
type Difference struct {
	Section, Name string
	First, Second string // empty where the field is missing
}

// Differences lists what differs between two views, in the order of the first one and then of what
// only the second one has.
func Differences(first, second *View) []Difference {
	var all []Difference
	for _, name := range SectionNames {
		a, b := first.section(name), second.section(name)
		values := make(map[string]string, len(b))
		for _, f := range b {
			values[f.Name] = f.Value
		}
		shared := make(map[string]bool, len(a))
		for _, f := range a {
			shared[f.Name] = true
			if other := values[f.Name]; other != f.Value {
				all = append(all, Difference{name, f.Name, f.Value, other})
			}
		}
		for _, f := range b {
			if !shared[f.Name] {
				all = append(all, Difference{name, f.Name, "", f.Value})
			}
		}
	}
	return all
}

func (v *View) section(name string) []Field {
	for i := range v.Sections {
		if v.Sections[i].Name == name {
			return v.Sections[i].Fields
		}
	}
	return nil
}

// PrintDifferences is the list as text.
func PrintDifferences(first, second *View, sections ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- %s\n+ %s\n", first.Title, second.Title)
	section, count := "", 0
	for _, d := range Differences(first, second) {
		if len(sections) > 0 && !slices.Contains(sections, d.Section) {
			continue
		}
		if d.Section != section {
			section = d.Section
			fmt.Fprintln(&b, section)
		}
		count++
		if d.First != "" {
			fmt.Fprintf(&b, "- %-28s %s\n", d.Name, d.First)
		}
		if d.Second != "" {
			fmt.Fprintf(&b, "+ %-28s %s\n", d.Name, d.Second)
		}
	}
	if count == 0 {
		fmt.Fprintln(&b, "no difference")
	}
	return b.String()
}
