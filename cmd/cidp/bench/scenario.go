package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
)

// shape is a load as people speak of it.
type shape struct {
	Connections int     `json:"connections"`
	Sensors     int     `json:"sensors"` // in all
	Batch       int     `json:"batch"`   // readings a message
	QoS         int     `json:"qos"`
	Inflight    int     `json:"inflight"`              // messages a connection has unacknowledged at most
	Rate        float64 `json:"rate"`                  // readings a second in all; 0: flat out
	Gather      float64 `json:"gather_s"`              // what a paced connection has due within it goes out together, seconds; 0: the generator's own
	Live        bool    `json:"live"`                  // event time goes with the clock; else it begins a day ago, less an hour
	Period      float64 `json:"period_s,omitempty"`    // event time between two readings of a sensor, seconds; 0: one, or that of the rate
	Ago         float64 `json:"begin_h_ago,omitempty"` // event time begins so many hours ago instead
	Abreast     int     `json:"abreast,omitempty"`     // flat out: messages of each sensor that a connection may be ahead of the slowest; 0: any
}

// sensorsOfAsset is how many sensors a vehicle has.
const sensorsOfAsset = 10

// plan makes the generator's plan of it. Event times begin at a whole minute. A sensor is read once a second, or at the rate when event time goes with the clock.
func (s *shape) plan(site string, now time.Time) load.Plan {
	p := load.Plan{Site: site, Conns: s.Connections, Sensors: max(1, s.Sensors/s.Connections), AssetSize: sensorsOfAsset, Batch: s.Batch,
		QoS: byte(s.QoS), Window: s.Inflight, Rate: s.Rate / float64(s.Batch), Gather: time.Duration(s.Gather * float64(time.Second)), Period: time.Second}
	begin := now.Add(-23 * time.Hour)
	if s.Live && s.Rate > 0 {
		p.Period = time.Duration(float64(p.Conns*p.Sensors) / s.Rate * float64(time.Second)).Round(time.Millisecond)
		begin = now.Add(-time.Duration(s.Batch-1) * p.Period) // an array ends with the present
	}
	if s.Period > 0 {
		p.Period = time.Duration(s.Period * float64(time.Second))
	}
	if s.Ago > 0 {
		begin = now.Add(-time.Duration(s.Ago * float64(time.Hour)))
	}
	p.Abreast = uint64(s.Abreast) * uint64(p.Sensors)
	p.Begin = begin.Truncate(time.Minute).UnixMilli()
	return p
}

// scenario is a load with what is asked of it.
type scenario struct {
	name, about string
	shape       shape
	runs        int
	warm, last  time.Duration // before and while it is measured
	profiled    bool          // its stages are shown
	with        []string      // arguments of the platform
	own         bool          // it needs a platform that was started here, and acknowledgements
	sizes       *sizes        // it is measured at each of them; nil: once
	stretch     *stretch      // what is measured of the load; nil: by the times
	floors      []floorOf
	targets     []Target
	measure     func(b *bench, ctx context.Context, r *run) error
	after       func(b *bench, ctx context.Context, r *run) error // once the platform has stopped and its accounts are settled; nil: nothing
}

// Target is what a figure has to be.
type Target struct {
	Figure string  `json:"figure"`
	AtMost bool    `json:"at_most"` // else at least
	Value  float64 `json:"value"`
	Met    bool    `json:"met"`

	Greatest bool   `json:"by_greatest,omitempty"` // judged by the greatest of the runs, else by their median
	Unjudged string `json:"unjudged,omitempty"`    // why it is not judged, and Met says nothing; empty: it is
}

func atLeast(figure string, v float64) Target { return Target{Figure: figure, Value: v} }
func atMost(figure string, v float64) Target  { return Target{Figure: figure, Value: v, AtMost: true} }

