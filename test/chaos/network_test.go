package main

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is a connection through a proxy: what party 0 dialed, and what party 1 accepted.
type pair struct {
	network       *network
	dialed, taken net.Conn
}

// connect makes a network of two parties. This process is party 0, as the system's tables say.
func connect(t *testing.T) *pair {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	n := newNetwork(1)
	t.Cleanup(func() { _ = n.close() })
	n.runs(0, os.Getpid())
	address, err := n.proxy(1, l.Addr().String(), n.dialedByMember)
	require.NoError(t, err)
	p := &pair{network: n}
	p.dialed, err = net.Dial("tcp", address)
	require.NoError(t, err)
	p.taken, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = p.dialed.Close(), p.taken.Close() })
	say(t, p.taken, "welcome") // from here on the proxy knows the connection
	text, err := hears(t, p.dialed, time.Second)
	require.NoError(t, err)
	require.Equal(t, "welcome", text)
	return p
}

// hears tells what arrives within a time.
func hears(t *testing.T, conn net.Conn, limit time.Duration) (string, error) {
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(limit)))
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

func say(t *testing.T, conn net.Conn, text string) {
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
}

// A cut of one direction holds what is sent on it and the end of the stream, lets the other one
// pass, and goes on where it stood when it heals.
func TestACutHoldsOneDirection(t *testing.T) {
	p := connect(t)
	p.network.set(condition{cut: true}, outOf(0, 1)...)
	say(t, p.dialed, "there")
	require.NoError(t, p.dialed.(*net.TCPConn).CloseWrite())
	say(t, p.taken, "back")
	text, err := hears(t, p.dialed, time.Second)
	require.NoError(t, err)
	require.Equal(t, "back", text)
	_, err = hears(t, p.taken, 100*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.EqualValues(t, len("there"), p.network.soFar().held)

	p.network.heal()
	text, err = hears(t, p.taken, time.Second)
	require.NoError(t, err)
	require.Equal(t, "there", text)
	_, err = hears(t, p.taken, time.Second)
	require.ErrorIs(t, err, io.EOF)
}

// A connection across a cut may also be reset when that heals, and what was held is lost.
func TestACutMayEndInAReset(t *testing.T) {
	p := connect(t)
	p.network.set(condition{cut: true}, between(0, 1)...)
	say(t, p.dialed, "there")
	p.network.resetHeld()
	p.network.heal()
	for _, conn := range []net.Conn{p.dialed, p.taken} {
		_, err := hears(t, conn, time.Second)
		require.True(t, errors.Is(err, syscall.ECONNRESET), "%v", err)
	}
}

// Delayed pieces come late, and in order.
func TestADelayKeepsTheOrder(t *testing.T) {
	p := connect(t)
	p.network.set(condition{delay: 100 * time.Millisecond, jitter: 50 * time.Millisecond},
		between(0, 1)...)
	began, got := time.Now(), ""
	for _, text := range []string{"a", "b", "c", "d"} {
		say(t, p.dialed, text)
		time.Sleep(time.Millisecond)
	}
	for len(got) < 4 {
		text, err := hears(t, p.taken, time.Second)
		require.NoError(t, err)
		got += text
	}
	require.Equal(t, "abcd", got)
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	require.EqualValues(t, 4, p.network.soFar().delayed)
}

// A torn connection breaks off in the middle of what is sent.
func TestATornConnectionBreaksOff(t *testing.T) {
	p := connect(t)
	p.network.tear(route{0, 1})
	say(t, p.dialed, "half")
	got, err := "", error(nil)
	for err == nil {
		var text string
		text, err = hears(t, p.taken, time.Second)
		got += text
	}
	require.True(t, errors.Is(err, syscall.ECONNRESET), "%v", err)
	require.Equal(t, "ha", got)
	require.EqualValues(t, 1, p.network.soFar().torn)
}

// A run counts what nobody has felt.
func TestAFaultHasToBeFelt(t *testing.T) {
	tally := newTally()
	tally.add(cutLeader, senses{suffered: 3})
	require.ErrorContains(t, tally.err(), `"partition"`)
	tally.add(cutFollower, senses{suffered: 3, traffic: traffic{held: 10}})
	require.NoError(t, tally.err())
	tally.add(fillLeader, senses{suffered: 3})
	require.ErrorContains(t, tally.err(), `"full disk"`)
	for _, f := range rotation {
		require.False(t, f.feels(&senses{}), f)
	}
}
