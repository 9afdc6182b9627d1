// The server's log: etcd's shape, so that what reads etcd's log reads this one. One JSON object a
// line, with level, ts, caller, msg and the fields; equal messages beyond a hundred a second are
// thinned out.
package server

import (
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"

	"github.com/detcd/detcd/kv"
)

const logTimeLayout = "2006-01-02T15:04:05.000000Z0700"

func parseLogLevel(name string) (zapcore.Level, error) {
	var level zapcore.Level
	if err := level.Set(name); err != nil || name == "dpanic" {
		return 0, fmt.Errorf("unknown level %q, supported values debug, info, warn, error, panic, "+
			"fatal", name)
	}
	return level, nil
}

// NewLogger builds the logger that the configuration describes.
func NewLogger(c *Config) (*zap.Logger, error) {
	level, err := parseLogLevel(c.LogLevel)
	if err != nil {
		return nil, err
	}
	lines := zapcore.EncoderConfig{
		TimeKey:        "ts",
		LevelKey:       "level",
		NameKey:        "logger",
		CallerKey:      "caller",
		MessageKey:     "msg",
		StacktraceKey:  "stacktrace",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeTime:     encodeLogTime,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeCaller:   zapcore.ShortCallerEncoder,
	}
	encoder := zapcore.NewJSONEncoder(lines)
	if c.LogFormat == "console" {
		encoder = zapcore.NewConsoleEncoder(lines)
	}
	out, err := c.openLog()
	if err != nil {
		return nil, err
	}
	failures, _, err := zap.Open("stderr")
	if err != nil {
		return nil, err
	}
	core := zapcore.NewSamplerWithOptions(zapcore.NewCore(encoder, out, level), time.Second,
		logInitial, logThereafter)
	return zap.New(core, zap.AddCaller(), zap.AddStacktrace(zapcore.ErrorLevel),
		zap.ErrorOutput(failures)), nil
}

// Of equal messages within a second the first logInitial are written, then one in logThereafter.
const (
	logInitial    = 100
	logThereafter = 100
)

// openLog opens what --log-outputs names.
func (c *Config) openLog() (zapcore.WriteSyncer, error) {
	var plain []string
	var all []zapcore.WriteSyncer
	for _, name := range c.LogOutputs {
		switch {
		case name == "default":
			plain = append(plain, "stderr")
		case c.EnableLogRotation && isFile(name):
			rotated, err := c.rotation()
			if err != nil {
				return nil, err
			}
			all = append(all, zapcore.AddSync(rotated))
		default:
			plain = append(plain, name)
		}
	}
	if len(plain) > 0 {
		out, _, err := zap.Open(plain...)
		if err != nil {
			return nil, err
		}
		all = append(all, out)
	}
	return zapcore.NewMultiWriteSyncer(all...), nil
}

func encodeLogTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.Format(logTimeLayout))
}

// quietGRPC keeps the gRPC library's own log, which has another shape, out of ours unless someone
// debugs. The library has one logger per process, so this is called once, by the program.
func quietGRPC(level string) {
	if level == "debug" {
		grpc.EnableTracing = true // for /debug/requests
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(os.Stderr, os.Stderr, os.Stderr))
		return
	}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
}

// logNote writes what the node wants people to know.
func logNote(lg *zap.Logger, n kv.Note) {
	level := zapcore.InfoLevel
	switch n.Level {
	case kv.Debug:
		level = zapcore.DebugLevel
	case kv.Warn:
		level = zapcore.WarnLevel
	case kv.Error:
		level = zapcore.ErrorLevel
	}
	entry := lg.Check(level, n.Message)
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, len(n.Fields))
	for _, f := range n.Fields {
		fields = append(fields, zap.String(f.Name, f.Value))
	}
	entry.Write(fields...)
}

// quietHTTPLog turns what net/http has to say about broken connections into debug lines.
func quietHTTPLog(lg *zap.Logger) *log.Logger {
	return log.New(debugWriter{lg}, "", 0)
}

type debugWriter struct{ lg *zap.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.lg.Debug(strings.TrimSpace(string(p)))
	return len(p), nil
}
