package main

// What a server answered to a step, brought into a form in which the two can be compared: ids
// replaced, and raft's terms and indexes, sizes of files and times reduced to whether they are
// there.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// answer is one server's. A stream's messages are in order.
type answer struct {
	messages []proto.Message
	code     codes.Code
	text     string
	snapshot []string // rows of a saved snapshot instead of its messages
}

func (a *answer) fail(err error) {
	s := status.Convert(err)
	a.code, a.text = s.Code(), s.Message()
}

const rowsPrinted = 12

// String is the answer in a few lines.
func (a *answer) String() string {
	var b strings.Builder
	for _, m := range a.messages {
		fmt.Fprintf(&b, "%s {%s} ", m.ProtoReflect().Descriptor().Name(), describe(m))
	}
	for i, row := range a.snapshot {
		if i == rowsPrinted {
			fmt.Fprintf(&b, "\n      and %d more", len(a.snapshot)-i)
			break
		}
		fmt.Fprintf(&b, "\n      %s", row)
	}
	if a.code != codes.OK {
		fmt.Fprintf(&b, "%v: %s", a.code, a.text)
	}
	return b.String()
}

// identify adds who asks to the metadata of a request.
func (t *target) identify(ctx context.Context, as identity, key tokenKey) context.Context {
	token := t.tokens[as]
	if as == wrongToken {
		token = "wrong.1"
	}
	switch {
	case token == "":
		return ctx
	case key == inToken:
		return metadata.AppendToOutgoingContext(ctx, "token", token)
	case key == asBearer:
		token = "Bearer " + token
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", token)
}

// dress adds everything to the context of a step's request that is in its metadata.
func (t *target) dress(ctx context.Context, s *step) context.Context {
	ctx = t.identify(ctx, s.as, s.token)
	if s.leader {
		ctx = metadata.AppendToOutgoingContext(ctx, "hasleader", "true")
	}
	if s.version != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "client-api-version", s.version)
	}
	return ctx
}

// authenticate gets a token for a user.
func (t *target) authenticate(ctx context.Context, as identity) error {
	response := &pb.AuthenticateResponse{}
	err := t.ask(ctx, pb.Auth_Authenticate_FullMethodName,
		&pb.AuthenticateRequest{Name: users[as], Password: password(users[as])}, response)
	if err == nil {
		t.tokens[as] = response.Token
	}
	return err
}

const (
	blockLimit = 400 * time.Millisecond
	// talkLimit is for the second message of a stream that never ends: there is none, as nothing
	// changes meanwhile.
	talkLimit = 60 * time.Millisecond
	// settleAfterBlock is for what the server clears up after a caller that gave up.
	settleAfterBlock = 100 * time.Millisecond
)

// patience is shared by both servers' calls of one step. When neither has said anything for a while
// the callers give up; once one of them has, the other is waited for.
type patience struct{ heard atomic.Bool }

// limited ends a context where a step may have to wait for others. The servers are not told when:
// else they would give up by themselves now and then.
func (p *patience) limited(ctx context.Context, s *step) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if s.blocks {
		time.AfterFunc(blockLimit, func() {
			if !p.heard.Load() {
				cancel()
			}
		})
	}
	return ctx, cancel
}

// perform sends a step that is no watch and waits for the whole answer.
func (t *target) perform(
	ctx context.Context, s *step, m method, data []byte, p *patience,
) *answer {
	ctx, cancel := context.WithTimeout(t.dress(ctx, s), callLimit)
	defer cancel()
	if s.kind == handmade {
		return t.byHand(ctx, s, data)
	}
	limit := time.AfterFunc(callLimit, cancel)
	defer limit.Stop()
	a := &answer{}
	if m.serverStream {
		t.exchange(ctx, s, m, data, a, func() {
			p.heard.Store(true)
			if s.blocks {
				limit.Reset(talkLimit)
			}
		})
	} else {
		var response []byte
		if err := t.conn.Invoke(ctx, s.method, data, &response); err != nil {
			a.fail(err)
		} else {
			a.add(m, response)
		}
	}
	p.heard.Store(true)
	if s.blocks && ctx.Err() != nil {
		a.code, a.text = codes.Canceled, "the caller gave up"
	}
	return a
}

// exchange sends one message, closes its side and reads what comes until the end.
func (t *target) exchange(
	ctx context.Context, s *step, m method, data []byte, a *answer, heard func(),
) {
	stream, err := t.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true,
		ClientStreams: m.clientStream}, s.method)
	if err == nil {
		err = stream.SendMsg(data)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	for err == nil {
		var response []byte
		if err = stream.RecvMsg(&response); err == nil {
			a.add(m, response)
			heard()
		}
	}
	if !errors.Is(err, io.EOF) {
		a.fail(err)
	}
}

// add decodes one message of the answer.
func (a *answer) add(m method, data []byte) {
	response := m.newResponse()
	if err := proto.Unmarshal(data, response); err != nil {
		a.code, a.text = codes.Internal, fmt.Sprintf("undecodable answer %q: %v", data, err)
		return
	}
	a.messages = append(a.messages, response)
}

// present reduces a number to whether it is positive.
var present = map[protoreflect.FullName]bool{
	"etcdserverpb.ResponseHeader.raft_term":        true,
	"etcdserverpb.StatusResponse.raftIndex":        true,
	"etcdserverpb.StatusResponse.raftTerm":         true,
	"etcdserverpb.StatusResponse.raftAppliedIndex": true,
	"etcdserverpb.StatusResponse.dbSize":           true,
	"etcdserverpb.HashResponse.hash":               true,
}

// drawnAtLeast is below every id that a server draws, and above those that steps name.
const drawnAtLeast = 1 << 40

// normalize makes an answer comparable with the other server's.
func (a *answer) normalize(t *target) {
	for _, m := range a.messages {
		list := membersOf(m)
		sorted := slices.IsSortedFunc(list, compareMembers)
		t.ids.hide(m)
		if sorted { // by the ids that it drew
			slices.SortFunc(list, compareMembers)
		}
		walk(m.ProtoReflect(), normalScalar)
		switch m := m.(type) {
		case *pb.StatusResponse:
			m.DbSizeInUse = 1 // an empty store of detcd's uses nothing
			for i, text := range m.Errors {
				m.Errors[i] = t.ids.hideAlarm(text)
			}
			slices.Sort(m.Errors) // etcd has alarms in a map
		case *pb.LeaseLeasesResponse:
			for _, l := range m.Leases {
				if isDrawn(l.ID) {
					l.ID = symbol(symLease, 0)
				}
			}
		}
	}
}

// membersOf is the list of members in an answer.
func membersOf(m proto.Message) []*pb.Member {
	if list, ok := m.(interface{ GetMembers() []*pb.Member }); ok {
		return list.GetMembers()
	}
	return nil
}

func compareMembers(a, b *pb.Member) int { return cmp.Compare(a.ID, b.ID) }

func normalScalar(
	_ protoreflect.Message, f protoreflect.FieldDescriptor, v protoreflect.Value,
) protoreflect.Value {
	switch name := f.FullName(); {
	case present[name] && f.Kind() == protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1)
	case present[name] && integer(f, v) > 0:
		return integerValue(f, 1)
	case name == "mvccpb.KeyValue.lease" && isDrawn(v.Int()):
		return protoreflect.ValueOfInt64(symbol(symLease, 0))
	case name == "etcdserverpb.AuthenticateResponse.token":
		return protoreflect.ValueOfString("token")
	case name == "etcdserverpb.StatusResponse.errors":
		return protoreflect.ValueOfString(strings.Join(strings.Fields(v.String()), " "))
	}
	return v
}
