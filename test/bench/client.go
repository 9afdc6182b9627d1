package main

// The load client. It shares the machine with the servers, so it must be cheap: requests are bytes
// that were encoded before, responses are not decoded but for the few fields that prove the work
// was done, and callers share about a hundred connections.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	methodRange   = "/etcdserverpb.KV/Range"
	methodPut     = "/etcdserverpb.KV/Put"
	methodTxn     = "/etcdserverpb.KV/Txn"
	methodDelete  = "/etcdserverpb.KV/DeleteRange"
	methodCompact = "/etcdserverpb.KV/Compact"
	methodDefrag  = "/etcdserverpb.Maintenance/Defragment"
)

// rawCodec passes bytes through.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

type client struct{ conns []*grpc.ClientConn }

// dial opens n connections, in turn to each address, which may begin with the scheme for TLS. Nobody
// can verify a certificate that a server has made itself.
func dial(addresses []string, n int) (*client, error) {
	c := &client{}
	for i := range n {
		address, secure := strings.CutPrefix(addresses[i%len(addresses)], schemeTLS+"://")
		how := insecure.NewCredentials()
		if secure {
			how = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
		}
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(how),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}),
				grpc.MaxCallRecvMsgSize(math.MaxInt32)),
			grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(4<<20))
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close() // nothing is lost with a connection
	}
}

// call performs one request on connection i, modulo their number.
func (c *client) call(ctx context.Context, i int, method string, request []byte) ([]byte, error) {
	var response []byte
	err := c.conns[i%len(c.conns)].Invoke(ctx, method, request, &response)
	return response, err
}

// rangeSpec is a read.
type rangeSpec struct {
	key, end     string
	limit        int64
	revision     int64
	serializable bool
}

func encodeRange(s rangeSpec) []byte {
	return encode(&pb.RangeRequest{Key: []byte(s.key), RangeEnd: []byte(s.end), Limit: s.limit,
		Revision: s.revision, Serializable: s.serializable})
}

func encodePut(key string, value []byte) []byte {
	return encode(&pb.PutRequest{Key: []byte(key), Value: value})
}

// encodeGuarded is the write of Kubernetes: put if the key was last changed at revision, else get.
func encodeGuarded(key string, revision int64, value []byte) []byte {
	return encode(&pb.TxnRequest{
		Compare: []*pb.Compare{{Result: pb.Compare_EQUAL, Target: pb.Compare_MOD,
			Key: []byte(key), TargetUnion: &pb.Compare_ModRevision{ModRevision: revision}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(key), Value: value}}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: []byte(key)}}}},
	})
}

// encodeBulk puts many keys in one transaction.
func encodeBulk(keys []string, value []byte) []byte {
	txn := &pb.TxnRequest{}
	for _, k := range keys {
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(k), Value: value}}})
	}
	return encode(txn)
}

func encodeDelete(key string) []byte {
	return encode(&pb.DeleteRangeRequest{Key: []byte(key)})
}

func encodeCompact(revision int64) []byte {
	return encode(&pb.CompactionRequest{Revision: revision, Physical: true})
}

func encode(m proto.Message) []byte {
	data, err := proto.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", m, err)) // only invalid UTF-8 in a string fails
	}
	return data
}

var errResponse = errors.New("malformed response")

// answer is what the benchmark wants to know of a response.
type answer struct {
	revision int64
	kvs      int
	lastKey  []byte
	more     bool
	success  bool // a transaction's guard held
}

// The field numbers are those of RangeResponse (header 1, kvs 2, more 3); a TxnResponse has
// succeeded in field 2, and a PutResponse only its header.
func parseAnswer(data []byte) (a answer, err error) {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return a, errResponse
		}
		data = data[n:]
		var value []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		default:
			n = protowire.ConsumeFieldValue(num, typ, data)
		}
		if n < 0 {
			return a, errResponse
		}
		data = data[n:]
		switch {
		case num == 1 && typ == protowire.BytesType:
			a.revision = int64(varintField(value, 3))
		case num == 2 && typ == protowire.BytesType:
			a.kvs++
			a.lastKey = value
		case num == 2 && typ == protowire.VarintType:
			a.success = number != 0
		case num == 3 && typ == protowire.VarintType:
			a.more = number != 0
		}
	}
	if a.lastKey != nil {
		a.lastKey = bytesField(a.lastKey, 1)
	}
	return a, nil
}

func varintField(data []byte, field protowire.Number) uint64 {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return 0
		}
		if num == field && typ == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(data[n:])
			return v
		}
		m := protowire.ConsumeFieldValue(num, typ, data[n:])
		if m < 0 {
			return 0
		}
		data = data[n+m:]
	}
	return 0
}

func bytesField(data []byte, field protowire.Number) []byte {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil
		}
		if num == field && typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(data[n:])
			return v
		}
		m := protowire.ConsumeFieldValue(num, typ, data[n:])
		if m < 0 {
			return nil
		}
		data = data[n+m:]
	}
	return nil
}
