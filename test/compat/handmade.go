package main

// Requests whose headers no gRPC client sends. They are made by hand, over plain HTTP/2.

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
)

var plainHTTP2 = &http.Client{Transport: &http2.Transport{
	AllowHTTP: true,
	DialTLSContext: func(_ context.Context, network, address string,
		_ *tls.Config) (net.Conn, error) {
		return net.Dial(network, address)
	},
}}

// ending is how a server ended such a request.
type ending struct{ status, code, text, contentType string }

// sendByHand sends one message with the headers of an ordinary request, some of them replaced.
func (t *target) sendByHand(
	ctx context.Context, method string, message []byte, headers map[string]string,
) (e ending, err error) {
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.server.ClientURL+method,
		bytes.NewReader(frame))
	if err != nil {
		return e, err
	}
	r.Header.Set("content-type", "application/grpc")
	r.Header.Set("te", "trailers")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	response, err := plainHTTP2.Do(r)
	if err != nil {
		return e, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	err = errors.Join(err, response.Body.Close())
	e = ending{status: response.Status, contentType: response.Header.Get("content-type"),
		code: response.Header.Get("grpc-status") + response.Trailer.Get("grpc-status"),
		text: response.Header.Get("grpc-message") + response.Trailer.Get("grpc-message")}
	return e, err
}

// byHand performs a step with headers of its own. The messages of the answer are not kept.
func (t *target) byHand(ctx context.Context, s *step, data []byte) *answer {
	a := &answer{}
	e, err := t.sendByHand(ctx, s.method, data, s.headers)
	if err != nil {
		a.code, a.text = codes.Internal, fmt.Sprintf("no answer: %v", err)
		return a
	}
	code, err := strconv.Atoi(e.code)
	text, err2 := url.PathUnescape(e.text)
	if err != nil || err2 != nil {
		a.code, a.text = codes.Internal, fmt.Sprintf("no status: %+v", e)
		return a
	}
	a.code, a.text = codes.Code(code), text
	return a
}
