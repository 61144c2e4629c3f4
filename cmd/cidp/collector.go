package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// The heap of a running platform is collected when it has reached quietHeap, or has grown by half since it was last collected, whichever is more. Go's own rule, twice what lives, collects a
// small fleet's heap of some megabytes again and again, and lets that of a large one stand half empty: memory is what a cabinet PC has least of.
const (
	quietHeap  = 80 << 20
	leastGrow  = 50   // percent of what lives
	mostGrow   = 1000 // likewise: what lives may be next to nothing at the start
	liveMetric = "/gc/heap/live:bytes"
)

// growth is by how many percent of what lives the heap may grow.
func growth(live uint64) int {
	if live == 0 {
		return mostGrow
	}
	if live >= quietHeap {
		return leastGrow
	}
	return int(min(max((quietHeap-live)*100/live, leastGrow), mostGrow))
}

// collector sets the growth anew after each collection.
type collector struct {
	percent int // in force
}

// quietCollector puts the rule in force for as long as the process lives. Who sets GOGC or GOMEMLIMIT knows better, and nothing is changed.
var quietCollector = sync.OnceFunc(func() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	c := &collector{}
	c.adjust()
	c.arm()
})

// mark is an object that the next collection finds dead.
type mark struct{ of *collector }

// arm has the collector adjusted after the next collection.
func (c *collector) arm() {
	runtime.AddCleanup(&mark{c}, func(c *collector) {
		c.adjust()
		c.arm()
	}, c)
}

func (c *collector) adjust() {
	live := []metrics.Sample{{Name: liveMetric}}
	metrics.Read(live)
	if live[0].Value.Kind() != metrics.KindUint64 { // a later Go may not know it
		return
	}
	if p := growth(live[0].Value.Uint64()); p != c.percent {
		c.percent = p
		debug.SetGCPercent(p)
	}
}
