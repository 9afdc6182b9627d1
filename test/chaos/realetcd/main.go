// Command realetcd is etcd itself, built from its published module, so that the harness and the
// models can be tried on the store whose behaviour they describe.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
