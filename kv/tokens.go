// Simple tokens: what a client shows after it has proved once who it is.
//
// A token is sixteen letters, drawn by the member that was asked, and the log index of the
// Authenticate that made it:
//
//	hVzuwWUPcgQLsLKO.1234
//
// Every member learns a token when it applies that entry, so a client may go on anywhere; one that
// is faster than the log waits until the index inside its token is applied here. Which tokens are
// known is this member's memory only: it is lost at a restart, and nothing that apply decides rests
// on it. A token that is not used for Config.TokenNanos is forgotten.
//
// Invariant: tokens are in order of their index, so one is found by bisection.
package kv

import (
	"crypto/subtle"
	"slices"
	"strconv"
	"strings"

	"github.com/detcd/detcd/raft"
)

// TokenKind says what clients show to prove who they are.
type TokenKind uint8

// The kinds.
const (
	SimpleTokens TokenKind = iota // made by an Authenticate and known to every member
	SignedTokens                  // made and verified by the edge
	NoTokens                      // nothing: the edge knows its clients by their certificates
)

const (
	tokenLetters = 16
	letters      = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	// maxTokens bounds the tokens that are known; the oldest makes room.
	maxTokens = 1 << 16
	// tokenNanos is the default of Config.TokenNanos.
	tokenNanos = 300_000_000_000
	// tokenSweep is how often old tokens are looked for, in nanoseconds.
	tokenSweep = 1_000_000_000
)

type simpleToken struct {
	index   raft.Index
	letters string
	user    string
	used    int64 // mono; when it was last shown
}

type tokens struct {
	list  []simpleToken
	swept int64 // mono; when old ones were last looked for
	// waiting are requests whose tokens this member has not heard of yet.
	waiting []waitingRequest
	// watches are what streams ask for with such tokens, and all that they ask after that.
	watches []waitingWatch
}

type waitingRequest struct {
	request  Request
	index    raft.Index
	deadline int64 // mono
}

type waitingWatch struct {
	input    WatchInput
	index    raft.Index
	deadline int64 // mono
}

// drawLetters makes a token's letters of what the edge has drawn.
func drawLetters(random [2]uint64) string {
	b := make([]byte, 0, tokenLetters)
	for _, r := range random {
		for range tokenLetters / 2 {
			b = append(b, letters[r%uint64(len(letters))])
			r /= uint64(len(letters))
		}
	}
	return string(b)
}

func tokenText(letters string, index raft.Index) string {
	return letters + "." + strconv.FormatUint(uint64(index), 10)
}

// splitToken takes a token apart; ok is false when it has not the form of one.
func splitToken(text string) (letters string, index raft.Index, ok bool) {
	letters, number, found := strings.Cut(text, ".")
	i, err := strconv.ParseUint(number, 10, 64)
	return letters, raft.Index(i), found && err == nil
}

// add learns a token.
func (t *tokens) add(k simpleToken) {
	if len(t.list) >= maxTokens {
		t.list = slices.Delete(t.list, 0, 1+len(t.list)-maxTokens)
	}
	t.list = append(t.list, k)
}

// user says whose token text is, and lets it live on.
func (t *tokens) user(text string, now int64) (name string, known bool) {
	shown, index, ok := splitToken(text)
	if !ok {
		return "", false
	}
	i, found := slices.BinarySearchFunc(t.list, index, func(k simpleToken, i raft.Index) int {
		return int(min(max(int64(k.index)-int64(i), -1), 1))
	})
	if !found || subtle.ConstantTimeCompare([]byte(t.list[i].letters), []byte(shown)) == 0 {
		return "", false
	}
	t.list[i].used = now
	return t.list[i].user, true
}

// forget ends all tokens of a user.
func (t *tokens) forget(user string) {
	t.list = slices.DeleteFunc(t.list, func(k simpleToken) bool { return k.user == user })
}

// forgetAll ends all tokens.
func (t *tokens) forgetAll() { t.list = nil }

