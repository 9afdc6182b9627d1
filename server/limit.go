package server

import (
	"fmt"

	"golang.org/x/net/netutil"

	"github.com/detcd/detcd/diskio/osdisk"
)

// reservedFiles are the file descriptors that clients cannot use up: the data files that are kept
// open, those being made, the peers' connections and the logs. A store that cannot open its own
// files has to stop, so a flood of connections must not get that far.
const reservedFiles = 400

// limitConnections bounds how many clients may be connected to each port. More wait to be accepted.
func limitConnections(listeners []port) error {
	limit, err := osdisk.OpenFiles()
	if err != nil {
		return fmt.Errorf("server: number of open files: %w", err)
	}
	share := (int64(min(limit, 1<<30)) - reservedFiles) / int64(max(len(listeners), 1))
	for i, l := range listeners {
		listeners[i].Listener = netutil.LimitListener(l.Listener, int(max(share, 16)))
	}
	return nil
}
