package servers

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	versionLimit   = 30 * time.Second
	storageVersion = "3.7.0"
)

// WaitVersion waits until the member's storage version is what it will stay. A cluster begins as an
// old one, and etcd brings each member's storage up to the cluster's version some time after it
// serves; an answer of Status from before shows it.
func (s *Server) WaitVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
		if err == nil && status.StorageVersion == storageVersion {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has storage version %q after %v: %w", s.Program.Name,
				status.GetStorageVersion(), versionLimit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
