package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChecksOfLivezAndReadyz(t *testing.T) {
	c := startCluster(t, 1, nil)
	base := c.configs[0].ListenClientURLs[0].String()
	for path, want := range map[string]string{
		"/livez":         "ok\n",
		"/livez?verbose": "[+]serializable_read ok\nok\n",
		"/readyz":        "ok\n",
		"/readyz?verbose": "[+]data_corruption ok\n[+]serializable_read ok\n" +
			"[+]linearizable_read ok\n[+]non_learner ok\nok\n",
		"/readyz?verbose&exclude=linearizable_read&exclude=non_learner&exclude=nonsense": "" +
			"[+]data_corruption ok\n[+]serializable_read ok\nok\n",
		"/readyz/linearizable_read?verbose": "[+]linearizable_read ok\nok\n",
		"/livez/serializable_read":          "ok\n",
	} {
		status, body := httpGet(t, base+path)
		require.Equal(t, 200, status, path)
		require.Equal(t, want, body, path)
	}
	for _, path := range []string{"/livez/linearizable_read", "/readyz/nonsense", "/livez/"} {
		status, _ := httpGet(t, base+path)
		require.Equal(t, 404, status, path)
	}
	resp, err := http.Post(base+"/readyz", "text/plain", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 405, resp.StatusCode)
	require.Equal(t, "GET", resp.Header.Get("Allow"))
}

// Without a quorum a member lives, and is neither ready nor healthy.
func TestProbesWithoutAQuorum(t *testing.T) {
	c := startCluster(t, 3, nil)
	c.servers[0].Stop()
	c.servers[1].Stop()
	base := c.configs[2].ListenClientURLs[0].String()
	require.Eventually(t, func() bool {
		status, body := httpGet(t, base+"/health")
		return status == 503 && strings.Contains(body, `{"health":"false","reason":"RAFT NO LEADER"}`)
	}, patience, 50*time.Millisecond)
	for path, want := range map[string]int{
		"/health?serializable=true": 200, "/livez": 200, "/readyz/serializable_read": 200,
		"/readyz?exclude=linearizable_read": 200,
	} {
		status, body := httpGet(t, base+path)
		require.Equal(t, want, status, "%s: %s", path, body)
	}
	status, body := httpGet(t, base+"/readyz")
	require.Equal(t, 503, status)
	require.Contains(t, body, "[-]linearizable_read failed: etcdserver: request timed out\n")
	require.Contains(t, body, "[+]serializable_read ok\n")
}

func TestDebugVarsAreJSON(t *testing.T) {
	c := startCluster(t, 1, nil)
	status, body := httpGet(t, c.configs[0].ListenClientURLs[0].String()+"/debug/vars")
	require.Equal(t, 200, status)
	var vars map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &vars))
	for _, name := range []string{"cmdline", "memstats", "file_descriptor_limit", "raft.status"} {
		require.Contains(t, vars, name)
	}
}

func TestHTTPOnPortsOfItsOwn(t *testing.T) {
	c := startCluster(t, 1, func(cfg *Config) {
		cfg.ListenClientHTTPURLs = mustURLs("http://127.0.0.1:0")
		cfg.ListenMetricsURLs = mustURLs("http://127.0.0.1:0")
	})
	web, metrics := c.servers[0].WebAddrs()
	require.Len(t, web, 1)
	require.Len(t, metrics, 1)
	status, _, _ := post(t, "http://"+web[0]+"/v3/kv/put", `{"key":"Zm9v"}`)
	require.Equal(t, 200, status)
	for path, want := range map[string]int{
		"/health": 200, "/livez": 200, "/readyz": 200, "/metrics": 200, "/version": 404,
		"/v3/kv/put": 404, "/debug/vars": 404,
	} {
		status, _ := httpGet(t, "http://"+metrics[0]+path)
		require.Equal(t, want, status, path)
	}
	_, err := http.Get(c.configs[0].ListenClientURLs[0].String() + "/version")
	require.Error(t, err, "the client port has gRPC only")
	got, err := c.client().Get(testContext(t), "foo")
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
}

func TestOriginsAndHosts(t *testing.T) {
	ask := func(method, url, host, origin string) *http.Response {
		r, err := http.NewRequest(method, url, nil)
		require.NoError(t, err)
		if host != "" {
			r.Host = host
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	const allow = "Access-Control-Allow-Origin"
	open := startCluster(t, 1, nil).configs[0].ListenClientURLs[0].String()
	resp := ask(http.MethodGet, open+"/version", "", "")
	require.Equal(t, "*", resp.Header.Get(allow))
	require.Equal(t, "POST, GET, OPTIONS, PUT, DELETE",
		resp.Header.Get("Access-Control-Allow-Methods"))
	resp = ask(http.MethodOptions, open+"/v3/kv/range", "", "")
	require.Equal(t, 200, resp.StatusCode)
	require.Zero(t, resp.ContentLength)

	shut := startCluster(t, 1, func(cfg *Config) {
		cfg.CORS = []string{"http://good.example:80"}
		cfg.HostWhitelist = []string{"127.0.0.1", "good.example"}
	}).configs[0].ListenClientURLs[0].String()
	resp = ask(http.MethodGet, shut+"/version", "good.example:2379", "http://good.example:80")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "http://good.example:80", resp.Header.Get(allow))
	resp = ask(http.MethodGet, shut+"/version", "", "http://bad.example:80")
	require.Equal(t, 200, resp.StatusCode)
	require.Empty(t, resp.Header.Get(allow))
	resp = ask(http.MethodGet, shut+"/version", "bad.example", "")
	require.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
}
