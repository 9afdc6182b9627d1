// Package v3electionpb is the election service's messages, generated from v3election.proto: etcd's
// public API module has those of all services but the lock and the election.
//
// Generating needs protoc and the network; the script fetches the plugins at the versions that
// go.mod and the script name.
package v3electionpb

//go:generate ../../.ci/protos server/v3electionpb/v3election.proto
