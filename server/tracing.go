// Traces of RPCs, sent to an OpenTelemetry collector. When they are not asked for, no handler of
// the library is installed, so an RPC pays nothing.
package server

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// TracingConfig is what the --distributed-tracing-* flags say.
type TracingConfig struct {
	Enabled           bool
	Address           string
	ServiceName       string
	InstanceID        string // empty for none
	SamplesPerMillion int
}

const (
	million = 1_000_000
	// tracingDrain bounds how long a member that stops waits for a collector.
	tracingDrain = 2 * time.Second
)

func defaultTracing() TracingConfig {
	return TracingConfig{Address: "localhost:4317", ServiceName: "etcd"}
}

// The refusals of a sampling rate, in etcd's words.
var (
	ErrSamplingNegative = errors.New("tracing sampling rate must be positive")
	ErrSamplingTooHigh  = errors.New("tracing sampling rate must be less than 1000000")
)

func (t *TracingConfig) validate() error {
	switch {
	case !t.Enabled:
		return nil
	case t.SamplesPerMillion < 0:
		return ErrSamplingNegative
	case t.SamplesPerMillion > million:
		return ErrSamplingTooHigh
	}
	return nil
}

// tracing sends spans; nil does not.
type tracing struct{ provider *trace.TracerProvider }

// startTracing returns nil when nothing is to be traced. The collector need not be there: spans
// that cannot be sent are dropped.
func startTracing(c *Config, log *zap.Logger) (*tracing, error) {
	t := &c.Tracing
	if !t.Enabled {
		return nil, nil
	}
	exporter, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithInsecure(),
		otlptracegrpc.WithEndpoint(t.Address))
	if err != nil {
		return nil, err
	}
	sampler := trace.NeverSample()
	if t.SamplesPerMillion > 0 {
		sampler = trace.TraceIDRatioBased(float64(t.SamplesPerMillion) / million)
	}
	about := []attribute.KeyValue{attribute.String("service.name", t.ServiceName)}
	if t.InstanceID != "" {
		about = append(about, attribute.String("service.instance.id", t.InstanceID))
	}
	log.Info("distributed tracing enabled", zap.String("address", t.Address),
		zap.String("service-name", t.ServiceName), zap.String("service-instance-id", t.InstanceID),
		zap.Int("sampling-rate", t.SamplesPerMillion))
	return &tracing{trace.NewTracerProvider(trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(about...)),
		trace.WithSampler(trace.ParentBased(sampler)))}, nil
}

func (t *tracing) options() []grpc.ServerOption {
	if t == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(t.provider),
		otelgrpc.WithPropagators(propagation.NewCompositeTextMapPropagator(
			propagation.TraceContext{}, propagation.Baggage{}))))}
}

// stop sends what is left.
func (t *tracing) stop(log *zap.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tracingDrain)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("failed to send the last spans", zap.Error(err))
	}
}
