package linearizability

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A history is saved as one JSON object per line, messages in protobuf's JSON form, so that a
// failed run can be read by people, cut by line tools, and judged again.

// maxLine bounds one line: two messages of the largest size that etcd's limits allow, in base64.
const maxLine = 16 << 20

// line is an Operation as it is written.
type line struct {
	Client   int             `json:"client"`
	Member   uint64          `json:"member,omitempty"`
	Call     int64           `json:"call"`
	Return   int64           `json:"return"`
	Kind     string          `json:"kind"`
	Request  json.RawMessage `json:"request"`
	Outcome  string          `json:"outcome"`
	Response json.RawMessage `json:"response,omitempty"`
	Err      string          `json:"error,omitempty"`
	Revision int64           `json:"revision,omitempty"`
	Order    int64           `json:"order,omitempty"`
}

var outcomeNames = [...]string{OK: "ok", Failed: "failed", Unknown: "unknown", Applied: "applied"}

// String names the outcome.
func (o Outcome) String() string {
	if o < OK || o > Applied {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames[o]
}

// Save writes the history to w.
func Save(w io.Writer, history []Operation) error {
	out := json.NewEncoder(w)
	for i := range history {
		l, err := encode(&history[i])
		if err != nil {
			return fmt.Errorf("save operation %d: %w", i, err)
		}
		if err := out.Encode(l); err != nil {
			return fmt.Errorf("save operation %d: %w", i, err)
		}
	}
	return nil
}

func encode(op *Operation) (line, error) {
	kind, req := op.Request.message()
	l := line{
		Client: op.Client, Member: op.Member, Call: op.Call, Return: op.Return, Kind: kind,
		Outcome: op.Outcome.String(), Err: op.Err, Revision: op.Revision,
		Order: op.Order,
	}
	var err error
	if l.Request, err = protojson.Marshal(req); err != nil {
		return l, err
	}
	if op.Outcome == OK {
		l.Response, err = protojson.Marshal(op.Response.message())
	}
	return l, err
}

func (r *Request) message() (string, proto.Message) {
	switch {
	case r.Range != nil:
		return "range", r.Range
	case r.Put != nil:
		return "put", r.Put
	case r.DeleteRange != nil:
		return "delete", r.DeleteRange
	case r.Txn != nil:
		return "txn", r.Txn
	case r.Grant != nil:
		return "grant", r.Grant
	case r.Revoke != nil:
		return "revoke", r.Revoke
	case r.KeepAlive != nil:
		return "keepalive", r.KeepAlive
	case r.TimeToLive != nil:
		return "timetolive", r.TimeToLive
	}
	return "compact", r.Compact
}

// Text is the response for people.
func (r *Response) Text() string { return fmt.Sprint(r.message()) }

func (r *Response) message() proto.Message {
	switch {
	case r.Range != nil:
		return r.Range
	case r.Put != nil:
		return r.Put
	case r.DeleteRange != nil:
		return r.DeleteRange
	case r.Txn != nil:
		return r.Txn
	case r.Grant != nil:
		return r.Grant
	case r.Revoke != nil:
		return r.Revoke
	case r.KeepAlive != nil:
		return r.KeepAlive
	case r.TimeToLive != nil:
		return r.TimeToLive
	}
	return r.Compact
}

// Load reads what Save wrote.
func Load(r io.Reader) ([]Operation, error) {
	var history []Operation
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 64<<10), maxLine)
	for in.Scan() {
		if len(in.Bytes()) == 0 {
			continue
		}
		op, err := decode(in.Bytes())
		if err != nil {
			return nil, fmt.Errorf("load operation %d: %w", len(history), err)
		}
		history = append(history, op)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("load operation %d: %w", len(history), err)
	}
	if err := Check(history); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return history, nil
}

func decode(text []byte) (Operation, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Operation{}, err
	}
	op := Operation{
		Client: l.Client, Member: l.Member, Call: l.Call, Return: l.Return,
		Err: l.Err, Revision: l.Revision, Order: l.Order,
	}
	for o := OK; o <= Applied; o++ {
		if outcomeNames[o] == l.Outcome {
			op.Outcome = o
		}
	}
	if op.Outcome == 0 {
		return op, fmt.Errorf("no outcome %q", l.Outcome)
	}
	var resp Response
	switch l.Kind {
	case "range":
		op.Request.Range, resp.Range = &pb.RangeRequest{}, &pb.RangeResponse{}
	case "put":
		op.Request.Put, resp.Put = &pb.PutRequest{}, &pb.PutResponse{}
	case "delete":
		op.Request.DeleteRange = &pb.DeleteRangeRequest{}
		resp.DeleteRange = &pb.DeleteRangeResponse{}
	case "txn":
		op.Request.Txn, resp.Txn = &pb.TxnRequest{}, &pb.TxnResponse{}
	case "compact":
		op.Request.Compact, resp.Compact = &pb.CompactionRequest{}, &pb.CompactionResponse{}
	case "grant":
		op.Request.Grant, resp.Grant = &pb.LeaseGrantRequest{}, &pb.LeaseGrantResponse{}
	case "revoke":
		op.Request.Revoke, resp.Revoke = &pb.LeaseRevokeRequest{}, &pb.LeaseRevokeResponse{}
	case "keepalive":
		op.Request.KeepAlive = &pb.LeaseKeepAliveRequest{}
		resp.KeepAlive = &pb.LeaseKeepAliveResponse{}
	case "timetolive":
		op.Request.TimeToLive = &pb.LeaseTimeToLiveRequest{}
		resp.TimeToLive = &pb.LeaseTimeToLiveResponse{}
	default:
		return op, fmt.Errorf("no kind of request %q", l.Kind)
	}
	_, req := op.Request.message()
	if err := protojson.Unmarshal(l.Request, req); err != nil {
		return op, err
	}
	if op.Outcome == OK {
		if err := protojson.Unmarshal(l.Response, resp.message()); err != nil {
			return op, err
		}
		op.Response = resp
	}
	return op, nil
}
