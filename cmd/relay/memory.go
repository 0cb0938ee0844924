package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"
)

// memoryShare is the part of the memory that a container or service is given which the collector may fill. The rest is for what is not its own.
const memoryShare = 0.8

// limitMemory makes the collector work harder as relay comes near the memory limit of its control group, instead of being killed there. GOMEMLIMIT in the
// environment goes before.
func limitMemory(log zerolog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup))
	if err != nil {
		log.Debug().Err(err).Msg("the memory limit of the control group is not known")
		return
	}
	log.Debug().Int64("bytes", limit).Msg("memory limit")
}

// The collector keeps about as much memory free as is in use, and a start or a flood leaves more. Where that is a lot, and so little
// happens that it would not be used for a minute, it goes back to the system.
const (
	memoryEvery = 15 * time.Second
	memorySpare = 64 << 20 // bytes that are kept in any case
)

// keepMemorySmall gives memory back until ctx ends.
func keepMemorySmall(ctx context.Context) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	_, before := memoryUse()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		spare, allocated := memoryUse()
		if spare > memorySpare && allocated-before < spare/4 {
			debug.FreeOSMemory()
		}
		_, before = memoryUse()
	}
}

// memoryUse is how much memory of the heap the process holds beside what was in use when the collector last ran, and how much it has
// allocated in all, in bytes.
func memoryUse() (spare, allocated uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(samples)
	held := uint64(0)
	for _, s := range samples[2:] {
		held += s.Value.Uint64()
	}
	if live := samples[1].Value.Uint64(); held > live {
		spare = held - live
	}
	return spare, samples[0].Value.Uint64()
}
