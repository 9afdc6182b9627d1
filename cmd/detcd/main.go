// Command detcd is the server: a strongly consistent, replicated key-value store that speaks the
// etcd v3 API.
package main

import (
	"os"

	"github.com/detcd/detcd/server"
)

func main() {
	os.Exit(server.Main(os.Args[1:], os.Stdout, os.Stderr))
}
