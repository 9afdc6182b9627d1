package transcript

// What may differ between two servers that behave the same is replaced: addresses, drawn ids,
// raft's terms and indexes, sizes of files, times. Everything else has to be the same text.

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// volatile are texts that may differ, and what they are replaced by.
var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`etcd-endpoints://0x[0-9a-f]+/`), `etcd-endpoints://`},
	{regexp.MustCompile(`endpoint://client-[0-9a-f-]{36}/`), `endpoint://client/`},
	{regexp.MustCompile(`LocalAddr: '127.0.0.1:\d+'`), `LocalAddr`},
	{regexp.MustCompile(`(read tcp )?127.0.0.1:\d+->`), `$1 LocalAddr->`},
	{regexp.MustCompile(`"raft_term":\d+`), `"raft_term":T`},
	{regexp.MustCompile(`"(raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+`), `"$1":N`},
	{regexp.MustCompile(`"RaftTerm" : \d+`), `"RaftTerm" : T`},
	{regexp.MustCompile(`"(RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : \d+`), `"$1" : N`},
	{regexp.MustCompile(`took = [0-9.]+(µs|ms|s)`), `took = D`},
	{regexp.MustCompile(`"[tT]ook" ?: ?"[0-9.]+(µs|ms|s)"`), `"took":"D"`},
	{regexp.MustCompile(`\b[0-9.]+(µs|ms)\b`), `D`},
	{regexp.MustCompile(`took [0-9.]+s\b`), `took D`},
	{regexp.MustCompile(`"took":[0-9.e-]+`), `"took":D`},
	{regexp.MustCompile(`remaining\(\d+s\)`), `remaining(Ns)`},
	{regexp.MustCompile(`"(ttl|TTL)" ?: ?\d+`), `"$1":N`},
	{regexp.MustCompile(`\b\d+(\.\d+)? [kMG]?B\b`), `SIZE`},
	{regexp.MustCompile(`\b\d+%`), `PERCENT`},
	{regexp.MustCompile(`"?\d{4}-\d\d-\d\dT[0-9:.]+Z?([+-][0-9:]+)?"?`), `TIME`},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+`), `TIME`},
	{regexp.MustCompile(`"ts":[0-9.]+`), `"ts":TIME`},
	{regexp.MustCompile(`(true|false), \d+, \d+, \d+,`), `$1, T, I, I,`}, // endpoint status
	{regexp.MustCompile(`(true|false)( *[│|] *\d+ *){3}`), `$1 │ T │ I │ I `},
	{regexp.MustCompile(` *[│|] *`), ` │ `},
	{regexp.MustCompile(`─+`), `─`},
	{regexp.MustCompile(`-{4,}`), `-`},
	{regexp.MustCompile(`(?s)\ngoroutine .*`), ``}, // etcdctl itself panics
}

// normal is a result without what may differ.
func (s *side) normal(c command, r result, format string) result {
	if format == "protobuf" && r.status == 0 {
		if text, ok := wireText([]byte(r.out), 0, false); ok {
			r.out = text
		}
	}
	r.out, r.err = s.plain(r.out), s.plain(r.err)
	if c.unordered {
		r.out, r.err = sorted(r.out), sorted(r.err)
	}
	if c.anyone {
		r.out = whoAnswered.ReplaceAllString(r.out, "$1 ANYONE")
	}
	if c.loud {
		r.err = ""
	}
	return r
}

// whoAnswered is the header's member in every format.
var whoAnswered = regexp.MustCompile(`("member_id":|"MemberID" :|(?m)\A1: {\n  1: \d+\n  2:) ?\d+`)

// sorted puts lines, and what a list of JSON holds, in order.
func sorted(text string) string {
	lines := strings.Split(strings.NewReplacer("},{", "\n", "[{", "\n", "}]", "\n").Replace(text),
		"\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s *side) plain(text string) string {
	replace := []string{s.server.Address, "ENDPOINT", s.dir, "DIR", s.certs, "CERTS"}
	if s.second != nil {
		replace = append(replace, s.second.Address, "SECOND")
	}
	if s.secure != "" {
		replace = append(replace, s.secure, "SECURE")
	}
	for id, name := range s.names {
		replace = append(replace, id, name)
	}
	names := map[string]string{}
	for i, id := range s.leases {
		names[id] = fmt.Sprintf("LEASE%d", i)
	}
	if s.added != "" {
		names[s.added] = "ADDED"
	}
	for id, name := range names {
		var n uint64
		_, _ = fmt.Sscanf(id, "%x", &n) // the pattern admits hexadecimal digits only
		short := fmt.Sprintf("%x", n)
		replace = append(replace, id, name, fmt.Sprint(n), name, fmt.Sprint(int64(n)), name, short,
			name)
		for _, prefix := range []string{"e/", "l/"} { // keys of elections and locks, in JSON
			replace = append(replace, base64.StdEncoding.EncodeToString([]byte(prefix+short)), name)
		}
	}
	text = strings.NewReplacer(replace...).Replace(text)
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}

// wireText writes a protobuf message of an unknown type as text, so that ids in it can be found and
// replaced. Whatever is printable is a text; of the rest, what can be read as a message is one. The
// first field of a response is its header, and the header's fourth is raft's term.
func wireText(b []byte, depth int, header bool) (string, bool) {
	var text strings.Builder
	indent := strings.Repeat("  ", depth)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", false
		}
		b = b[n:]
		var value string
		switch kind {
		case protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			value = fmt.Sprint(v)
			if header && number == 4 {
				value = "T"
			}
		case protowire.BytesType:
			var v []byte
			v, n = protowire.ConsumeBytes(b)
			value = bytesText(v, depth, depth == 0 && number == 1)
		case protowire.Fixed64Type:
			var v uint64
			v, n = protowire.ConsumeFixed64(b)
			value = fmt.Sprint(v)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			value = fmt.Sprint(v)
		default:
			return "", false
		}
		if n < 0 {
			return "", false
		}
		b = b[n:]
		fmt.Fprintf(&text, "%s%d: %s\n", indent, number, value)
	}
	return text.String(), true
}

func bytesText(v []byte, depth int, header bool) string {
	printable := !slices.ContainsFunc(v, func(c byte) bool { return c < ' ' || c > '~' })
	if !printable {
		if inner, ok := wireText(v, depth+1, header); ok {
			return "{\n" + inner + strings.Repeat("  ", depth) + "}"
		}
	}
	return fmt.Sprintf("%q", v)
}
