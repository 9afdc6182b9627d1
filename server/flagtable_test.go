package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// flagRow is a line of testdata/flags.txt.
type flagRow struct{ name, kind, place, preset string }

func flagTable(t *testing.T) (rows []flagRow) {
	content, err := os.ReadFile(filepath.Join("testdata", "flags.txt"))
	require.NoError(t, err)
	for _, line := range strings.Split(string(content), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Split(line, "\t")
		require.Len(t, words, 4, line)
		rows = append(rows, flagRow{words[0], words[1], words[2], words[3]})
	}
	require.Len(t, rows, 113)
	return rows
}

// inFile is a value as a file of settings has it.
func (r flagRow) inFile(t *testing.T) string {
	value := r.preset
	switch r.kind {
	case "duration":
		d, err := time.ParseDuration(value)
		require.NoError(t, err)
		value = fmt.Sprint(int64(d))
	case "text":
		value = fmt.Sprintf("'%s'", value)
	case "list":
		value = "[" + value + "]"
	}
	path := strings.Split(r.place, ".")
	text := ""
	for i, name := range path {
		text += strings.Repeat("  ", i) + name + ":"
		if i < len(path)-1 {
			text += "\n"
		}
	}
	return text + " " + value + "\n"
}

func fromFile(t *testing.T, content string) (*Flags, error) {
	name := filepath.Join(t.TempDir(), "settings.yml")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return ParseFlags([]string{"--config-file", name}, nil)
}

// Every flag of etcd has etcd's default, is accepted with it from everywhere, and then means what
// it means when nothing is said.
func TestEveryFlagIsAcceptedFromEverywhere(t *testing.T) {
	f := &Flags{Config: DefaultConfig()}
	f.define()
	untouched, err := ParseFlags(nil, nil)
	require.NoError(t, err)
	for _, row := range flagTable(t) {
		fl := f.set.Lookup(row.name)
		require.NotNil(t, fl, row.name)
		if row.name != "data-dir" {
			require.Equal(t, row.preset, strings.Trim(fl.DefValue, "[]"), row.name)
		}
		preset := row.preset
		if row.name == "data-dir" {
			preset = ""
		}
		want := untouched.Config
		want.Discovery.initialClusterIsSaid = row.name == "initial-cluster"
		if row.name == "listen-client-urls" {
			want.AdvertiseClientURLs = nil // must be said, too
		}
		got, err := ParseFlags([]string{"--" + row.name + "=" + preset}, nil)
		if fl.Value.Type() == "urls" && preset == "" {
			require.ErrorContains(t, err, "URL scheme must be") // no URL is none; as with etcd
		} else {
			require.NoError(t, err, row.name)
			requireSameConfig(t, &want, &got.Config, row.name)
		}
		if row.name == "config-file" || row.name == "version" {
			continue
		}
		got, err = ParseFlags(nil, []string{envName(row.name) + "=" + preset})
		require.NoError(t, err, row.name)
		if preset != "" { // an empty variable is none
			requireSameConfig(t, &want, &got.Config, row.name)
		}
		if row.place == "-" {
			require.True(t, inSections(row.name), row.name)
			continue
		}
		row.preset = preset
		got, err = fromFile(t, row.inFile(t))
		require.NoError(t, err, row.inFile(t))
		want.AdvertiseClientURLs = untouched.Config.AdvertiseClientURLs // a file need not say it
		requireSameConfig(t, &want, &got.Config, row.name)
	}
}

func requireSameConfig(t *testing.T, want, got *Config, flag string) {
	require.Equal(t, fmt.Sprintf("%+v", *want), fmt.Sprintf("%+v", *got), flag)
}

func TestTheHelpHasEveryFlagOnce(t *testing.T) {
	var named, all []string
	for _, g := range helpGroups() {
		named = append(named, strings.Fields(g.flags)...)
	}
	for _, row := range flagTable(t) {
		all = append(all, row.name)
		require.Contains(t, FlagHelp(), "\n  --"+row.name+" '"+row.preset, row.name)
	}
	slices.Sort(all)
	slices.Sort(named)
	require.Equal(t, all, named)
}

