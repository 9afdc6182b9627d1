package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsAreReadInEveryForm(t *testing.T) {
	for _, args := range [][]string{
		{"--name", "a", "--heartbeat-interval", "50", "--enable-pprof"},
		{"--name=a", "--heartbeat-interval=50", "--enable-pprof=true"},
		{"-name", "a", "-heartbeat-interval=50", "-enable-pprof"},
	} {
		f, err := ParseFlags(args, nil)
		require.NoError(t, err, "%v", args)
		require.Equal(t, "a", f.Config.Name)
		require.EqualValues(t, 50, f.Config.HeartbeatMillis)
		require.True(t, f.Config.EnablePprof)
		require.Equal(t, "a=http://localhost:2380", f.Config.InitialCluster)
		require.Equal(t, "a.etcd", f.Config.dataDir())
	}
}

func TestValuesThatLookLikeFlagsStayValues(t *testing.T) {
	f, err := ParseFlags([]string{"-quota-backend-bytes", "-1", "-name", "-odd"}, nil)
	require.NoError(t, err)
	require.EqualValues(t, -1, f.Config.QuotaBytes)
	require.Equal(t, "-odd", f.Config.Name)
}

func TestDefaultsAreAValidConfiguration(t *testing.T) {
	f, err := ParseFlags(nil, nil)
	require.NoError(t, err)
	require.NoError(t, f.Config.Validate())
	require.Equal(t, DefaultConfig(), f.Config)
	require.EqualValues(t, 2<<30, f.Config.quota())
}

func TestEnvironmentStandsInForFlags(t *testing.T) {
	f, err := ParseFlags([]string{"--data-dir=d"},
		[]string{"ETCD_NAME=b", "ETCD_VERSION=3.7.1", "ETCD_NO_SUCH=1", "PATH=/bin"})
	require.NoError(t, err)
	require.Equal(t, "b", f.Config.Name)
	require.Equal(t, []Notice{
		{"info", "recognized and used environment variable",
			[][2]string{{"variable-name", "ETCD_NAME"}, {"variable-value", "b"}}},
		{"warn", "unrecognized environment variable",
			[][2]string{{"environment-variable", "ETCD_NO_SUCH=1"}}},
	}, f.Notices)
}

func TestFlagAndEnvironmentTogetherAreRefused(t *testing.T) {
	_, err := ParseFlags([]string{"--name=a"}, []string{"ETCD_NAME=a"})
	var conflict *ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, "ETCD_NAME", conflict.Variable)
	require.EqualError(t, err, "conflicting environment variable is shadowed by corresponding "+
		"command-line flag (either unset environment variable or disable flag))")
}

