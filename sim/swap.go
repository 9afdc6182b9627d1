package sim

import "github.com/detcd/detcd/diskio/simdisk"

// A machine may come back with another disk than it had: an empty one, or a copy that somebody made
// earlier. Its member has then forgotten what it promised, votes too, and cannot know that; only
// what its peers remember of it could tell. As long as they do not, such a member counts as lost
// from its next start on, unless the copy still holds all that was promised since.

// replaceDisk takes the machine down and gives it another disk.
func (m *member) replaceDisk(other *simdisk.Disk, s *faultState) {
	if m.life == up {
		m.stop(powerLost)
	}
	m.damaged, m.liar = true, true
	m.disk.Disk = other
	m.disk.logged = 0
	m.disk.SetCapacity(m.disk.limit)
	s.felt++
}

// restore gives the machine the copy that was made when the fault began. A copy from before a later
// start would let the member use the name of a process twice.
func (m *member) restore(s *faultState) {
	if s.image == nil || m.life == gone {
		return
	}
	started := m.run != s.imageRun
	m.replaceDisk(s.image, s)
	s.image = nil
	m.disk.Crash(simdisk.PowerLoss, uint64(s.imageRun))
	if started {
		m.life, m.haltReason = gone, "its disk is an image from before its latest start"
		return
	}
	m.scheduleRestart(m.world.now + millisecond)
}
