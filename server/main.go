// The program around a member: command line, signals, exit status.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/detcd/detcd/kv"
)

// The exit statuses. A signal that ended the member in good order is not among them: the process
// then dies of that signal, so that whoever sent it sees what it expects.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the server program with the arguments after its name and returns its exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	flags, err := ParseFlags(args, os.Environ())
	var usage *UsageError
	switch {
	case errors.Is(err, ErrHelp):
		say(stderr, Usage())
		say(stdout, FlagHelp())
		return exitOK
	case errors.Is(err, ErrVersion):
		say(stdout, VersionText())
		return exitOK
	case errors.As(err, &usage):
		say(stderr, usage.Error()+"\n"+Usage())
		return exitUsage
	}
	cfg := DefaultConfig()
	if err == nil {
		err = flags.Config.Validate()
		cfg = flags.Config
	}
	lg, logErr := loggerFor(&cfg)
	if logErr != nil {
		say(stderr, logErr.Error()+"\n")
		return exitFailed
	}
	defer func() { _ = lg.Sync() }()
	if err != nil {
		logRefusal(lg, err)
		return exitFailed
	}
	logNotices(lg, flags.Notices)
	quietGRPC(cfg.LogLevel)
	cfg.Log = lg
	return serveUntilSignal(cfg, lg)
}

// loggerFor builds the configured logger, or the default one to complain through when the
// configuration of the logger is itself what is wrong.
func loggerFor(c *Config) (*zap.Logger, error) {
	if c.validateLogging() == nil {
		return NewLogger(c)
	}
	preset := DefaultConfig()
	return NewLogger(&preset)
}

func say(w io.Writer, text string) {
	// There is nobody left to tell when standard output is gone.
	_, _ = io.WriteString(w, text)
}

func logRefusal(lg *zap.Logger, err error) {
	var conflict *ConflictError
	if errors.As(err, &conflict) {
		logFatal(lg, err.Error(), zap.String("environment-variable", conflict.Variable))
		return
	}
	lg.Warn("failed to verify flags", zap.Error(err))
	if errors.Is(err, ErrAdvertiseClientURLs) {
		lg.Warn("advertise client URLs are not set", zap.Error(err))
	}
}

// logFatal writes a line of level fatal and returns, so that the caller can end in good order.
func logFatal(lg *zap.Logger, message string, fields ...zap.Field) {
	lg.WithOptions(zap.WithFatalHook(goOn{}), zap.AddCallerSkip(1)).Fatal(message, fields...)
}

// goOn is what happens after a fatal line: nothing.
type goOn struct{}

// OnWrite does nothing.
func (goOn) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) {}

func logNotices(lg *zap.Logger, notices []Notice) {
	for _, n := range notices {
		var fields []zap.Field
		for _, f := range n.Fields {
			fields = append(fields, zap.String(f[0], f[1]))
		}
		if n.Level == "warn" {
			lg.Warn(n.Message, fields...)
		} else {
			lg.Info(n.Message, fields...)
		}
	}
}

// serveUntilSignal runs a member until a signal ends it or it stops by itself.
func serveUntilSignal(cfg Config, lg *zap.Logger) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	starting, started := untilSignal(signals)
	cfg.Starting = starting
	s, err := Start(cfg)
	if sig := started(); sig != nil && err != nil {
		return dieOf(sig, lg)
	} else if sig != nil {
		signals <- sig
	}
	if err != nil {
		// etcd's word for every failed start; tools look for it.
		logFatal(lg, "discovery failed", zap.Error(err))
		return exitFailed
	}
	tuner := startTuner()
	defer tuner.stop()
	go func() {
		select {
		case <-s.Ready():
			notifyReady(lg)
		case <-s.stopServe:
		}
	}()
	select {
	case <-s.Halted():
		if s.Reason() == kv.Removed {
			lg.Warn(s.Reason(), zap.String("name", cfg.Name))
			lg.Warn("data-dir used by this member must be removed",
				zap.String("data-dir", cfg.dataDir()))
			s.Stop()
			return exitOK
		}
		logFatal(lg, "the member has stopped for good", zap.String("reason", s.Reason()))
		s.Stop()
		return exitFailed
	case sig := <-signals:
		lg.Info("received signal; shutting down", zap.String("signal", sig.String()))
		s.Stop()
		return dieOf(sig, lg)
	}
}

// untilSignal returns a context that a signal ends, and what ends the wait for one: that returns
// the signal, nil if there was none.
func untilSignal(signals <-chan os.Signal) (context.Context, func() os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	over, got := make(chan struct{}), make(chan os.Signal, 1)
	go func() {
		defer close(got)
		select {
		case sig := <-signals:
			cancel()
			got <- sig
		case <-over:
		}
	}()
	return ctx, func() os.Signal {
		close(over)
		cancel()
		return <-got
	}
}

// dieOf ends the process with the signal that it has obeyed. The first process of a container
// cannot die of a signal it has no handler for, so it exits.
func dieOf(sig os.Signal, lg *zap.Logger) int {
	number, ok := sig.(syscall.Signal)
	if !ok || os.Getpid() == 1 {
		return exitOK
	}
	// Losing the last lines of the log does not stop the process from ending.
	_ = lg.Sync()
	signal.Reset(number)
	if err := raise(number); err != nil {
		lg.Error("failed to raise the signal again", zap.Error(err))
		return exitFailed
	}
	select {} // the signal ends the process
}

// VersionText is what --version prints, line by line as etcd does.
func VersionText() string {
	return fmt.Sprintf("etcd Version: %s\nGit SHA: %s\nGo Version: %s\nGo OS/Arch: %s/%s\n",
		Version, gitSHA(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// gitSHA is the revision this program was built from, as far as the build recorded it.
func gitSHA() string {
	const short = 7
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) > short {
				return s.Value[:short]
			}
		}
	}
	return "unknown"
}