// refusals lists what is wrong with a command line: the exit status and what is said about it.
func refusals() []struct {
	args   []string
	status int
	text   string
} {
	return []struct {
		args   []string
		status int
		text   string
	}{
		{[]string{"--no-such-flag"}, 2,
			"flag provided but not defined: -no-such-flag"},
		{[]string{"--experimental-x=1"}, 2, "not defined: -experimental-x"},
		{[]string{"--enable-v2=false"}, 2, "not defined: -enable-v2"},
		{[]string{"--heartbeat-interval=soon"}, 2,
			`invalid value "soon" for flag -heartbeat-interval: parse error`},
		{[]string{"--enable-pprof=maybe"}, 2,
			`invalid boolean value "maybe" for -enable-pprof: parse error`},
		{[]string{"--initial-cluster-state=old"}, 2, "invalid value"},
		{[]string{"--listen-client-urls=ftp://1.2.3.4:1"}, 2,
			"URL scheme must be http, https, unix, or unixs: ftp://1.2.3.4:1"},
		{[]string{"--v2-deprecation"}, 2, "flag needs an argument: -v2-deprecation"},
		{[]string{"--v2-deprecation=not-yet"}, 2, "invalid value"},
		{[]string{"--name=a", "extra"}, 1, `\"extra\" is not a valid flag`},
		{[]string{"--listen-client-urls=http://127.0.0.1:1"}, 1,
			"--advertise-client-urls is required when --listen-client-urls is set explicitly"},
		{[]string{"--listen-peer-urls=http://example.com:1"}, 1,
			"expected IP in URL for binding (http://example.com:1)"},
		{[]string{"--heartbeat-interval=0"}, 1, "--heartbeat-interval must be >0 (set to 0ms)"},
		{[]string{"--election-timeout=400"}, 1, "--election-timeout[400ms] should be at least " +
			"as 5 times as --heartbeat-interval[100ms]"},
		{[]string{"--election-timeout=60000"}, 1, "--election-timeout[60000ms] is too long, " +
			"and should be set less than 50000ms"},
		{[]string{"--log-format=xml"}, 1,
			"unknown log format: xml, supported values json, console"},
		{[]string{"--logger=capnslog"}, 1, "--logger=capnslog is removed in v3.5"},
		{[]string{"--log-outputs=default,stdout"}, 1,
			`multi logoutput for \"default\" is not supported yet`},
		{[]string{"--feature-gates=Flying=true"}, 2, "unrecognized feature gate: Flying"},
		{[]string{"--compact-hash-check-time=0s"}, 1,
			"--compact-hash-check-time must be >0 (set to 0s)"},
		{[]string{"--discovery-token=t"}, 1,
			"both --discovery-token and --discovery-endpoints must be set"},
		{[]string{"--discovery-srv=x.org", "--initial-cluster=default=http://localhost:2380"}, 1,
			"multiple discovery or bootstrap flags are set. Choose one of"},
		{[]string{"--discovery-fallback=proxy"}, 1, "v2 proxy is deprecated"},
		{[]string{"--feature-gates=LeaseCheckpoint"}, 2, "missing bool value for LeaseCheckpoint"},
		{[]string{"--feature-gates=InitialCorruptCheck=true,LeaseCheckpointPersist=true"}, 1,
			"enabling feature gate LeaseCheckpointPersist requires enabling feature gate " +
				"LeaseCheckpoint"},
		{[]string{"--cert-file=x"}, 1, "KeyFile and CertFile must both be present[key: , cert: x]"},
		{[]string{"--peer-cert-file=x", "--peer-key-file=y", "--peer-client-cert-file=z"}, 1,
			"ClientKeyFile and ClientCertFile must both be present or both absent"},
		{[]string{"--peer-cert-file=x", "--peer-key-file=y", "--peer-cert-allowed-cn=a",
			"--peer-cert-allowed-hostname=b"}, 1,
			"AllowedCNs and AllowedHostnames are mutually exclusive"},
		{[]string{"--listen-peer-urls=https://127.0.0.1:1"}, 1,
			"cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented"},
		{[]string{"--listen-client-urls=https://127.0.0.1:1",
			"--advertise-client-urls=https://127.0.0.1:1"}, 1, "TLS key/cert (--cert-file, " +
			"--key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"},
		{[]string{"--listen-metrics-urls=https://127.0.0.1:1"}, 1, "client TLS key/cert " +
			"(--cert-file, --key-file) must be provided for metrics secure url"},
		{[]string{"--listen-peer-urls=unix://x"}, 1, "over http and https only"},
		{[]string{"--initial-advertise-peer-urls=http://:1"}, 1, "--initial-advertise-peer-urls " +
			`\"http://:1\" must be \"host:port\" (unexpected empty host (http://:1))`},
		{[]string{"--tls-min-version=TLS1.1"}, 1,
			`unexpected TLS version \"TLS1.1\" (must be one of: TLS1.2, TLS1.3)`},
		{[]string{"--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"}, 1,
			"min version (TLS1.3) is greater than max version (TLS1.2)"},
		{[]string{"--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256"}, 1,
			"cipher suites cannot be configured when only TLS1.3 is enabled"},
		{[]string{"--cipher-suites=nope"}, 1, `unexpected TLS cipher suite \"nope\"`},
		{[]string{"--auto-tls", "--self-signed-cert-validity=0"}, 1,
			"selfSignedCertValidity is invalid"},
		{[]string{"--auto-compaction-mode=foo"}, 1, `unknown auto-compaction-mode \"foo\"`},
		{[]string{"--auto-compaction-retention=x"}, 1, "error parsing CompactionRetention: "},
		{[]string{"--listen-client-urls=http://127.0.0.1:1",
			"--advertise-client-urls=http://127.0.0.1:1",
			"--listen-client-http-urls=http://127.0.0.1:1"}, 1, "cannot bind both " +
			"--listen-client-urls and --listen-client-http-urls on the same url " +
			"http://127.0.0.1:1"},
		{[]string{"--config-file=/no/such/file"}, 1, "no such file or directory"},
	}
}

