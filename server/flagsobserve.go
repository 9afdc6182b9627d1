// The flags about watching the server: metrics, traces, slow requests, the log's files.
package server

import (
	"github.com/spf13/pflag"

	"github.com/detcd/detcd/server/metrics"
)

const defaultRotation = `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, ` +
	`"compress": false}`

func (f *Flags) defineObservation(fs *pflag.FlagSet) {
	c := &f.Config
	fs.Var(&choiceValue{&c.Metrics, []string{string(metrics.Basic), string(metrics.Extensive)}},
		"metrics", "'extensive' adds the times of RPCs by method to 'basic'")
	fs.DurationVar(&c.WarningApplyDuration, "warning-apply-duration", c.WarningApplyDuration,
		"time to apply or read from which on a request is logged")
	fs.DurationVar(&c.WarningUnaryRequestDuration, "warning-unary-request-duration",
		c.WarningUnaryRequestDuration, "time of a whole request from which on it is logged")
	t := &c.Tracing
	fs.BoolVar(&t.Enabled, "enable-distributed-tracing", t.Enabled,
		"send spans of RPCs to an OpenTelemetry collector")
	fs.StringVar(&t.Address, "distributed-tracing-address", t.Address,
		"the collector's host and port, OTLP over gRPC")
	fs.StringVar(&t.ServiceName, "distributed-tracing-service-name", t.ServiceName,
		"the service that spans are of")
	fs.StringVar(&t.InstanceID, "distributed-tracing-instance-id", t.InstanceID,
		"the instance that spans are of; must be unique")
	fs.IntVar(&t.SamplesPerMillion, "distributed-tracing-sampling-rate", t.SamplesPerMillion,
		"traces begun here of each million RPCs; what a client traces is traced in any case")
	fs.BoolVar(&c.EnableLogRotation, "enable-log-rotation", c.EnableLogRotation,
		"limit the log file's size and age; there may be one file")
	fs.StringVar(&c.LogRotationJSON, "log-rotation-config-json", c.LogRotationJSON,
		"the limits: maxsize (MB), maxage (days), maxbackups, localtime, compress")
}