// tickTokens forgets what was not used for long, and gives up on requests whose tokens did not
// come.
func (n *Node) tickTokens() {
	t := &n.tokens
	kept := t.waiting[:0]
	for _, w := range t.waiting {
		if w.deadline <= n.mono {
			n.answer(w.request.Token, ErrInvalidToken, nil, 0)
			continue
		}
		kept = append(kept, w)
	}
	clear(t.waiting[len(kept):])
	t.waiting = kept
	if n.mono-t.swept < tokenSweep {
		return
	}
	t.swept = n.mono
	patience := n.cfg.TokenNanos
	if patience <= 0 {
		patience = tokenNanos
	}
	t.list = slices.DeleteFunc(t.list, func(k simpleToken) bool { return n.mono-k.used > patience })
}

// tokenAhead is the index of the entry that made a token, if it is not applied here yet, else 0.
func (n *Node) tokenAhead(id *Identity) raft.Index {
	if !n.state.auth.Enabled() || id == nil || n.cfg.Tokens != SimpleTokens {
		return 0
	}
	_, index, ok := splitToken(id.Token)
	if !ok || index <= n.applied {
		return 0
	}
	return index
}

// awaitsToken keeps a request until the entry that made its token is applied here.
func (n *Node) awaitsToken(r *Request) bool {
	if r.Method == MethodAuthenticate {
		return false
	}
	index := n.tokenAhead(r.Identity)
	if index == 0 {
		return false
	}
	t := &n.tokens
	if len(t.waiting) >= n.cfg.Limits.MaxPending {
		n.answer(r.Token, ErrTooManyRequests, nil, 0)
		return true
	}
	n.probes[ProbeTokenAwaited]++
	t.waiting = append(t.waiting, waitingRequest{request: *r, index: index,
		deadline: n.mono + n.requestTimeout()})
	return true
}

// resumeWaiting takes up the requests whose tokens are known now, or never will be.
func (n *Node) resumeWaiting() {
	t := &n.tokens
	if len(t.watches) > 0 {
		n.resumeWatches()
	}
	if len(t.waiting) == 0 {
		return
	}
	waiting := t.waiting
	t.waiting = nil
	for i := range waiting {
		w := &waiting[i]
		if w.index > n.applied && n.state.auth.Enabled() {
			t.waiting = append(t.waiting, *w)
			continue
		}
		n.request(&w.request)
		n.out.Again = true
	}
}

// maxParkedWatches bounds what watch streams may have waiting for tokens: anybody can make up a
// token of the future, and each step looks at all that waits.
const maxParkedWatches = 256

// watchAwaitsToken is awaitsToken for what a watch stream asks. What follows on the same stream
// waits behind it.
func (n *Node) watchAwaitsToken(in *WatchInput) bool {
	t := &n.tokens
	index := n.tokenAhead(in.Identity)
	behind := slices.ContainsFunc(t.watches, func(w waitingWatch) bool {
		return w.input.Stream == in.Stream
	})
	if index == 0 && !behind || len(t.watches) >= maxParkedWatches {
		return false
	}
	t.watches = append(t.watches, waitingWatch{input: *in, index: index,
		deadline: n.mono + n.requestTimeout()})
	return true
}

// resumeWatches takes up what streams ask for, in order, as far as its tokens are known now or have
// been waited for long enough.
func (n *Node) resumeWatches() {
	t := &n.tokens
	watches := t.watches
	t.watches = nil
	for i := range watches {
		w := &watches[i]
		behind := slices.ContainsFunc(t.watches, func(o waitingWatch) bool {
			return o.input.Stream == w.input.Stream
		})
		if behind || w.index > n.applied && w.deadline > n.mono && n.state.auth.Enabled() {
			t.watches = append(t.watches, *w)
			continue
		}
		n.watchAsked(&w.input)
	}
}

// dropWatches forgets what a stream asked for: it is over.
func (t *tokens) dropWatches(stream WatchStream) {
	t.watches = slices.DeleteFunc(t.watches, func(w waitingWatch) bool {
		return w.input.Stream == stream
	})
}
