package sim

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/netsim"
)

// A plan comes back from its text as it was, whatever is in it.
func TestAScenarioTellsAPlanExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Scenario{Plan: Generate(rapid.Uint64().Draw(t, "seed")), Expect: "RAFT a # b",
			Comments: []string{"why"}}
		text := s.Text()
		back, err := ParseScenario([]byte(text))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		require.Equal(t, &s, back)
	})
}

// Every field of a plan and of its parts has words: a plan in which each differs from a quiet one
// comes back whole.
func TestEveryFieldOfAPlanHasWords(t *testing.T) {
	p := Plan{Members: 3, Founders: 2, Scripts: make([]Script, 1), Watchers: make([]WatchScript, 1),
		Machines: make([]Machine, 3), Faults: make([]Fault, 1), Reshapes: make([]Reshape, 1)}
	next := uint64(1)
	fill(t, reflect.ValueOf(&p).Elem(), &next)
	p.Members, p.Founders, p.Seed = 3, 2, 7
	p.HeartbeatTicks, p.ElectionTicks, p.TickNanos = 2, 900, 77*millisecond
	p.Limits.LogSegmentBytes, p.Limits.DataSegmentBytes = 1<<20+1, 1<<20+2
	p.Faults[0].Member, p.Scripts[0].Home, p.Watchers[0].Home = 2, 1, 1
	p.Faults[0].Kind = FaultHold
	text := (&Scenario{Plan: p}).Text()
	back, err := ParseScenario([]byte(text))
	require.NoError(t, err, text)
	require.Equal(t, p, back.Plan, text)
}

// fill gives every field below v another value.
func fill(t *testing.T, v reflect.Value, next *uint64) {
	*next++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), next)
		}
	case reflect.Slice, reflect.Array:
		if v.Type() == reflect.TypeFor[[]Span]() {
			v.Set(reflect.ValueOf([]Span{{2, 2}, {4, 9}}))
			return
		}
		for i := range v.Len() {
			fill(t, v.Index(i), next)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*next))
	case reflect.Uint8:
		v.SetUint(1)
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(*next)
	default:
		t.Fatalf("a plan has a field of kind %v, for which there are no words", v.Kind())
	}
}

func TestAScenarioRunsAsItsPlan(t *testing.T) {
	plan := Generate(11)
	text := (&Scenario{Plan: plan}).Text()
	back, err := ParseScenario([]byte(text))
	require.NoError(t, err)
	options := Options{History: SkipHistory}
	require.Equal(t, RunPlan(&plan, options).Hash, RunPlan(&back.Plan, options).Hash)
}

func TestWordsAreReadable(t *testing.T) {
	p := quiet(&Plan{Seed: 9, Members: 3, Scripts: make([]Script, 4)})
	p.Chaos, p.Scripts[3].Silent, p.Scripts[3].Sends = 31500*millisecond, false, []Span{{17, 19}}
	p.Limits.CheckpointCount = 4
	p.Faults = []Fault{{ID: 25, Kind: FaultPower, At: 8545 * millisecond, For: 2 * second,
		Member: 1, Ops: 3}, {ID: 26, Kind: FaultHold, At: second, For: 70 * microsecond,
		Side: netsim.Of(0, 2), Classes: 1 << 5, Amount: 4015 * millisecond, PPM: 1e6}}
	s := Scenario{Plan: p, Expect: "RAFT member # went back"}
	require.Equal(t, `expect RAFT member # went back
world seed 9 members 3 clients 4 chaos 31.5s
limits checkpoint-count 4
client 3 sends 17-19 silent false
fault 25 power at 8.545s for 2s member 1 ops 3
fault 26 hold at 1s for 70us side 0,2 classes append ppm 1000000 amount 4.015s
`, s.Text())
}

func TestWhatIsWrongWithAScenarioIsSaid(t *testing.T) {
	const world = "world seed 1 members 3 clients 1\n"
	for text, want := range map[string]string{
		"":                                             "no line says",
		"fault 1 crash":                                "line 1: the first line must be",
		"world seed 1 members 9":                       "9 members; 1 to 8",
		"world seed 1 members":                         `"members" has no value`,
		world + "fault 1 earthquake":                   `line 2: kind: "earthquake" is none of`,
		world + "fault 1 crash at 3":                   `line 2: at: "3" is no time such as 8.545s`,
		world + "fault 1 crash member 3 at 3s":         "there is no member 3",
		world + "fault 1 crash\nfault 1 crash":         "its number must be its own",
		world + "client 1 think 1s":                    "there is no client 1",
		world + "client 0 thinks 1s":                   `"thinks" is nothing that can be set here`,
		world + "client 0 mix put:x":                   `"put:x" is no kind of request`,
		world + "client 0 sends 3-1":                   `"3-1" is no number`,
		world + "weather fine":                         `"weather" begins no line`,
		world + "limits step-units 0":                  "limits are positive",
		world + "machine 0 sync-delay 0":               "a machine syncs in some time",
		world + "fault 1 partition shape pentagram":    `"pentagram" is none of split`,
		world + "fault 1 partition concerned 0,1,64":   `there is no "64"`,
		"world seed 1 members 3 clients 50 watchers 9": "too many clients",
	} {
		_, err := ParseScenario([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzScenario(f *testing.F) {
	for seed := range uint64(4) {
		f.Add([]byte((&Scenario{Plan: Generate(seed)}).Text()))
	}
	files, err := filepath.Glob("scenarios/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScenario(text)
		if err != nil {
			return
		}
		again, err := ParseScenario([]byte(s.Text()))
		require.NoError(t, err)
		require.Equal(t, s.Text(), again.Text())
	})
}

func TestSignaturesForgetTheRun(t *testing.T) {
	for message, want := range map[string]string{
		"member 1 went back from index 921 to 626":            "RAFT member # went back from index # to #",
		`entry f0345d310abbbb57 at [http://10.0.0.6:2380]: x`: "RAFT entry # at #: x",
		`key "a\"b" is gone`:                                  "RAFT key # is gone",
	} {
		f := Failure{Oracle: OracleRaft, Message: message}
		require.Equal(t, want, f.Signature())
	}
	f := Failure{Oracle: OraclePanic, Message: "raft: bad 7 at raft.(*Raft).Synced (d.go:84) < kv.x"}
	require.False(t, strings.Contains(f.Signature(), "kv.x"))
}
