package server_test

import (
	"context"
	"fmt"
	"log"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/detcd/detcd/server"
)

// A member inside a program of one's own: it listens nowhere, and is talked to over memory.
func Example() {
	dir, err := os.MkdirTemp("", "member-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	cfg := server.DefaultConfig()
	cfg.Dir = dir
	cfg.Log = zap.NewNop()
	cfg.ListenClientURLs, cfg.ListenPeerURLs = nil, nil
	member, err := server.Start(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer member.Stop()
	select {
	case <-member.Ready():
	case <-member.Halted():
		log.Fatal(member.Reason())
	}

	client, err := member.Client(clientv3.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Put(context.Background(), "hello", "world"); err != nil {
		log.Fatal(err)
	}
	res, err := client.Get(context.Background(), "hello")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is %s at revision %d\n", res.Kvs[0].Key, res.Kvs[0].Value, res.Header.Revision)
	// Output: hello is world at revision 2
}
