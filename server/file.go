// The file of settings that --config-file names, in YAML, of which JSON is a part.
//
// Its keys are the names of flags, except that TLS, discovery and socket options have sections of
// their own; a file replaces flags and environment altogether. What is written there goes through
// the flags' own parsers, so that a value means the same from everywhere, but for one thing:
// durations are whole nanoseconds, as etcd's files have them. Unknown keys are ignored, as etcd
// ignores them, so that a file of another release still starts.
package server

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// fileSection is a section of the file: its name, and what its keys are called as flags.
type fileSection struct {
	path  string // the section's place in the file, separated by dots; empty is the top
	names map[string]string
}

func fileSections() []fileSection {
	tls := func(prefix, host string) map[string]string {
		names := map[string]string{"allowed-hostname": host}
		for _, key := range []string{"cert-file", "key-file", "client-cert-file", "client-key-file",
			"client-cert-auth", "trusted-ca-file", "auto-tls"} {
			names[key] = prefix + key
		}
		return names
	}
	peer := tls("peer-", "peer-cert-allowed-hostname")
	peer["allowed-cn"] = "peer-cert-allowed-cn"
	peer["skip-client-san-verification"] = "peer-skip-client-san-verification"
	return []fileSection{
		{"client-transport-security", tls("", "client-cert-allowed-hostname")},
		{"peer-transport-security", peer},
		{"socket-options", map[string]string{"reuse-port": "socket-reuse-port",
			"reuse-address": "socket-reuse-address"}},
		{"discovery-config", map[string]string{"token": "discovery-token"}},
		{"discovery-config.client", map[string]string{"endpoints": "discovery-endpoints",
			"request-timeout":   "discovery-request-timeout",
			"dial-timeout":      "discovery-dial-timeout",
			"keepalive-time":    "discovery-keepalive-time",
			"keepalive-timeout": "discovery-keepalive-timeout"}},
		{"discovery-config.client.secure", map[string]string{"cert": "discovery-cert",
			"key": "discovery-key", "cacert": "discovery-cacert",
			"insecure-transport":       "discovery-insecure-transport",
			"insecure-skip-tls-verify": "discovery-insecure-skip-tls-verify"}},
		{"discovery-config.client.auth", map[string]string{"username": "discovery-user",
			"password": "discovery-password"}},
	}
}

// inSections says whether a flag has another place in the file than its name, or none at all.
func inSections(flag string) bool {
	for _, s := range fileSections() {
		for _, name := range s.names {
			if name == flag {
				return true
			}
		}
	}
	switch flag {
	case "config-file", "version", "client-crl-file", "peer-crl-file", "discovery-fallback",
		"raft-read-timeout", "raft-write-timeout":
		return true
	}
	return slices.Contains(ignoredFlags(), flag)
}

// flagsFromFile reads a file of settings.
func flagsFromFile(path string) (*Flags, error) {
	f := &Flags{Config: DefaultConfig()}
	f.define()
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var top map[string]any
	if err := yaml.Unmarshal(content, &top); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := f.setFromFile(top); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.note("info", "loaded server configuration, other configuration command line flags and "+
		"environment variables will be ignored if provided", [2]string{"path", path})
	return f, nil
}

func (f *Flags) setFromFile(top map[string]any) error {
	var failed error
	f.set.VisitAll(func(fl *pflag.Flag) {
		if v, there := top[fl.Name]; there && !inSections(fl.Name) && failed == nil {
			failed = f.setValue(fl, fl.Name, v)
		}
	})
	if failed != nil {
		return failed
	}
	for _, s := range fileSections() {
		section, err := sectionOf(top, s.path)
		if err != nil {
			return err
		}
		for _, key := range sortedKeys(s.names) {
			v, there := section[key]
			if !there {
				continue
			}
			if err := f.setValue(f.set.Lookup(s.names[key]), s.path+"."+key, v); err != nil {
				return err
			}
		}
	}
	if err := f.setWithoutFlag(top); err != nil {
		return err
	}
	if f.Config.SelfSignedCertValidity == 0 {
		f.Config.SelfSignedCertValidity = DefaultConfig().SelfSignedCertValidity
	}
	return nil
}

// setWithoutFlag sets what only a file can.
func (f *Flags) setWithoutFlag(top map[string]any) error {
	section, err := sectionOf(top, "client-transport-security")
	if err != nil {
		return err
	}
	only := pflag.NewFlagSet("", pflag.ContinueOnError)
	t := &f.Config.ClientTLS
	only.Var(&orderedValue{&t.AllowedCNs}, "allowed-cn", "")
	only.BoolVar(&t.SkipClientSANVerify, "skip-client-san-verification", false, "")
	only.VisitAll(func(fl *pflag.Flag) {
		if v, there := section[fl.Name]; there && err == nil {
			err = (&Flags{set: only}).setValue(fl, "client-transport-security."+fl.Name, v)
		}
	})
	return err
}

func sortedKeys(names map[string]string) []string {
	var keys []string
	for k := range names {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// sectionOf finds a section; one that is not there is empty.
func sectionOf(top map[string]any, path string) (map[string]any, error) {
	section := top
	for _, name := range strings.Split(path, ".") {
		below, there := section[name]
		if !there || below == nil {
			return nil, nil
		}
		var ok bool
		if section, ok = below.(map[string]any); !ok {
			return nil, fmt.Errorf("invalid %s", path)
		}
	}
	return section, nil
}

// setValue gives a flag the value that a key has. An empty one is left to the default, except of
// what is a plain text.
func (f *Flags) setValue(fl *pflag.Flag, key string, v any) error {
	text, err := textOf(fl, v)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if v == nil || text == "" && fl.Value.Type() != "string" {
		return nil
	}
	if err := f.set.Set(fl.Name, text); err != nil {
		return fmt.Errorf("%s: invalid value %q: %w", key, text, err)
	}
	return nil
}

// textOf is a value as it would be written on a command line.
func textOf(fl *pflag.Flag, v any) (string, error) {
	isDuration := fl.Value.Type() == "duration"
	switch v := v.(type) {
	case nil:
		return "", nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		if isDuration {
			return time.Duration(v).String(), nil
		}
		return strconv.Itoa(v), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		if whole := math.Trunc(v); whole == v && math.Abs(v) < 1<<53 {
			return textOf(fl, int(whole))
		}
	case string:
		if isDuration {
			return "", fmt.Errorf("a duration is a whole number of nanoseconds here, not %q", v)
		}
		return v, nil
	case []any:
		var words []string
		for _, each := range v {
			word, ok := each.(string)
			if !ok {
				return "", fmt.Errorf("a list of texts is due, not %v", v)
			}
			words = append(words, word)
		}
		return strings.Join(words, ","), nil
	}
	return "", fmt.Errorf("%v is no value for it", v)
}
