package main

// The methods of the API, read from the descriptors of etcd's generated code, so that none is
// forgotten here when etcd adds one.

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "go.etcd.io/etcd/api/v3/etcdserverpb" // registers the services
	_ "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	_ "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	_ "google.golang.org/grpc/health/grpc_health_v1"
)

var services = []protoreflect.FullName{
	"etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster",
	"etcdserverpb.Maintenance", "etcdserverpb.Auth", "v3lockpb.Lock", "v3electionpb.Election",
	"grpc.health.v1.Health",
}

// method is one RPC.
type method struct {
	name         string // "/service/method"
	request      protoreflect.MessageType
	response     protoreflect.MessageType
	clientStream bool
	serverStream bool
}

func (m *method) newRequest() proto.Message { return m.request.New().Interface() }

func (m *method) newResponse() proto.Message { return m.response.New().Interface() }

// allMethods are sorted by name.
func allMethods() ([]method, error) {
	var all []method
	for _, name := range services {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		list := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range list.Len() {
			d := list.Get(i)
			in, err := protoregistry.GlobalTypes.FindMessageByName(d.Input().FullName())
			if err != nil {
				return nil, err
			}
			out, err := protoregistry.GlobalTypes.FindMessageByName(d.Output().FullName())
			if err != nil {
				return nil, err
			}
			all = append(all, method{
				name: fmt.Sprintf("/%s/%s", name, d.Name()), request: in, response: out,
				clientStream: d.IsStreamingClient(), serverStream: d.IsStreamingServer(),
			})
		}
	}
	slices.SortFunc(all, func(a, b method) int { return strings.Compare(a.name, b.name) })
	return all, nil
}