func TestWrongCommandLinesEndWithEtcdsStatusAndWords(t *testing.T) {
	for _, r := range refusals() {
		read, restore := captureStderr(t)
		var out, errs bytes.Buffer
		status := Main(r.args, &out, &errs)
		restore()
		require.Equal(t, r.status, status, "%v", r.args)
		said := errs.String() + read()
		require.Contains(t, said, r.text, "%v", r.args)
		if r.status == 1 {
			require.Contains(t, said, "failed to verify flags")
		} else {
			require.Contains(t, said, "Usage:")
		}
		require.Empty(t, out.String())
	}
}

func TestFlagsThatNeverMatteredAreAccepted(t *testing.T) {
	var args []string
	for _, name := range ignoredFlags() {
		args = append(args, "--"+name+"=anything")
	}
	_, err := ParseFlags(args, nil)
	require.NoError(t, err)
	_, err = ParseFlags([]string{"--downgrade-check-time=5000ms", "--pre-vote"}, nil)
	require.NoError(t, err)
}

func TestFlagsWithoutEffectAreNamedOnce(t *testing.T) {
	f, err := ParseFlags([]string{"--wal-dir=elsewhere", "--pre-vote=false", "--max-wals=5",
		"--max-snapshots=9", "--v2-deprecation=gone"}, nil)
	require.NoError(t, err)
	var named, said []string
	for _, n := range f.Notices {
		require.Equal(t, "warn", n.Level)
		if n.Message == "flag has no effect" {
			named = append(named, n.Fields[0][1])
		} else {
			said = append(said, n.Message)
		}
	}
	require.ElementsMatch(t, []string{"wal-dir", "pre-vote", "max-snapshots"}, named)
	require.ElementsMatch(t, []string{deprecated()["max-snapshots"],
		deprecated()["v2-deprecation"]}, said)
}

func TestEveryFlagOfEtcdIsKnown(t *testing.T) {
	f := &Flags{Config: DefaultConfig()}
	f.define()
	count := 0
	f.set.VisitAll(func(*flagInfo) { count++ })
	require.Equal(t, 113, count-len(ignoredFlags()))
}

func TestVersionAndHelpEndWithSuccess(t *testing.T) {
	var out, errs bytes.Buffer
	require.Zero(t, Main([]string{"--version"}, &out, &errs))
	require.Regexp(t, `\Aetcd Version: 3\.7\.1\nGit SHA: \w+\nGo Version: go\S+( \S+)*\n`+
		`Go OS/Arch: \w+/\w+\n\z`, out.String())
	out.Reset()
	require.Zero(t, Main([]string{"-h"}, &out, &errs))
	require.Contains(t, out.String(), "\nSecurity:\n  --cert-file ''\n")
	require.Contains(t, errs.String(), "Usage:")
	require.Equal(t, 113, strings.Count(out.String(), "\n  --"))
}

func TestLogLinesHaveEtcdsShape(t *testing.T) {
	read, restore := captureStderr(t)
	cfg := DefaultConfig()
	lg, err := NewLogger(&cfg)
	require.NoError(t, err)
	lg.Info("hello")
	restore()
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(read()), &line))
	require.Equal(t, "info", line["level"])
	require.Equal(t, "hello", line["msg"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d{4})$`, line["ts"])
	require.Regexp(t, `^server/flags_test\.go:\d+$`, line["caller"])
}
