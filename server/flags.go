// The command line and the environment.
//
// Flags are given as --name value, --name=value or with a single dash; ETCD_NAME in the
// environment does the same. Naming one setting in both places is refused, because nobody can tell
// which one was meant; a file of settings (file.go) replaces both. A wrong flag is the caller's
// typing mistake (exit status 2, with usage); a configuration that contradicts itself is exit
// status 1 and is found by Config.Validate.
package server

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/client/pkg/v3/types"
)

// UsageError is a flag that does not exist or cannot be parsed. The process ends with status 2.
type UsageError struct{ Err error }

// Error says what is wrong with the flag.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the parser's error.
func (e *UsageError) Unwrap() error { return e.Err }

// The requests that are no configuration: print something and end with status 0.
var (
	ErrHelp    = pflag.ErrHelp
	ErrVersion = errors.New("server: the version is asked for")
)

// Notice is something that parsing wants logged once the logger exists.
type Notice struct {
	Level   string // "info" or "warn"
	Message string
	Fields  [][2]string
}

// Flags is a parsed command line.
type Flags struct {
	Config  Config
	Notices []Notice

	set *pflag.FlagSet
}

const envPrefix = "ETCD_"

// ParseFlags reads the arguments (without the program's name) and the environment ("K=V" each).
// Errors: ErrHelp, ErrVersion, a *UsageError, or a contradiction between the sources.
func ParseFlags(args, environ []string) (*Flags, error) {
	f := &Flags{Config: DefaultConfig()}
	asked := f.define()
	if err := f.set.Parse(doubleDashes(f.set, args)); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil, ErrHelp
		}
		return nil, &UsageError{inEtcdsWords(err)}
	}
	if f.set.NArg() > 0 {
		return nil, fmt.Errorf("%q is not a valid flag", f.set.Arg(0))
	}
	if asked.version {
		return nil, ErrVersion
	}
	if asked.file == "" {
		asked.file = lastOf(environ, envName("config-file"))
	}
	var err error
	if asked.file != "" {
		f, err = flagsFromFile(asked.file)
	} else {
		err = f.readEnvironment(environ)
	}
	if err == nil {
		err = f.settle()
	}
	return f, err
}

// settle draws the conclusions from what is set.
func (f *Flags) settle() error {
	f.noteIdle()
	c := &f.Config
	f.settleDiscovery()
	if c.Name != DefaultName && c.InitialCluster == DefaultInitialCluster {
		c.InitialCluster = c.initialClusterFromName()
	}
	return nil
}

