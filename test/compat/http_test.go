package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/detcd/detcd/test/compat/servers"
)

// exchange is one HTTP request; an empty method is POST.
type exchange struct{ method, path, body string }

func exchanges() []exchange {
	var all []exchange
	for _, path := range []string{
		"/version", "/health", "/health?serializable=true", "/health?exclude=NOSPACE", "/livez",
		"/livez?verbose", "/livez/serializable_read", "/livez/nonsense", "/readyz",
		"/readyz?verbose&exclude=nonsense", "/readyz/data_corruption", "/readyz/linearizable_read",
		"/readyz/serializable_read", "/readyz/non_learner", "/readyz?exclude=data_corruption",
		"/nonsense", "/v3/kv/range", "/v3alpha/kv/range", "/v3/nonsense",
	} {
		all = append(all, exchange{http.MethodGet, path, ""})
	}
	all = append(all, exchange{http.MethodPost, "/health", ""},
		exchange{http.MethodPost, "/version", ""}, exchange{http.MethodPost, "/livez", ""},
		exchange{http.MethodOptions, "/health", ""}, exchange{http.MethodPut, "/v3/kv/put", "{}"})
	for _, request := range [][2]string{
		{"kv/put", `{"key":"YQ==","value":"MQ=="}`}, {"kv/put", `{}`}, {"kv/put", `nonsense`},
		{"kv/put", `{"key":"YQ==","value":"Mg==","prev_kv":true,"unknown":1}`},
		{"kv/put", `{"key":"YQ==","value":"Mg==","prevKv":true,"lease":"5"}`},
		{"kv/range", `{"key":"YQ==","range_end":"AA=="}`}, {"kv/range", `{"key":"eA=="}`},
		{"kv/range", `{"key":"YQ==","sort_order":"DESCEND","sort_target":"MOD","limit":1}`},
		{"kv/range", `{"key":"YQ==","sort_order":2,"limit":"1"}`},
		{"kv/range", `{"key":"YQ==","sort_order":"SIDEWAYS"}`},
		{"kv/range", `{"key":"YQ==","revision":"1000"}`}, {"kv/range", `{"key":"!"}`},
		{"kv/txn", `{"compare":[{"key":"YQ==","target":"MOD","mod_revision":"1"}],` +
			`"success":[{"request_put":{"key":"Yg==","value":"Yg=="}}],` +
			`"failure":[{"request_range":{"key":"YQ=="}}]}`},
		{"kv/txn", `{"success":[{}]}`}, {"kv/deleterange", `{"key":"YQ==","prev_kv":true}`},
		{"kv/compaction", `{"revision":"1"}`}, {"kv/compaction", `{"revision":"1"}`},
		{"kv/rangestream", `{}`}, {"lease/grant", `{"TTL":"100","ID":"5"}`},
		{"lease/grant", `{"TTL":"100","ID":"5"}`}, {"lease/timetolive", `{"ID":"5","keys":true}`},
		{"kv/lease/timetolive", `{"ID":"6"}`}, {"lease/leases", `{}`}, {"kv/lease/leases", `{}`},
		{"lease/keepalive", `{"ID":"5"}`}, {"lease/revoke", `{"ID":"5"}`},
		{"kv/lease/revoke", `{"ID":"5"}`}, {"cluster/member/list", `{}`},
		{"cluster/member/remove", `{"ID":"5"}`}, {"cluster/member/promote", `{"ID":"5"}`},
		{"cluster/member/add", `{"peerURLs":["nonsense"]}`}, {"maintenance/alarm", `{}`},
		{"maintenance/status", `{}`}, {"maintenance/hashkv", `{}`}, {"maintenance/defragment", `{}`},
		{"maintenance/transfer-leadership", `{"targetID":"5"}`},
		{"maintenance/downgrade", `{"action":"VALIDATE","version":"3.4"}`}, {"auth/status", `{}`},
		{"auth/enable", `{}`}, {"auth/user/add", `{"name":"root","password":"r"}`},
		{"auth/user/add", `{"name":"root","password":"r"}`}, {"auth/user/get", `{"name":"root"}`},
		{"auth/user/list", `{}`}, {"auth/user/grant", `{"user":"root","role":"root"}`},
		{"auth/user/changepw", `{"name":"root","password":"s"}`}, {"auth/role/add", `{"name":"x"}`},
		{"auth/role/grant", `{"name":"x","perm":{"permType":"READWRITE","key":"YQ=="}}`},
		{"auth/role/get", `{"role":"x"}`}, {"auth/role/list", `{}`},
		{"auth/role/revoke", `{"role":"x","key":"YQ=="}`}, {"auth/role/delete", `{"role":"x"}`},
		{"auth/authenticate", `{"name":"root","password":"s"}`}, {"auth/user/delete",
			`{"name":"root"}`}, {"election/leader", `{"name":"YQ=="}`}, {"election/proclaim", `{}`},
		{"election/resign", `{}`}, {"lock/unlock", `{"key":"YQ=="}`},
	} {
		all = append(all, exchange{"", "/v3/" + request[0], request[1]})
	}
	return append(all, exchange{"", "/v3beta/kv/range", `{"key":"YQ=="}`})
}

var (
	termJSON = regexp.MustCompile(
		`"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":"\d+"`)
	tokenJSON = regexp.MustCompile(`"token":"[^"]*"`)
	tryLine   = regexp.MustCompile(`\(line \d+:\d+\)`)
)

// comparable brings a body into one form: JSON without white space and in the order of its names,
// lines of other texts in order.
func comparable(body string) string {
	var value any
	if json.Unmarshal([]byte(body), &value) == nil {
		if out, err := json.Marshal(value); err == nil {
			body = string(out)
		}
	}
	body = termJSON.ReplaceAllString(body, `"$1":"N"`)
	body = tokenJSON.ReplaceAllString(body, `"token":"T"`)
	body = strings.ReplaceAll(tryLine.ReplaceAllString(body, ""), "\u00a0", " ")
	lines := strings.Split(body, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// The plain pages and the gateway answer the same. Requests build on each other.
func TestHTTPAnswersAreTheSame(t *testing.T) {
	dir := t.TempDir()
	programs, err := servers.Build(t.Context(), "../..", ".", dir)
	require.NoError(t, err)
	p, err := startPair(t.Context(), programs, dir, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.stop()) })
	for _, e := range exchanges() {
		if !servers.Served("http " + e.path) {
			continue
		}
		if e.method == "" {
			e.method = http.MethodPost
		}
		var said [2][5]string
		for i, target := range p.targets {
			r, err := http.NewRequestWithContext(t.Context(), e.method, target.server.ClientURL+e.path,
				strings.NewReader(e.body))
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err, e)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err, e)
			require.NoError(t, response.Body.Close())
			said[i] = [5]string{response.Status, comparable(string(body)),
				response.Header.Get("Content-Type"), response.Header.Get("Allow"),
				response.Header.Get("Access-Control-Allow-Origin")}
		}
		if said[0] != said[1] {
			t.Errorf("%s %s %s\netcd:  %q\ndetcd: %q", e.method, e.path, e.body, said[0], said[1])
		}
	}
}