func TestAFileOfSettingsReplacesEverythingElse(t *testing.T) {
	name := filepath.Join(t.TempDir(), "settings.yml")
	require.NoError(t, os.WriteFile(name, []byte(`# as kubeadm's and distributions' files look
name: m1
data-dir: /var/lib/x
heartbeat-interval: 50
watch-progress-notify-interval: 600000000000
listen-client-urls: https://127.0.0.1:1,http://127.0.0.1:2
listen-metrics-urls:
cors:
log-outputs: [stdout, /dev/null]
initial-cluster-state: ''
feature-gates: LeaseCheckpoint=true
quota-backend-bytes: 1e9
unknown-key: 5
client-transport-security:
  cert-file: c.pem
  key-file: k.pem
  client-cert-auth: true
  trusted-ca-file: ca.pem
  allowed-hostname: [a.example, b.example]
  skip-client-san-verification: true
peer-transport-security:
  auto-tls: true
  allowed-cn: [one, two]
  client-cert-file:
socket-options:
  reuse-port: true
`), 0o600))
	read := func(args, environ []string) *Flags {
		f, err := ParseFlags(args, environ)
		require.NoError(t, err)
		return f
	}
	f := read([]string{"--config-file", name, "--name=ignored", "--unsafe-no-fsync"},
		[]string{"ETCD_NAME=ignored", "ETCD_DATA_DIR=ignored", "ETCD_NO_SUCH=1"})
	byVariable := read([]string{"--name=ignored"}, []string{"ETCD_CONFIG_FILE=" + name})
	requireSameConfig(t, &f.Config, &byVariable.Config, "")
	require.Equal(t, []Notice{{"info", "loaded server configuration, other configuration command " +
		"line flags and environment variables will be ignored if provided",
		[][2]string{{"path", name}}}}, f.Notices)
	c := f.Config
	require.NoError(t, c.Validate())
	require.Equal(t, "m1", c.Name)
	require.Equal(t, "m1=http://localhost:2380", c.InitialCluster)
	require.EqualValues(t, 50, c.HeartbeatMillis)
	require.Equal(t, 10*time.Minute, c.WatchProgressNotifyInterval)
	require.Len(t, c.ListenClientURLs, 2)
	require.Equal(t, DefaultConfig().AdvertiseClientURLs, c.AdvertiseClientURLs)
	require.Equal(t, []string{anyone}, c.CORS)
	require.Equal(t, []string{"/dev/null", "stdout"}, c.LogOutputs)
	require.Equal(t, ClusterStateNew, c.InitialClusterState)
	require.True(t, c.gate(gateLeaseCheckpoint))
	require.EqualValues(t, 1e9, c.QuotaBytes)
	require.Equal(t, TLS{CertFile: "c.pem", KeyFile: "k.pem", ClientCertAuth: true,
		TrustedCAFile: "ca.pem", AllowedHostnames: []string{"a.example", "b.example"},
		SkipClientSANVerify: true}, c.ClientTLS)
	require.Equal(t, TLS{Auto: true, AllowedCNs: []string{"one", "two"}}, c.PeerTLS)
	require.True(t, c.SocketReusePort)
}

func TestFilesThatCannotBeReadAreRefused(t *testing.T) {
	for content, text := range map[string]string{
		"name: [":                         "yaml",
		"peer-transport-security: text":   "invalid peer-transport-security",
		"grpc-keepalive-interval: 2h":     "whole number of nanoseconds",
		"heartbeat-interval: soon":        "heartbeat-interval: invalid value",
		"log-outputs: [1]":                "a list of texts is due",
		"name: {a: b}":                    "no value for it",
		"feature-gates: Flying=true":      "unrecognized feature gate: Flying",
		"listen-client-urls: nonsense":    "listen-client-urls: invalid value",
		"initial-cluster-state: old":      "initial-cluster-state: invalid value",
		"heartbeat-interval: 1.5":         "no value for it",
		"socket-options: {reuse-port: x}": "socket-options.reuse-port: invalid value",
	} {
		_, err := fromFile(t, content)
		require.ErrorContains(t, err, text, content)
	}
}

func TestSocketOptionsLetPortsBeShared(t *testing.T) {
	c := DefaultConfig()
	c.SocketReusePort, c.SocketReuseAddress = true, true
	urls := mustURLs("http://127.0.0.1:0")
	first, err := c.listen(&urls[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, first.Close()) }()
	again := mustURLs("http://" + first.Addr().String())
	second, err := c.listen(&again[0])
	require.NoError(t, err)
	require.NoError(t, second.Close())
	c.SocketReusePort, c.SocketReuseAddress = false, false
	_, err = c.listen(&again[0])
	require.Error(t, err)
}
