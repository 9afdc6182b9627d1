package sim

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
	"github.com/detcd/detcd/raft"
)

// Words of a scenario: each field of a part of a plan is a name and a value without spaces. Fields
// are found by reflection, so one that a plan gains has words at once; a type that has none makes a
// test fail.

// names are the values of enumerations, by their place.
var names = map[reflect.Type][]string{
	reflect.TypeFor[FaultKind]():     enum(numFaultKinds, FaultKind.String),
	reflect.TypeFor[Target]():        enum(TargetSet+1, Target.String),
	reflect.TypeFor[When]():          enum(numWhens, When.String),
	reflect.TypeFor[Moment]():        enum(NumMoments, Moment.String),
	reflect.TypeFor[Reshaping]():     enum(numReshapings, Reshaping.String),
	reflect.TypeFor[netsim.Shape]():  enum(netsim.NumShapes, netsim.Shape.String),
	reflect.TypeFor[Aim]():           {"none", "to", "from"},
	reflect.TypeFor[Ending]():        {"plain", "empty"},
	reflect.TypeFor[kv.Strictness](): {"strict", "lenient"},
}

func enum[T ~uint8](n T, name func(T) string) (all []string) {
	for v := range n {
		all = append(all, hyphens(name(v)))
	}
	return all
}

// hyphens makes one word of several.
func hyphens(text string) string { return strings.ReplaceAll(text, " ", "-") }

// shapeNames are the kinds of request in a mix.
var shapeNames = [numShapes]string{"put", "put-options", "append", "get", "list", "list-options",
	"list-old", "serializable", "delete", "delete-range", "update", "create", "txn", "read-txn",
	"compact", "hash", "members", "status", "bad", "grant", "lease-put", "keep-alive",
	"time-to-live", "revoke", "leases", "backup"}

// durations are the fields that hold nanoseconds.
var durations = []string{"Chaos", "TickNanos", "LeaseNanos", "NotifyNanos", "TurnDelay",
	"ReadDelay", "MinDelay", "MeanDelay", "TailDelay", "WallOffset", "SyncDelay", "Start", "Think",
	"Timeout", "Read", "At", "For", "Lag", "Pause"}

// elsewhere are the fields of a plan that the line about the world does not tell.
var elsewhere = []string{"Seed", "Members", "Limits", "Peers", "Clients", "Machines", "Scripts",
	"Watchers", "Faults", "Auth", "Fork", "Reshapes"}

