// The JSON gateway: etcd's API as HTTP/1 POST requests with JSON bodies, and over WebSocket.
//
// The paths, the translation and the errors are those of the library that etcd uses, with etcd's
// public definitions; here are only the options that make the answers look like etcd's. All
// requests share one inner connection to the gRPC server.
package server

import (
	"context"
	"fmt"
	"math"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/tmc/grpc-websocket-proxy/wsproxy"
	etcdgw "go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/detcd/detcd/server/v3electionpb"
	"github.com/detcd/detcd/server/v3lockpb"
)

// gatewayPrefix is where the gateway's paths begin.
const gatewayPrefix = "/v3/"

func newGateway(log *zap.Logger, i *inner, maxBody int64) (http.Handler, error) {
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard,
		&runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		}}))
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		etcdgw.RegisterKVHandler,
		etcdgw.RegisterWatchHandler,
		etcdgw.RegisterLeaseHandler,
		etcdgw.RegisterClusterHandler,
		etcdgw.RegisterMaintenanceHandler,
		etcdgw.RegisterAuthHandler,
		v3lockpb.RegisterLockHandler,
		v3electionpb.RegisterElectionHandler,
	} {
		if err := register(i.over, mux, i.conn); err != nil {
			return nil, fmt.Errorf("register the gateway: %w", err)
		}
	}
	// A WebSocket cannot say POST, which all of the gateway's paths want.
	post := func(_, outgoing *http.Request) *http.Request {
		outgoing.Method = http.MethodPost
		return outgoing
	}
	return wsproxy.WebsocketProxy(boundBodies(mux, maxBody), wsproxy.WithRequestMutator(post),
		wsproxy.WithMaxRespBodyBufferSize(math.MaxInt32),
		wsproxy.WithLogger(wsLog{log})), nil
}

// boundBodies ends requests whose body is longer than any request may be, before it is all in
// memory. The bodies of streams are as long as their clients like.
func boundBodies(next http.Handler, most int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v3/watch" && r.URL.Path != "/v3/lease/keepalive" {
			r.Body = http.MaxBytesReader(w, r.Body, most)
		}
		next.ServeHTTP(w, r)
	})
}

// wsLog is the logger that the WebSocket proxy wants.
type wsLog struct{ log *zap.Logger }

// Warnln logs what went wrong with a connection, which is its client's affair mostly.
func (l wsLog) Warnln(words ...any) { l.log.Warn(fmt.Sprint(words...)) }

// Debugln logs what happens on a connection.
func (l wsLog) Debugln(words ...any) { l.log.Debug(fmt.Sprint(words...)) }
