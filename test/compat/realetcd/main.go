// Command realetcd is etcd itself, built from its published module: the store that detcd is
// compared with.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