// words tells in which fields one struct differs from another one, each with a space before it.
func words(have, base any) string {
	h, b := reflect.ValueOf(have).Elem(), reflect.ValueOf(base).Elem()
	var text strings.Builder
	for i := range h.NumField() {
		name := h.Type().Field(i).Name
		if h.Type() == reflect.TypeFor[Plan]() && slices.Contains(elsewhere, name) ||
			reflect.DeepEqual(h.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		fmt.Fprintf(&text, " %s %s", wordOf(name), valueOf(h, name, h.Field(i)))
	}
	return text.String()
}

// wordOf writes a field's name in small letters.
func wordOf(field string) string {
	var b strings.Builder
	for i, r := range field {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 && !(field[i-1] >= 'A' && field[i-1] <= 'Z') {
			b.WriteByte('-')
		}
		if upper {
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func valueOf(owner reflect.Value, name string, v reflect.Value) string {
	if all, ok := names[v.Type()]; ok {
		return all[min(v.Uint(), uint64(len(all)-1))]
	}
	switch x := v.Interface().(type) {
	case netsim.Set:
		return setText(uint64(x), func(i int) string { return strconv.Itoa(i) })
	case Mix:
		return mixText(x)
	case []Span:
		return spansText(x)
	case bool:
		return strconv.FormatBool(x)
	}
	switch {
	case name == "Classes":
		return setText(v.Uint(), className)
	case slices.Contains(durations, name) || name == "Amount" && isDelay(owner):
		return durationText(v.Int())
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	}
	return strconv.FormatUint(v.Uint(), 10)
}

// isDelay says whether the amount of a fault is a time.
func isDelay(fault reflect.Value) bool {
	f, ok := fault.Interface().(Fault)
	return ok && (f.Kind == FaultDelay || f.Kind == FaultHold || f.Kind == FaultDuplicate ||
		f.Kind == FaultClock)
}

// durationText writes nanoseconds in the unit that suits them, exactly.
func durationText(d int64) string {
	for _, u := range units {
		if d%u.nanos == 0 && (d/u.nanos != 0 || u.nanos == 1) {
			if u.nanos == millisecond && (d >= second || d <= -second) {
				text := fmt.Sprintf("%d.%03d", d/second, abs(d%second)/millisecond)
				return strings.TrimRight(text, "0") + "s"
			}
			return strconv.FormatInt(d/u.nanos, 10) + u.name
		}
	}
	return "0"
}

var units = [...]struct {
	name  string
	nanos int64
}{{"s", second}, {"ms", millisecond}, {"us", microsecond}, {"ns", 1}}

func abs(n int64) int64 { return max(n, -n) }

func readDuration(text string) (int64, error) {
	number, unit := strings.TrimRight(text, "smun"), int64(0)
	for _, u := range units {
		if text[len(number):] == u.name {
			unit = u.nanos
		}
	}
	whole, part, _ := strings.Cut(number, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if unit == 0 && text == "0" {
		return 0, nil
	}
	if err != nil || unit == 0 || n > math.MaxInt64/2/unit || n < math.MinInt64/2/unit {
		return 0, fmt.Errorf("%q is no time such as 8.545s, 12ms, 350us or 7ns", text)
	}
	n *= unit
	for digit := unit / 10; part != ""; digit, part = digit/10, part[1:] {
		if digit == 0 || part[0] < '0' || part[0] > '9' {
			return 0, fmt.Errorf("%q is no time such as 8.545s", text)
		}
		if add := digit * int64(part[0]-'0'); strings.HasPrefix(text, "-") {
			n -= add
		} else {
			n += add
		}
	}
	return n, nil
}

// setText writes the members of a set of bits.
func setText(set uint64, name func(int) string) string {
	var all []string
	for i := range 64 {
		if set>>i&1 == 1 {
			all = append(all, name(i))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ",")
}

func readSet(text string, name func(int) string) (set uint64, err error) {
	if text == "none" {
		return 0, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		i := 0
		for i < 64 && name(i) != part {
			i++
		}
		if i == 64 {
			return 0, fmt.Errorf("there is no %q", part)
		}
		set |= 1 << i
	}
	return set, nil
}

func mixText(m Mix) string {
	var all []string
	for i, weight := range m {
		if weight > 0 {
			all = append(all, fmt.Sprintf("%s:%d", shapeNames[i], weight))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ",")
}

func readMix(text string) (m Mix, err error) {
	if text == "none" {
		return m, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, weight, _ := strings.Cut(part, ":")
		i := slices.Index(shapeNames[:], name)
		n, err := strconv.ParseUint(weight, 10, 16)
		if i < 0 || err != nil {
			return m, fmt.Errorf("%q is no kind of request with its weight, such as put:50", part)
		}
		m[i] = uint16(n)
	}
	return m, nil
}

func spansText(spans []Span) string {
	var all []string
	for _, s := range spans {
		if s.First == s.Last {
			all = append(all, strconv.FormatUint(s.First, 10))
		} else {
			all = append(all, fmt.Sprintf("%d-%d", s.First, s.Last))
		}
	}
	if len(all) == 0 {
		return "all"
	}
	return strings.Join(all, ",")
}

func readSpans(text string) (spans []Span, err error) {
	if text == "all" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, two := strings.Cut(part, "-")
		var s Span
		s.First, err = strconv.ParseUint(first, 10, 64)
		s.Last = s.First
		if err == nil && two {
			s.Last, err = strconv.ParseUint(last, 10, 64)
		}
		if err != nil || s.Last < s.First {
			return nil, fmt.Errorf("%q is no number, nor numbers such as 17-19", part)
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// readWords sets the fields that pairs of words name.
func readWords(into any, fields []string) error {
	v := reflect.ValueOf(into).Elem()
	for len(fields) > 0 {
		var field reflect.StructField
		for i := range v.NumField() {
			if f := v.Type().Field(i); wordOf(f.Name) == fields[0] {
				field = f
			}
		}
		switch {
		case field.Name == "" || v.Type() == reflect.TypeFor[Plan]() &&
			slices.Contains(elsewhere, field.Name):
			return fmt.Errorf("%q is nothing that can be set here", fields[0])
		case len(fields) < 2:
			return fmt.Errorf("%q has no value", fields[0])
		}
		if err := readValue(v.FieldByIndex(field.Index), field.Name, fields[1]); err != nil {
			return fmt.Errorf("%s: %w", fields[0], err)
		}
		fields = fields[2:]
	}
	return nil
}

func readValue(v reflect.Value, name, text string) error {
	if all, ok := names[v.Type()]; ok {
		i := slices.Index(all, text)
		if i < 0 {
			return fmt.Errorf("%q is none of %s", text, strings.Join(all, ", "))
		}
		v.SetUint(uint64(i))
		return nil
	}
	var x any
	var err error
	switch v.Interface().(type) {
	case netsim.Set:
		set, e := readSet(text, func(i int) string { return strconv.Itoa(i) })
		x, err = netsim.Set(set), e
	case Mix:
		x, err = readMix(text)
	case []Span:
		x, err = readSpans(text)
	case bool:
		x, err = strconv.ParseBool(text)
	default:
		return readNumber(v, name, text)
	}
	if err == nil {
		v.Set(reflect.ValueOf(x))
	}
	return err
}

func readNumber(v reflect.Value, name, text string) error {
	last := text[len(text)-1]
	switch {
	case name == "Classes":
		set, err := readSet(text, className)
		v.SetUint(set)
		return err
	case slices.Contains(durations, name) || name == "Amount" && last == 's':
		n, err := readDuration(text)
		v.SetInt(n)
		return err
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v.OverflowInt(n) {
			return fmt.Errorf("%q is no number that fits", text)
		}
		v.SetInt(n)
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || v.OverflowUint(n) {
		return fmt.Errorf("%q is no number that fits", text)
	}
	v.SetUint(n)
	return nil
}

func className(i int) string { return hyphens(messageName(raft.MessageType(i))) }
