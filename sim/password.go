package sim

import (
	"encoding/binary"

	"github.com/detcd/detcd/diskio/keyed"
	"github.com/detcd/detcd/kv"
)

// Passwords in the simulated world are hashed at once and the result comes after a drawn delay, so
// that much can happen in between, as with a hash that is made to take long.

// passwordTime is the longest time that a password takes.
const passwordTime = 400 * millisecond

// hashingPassword is a password that is with a member's edge.
type hashingPassword struct {
	result kv.PasswordResult
	run    uint32 // of the member's process
}

// Password implements kv.Edge.
func (m *member) Password(j kv.PasswordJob) {
	if m.dying {
		return
	}
	w := m.world
	hash := passwordHash(j.Password)
	h := hashingPassword{run: m.run, result: kv.PasswordResult{ID: j.ID}}
	if len(j.Hash) == 0 {
		h.result.Hash = hash
	} else {
		h.result.Fits = string(hash) == string(j.Hash)
	}
	w.counts.Passwords++
	d := newDie(w.plan.Seed, entityPassword, w.counts.Passwords)
	w.schedule(event{at: w.now + d.spread(microsecond, passwordTime), kind: eventPassword,
		node: uint8(m.index), slot: w.passwords.put(h)})
}

// passwordHash needs to differ for different passwords, and to be none of them.
func passwordHash(password []byte) []byte {
	return binary.BigEndian.AppendUint64(nil, keyed.Hash(1, keyed.String(string(password))))
}

// hashed hands a password's result to the process that asked, if it still runs.
func (m *member) passwordHashed(e *event) {
	h := m.world.passwords.take(e.slot)
	if h.run == m.run && m.life == up {
		m.input(kv.Input{Kind: kv.InputPassword, Password: &h.result})
	}
}
