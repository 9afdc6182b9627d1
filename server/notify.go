// Telling the init daemon: a unit of Type=notify is started only when the service says so itself,
// and is killed when it never does. The protocol is one datagram to the socket that the environment
// names; there is nothing to wait for and no answer.
package server

import (
	"errors"
	"net"
	"os"

	"go.uber.org/zap"
)

const notifySocket = "NOTIFY_SOCKET"

// notifyReady says READY=1 if anybody asked for it. A daemon that cannot be reached is no reason
// to stop serving.
func notifyReady(log *zap.Logger) {
	name := os.Getenv(notifySocket)
	if name == "" {
		return
	}
	if name[0] == '@' {
		name = "\x00" + name[1:] // Linux's abstract namespace
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte("READY=1"))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		log.Warn("failed to notify init daemon", zap.Error(err))
		return
	}
	log.Info("successfully notified init daemon")
}
