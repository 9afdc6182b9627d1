package main

// The list of what detcd does not serve yet must not outlive its truth.

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/test/compat/servers"
)

// checkUnserved asks detcd for every method of the list and fails when it answers one.
func (c *worker) checkUnserved(ctx context.Context) error {
	t := c.pair.targets[1]
	for name, m := range c.methods {
		if servers.Served(name) {
			continue
		}
		request := m.newRequest()
		if alarm, ok := request.(*pb.AlarmRequest); ok {
			alarm.Action = pb.AlarmRequest_DEACTIVATE // listing none is easy
		}
		data, err := proto.Marshal(request)
		if err != nil {
			return err
		}
		s, p := &step{method: name, blocks: true}, &patience{}
		limited, cancel := p.limited(ctx, s)
		a := t.perform(limited, s, m, data, p)
		cancel()
		if a.code != codes.Unimplemented {
			return fmt.Errorf("detcd serves %s: take it off the list of what it does not (%v)", name, a)
		}
	}
	return nil
}
