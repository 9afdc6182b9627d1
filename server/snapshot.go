// Maintenance.Snapshot: the store as a file that etcd's tools and ours can restore.
//
// The node grants a view and its replicated state as of one entry; everything else happens here, on
// goroutines of the RPC: laying the file out, reading records, sending. Nothing is written to the
// disk, and at most a leaf of the file and the transport's window are in memory. The client's pace
// is the stream's: a message waits until the one before it has left.
//
// A view keeps files on the disk that reclaim has replaced. So a client that takes nothing for
// stallLimit loses its stream; one that takes little by little keeps it, as with etcd.
package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/backup"
	"github.com/detcd/detcd/kv"
)

const (
	// blobBytes is the most of a file that one message carries.
	blobBytes = 32 << 10
	// stallLimit is how long a client may take for one message.
	stallLimit = time.Minute
)

// snapshot is the method's handler.
func (s *service) snapshot(_ any, stream grpc.ServerStream) error {
	c := s.loop.calls.take()
	if err := stream.RecvMsg(c); err != nil {
		s.loop.calls.give(c)
		return err
	}
	ctx := stream.Context()
	err := s.checkMetadata(ctx, manyMessages)
	if err == nil {
		err = s.statuses[kv.Validate(kv.MethodSnapshot, c.raw, &s.loop.limits)]
	}
	if err != nil {
		s.loop.calls.give(c)
		return err
	}
	c.identity = s.identity(ctx)
	read, err := s.takeView(ctx, kv.MethodSnapshot, c)
	if err != nil {
		return err
	}
	sending := &snapshotStream{stream: stream, stall: stallLimit, sum: sha256.New(),
		took: s.metrics.Disk.Backup, sent: make(chan struct{}, 1), done: make(chan error, 1)}
	go func() {
		err := sending.run(read, s.loop.log)
		if damage := sending.damage; damage != "" {
			s.loop.inbox.put(kv.Input{Kind: kv.InputDamaged, Damage: damage})
		}
		s.loop.inbox.viewEnd(read.View)
		sending.done <- err
	}()
	return sending.watch(ctx)
}

// snapshotStream is a snapshot on its way to one client.
type snapshotStream struct {
	stream grpc.ServerStream
	stall  time.Duration
	took   prometheus.Observer // by a backup that was sent
	sum    hash.Hash
	total  int64
	passed int64  // bytes of the database
	damage string // what the node has to be told of its disk
	sent   chan struct{}
	done   chan error
}

// watch waits until everything has been sent, and ends the stream of a client that does not read:
// the handler's return is what makes a send that hangs fail.
func (s *snapshotStream) watch(ctx context.Context) error {
	limit := time.NewTimer(s.stall)
	defer limit.Stop()
	for {
		select {
		case err := <-s.done:
			return err
		case <-s.sent:
			limit.Reset(s.stall)
		case <-ctx.Done():
			<-s.done // soon: no send outlasts the stream
			return status.FromContextError(ctx.Err()).Err()
		case <-limit.C:
			return status.Error(codes.Aborted, fmt.Sprintf("detcd: the client has taken nothing "+
				"of the snapshot for %v", s.stall))
		}
	}
}

// run lays the file out and sends it.
func (s *snapshotStream) run(read *kv.Read, log *zap.Logger) error {
	began := time.Now()
	from, err := read.Backup()
	if err != nil {
		return s.fail(log, err)
	}
	content := backup.Content{Image: from.Image, Revision: from.View.Revision(),
		Compacted: from.View.Compacted(), StorageVersion: backup.StorageVersion}
	file, err := backup.New(&content, from.View.History())
	if err != nil {
		return s.fail(log, err)
	}
	s.total = file.Size()
	fields := []zap.Field{zap.Int64("total-bytes", s.total),
		zap.Int64("revision", int64(content.Revision)),
		zap.String("storage-version", backup.StorageVersion)}
	log.Info("sending database snapshot to client", fields...)
	if err := file.Write(s); err != nil {
		return s.fail(log, err)
	}
	if err := s.send(s.sum.Sum(nil)); err != nil {
		return s.fail(log, err)
	}
	s.took.Observe(time.Since(began).Seconds())
	log.Info("successfully sent database snapshot to client",
		append(fields, zap.Duration("took", time.Since(began)))...)
	return nil
}

// fail logs why a snapshot is incomplete. What the transport says of its client is the outcome as
// it is; everything else comes from our own disk.
func (s *snapshotStream) fail(log *zap.Logger, err error) error {
	log.Warn("failed to send database snapshot to client", zap.Error(err),
		zap.Int64("total-bytes", s.total), zap.Int64("sent-bytes", s.passed))
	if _, known := status.FromError(err); known {
		return err
	}
	s.damage = err.Error()
	return status.Error(codes.DataLoss, kv.ErrDamaged.Text())
}

// Write sends a part of the database. b is the stream's from then on.
func (s *snapshotStream) Write(b []byte) (int, error) {
	s.sum.Write(b)
	for rest := b; len(rest) > 0; {
		n := min(len(rest), blobBytes)
		s.passed += int64(n)
		if err := s.send(rest[:n:n]); err != nil {
			return len(b) - len(rest), err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

func (s *snapshotStream) send(blob []byte) error {
	err := s.stream.SendMsg(&pb.SnapshotResponse{RemainingBytes: uint64(s.total - s.passed),
		Blob: blob, Version: backup.StorageVersion})
	select {
	case s.sent <- struct{}{}:
	default: // the watch has not looked at the last one yet
	}
	return err
}
