// Package metrics runs detcd under Debian's Prometheus: three real processes, scraped on loopback,
// with the alerts that people who run etcd have already and the queries of the dashboard in
// deploy/grafana. What it looks for are queries that cannot be evaluated, names that nobody
// exports, and alerts that do not fire when they should.
package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// process is a program that runs until it is stopped.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // its output's file
	done chan struct{}
}

func start(dir, name string, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the process has its own
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is nobody's question
		close(p.done)
	}()
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// tail is the end of what the process has said.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return p.name + ": ..." + string(text[max(0, len(text)-2000):])
}

// freePorts are loopback addresses that nobody uses now.
func freePorts(n int) (addrs []string, err error) {
	var all []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		all = append(all, l)
		addrs = append(addrs, l.Addr().String())
	}
	for _, l := range all {
		err = errors.Join(err, l.Close())
	}
	return addrs, err
}

// member is one process of detcd.
type member struct {
	*process
	client, scraped string // addresses
}

// startMembers starts a cluster of three whose metrics are on a port of their own.
func startMembers(dir, program string) (all []*member, err error) {
	const n = 3
	ports, err := freePorts(3 * n)
	if err != nil {
		return nil, err
	}
	var cluster []string
	for i := range n {
		cluster = append(cluster, fmt.Sprintf("m%d=http://%s", i, ports[3*i]))
	}
	for i := range n {
		name := fmt.Sprintf("m%d", i)
		m := &member{client: ports[3*i+1], scraped: ports[3*i+2]}
		m.process, err = start(dir, name, program, "--name", name,
			"--data-dir", filepath.Join(dir, name+".data"),
			"--listen-peer-urls", "http://"+ports[3*i],
			"--initial-advertise-peer-urls", "http://"+ports[3*i],
			"--listen-client-urls", "http://"+m.client,
			"--advertise-client-urls", "http://"+m.client,
			"--listen-metrics-urls", "http://"+m.scraped,
			"--initial-cluster", strings.Join(cluster, ","), "--metrics", "extensive")
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

// fetch gets, or posts if there is a body, and returns what came back with status 200.
func fetch(ctx context.Context, address, body string) ([]byte, error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %s", address, resp.StatusCode, text)
	}
	return text, err
}

// until repeats a question until it is answered with yes. The last no is the error.
func until(ctx context.Context, ask func() error) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// prometheus is a running server.
type prometheus struct {
	*process
	address string
}

func startPrometheus(dir string, targets []string, rules string) (*prometheus, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\n"+
		"rule_files: [%q]\nscrape_configs:\n- job_name: etcd\n  static_configs:\n"+
		"  - targets: [%s]\n", rules, `"`+strings.Join(targets, `","`)+`"`)
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p := &prometheus{address: ports[0]}
	p.process, err = start(dir, "prometheus", "prometheus", "--config.file", file,
		"--storage.tsdb.path", filepath.Join(dir, "prometheus.data"),
		"--web.listen-address", p.address)
	return p, err
}

// query evaluates an expression and returns its series.
func (p *prometheus) query(ctx context.Context, expression string) (series []json.RawMessage,
	err error) {
	text, err := fetch(ctx, "http://"+p.address+"/api/v1/query?query="+
		url.QueryEscape(expression), "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expression, answer.Error)
	}
	return answer.Data.Result, nil
}

// rule is an alert as Prometheus sees it.
type rule struct {
	Name, Query, Health, LastError string
}

func (p *prometheus) rules(ctx context.Context) (all []rule, err error) {
	text, err := fetch(ctx, "http://"+p.address+"/api/v1/rules", "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct{ Groups []struct{ Rules []rule } }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	for _, g := range answer.Data.Groups {
		all = append(all, g.Rules...)
	}
	return all, nil
}
