// Command detcdctl is the client tool. It is etcd's own etcdctl, built from etcd's public module:
// every command, flag and output format is the same because it is the same code, and scripts that
// parse its output keep working.
package main

import "go.etcd.io/etcd/etcdctl/v3/ctlv3"

func main() { ctlv3.MustStart() }
