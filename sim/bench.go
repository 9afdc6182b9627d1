package sim

import (
	"github.com/detcd/detcd/kv"
	"github.com/detcd/detcd/netsim"
)

// BenchPlan is a plan without faults for measurements of the simulator's speed: the given number of
// members with production's limits, and clients that together send rate requests per second, half
// of them writes.
func BenchPlan(members, rate int, length int64) Plan {
	p := Plan{
		Seed: 1, Members: members, Chaos: length, TickNanos: 100 * millisecond,
		HeartbeatTicks: 1, ElectionTicks: 10, Limits: kv.DefaultLimits(), WirePPM: 10_000,
		TurnDelay: 20 * microsecond, ReadDelay: 100 * microsecond,
	}
	p.Limits.LogSegmentBytes = 1 << 20
	p.Peers = netsim.Quality{
		MinDelay: 500 * microsecond, MeanDelay: 500 * microsecond, TailDelay: millisecond,
		Capacity: 1000,
	}
	p.Clients = p.Peers
	for range members {
		p.Machines = append(p.Machines, Machine{SyncDelay: 500 * microsecond})
	}
	const clients = 10
	for i := 0; i < clients && rate > 0; i++ {
		p.Scripts = append(p.Scripts, Script{
			Home: i % members, Start: 2 * second, Timeout: 5 * second, Keys: 8,
			Think: clients*second/int64(rate) - 5*millisecond,
			Mix:   Mix{shapePut: 50, shapeGet: 50},
		})
		p.Scripts[i].Think = max(p.Scripts[i].Think, 10*microsecond)
	}
	return p
}
