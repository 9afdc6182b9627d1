package report

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/sim"
)

// quick is a seed of a short run.
const quick = 2

// write runs a seed and returns its report, with the record that it was made from.
func write(t *testing.T, seed uint64) (text string, record *sim.Record) {
	t.Helper()
	plan := sim.Generate(seed)
	record = &sim.Record{}
	result := sim.RunPlan(&plan, sim.Options{Record: record})
	require.Nil(t, result.Failure)
	var out bytes.Buffer
	require.NoError(t, Write(&out, &plan, &result, record, Origin{Commit: "abc"}))
	return out.String(), record
}

var dataScript = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// column unpacks a column as the page does.
func unpack(t *testing.T, raw json.RawMessage, ascends bool) []int64 {
	t.Helper()
	var list []int64
	if err := json.Unmarshal(raw, &list); err != nil {
		var s sparse
		require.NoError(t, json.Unmarshal(raw, &s))
		list = make([]int64, s.Length)
		at := int64(0)
		for i := 0; i < len(s.Pairs); i += 2 {
			at += s.Pairs[i]
			list[at] = s.Pairs[i+1]
		}
	}
	for i := 1; ascends && i < len(list); i++ {
		list[i] += list[i-1]
	}
	return list
}

// The page's columns say what the record says, and the page needs nothing from anywhere.
func TestTheReportHoldsTheRecord(t *testing.T) {
	text, record := write(t, quick)
	require.NotRegexp(t, `(src|href)="`, text, "the file stands alone")
	require.NotContains(t, text, "{{")
	require.Equal(t, 2, strings.Count(text, "</script>"), "no content ends a script")

	var p struct {
		Lanes  []string
		Tables map[string]map[string]json.RawMessage
		Names  vocabulary
	}
	require.NoError(t, json.Unmarshal([]byte(dataScript.FindStringSubmatch(text)[1]), &p))
	require.Equal(t, record.Endpoints, p.Lanes)
	messages := p.Tables["messages"]
	at, kind := unpack(t, messages["at"], true), unpack(t, messages["kind"], false)
	event, took := unpack(t, messages["event"], true), unpack(t, messages["took"], false)
	last := unpack(t, messages["last"], false)
	require.Len(t, at, len(record.Messages))
	for i := range record.Messages {
		m := &record.Messages[i]
		arrives := int64(-1)
		if len(m.Copies) > 0 {
			arrives = m.Copies[0].At - m.Sent
		}
		want := []int64{m.Sent, int64(m.Event), int64(m.Kind), int64(m.Last), arrives}
		if got := []int64{at[i], event[i], kind[i], last[i], took[i]}; !slices.Equal(want, got) {
			require.Equal(t, want, got, "message %d", i)
		}
	}
	require.Equal(t, "append-resp", p.Names.Kinds[6])
	applied := unpack(t, p.Tables["states"]["applied"], false)
	var want []int64
	for i := range record.States {
		want = append(want, int64(record.States[i].Applied))
	}
	require.Equal(t, want, applied)
	require.Len(t, unpack(t, p.Tables["disk"]["file"], false), len(record.Disk))
	require.Len(t, unpack(t, p.Tables["calls"]["number"], false), len(record.Calls))
	require.Len(t, unpack(t, p.Tables["faults"]["id"], false), len(record.Faults))
}

// Equal runs make equal reports, but for what porcupine's page draws in the order of its search.
func TestEqualRunsMakeEqualReports(t *testing.T) {
	first, _ := write(t, quick)
	second, _ := write(t, quick)
	data := dataScript.FindString(first)
	require.NotEmpty(t, data)
	require.Equal(t, data, dataScript.FindString(second))
}

// What is told of a failure names the member, the write that is not synced, and the promise.
func TestTheStoryOfAnEarlyAcknowledgement(t *testing.T) {
	plan := sim.Generate(quick)
	record := &sim.Record{Members: 2, Endpoints: []string{"member 0", "member 1"}}
	record.Disk = []sim.DiskRecord{{Member: 1, Kind: 1, File: "log/1", Submitted: 5_000_000,
		Begun: 5_000_000, Ended: -1, First: 4, Last: 6, Event: 90}}
	record.Messages = []sim.MessageRecord{{Kind: 6, From: 1, To: 0, Sent: 5_000_000, Event: 90,
		Term: 3, Index: 6}}
	result := sim.Result{Failure: &sim.Failure{Oracle: sim.OracleDurable, At: 5_000_000, Event: 90,
		Message: "member 1 acknowledges index 6"}}
	v, story, focus := tell(&plan, &result, record)
	require.True(t, v.Failed)
	require.Contains(t, v.Sentence, "a promise was made that a loss of power could undo")
	require.Equal(t, []int{1}, focus.Members)
	require.Less(t, focus.From, int64(5_000_000))
	require.Greater(t, focus.To, int64(5_000_000))
	require.Len(t, story, 2)
	require.Contains(t, story[0].Text, "the write of entries 4 to 6 to log/1")
	require.Contains(t, story[1].Text,
		"It acknowledges index 6 before its disk has synced entries 4 to 6.")
	require.Equal(t, "messages", story[1].Kind)
}

// A stale read is told with both indexes, and with the write that it misses.
func TestTheStoryOfAStaleRead(t *testing.T) {
	plan := sim.Generate(quick)
	record := &sim.Record{Members: 1, Endpoints: []string{"member 0", "client 0", "client 1"}}
	record.Calls = []sim.CallRecord{
		{Number: 1, Client: 1, Text: "put", Sent: 10, Ended: 20, Answered: true, Effective: 7},
		{Number: 2, Client: 2, Text: "range", Sent: 30, Ended: 50, Answered: true, End: "ok"},
	}
	record.Messages = []sim.MessageRecord{{Kind: sim.KindAnswer, From: 0, To: 2, Call: 2, Sent: 40,
		Confirmed: 7, Applied: 6, Copies: []sim.CopyRecord{{At: 50, Outcome: sim.Delivered}}}}
	result := sim.Result{Failure: &sim.Failure{Oracle: sim.OracleLin, At: 900, Event: 9,
		Message: "illegal", About: sim.Subject{Call: 2}}}
	v, story, focus := tell(&plan, &result, record)
	require.Contains(t, v.Sentence, "in the answer to call 2")
	require.Equal(t, int64(50), v.At, "not when it was judged")
	require.Equal(t, []int{0}, focus.Members)
	var all []string
	for _, l := range story {
		all = append(all, l.Text)
	}
	text := strings.Join(all, "\n")
	require.Contains(t, text, "from its state at index 6, although the read index is 7")
	require.Contains(t, text, "call 1 of client 0, which index 7 holds")
}
