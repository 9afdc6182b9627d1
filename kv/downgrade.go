// Downgrades: the cluster prepares to go down by one minor version. Enabling one lowers the cluster
// version to its target (version.go), from when on members may come back with that release; it ends
// when all have, or when it is cancelled.
package kv

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/detcd/detcd/raft"
)

// The actions of a DowngradeRequest.
const (
	downgradeValidate = iota
	downgradeEnable
	downgradeCancel
)

type downgradeRequest struct {
	action  uint64
	version string
}

func parseDowngrade(raw []byte) (r downgradeRequest, err error) {
	err = fields(raw, func(num protowire.Number, typ protowire.Type, v uint64, b []byte) error {
		switch {
		case num == 1 && typ == protowire.VarintType:
			r.action = v
		case num == 2 && typ == protowire.BytesType:
			r.version = string(b)
		}
		return nil
	})
	return r, err
}

// checkDowngrade says whether a request has a meaning. It is asked when its user is known to be an
// administrator.
func checkDowngrade(raw []byte) Code {
	r, err := parseDowngrade(raw)
	switch {
	case err != nil:
		return ErrMalformed
	case r.action > downgradeCancel:
		return ErrUnknownMethod
	case r.action != downgradeCancel:
		if _, _, ok := minorOf(r.version); !ok {
			return ErrWrongVersionFormat
		}
	}
	return OK
}

// requestDowngrade lets a check wait for a read index, and proposes the rest.
func (n *Node) requestDowngrade(r *Request) {
	if code := checkDowngrade(r.Raw); code != OK {
		n.answer(r.Token, code, nil, 0)
		return
	}
	if req, err := parseDowngrade(r.Raw); err == nil && req.action == downgradeValidate {
		n.read(r)
		return
	}
	n.write(r)
}

// judgeDowngrade says whether the cluster may prepare to go down to a version.
func (n *Node) judgeDowngrade(version string) Code {
	if n.state.version == "" {
		return ErrVersionUnknown
	}
	major, minor, _ := minorOf(n.state.version)
	toMajor, toMinor, ok := minorOf(version)
	switch {
	case !ok:
		return ErrWrongVersionFormat
	case toMajor != major || toMinor+1 != minor:
		return ErrInvalidVersion
	case n.state.downgrade != "":
		return ErrDowngrading
	}
	return OK
}

// validateDowngrade answers whether a downgrade could be enabled now.
func (n *Node) validateDowngrade(r *readRequest) {
	req, err := parseDowngrade(r.raw)
	if err != nil {
		n.answer(r.token, ErrMalformed, nil, 0)
		return
	}
	code := n.judgeDowngrade(req.version)
	n.answer(r.token, code, n.downgradeBody(n.header()), 0)
}

// applyDowngrade notes the version to go down to, or that there is none. Cancelling what is not
// under way succeeds, as with etcd.
func (n *Node) applyDowngrade(e *raft.Entry, token Token) {
	req, err := parseDowngrade(e.Data)
	if err != nil {
		panic(fmt.Sprintf("kv: entry %d is not a downgrade, though it was validated: %v", e.Index,
			err))
	}
	code := OK
	switch req.action {
	case downgradeEnable:
		if code = n.judgeDowngrade(req.version); code == OK {
			major, minor, _ := minorOf(req.version)
			n.state.downgrade = fmt.Sprintf("%d.%d.0", major, minor)
			n.lowerAt = n.mono + lowerNanos
			n.note(Warn, "enabled a downgrade",
				Field{"target-version", n.state.downgrade})
		}
	case downgradeCancel:
		n.state.downgrade = ""
	}
	n.decide(mix(uint64(code), n.state.roster()))
	h := n.header()
	h.Term = e.Term
	n.answer(token, code, n.downgradeBody(h), e.Index)
}

// downgradeBody writes a DowngradeResponse, with the cluster version as major.minor.
func (n *Node) downgradeBody(h Header) [][]byte {
	b := appendHeader(nil, h)
	version := ""
	if major, minor, ok := minorOf(n.state.version); ok {
		version = fmt.Sprintf("%d.%d", major, minor)
	}
	return [][]byte{appendString(b, 2, version)}
}

// appendDowngradeInfo writes the field of StatusResponse, which is always there.
func (n *Node) appendDowngradeInfo(b []byte) []byte {
	var info []byte
	info = appendBool(info, 1, n.state.downgrade != "")
	info = appendString(info, 2, n.state.downgrade)
	return appendBytes(b, 13, info)
}
