// The codec of the client port: request bytes pass through undecoded, answers leave as the slices
// they already are.
//
// A request's bytes are copied once, out of the transport's pooled buffers into the slice that
// becomes the log's payload. A reply's pieces are handed to the transport as they are. Most are
// immutable for ever, so nothing is counted and nothing returned; those that a list borrowed go
// back when the transport has written them. Messages of the cold services (health, alarms) are
// ordinary protobuf.
package server

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/server/metrics"
)

type codec struct {
	answers *answerPool
	bytes   *metrics.Bytes
}

// Name is the content subtype that clients ask for.
func (c codec) Name() string { return "proto" }

// Marshal returns the wire form of v.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	out, err := c.encode(v)
	c.bytes.Sent.Add(float64(out.Len()))
	return out, err
}

func (c codec) encode(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *call:
		out := make(mem.BufferSlice, 0, len(m.reply))
		for _, piece := range m.reply {
			switch {
			case len(piece) == 0:
			case m.lent:
				out = append(out, c.answers.lentBuffer(piece))
			default:
				out = append(out, mem.SliceBuffer(piece))
			}
		}
		return out, nil
	case *watchMessage:
		return m.out, nil
	case proto.Message:
		b, err := proto.Marshal(m)
		if err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return nil, fmt.Errorf("server: no encoding for %T", v)
}

// Unmarshal fills v from the wire form.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	c.bytes.Received.Add(float64(data.Len()))
	switch m := v.(type) {
	case *call:
		m.raw = data.Materialize()
		return nil
	case *watchMessage:
		m.raw = data.Materialize()
		return nil
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	}
	return fmt.Errorf("server: no decoding for %T", v)
}
