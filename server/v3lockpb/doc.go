// Package v3lockpb is the lock service's messages, generated from v3lock.proto: etcd's public API
// module has those of all services but the lock and the election.
//
// Generating needs protoc and the network; the script fetches the plugins at the versions that
// go.mod and the script name.
package v3lockpb

//go:generate ../../.ci/protos server/v3lockpb/v3lock.proto
