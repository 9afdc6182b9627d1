package main

// A saved snapshot is compared by what is in it, not by its bytes: all rows of all buckets but
// those that hold raft's terms and indexes.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const rowLimit = 200 // bytes of a row that are printed and compared beside its digest

// ownRows differ between any two servers: what raft counts, and what a compaction was doing.
var ownRows = map[string]bool{
	"meta/consistent_index": true, "meta/term": true, "meta/confState": true,
	"meta/scheduledCompactRev": true, "meta/finishedCompactRev": true,
}

// skipRow leaves out such rows, and those that say no to users and to a downgrade: etcd writes them
// only once it had said yes.
func skipRow(bucket, key, value []byte) bool {
	name := string(bucket) + "/" + string(key)
	return ownRows[name] || name == "auth/authEnabled" && bytes.Equal(value, []byte{0}) ||
		name == "cluster/downgrade" && bytes.Contains(value, []byte(`"enabled":false`))
}

// normalAuth sorts a role's permissions, and hides that passwords are salted.
func normalAuth(bucket, value []byte) ([]byte, error) {
	switch string(bucket) {
	case "authUsers":
		user := &authpb.User{}
		if err := proto.Unmarshal(value, user); err != nil {
			return nil, err
		}
		if len(user.Password) > 0 {
			user.Password = []byte("salted")
		}
		return proto.Marshal(user)
	case "authRoles":
	default:
		return value, nil
	}
	role := &authpb.Role{}
	if err := proto.Unmarshal(value, role); err != nil {
		return nil, err
	}
	slices.SortFunc(role.KeyPermission, comparePermissions)
	return proto.Marshal(role)
}

// drawnMember replaces the id of a member that the server drew, in its key and in its description.
func (d *ids) drawnMember(bucket, key, value []byte) (k, v []byte) {
	if !strings.HasPrefix(string(bucket), "members") {
		return key, value
	}
	id, err := strconv.ParseUint(string(key), 16, 64)
	n, drawn := d.drawn[int64(id)]
	if err != nil || !drawn {
		return key, value
	}
	return fmt.Appendf(nil, "drawn %d", n), bytes.ReplaceAll(value,
		strconv.AppendUint(nil, id, 10), []byte("0"))
}

// drawnAlarm replaces the same id where an alarm is about that member.
func (d *ids) drawnAlarm(bucket, key []byte) []byte {
	alarm := &pb.AlarmMember{}
	if string(bucket) != "alarm" || proto.Unmarshal(key, alarm) != nil {
		return key
	}
	if n, drawn := d.drawn[int64(alarm.MemberID)]; drawn {
		return fmt.Appendf(nil, "drawn %d, %v", n, alarm.Alarm)
	}
	return key
}

// drawnLease is the number of a lease that the server drew the id for; 0 if nobody has heard of it.
func (d *ids) drawnLease(bucket, key []byte) (n int64, drawn bool) {
	if string(bucket) != "lease" || len(key) != 8 {
		return 0, false
	}
	id := int64(binary.BigEndian.Uint64(key))
	n, drawn = d.drawn[id]
	return n, drawn || isDrawn(id)
}

// snapshot saves one to a file, as etcdctl does, and reads it.
func (t *target) snapshot(ctx context.Context) *answer {
	a := &answer{}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	data, version, err := t.fetchSnapshot(ctx)
	if err != nil {
		a.fail(err)
		return a
	}
	rows, err := t.ids.snapshotRows(filepath.Join(filepath.Dir(t.server.Dir), "snapshot"), data)
	if err != nil {
		rows = []string{"unreadable: " + err.Error()}
	}
	a.snapshot = append(rows, "version "+version)
	return a
}

func (t *target) fetchSnapshot(ctx context.Context) (data []byte, version string, err error) {
	stream, err := t.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true},
		pb.Maintenance_Snapshot_FullMethodName)
	if err != nil {
		return nil, "", err
	}
	if err := errors.Join(stream.SendMsg([]byte{}), stream.CloseSend()); err != nil {
		return nil, "", err
	}
	for {
		var message []byte
		if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
			return data, version, nil
		} else if err != nil {
			return nil, "", err
		}
		r := &pb.SnapshotResponse{}
		if err := proto.Unmarshal(message, r); err != nil {
			return nil, "", err
		}
		data = append(data, r.Blob...)
		version = r.Version
	}
}

// snapshotRows checks the digest at the end and lists "bucket/key = value".
func (d *ids) snapshotRows(file string, data []byte) (rows []string, err error) {
	if len(data)%512 != sha256.Size {
		return nil, fmt.Errorf("%d bytes have no digest at their end", len(data))
	}
	body := data[:len(data)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], data[len(body):]) {
		return nil, errors.New("the digest is wrong")
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close(), os.Remove(file)) }()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
			rows = append(rows, fmt.Sprintf("bucket %s", bucket))
			return b.ForEach(func(k, v []byte) error {
				if skipRow(bucket, k, v) {
					return nil
				}
				if id, drawn := d.drawnLease(bucket, k); drawn {
					rows = append(rows, fmt.Sprintf("lease/drawn %d", id))
					return nil
				}
				v, err := normalAuth(bucket, v)
				if err != nil {
					return err
				}
				k, v = d.drawnMember(bucket, d.drawnAlarm(bucket, k), v)
				row := fmt.Sprintf("%s/%q = %q", bucket, k, v)
				if len(row) > rowLimit {
					row = fmt.Sprintf("%s... %x", row[:rowLimit], sha256.Sum256([]byte(row)))
				}
				rows = append(rows, row)
				return nil
			})
		})
	})
	slices.Sort(rows)
	return rows, err
}
