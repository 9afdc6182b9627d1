package sim

// clock is one machine's clocks. The monotonic one starts anew with every process and runs too fast
// or too slow by drift; the wall clock is off by an offset that faults change, in both directions.
type clock struct {
	drift  int64 // parts per million
	offset int64 // nanoseconds that the wall clock is ahead of the truth
	booted int64 // true time at which the process started
	ticks  int64 // since then
}

// wallEpoch is the true wall time at the start of every run: 2026-01-01.
const wallEpoch = 1_767_225_600 * second

func (c *clock) boot(now int64) { c.booted, c.ticks = now, 0 }

// read returns what both clocks show at the true time now.
func (c *clock) read(now int64) (mono, wall int64) {
	return c.scale(now - c.booted), wallEpoch + c.offset + c.scale(now)
}

// scale turns a true duration into what the clock counts. Whole seconds and the rest are scaled
// apart, so that nothing overflows.
func (c *clock) scale(d int64) int64 {
	return d + d/second*(second/million)*c.drift + d%second*c.drift/million
}

// nextTick returns the true time of the next tick of a ticker with the given period.
func (c *clock) nextTick(now, period int64) int64 {
	c.ticks++
	local, rate := c.ticks*period, million+c.drift
	at := c.booted + local/rate*million + local%rate*million/rate
	return max(at, now+1)
}
