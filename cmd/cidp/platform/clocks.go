package platform

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/stream"
)

// clocks is what was found of the devices' clocks since the start: an advisory beside their windows. It is safe for concurrent use; commit writes it, the console reads it.
type clocks struct {
	mu    sync.Mutex
	known bySensor[stream.ClockNote]
	wrong int // of those known
	jumps int
}

// clockWrong is how far a clock may be off before it counts as wrong.
const clockWrong = time.Minute

// observe adds the figures to /metrics.
func (c *clocks) observe(r *prometheus.Registry) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cidp_clocks_wrong", Help: "Sensors whose device's clock, transport included, is more than a minute off the receiver's. Devices that send what they kept count while they do.",
	}, func() float64 { wrong, _ := c.figures(); return float64(wrong) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cidp_clock_jumps_total", Help: "Jumps of devices' clocks of half a minute and more.",
		}, func() float64 { _, jumps := c.figures(); return float64(jumps) }))
}

func (c *clocks) figures() (wrong, jumps int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong, c.jumps
}

// committed takes what a commit brought.
func (c *clocks) committed(notes []stream.ClockNote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range notes {
		before, _ := c.known.get(n.SensorID)
		c.jumps += n.Jumps - before.Jumps
		c.wrong += isWrong(&n) - isWrong(&before)
		c.known.set(n.SensorID, n)
	}
}

// isWrong is 1 where a clock is off by more than it may, else 0.
func isWrong(n *stream.ClockNote) int {
	if n.Behind.Abs() > clockWrong {
		return 1
	}
	return 0
}

// of gives what is known of a sensor's, nil when nothing is.
func (c *clocks) of(sensorID int64) *console.Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.known.get(sensorID)
	if !ok {
		return nil
	}
	return &console.Clock{BehindMs: n.Behind.Milliseconds(), Jumps: n.Jumps}
}
