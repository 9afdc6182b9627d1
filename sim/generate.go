package sim

import (
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
)

// Generate turns a seed into a plan. It is the configuration of a clean run: whoever hunts bugs and
// whoever proves their absence runs the very same plans.
func Generate(seed uint64) Plan {
	d := newDie(seed, entityConfig, 0)
	p := Plan{Seed: seed}
	p.Members = oneOf(&d, 1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7)
	p.Chaos = d.within(55, 70) * second
	p.TickNanos = oneOf[int64](&d, 10, 20, 20, 50, 100) * millisecond
	p.HeartbeatTicks = int(d.within(1, 2))
	p.ElectionTicks = int(oneOf(&d, 5, 8, 10, 10, 15))
	p.Limits = generateLimits(seed)
	generateMembership(&p)
	p.Peers = netsim.Quality{
		MinDelay: d.within(50, 500) * microsecond, MeanDelay: d.spread(50, 3000) * microsecond,
		TailPPM: uint32(oneOf(&d, 0, 100, 1000, 10_000)), TailDelay: d.spread(20,
			2000) * millisecond,
		LossPPM: uint32(oneOf(&d, 0, 0, 100, 2000, 20_000)), DuplicatePPM: uint32(oneOf(&d, 0, 0,
			1000, 20_000)),
		Capacity: int(d.spread(8, 512)),
	}
	p.Clients = netsim.Quality{
		MinDelay: d.within(20, 200) * microsecond, MeanDelay: d.spread(20, 500) * microsecond,
		TailPPM: uint32(oneOf(&d, 0, 100, 1000)), TailDelay: d.spread(10, 500) * millisecond,
		LossPPM: uint32(oneOf(&d, 0, 0, 500, 5000)), Capacity: 64,
	}
	p.WirePPM = uint32(oneOf(&d, 0, 20_000, 200_000, million))
	p.TurnDelay = d.spread(1, 400) * microsecond
	p.ReadDelay = d.spread(10, 20_000) * microsecond
	for i := range p.Members {
		p.Machines = append(p.Machines, generateMachine(seed, i))
	}
	p.LeaseNanos = oneOf(&d, 0, 0, second, 3*second)
	generateScripts(&p)
	generateWatchers(&p)
	generateFaults(&p)
	p.Ending = oneOf(&d, PlainEnding, PlainEnding, EmptyEnding)
	p.Auth = generateAuth(seed)
	return p
}

// generateLimits draws limits so small that what production does once an hour (a segment that
// rolls, a checkpoint, a log that is cut, a member that needs a snapshot) happens all the time.
func generateLimits(seed uint64) kv.Limits {
	d := newDie(seed, entityLimits, 0)
	l := kv.DefaultLimits()
	l.MaxRequestBytes = int(oneOf(&d, 2048, 4096, 16_384))
	l.QuotaBytes = oneOf[int64](&d, -1, -1, -1, -1, -1, -1, -1, d.spread(6<<10, 128<<10))
	l.MaxPending = int(oneOf(&d, 4, 64, 1024))
	l.MaxPendingBytes = d.spread(16<<10, 1<<20)
	l.MaxBacklog = int(oneOf(&d, 50, 500, 5000))
	l.UnwrittenBytes = d.spread(4<<10, 256<<10)
	l.CheckpointBytes = d.spread(4<<10, 128<<10)
	l.CheckpointCount = d.spread(4, 300)
	l.CatchUpEntries = d.spread(1, 100)
	l.LogSegmentBytes = d.spread(16<<10, 256<<10)
	l.DataSegmentBytes = d.spread(1<<10, 64<<10)
	l.LogMemoryBytes = int(d.spread(1<<10, 256<<10))
	l.CacheBytes = oneOf[int64](&d, 0, 4<<10, 64<<10)
	l.MessageBytes = int(d.spread(128, 64<<10))
	l.InflightBytes = int(d.spread(1<<10, 256<<10))
	l.InflightMessages = int(d.spread(1, 128))
	l.ChunkBytes = int(d.spread(256, 16<<10))
	l.StepUnits = int(d.spread(4, 1000))
	l.BlockKeys = int(d.spread(4, 64))
	l.LiveChanges = int(d.spread(2, 1024))
	l.WatchPasses = int(d.within(2, 8))
	l.WatchNear = int(d.spread(10, 10_000))
	return l
}

func generateMachine(seed uint64, member int) Machine {
	d := newDie(seed, entityMachine, uint64(member))
	m := Machine{
		DriftPPM:   oneOf(&d, 0, 0, d.within(-500, 500), d.within(-50_000, 50_000)),
		WallOffset: oneOf(&d, 0, d.within(-second, second), d.within(-3600, 3600)*second),
		SyncDelay:  d.spread(30, 20_000) * microsecond,
	}
	if whole := newDie(seed, entityMachine, 1000); whole.chance(350_000) {
		m.CheckpointCount, m.CatchUpEntries = d.spread(4, 300), d.spread(1, 300)
	}
	return m
}

func generateScripts(p *Plan) {
	d := newDie(p.Seed, entityScript, 0)
	clients := int(d.within(3, 20))
	// All clients together send this many requests per second while nothing is wrong.
	rate := d.spread(20, 80)
	keys := int(oneOf(&d, 1, 2, 4, 8))
	for i := range clients {
		d := newDie(p.Seed, entityScript, uint64(i)+1)
		p.Scripts = append(p.Scripts, Script{
			Home:    int(d.below(int64(p.Members))),
			RoamPPM: uint32(oneOf(&d, 0, 10_000, 200_000, million)),
			Start:   d.within(0, second),
			Think:   int64(clients) * second / rate,
			Timeout: oneOf(&d, 300*millisecond, second, 3*second, 8*second),
			Mix:     generateMix(&d),
			Keys:    keys,
		})
	}
}