// inEtcdsWords puts what is wrong with a command line as etcd's parser does.
func inEtcdsWords(err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("flag provided but not defined: -%s", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return fmt.Errorf("flag needs an argument: -%s", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		cause := invalid.Unwrap()
		if errors.Is(cause, strconv.ErrSyntax) {
			cause = errors.New("parse error")
		}
		value, fl := invalid.GetValue(), invalid.GetFlag()
		if fl.Value.Type() == "bool" {
			return fmt.Errorf("invalid boolean value %q for -%s: %w", value, fl.Name, cause)
		}
		return fmt.Errorf("invalid value %q for flag -%s: %w", value, fl.Name, cause)
	}
	return err
}

// lastOf is the value of a variable, empty if it is not set.
func lastOf(environ []string, name string) (value string) {
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// asked is what a command line may ask for that is no setting.
type asked struct {
	version bool
	file    string
}

// define declares every flag.
func (f *Flags) define() *asked {
	c := &f.Config
	fs := pflag.NewFlagSet("detcd", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.SetInterspersed(false)
	fs.SortFlags = false
	f.set = fs

	fs.StringVar(&c.Name, "name", c.Name, "human-readable name of this member")
	fs.StringVar(&c.Dir, "data-dir", c.Dir, `data directory (default "${name}.etcd")`)
	fs.Var(&urlsValue{&c.ListenPeerURLs}, "listen-peer-urls", "URLs to listen on for peers")
	fs.Var(&urlsValue{&c.ListenClientURLs}, "listen-client-urls",
		"URLs to listen on for clients, gRPC and HTTP")
	fs.Var(&urlsValue{&c.ListenClientHTTPURLs}, "listen-client-http-urls",
		"URLs to listen on for clients' HTTP; the client URLs then serve gRPC only")
	fs.Var(&urlsValue{&c.ListenMetricsURLs}, "listen-metrics-urls",
		"URLs to listen on for /metrics and health checks")
	fs.Var(&urlsValue{&c.AdvertisePeerURLs}, "initial-advertise-peer-urls",
		"this member's peer URLs as the other members reach them")
	fs.Var(&urlsValue{&c.AdvertiseClientURLs}, "advertise-client-urls",
		"this member's client URLs as clients reach them")
	fs.StringVar(&c.InitialCluster, "initial-cluster", c.InitialCluster,
		"all members of a new cluster: name=url,name=url,...")
	fs.Var(&choiceValue{&c.InitialClusterState, []string{ClusterStateNew, ClusterStateExisting}},
		"initial-cluster-state", "whether the cluster is 'new' or 'existing'")
	fs.StringVar(&c.InitialClusterToken, "initial-cluster-token", c.InitialClusterToken,
		"salt of the cluster's and its members' ids")
	fs.UintVar(&c.HeartbeatMillis, "heartbeat-interval", c.HeartbeatMillis,
		"milliseconds between a leader's heartbeats")
	fs.UintVar(&c.ElectionMillis, "election-timeout", c.ElectionMillis,
		"milliseconds without a leader before an election")
	fs.Uint64Var(&c.SnapshotCount, "snapshot-count", c.SnapshotCount,
		"applied entries between checkpoints")
	fs.Uint64Var(&c.SnapshotCatchUpEntries, "snapshot-catchup-entries", c.SnapshotCatchUpEntries,
		"log entries kept behind a checkpoint for slow followers")
	fs.Var(&gatesValue{&c.FeatureGates}, "feature-gates",
		"switches of optional behaviour: name=true,name=false,...")
	f.defineLimits(fs)
	f.defineMaintenance(fs)
	f.defineOperations(fs)
	f.defineObservation(fs)
	f.defineSecurity(fs)
	defineUnsupported(fs)
	other := &asked{}
	fs.StringVar(&other.file, "config-file", "",
		"file of settings; flags and environment are then ignored")
	fs.BoolVar(&other.version, "version", false, "print the version and exit")
	return other
}

// defineLimits declares what bounds requests, connections and the log's output.
func (f *Flags) defineLimits(fs *pflag.FlagSet) {
	c := &f.Config
	fs.Int64Var(&c.QuotaBytes, "quota-backend-bytes", c.QuotaBytes,
		"limit of retained data in bytes; 0 is 2 GiB, below 0 is none")
	fs.UintVar(&c.MaxTxnOps, "max-txn-ops", c.MaxTxnOps, "operations of one transaction")
	fs.UintVar(&c.MaxRequestBytes, "max-request-bytes", c.MaxRequestBytes,
		"bytes of one request")
	fs.Uint32Var(&c.MaxConcurrentStreams, "max-concurrent-streams", c.MaxConcurrentStreams,
		"open streams of one client connection")
	fs.DurationVar(&c.KeepAliveMinTime, "grpc-keepalive-min-time", c.KeepAliveMinTime,
		"shortest time a client must wait between pings")
	fs.DurationVar(&c.KeepAliveInterval, "grpc-keepalive-interval", c.KeepAliveInterval,
		"idle time after which the server pings a client; 0 is gRPC's own default")
	fs.DurationVar(&c.KeepAliveTimeout, "grpc-keepalive-timeout", c.KeepAliveTimeout,
		"time after an unanswered ping until the connection is closed; 0 is gRPC's own default")
	fs.StringVar(&c.Logger, "logger", c.Logger, "the only logger is zap")
	fs.StringVar(&c.LogLevel, "log-level", c.LogLevel,
		"debug, info, warn, error, panic or fatal")
	fs.StringVar(&c.LogFormat, "log-format", c.LogFormat, "json or console")
	fs.Var(&listValue{&c.LogOutputs}, "log-outputs",
		"where the log goes: default, stderr, stdout or files, separated by commas")
	fs.DurationVar(&c.WatchProgressNotifyInterval, "watch-progress-notify-interval",
		c.WatchProgressNotifyInterval, "time between progress notices of watches; 0 is 10m")
	fs.StringVar(&c.AuthToken, "auth-token", c.AuthToken,
		"what clients prove themselves with: simple, jwt with options, or nothing")
	fs.UintVar(&c.AuthTokenTTL, "auth-token-ttl", c.AuthTokenTTL,
		"seconds that a simple token may go unused")
	fs.UintVar(&c.BcryptCost, "bcrypt-cost", c.BcryptCost, "work of hashing a password, 4 to 31")
	fs.BoolVar(&c.EnablePprof, "enable-pprof", c.EnablePprof,
		"serve /debug/pprof/ on the client port")
	fs.BoolVar(&c.EnableGRPCGateway, "enable-grpc-gateway", c.EnableGRPCGateway,
		"serve the API as JSON below /v3/ on the client port")
	fs.Var(&originsValue{&c.CORS}, "cors", "origins that browsers may call from; * is all")
	fs.Var(&listValue{&c.HostWhitelist}, "host-whitelist",
		"names under which clients may address HTTP without TLS; * is all")
}

// readEnvironment applies ETCD_* variables to flags that the command line left alone.
func (f *Flags) readEnvironment(environ []string) error {
	var used, onCommandLine = map[string]bool{}, map[string]bool{}
	values := map[string]string{}
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok {
			values[k] = v
		}
	}
	var failed error
	f.set.VisitAll(func(fl *pflag.Flag) {
		key := envName(fl.Name)
		if fl.Changed {
			onCommandLine[key] = true
			return
		}
		// ETCD_VERSION is set by container images to say what they hold; it is no request.
		v := values[key]
		if v == "" || fl.Name == "version" || failed != nil {
			return
		}
		used[key] = true
		if err := f.set.Set(fl.Name, v); err != nil {
			failed = fmt.Errorf("invalid value %q for %s: %w", v, key, err)
			return
		}
		f.note("info", "recognized and used environment variable",
			[2]string{"variable-name", key}, [2]string{"variable-value", v})
	})
	if failed != nil {
		return failed
	}
	if f.set.Changed("listen-client-urls") && !f.set.Changed("advertise-client-urls") {
		f.Config.AdvertiseClientURLs = nil
	}
	for _, e := range environ {
		key, _, _ := strings.Cut(e, "=")
		switch {
		case used[key] || key == envName("version"):
		case onCommandLine[key]:
			return &ConflictError{Variable: key}
		case strings.HasPrefix(e, envPrefix):
			f.note("warn", "unrecognized environment variable",
				[2]string{"environment-variable", e})
		}
	}
	return nil
}

// ConflictError says that a flag and its environment variable are both given.
type ConflictError struct{ Variable string }

// Error is etcd's text, its odd bracket included.
func (e *ConflictError) Error() string {
	return "conflicting environment variable is shadowed by corresponding command-line flag " +
		"(either unset environment variable or disable flag))"
}

func (f *Flags) note(level, message string, fields ...[2]string) {
	f.Notices = append(f.Notices, Notice{Level: level, Message: message, Fields: fields})
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// doubleDashes rewrites -name as --name, which is how etcd's own flag package reads it. A value
// that stands alone after its flag is left as it is.
func doubleDashes(fs *pflag.FlagSet, args []string) []string {
	out := slices.Clone(args)
	for i := 0; i < len(out); i++ {
		arg := out[i]
		if arg == "--" || len(arg) < 2 || arg[0] != '-' {
			break
		}
		if arg[1] != '-' && arg != "-h" {
			out[i] = "-" + arg
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if fl := fs.Lookup(name); fl != nil && !hasValue && fl.NoOptDefVal == "" {
			i++
		}
	}
	return out
}

// urlsValue is a list of URLs separated by commas.
type urlsValue struct{ urls *types.URLs }

func (v *urlsValue) String() string {
	if v.urls == nil {
		return ""
	}
	return v.urls.String()
}

func (v *urlsValue) Set(s string) error {
	urls, err := types.NewURLs(strings.Split(s, ","))
	if err != nil {
		return err
	}
	*v.urls = slices.CompactFunc(urls, func(a, b url.URL) bool { return a.String() == b.String() })
	return nil
}

func (v *urlsValue) Type() string { return "urls" }

// choiceValue is one word of a closed set.
type choiceValue struct {
	value   *string
	choices []string
}

func (v *choiceValue) String() string { return *v.value }

func (v *choiceValue) Set(s string) error {
	if !slices.Contains(v.choices, s) {
		return errors.New("invalid value")
	}
	*v.value = s
	return nil
}

func (v *choiceValue) Type() string { return strings.Join(v.choices, "|") }

// orderedValue is a list of words separated by commas, as it is written.
type orderedValue struct{ list *[]string }

func (v *orderedValue) String() string { return (&listValue{v.list}).String() }

func (v *orderedValue) Set(s string) error {
	*v.list = nil
	if s != "" {
		*v.list = strings.Split(s, ",")
	}
	return nil
}

func (v *orderedValue) Type() string { return "strings" }

// listValue is a list of words separated by commas, repeats removed, sorted.
type listValue struct{ list *[]string }

func (v *listValue) String() string {
	if v.list == nil {
		return ""
	}
	return strings.Join(*v.list, ",")
}

func (v *listValue) Set(s string) error {
	words := strings.Split(s, ",")
	slices.Sort(words)
	*v.list = slices.Compact(words)
	return nil
}

func (v *listValue) Type() string { return "strings" }

// originsValue is a list of URLs, or *.
type originsValue struct{ list *[]string }

func (v *originsValue) String() string { return (&listValue{v.list}).String() }

func (v *originsValue) Set(s string) error {
	for _, word := range strings.Split(s, ",") {
		if word == anyone {
			continue
		}
		if _, err := types.NewURLs([]string{word}); err != nil {
			return err
		}
	}
	return (&listValue{v.list}).Set(s)
}

func (v *originsValue) Type() string { return "urls" }
