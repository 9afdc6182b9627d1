package metrics

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const patience = time.Minute

func must(t *testing.T, err error, more ...*process) {
	t.Helper()
	if err == nil {
		return
	}
	for _, p := range more {
		t.Log(p.tail())
	}
	t.Fatal(err)
}

// scene is a cluster that has seen some requests, and the Prometheus that watches it.
type scene struct {
	members []*member
	*prometheus
	alerts map[string]string // expressions by name
}

func play(t *testing.T, ctx context.Context) *scene {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("this test needs Prometheus: apt-get install --no-install-recommends prometheus")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "detcd")
	build := exec.Command("go", "build", "-o", program, "./cmd/detcd")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	s := &scene{alerts: map[string]string{}}
	var err error
	s.members, err = startMembers(dir, program)
	t.Cleanup(func() {
		for _, m := range s.members {
			m.stop()
		}
	})
	must(t, err)
	var targets []string
	for _, m := range s.members {
		must(t, until(ctx, func() error {
			_, err := fetch(ctx, "http://"+m.client+"/readyz", "")
			return err
		}), m.process)
		targets = append(targets, m.scraped)
	}
	s.requests(t, ctx)
	rules, err := filepath.Abs("testdata/alerts.yaml")
	must(t, err)
	s.prometheus, err = startPrometheus(dir, targets, rules)
	must(t, err)
	t.Cleanup(s.prometheus.stop)
	return s
}

// requests makes a little of everything that a metric counts, through every member.
func (s *scene) requests(t *testing.T, ctx context.Context) {
	word := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for i, m := range s.members {
		base := "http://" + m.client
		key := word(fmt.Sprint("key", i))
		for path, body := range map[string]string{
			"/v3/kv/put":      fmt.Sprintf(`{"key":%q,"value":%q}`, key, word("value")),
			"/v3/kv/range":    fmt.Sprintf(`{"key":%q}`, key),
			"/v3/lease/grant": `{"TTL":60}`,
		} {
			_, err := fetch(ctx, base+path, body)
			must(t, err, m.process)
		}
		for _, path := range []string{"/livez", "/readyz", "/health"} {
			_, err := fetch(ctx, base+path, "")
			must(t, err, m.process)
		}
	}
	_, err := fetch(ctx, "http://"+s.members[0].client+"/v3/maintenance/alarm",
		`{"action":"ACTIVATE","memberID":1,"alarm":"NOSPACE"}`)
	must(t, err, s.members[0].process)
}

// named finds the metrics of an expression: all have a selector.
var named = regexp.MustCompile(`([a-z][a-z0-9_]*)\{`)

// names are the metrics that an expression asks for.
func names(expression string) (all []string) {
	for _, m := range named.FindAllStringSubmatch(expression, -1) {
		all = append(all, m[1])
	}
	return all
}

// exported says whether Prometheus has a metric of any member.
func (s *scene) exported(ctx context.Context, name string) error {
	series, err := s.query(ctx, "count("+name+`{job="etcd"})`)
	if err == nil && len(series) == 0 {
		err = errors.New("nobody exports " + name)
	}
	return err
}

// fires says whether an alert's expression holds of anything.
func (s *scene) fires(t *testing.T, ctx context.Context, alert string) bool {
	expression := s.alerts[alert]
	if expression == "" {
		t.Fatalf("there is no alert %s", alert)
	}
	series, err := s.query(ctx, expression)
	must(t, err, s.process)
	return len(series) > 0
}

func (s *scene) await(t *testing.T, ctx context.Context, alert string) {
	must(t, until(ctx, func() error {
		if !s.fires(t, ctx, alert) {
			return fmt.Errorf("%s does not fire", alert)
		}
		return nil
	}), s.process)
}

// dashboard lists the expressions of the dashboard, with its variables filled in.
func dashboard(t *testing.T) (all []string) {
	text, err := os.ReadFile("../../deploy/grafana/detcd.json")
	must(t, err)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(text, &board))
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", "etcd", "$instance", ".*")
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all = append(all, fill.Replace(target.Expr))
		}
	}
	return all
}

func TestAlertsAndDashboardUnderPrometheus(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	s := play(t, ctx)

	// Prometheus has read the alerts and can evaluate them.
	must(t, until(ctx, func() error {
		rules, err := s.rules(ctx)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Health != "ok" {
				return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
			s.alerts[r.Name] = r.Query
		}
		if len(s.alerts) != 13 {
			return fmt.Errorf("%d alerts instead of 13", len(s.alerts))
		}
		return nil
	}), s.process)

	// All is well, as far as no clock is asked.
	must(t, until(ctx, func() error {
		up, err := s.query(ctx, `up{job="etcd"} == 1`)
		if err == nil && len(up) != 3 {
			err = fmt.Errorf("%d members are scraped", len(up))
		}
		return err
	}), s.process)
	for _, alert := range []string{"etcdNoLeader", "etcdInsufficientMembers",
		"etcdDatabaseQuotaLowSpace", "etcdDatabaseHighFragmentationRatio",
		"etcdHighNumberOfFailedProposals"} {
		if s.fires(t, ctx, alert) {
			t.Errorf("%s fires, and nothing is wrong", alert)
		}
	}

	// One is lost: the others notice. Then the quorum is lost.
	s.members[0].stop()
	s.await(t, ctx, "etcdMembersDown")
	if s.fires(t, ctx, "etcdInsufficientMembers") {
		t.Error("two of three are enough")
	}

	// Whatever is asked for is there, and can be asked.
	asked := dashboard(t)
	if len(asked) < 60 {
		t.Fatalf("only %d expressions in the dashboard", len(asked))
	}
	for _, expression := range s.alerts {
		asked = append(asked, expression)
	}
	var wanted []string
	for _, expression := range asked {
		if _, err := s.query(ctx, expression); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
		wanted = append(wanted, names(expression)...)
	}
	slices.Sort(wanted)
	for _, name := range slices.Compact(wanted) {
		soon, cancel := context.WithTimeout(ctx, patience/3)
		must(t, until(soon, func() error { return s.exported(ctx, name) }), s.process)
		cancel()
	}

	s.members[1].stop()
	s.await(t, ctx, "etcdInsufficientMembers")
	s.await(t, ctx, "etcdNoLeader")
}