// scenarios are what there is, in the order in which it is shown. Loads whose event time goes with the clock begin at a whole minute: their windows close 70 seconds later.
var scenarios = []scenario{
	{name: "single", about: "many connections, a reading a message, as fast as it goes", runs: 5, warm: time.Second, last: 4 * time.Second, profiled: true,
		shape:   shape{Connections: 100, Sensors: 1000, Batch: 1, QoS: 1, Inflight: 500},
		floors:  []floorOf{mochiFloor, decodeFloor, forestFloor},
		targets: []Target{atLeast(readingsRate, 250_000), atLeast(timesMochi, 2)}, measure: (*bench).measureLoad},
	{name: "arrays", about: "many connections, arrays of readings, as fast as it goes", runs: 5, warm: time.Second, last: 4 * time.Second, profiled: true,
		shape:   shape{Connections: 100, Sensors: 1000, Batch: 100, QoS: 1, Inflight: 20},
		floors:  []floorOf{insertFloor, decodeFloor},
		targets: []Target{atLeast(readingsRate, 500_000), atLeast(timesInsert, 0.8)}, measure: (*bench).measureLoad},
	{name: "pipelined", about: "one connection, a reading a message, as fast as it goes", runs: 5, warm: time.Second, last: 4 * time.Second, profiled: true,
		shape:   shape{Connections: 1, Sensors: 100, Batch: 1, QoS: 1, Inflight: 40_000},
		floors:  []floorOf{mochiFloor},
		targets: []Target{atLeast(timesMochi, 3)}, measure: (*bench).measureLoad},
	{name: "paced", about: "how soon a platform with room to spare acknowledges", runs: 5, warm: 2 * time.Second, last: 8 * time.Second,
		shape:   shape{Connections: 100, Sensors: 1000, Batch: 1, QoS: 1, Inflight: 5000, Rate: 50_000},
		targets: []Target{atMost(ackMedian, 6), atMost(ack99, 30), atMost(ackMax, 150)}, measure: (*bench).measureLoad},
	{name: "waiting", about: "one client that waits for each PUBACK, nothing else going on", runs: 5, warm: time.Second, last: 3 * time.Second,
		shape:   shape{Connections: 1, Sensors: 10, Batch: 1, QoS: 1, Inflight: 1},
		targets: []Target{atMost(ackMedian, 1)}, measure: (*bench).measureLoad},
	{name: "alert", about: "how soon an operator is told: ten vehicles a second go hot beside a fleet", runs: 1, warm: 15 * time.Second, last: time.Minute,
		shape:   shape{Connections: 100, Sensors: 20_000, Batch: 1, QoS: 1, Inflight: 5000, Rate: 20_000, Live: true},
		targets: []Target{atMost(alert99, 100)}, measure: (*bench).measureAlerts},
	{name: "fleet10k", about: "what a network of 10,000 sensors at 1 Hz costs", runs: 1, warm: 25 * time.Second, last: time.Minute,
		shape:   shape{Connections: 200, Sensors: 10_000, Batch: 1, QoS: 1, Inflight: 1000, Rate: 10_000, Live: true},
		targets: []Target{atMost(cores, 25), atMost(highest, 150)}, measure: (*bench).measureLoad},
	{name: "fleet100k", about: "what 100,000 sensors at 0.2 Hz cost", runs: 1, warm: 25 * time.Second, last: time.Minute,
		shape:   shape{Connections: 1000, Sensors: 100_000, Batch: 1, QoS: 1, Inflight: 1000, Rate: 20_000, Live: true},
		targets: []Target{atMost(cores, 100), atMost(highest, 600)}, measure: (*bench).measureLoad},
	{name: "wear100k", about: "what a fast fleet writes to the disk, log and checkpoints included", runs: 1, warm: time.Second, last: 20 * time.Second,
		shape:   shape{Connections: 100, Sensors: 10_000, Batch: 1, QoS: 1, Inflight: 5000, Rate: 100_000},
		targets: []Target{atMost(bytesReading, 160)}, measure: (*bench).measureLoad},
	{name: "wear10k", about: "what a slow fleet writes to the disk, log and checkpoints included", runs: 1, warm: time.Second, last: 30 * time.Second,
		shape:   shape{Connections: 100, Sensors: 1000, Batch: 1, QoS: 1, Inflight: 5000, Rate: 10_000},
		targets: []Target{atMost(bytesReading, 400)}, measure: (*bench).measureLoad},
}

// every scenario: those of one load, and those that repeat a load at several sizes.
func every() []scenario { return append(slices.Clone(scenarios), scaled()...) }

// Names of the scenarios.
func Names() (names []string) {
	for _, s := range every() {
		names = append(names, s.name)
	}
	return names
}

// chosen gives the scenarios that were asked for, in their own order.
func chosen(names []string) (out []scenario, err error) {
	for _, n := range names {
		if !slices.Contains(Names(), n) {
			return nil, fmt.Errorf("there is no scenario %q; there are %s", n, strings.Join(Names(), ", "))
		}
	}
	for _, s := range every() {
		if len(names) == 0 || slices.Contains(names, s.name) {
			out = append(out, s)
		}
	}
	return out, nil
}
