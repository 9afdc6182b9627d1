package server

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// post sends JSON as curl would.
func post(t *testing.T, url, body string) (int, string, http.Header) {
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(text), resp.Header
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestGatewaySpeaksEtcdsJSON(t *testing.T) {
	c := startCluster(t, 1, nil)
	base := c.configs[0].ListenClientURLs[0].String()
	code, body, header := post(t, base+"/v3/kv/put", `{"key":"`+b64("foo")+`","value":"`+
		b64("bar")+`"}`)
	require.Equal(t, 200, code, body)
	require.Contains(t, body, `"revision":"2"`)
	require.Contains(t, body, `"raft_term":"2"`)
	require.NotContains(t, body, "prev_kv", "zero fields are left out")
	require.Equal(t, "application/grpc", header.Get("Grpc-Metadata-Content-Type"))

	// Both spellings of a name, numbers and strings for a number, and names that nobody knows.
	for _, request := range []string{
		`{"key":"` + b64("foo") + `","range_end":"` + b64("fop") + `","limit":"5"}`,
		`{"key":"` + b64("foo") + `","rangeEnd":"` + b64("fop") + `","limit":5,"x":{"y":1}}`,
		`{"key":"` + b64("foo") + `","sort_order":"DESCEND","sort_target":4}`,
	} {
		code, body, _ = post(t, base+"/v3/kv/range", request)
		require.Equal(t, 200, code, body)
		require.Contains(t, body, `"key":"`+b64("foo")+`"`)
		require.Contains(t, body, `"mod_revision":"2"`)
		require.Contains(t, body, `"count":"1"`)
	}
	code, body, _ = post(t, base+"/v3beta/kv/txn", `{"compare":[{"target":"MOD","key":"`+
		b64("foo")+`","mod_revision":"2"}],"success":[{"request_put":{"key":"`+b64("foo")+`"}}]}`)
	require.Equal(t, 200, code, body)
	require.Contains(t, body, `"succeeded":true`)
	require.Contains(t, body, `"response_put"`)
	code, body, _ = post(t, base+"/v3/kv/deleterange", `{"key":"`+b64("foo")+`"}`)
	require.Equal(t, 200, code, body)
	require.Contains(t, body, `"deleted":"1"`)
	code, body, _ = post(t, base+"/v3/kv/compaction", `{"revision":"3"}`)
	require.Equal(t, 200, code, body)
	code, body, _ = post(t, base+"/v3/maintenance/status", `{}`)
	require.Equal(t, 200, code, body)
	require.Contains(t, body, `"version":"3.7.1"`)
	code, body, _ = post(t, base+"/v3/cluster/member/list", `{}`)
	require.Equal(t, 200, code, body)
	require.Contains(t, body, `"name":"m0"`)
}

func TestGatewayErrors(t *testing.T) {
	c := startCluster(t, 1, nil)
	base := c.configs[0].ListenClientURLs[0].String()
	for _, e := range []struct {
		path, request string
		status        int
		want          string
	}{
		{"/v3/kv/put", `{}`, 400, `{"code":3,"message":"etcdserver: key is not provided"}`},
		{"/v3/kv/range", `{"key":"Zm9v","revision":"99"}`, 400, `{"code":11,"message":` +
			`"etcdserver: mvcc: required revision is a future revision"}`},
		{"/v3/kv/put", `{"key":"Zm9v","lease":"7"}`, 404,
			`{"code":5,"message":"etcdserver: requested lease not found"}`},
		{"/v3/maintenance/transfer-leadership", `{"targetID":"5"}`, 400,
			`{"code":9,"message":"etcdserver: bad leader transferee"}`},
	} {
		status, body, _ := post(t, base+e.path, e.request)
		require.Equal(t, e.status, status, body)
		require.JSONEq(t, e.want, body)
	}
	// What etcd's gateway refuses by its size is refused in the same words; what is longer still is
	// not read to its end.
	large := `{"key":"Zm9v","value":"` + strings.Repeat("QUFB", 700<<10) + `"}`
	status, body, _ := post(t, base+"/v3/kv/put", large)
	require.Equal(t, 429, status)
	require.Contains(t, body, "grpc: received message larger than max")
	status, body, _ = post(t, base+"/v3/kv/put", strings.Repeat(" ", 5<<20)+"{}")
	require.Equal(t, 400, status)
	require.Contains(t, body, "request body too large")
	status, body, _ = post(t, base+"/v3/kv/put", `{"key":`)
	require.Equal(t, 400, status, body)
	status, body = httpGet(t, base+"/v3/kv/range")
	require.Equal(t, 501, status)
	require.JSONEq(t, `{"code":12,"message":"Method Not Allowed"}`, body)
	for _, path := range []string{"/v3/no/such", "/v3alpha/kv/range", "/v3"} {
		status, _, _ = post(t, base+path, `{}`)
		require.Equal(t, 404, status, path)
	}
}

func TestGatewayCanBeTurnedOff(t *testing.T) {
	c := startCluster(t, 1, func(cfg *Config) { cfg.EnableGRPCGateway = false })
	status, _, _ := post(t, c.configs[0].ListenClientURLs[0].String()+"/v3/kv/range", `{}`)
	require.Equal(t, 404, status)
}
