// Package raft is the consensus of detcd: the Raft algorithm as plain data and functions. It reads
// no clock, draws randomness only from its settings, opens no file and sends nothing. Its methods
// are its inputs; what it wants done is an Output.
//
// The caller owns one *Raft per member and never shares it. Its duties, in order:
//
//  1. Make the incarnation of this start durable, then recover the durable state and call New.
//     Nothing may be sent before everything that New was given is known to be durable.
//  2. Hand in what happens: Receive for messages, Propose, ReadIndex and Transfer for wishes,
//     Synced and Fetched for disk completions, SnapshotSent and Restore for state transfers, and
//     Tick for time. Of several ticks that are late, hand in one, and only after the messages that
//     waited: a burst of ticks after a pause looks like a dead leader.
//  3. Call Take, once per turn. Messages and Appends of one Output may be performed in any order
//     and at the same time: whatever has to wait for the disk is held back inside until Synced.
//  4. Write Output.Appends to the log in order, in one lane, and call Synced with the Ticket of the
//     newest one that is durable. An Append with MustSync unset may wait for the next one.
//  5. Send Output.Messages, best effort. Entries in a message are immutable, so that a message may
//     be encoded later and elsewhere.
//  6. Answer each Fetch through Fetched, once, with entries or with nothing.
//  7. Ship a state to each member of Output.Snapshots and report the end through SnapshotSent,
//     always, also when the transfer fails or is given up. The receiver asks WantsSnapshot when the
//     offer arrives and again right before it installs the state; after the installation is durable
//     it calls Restore.
//  8. Apply what NextCommitted returns, in order, and report it through Applied.
//  9. Serve a read listed in Output.Reads once its Index is applied. Index 0 means: ask again. A
//     request may also get lost, so a caller repeats it, under a new ReadID, after a while.
//  10. Propose again, or give up, what comes back in Output.Dropped. A forwarded proposal may get
//     lost without notice; repeating it is safe if apply recognizes its name.
//  11. Call Compact when the state machine has durably stored what the log says up to there.
//
// A first start has Restored.Snapshot at index 0 with the initial configuration; a member that
// joins a running cluster starts with an empty configuration and hears the rest from its leader.
//
// SAFETY.md in this folder maps every safety rule of the Raft paper and of Ongaro's dissertation to
// the test that guards it, and lists where this implementation differs from Raft as published.
package raft
