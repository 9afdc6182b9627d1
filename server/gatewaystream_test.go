package server

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// A WebSocket carries the messages of a stream both ways, a line of JSON each.
func TestGatewayOverWebSocket(t *testing.T) {
	c := startCluster(t, 1, nil)
	url := "ws://" + c.servers[0].ClientAddrs()[0] + "/v3/watch"
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	require.NoError(t, conn.WriteMessage(websocket.TextMessage,
		[]byte(`{"create_request":{"key":"`+b64("k")+`"}}`)))
	_, text, err := conn.ReadMessage()
	require.NoError(t, err)
	require.Contains(t, string(text), `"created":true`)
	_, err = c.client().Put(testContext(t), "k", "v")
	require.NoError(t, err)
	_, text, err = conn.ReadMessage()
	require.NoError(t, err)
	require.Contains(t, string(text), `"value":"`+b64("v")+`"`)
}

// Over plain HTTP a watch is one request whose answer goes on line by line.
func TestGatewayWatches(t *testing.T) {
	c := startCluster(t, 1, nil)
	resp, err := http.Post(c.configs[0].ListenClientURLs[0].String()+"/v3/watch",
		"application/json", strings.NewReader(`{"create_request":{"key":"`+b64("k")+`"}}`))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `{"result":{`)
	require.Contains(t, lines.Text(), `"created":true`)
	_, err = c.client().Put(testContext(t), "k", "v")
	require.NoError(t, err)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `"value":"`+b64("v")+`"`)
}
