// Command realetcd is etcd itself, built from its published module: what the benchmark compares
// with.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
