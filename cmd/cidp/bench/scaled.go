package bench

import "time"

// neverHistory lets everything be published, however old: event time runs faster than the clock.
var neverHistory = []string{"--history-after=0"}

// grownReadings is what a database grows by.
const grownReadings = "readings"

// flat is what a cost must be to be called flat, percent.
const flat = 25

// scaled are the scenarios with sizes, and what people ask beside a load. Event time runs as fast as readings come: a minute of it holds the same readings, windows and scores, in less time of the clock.
func scaled() []scenario {
	return []scenario{
		{name: "scale-sensors", about: "what a reading costs with more and more sensors: one connection for all, every sensor at 0.2 Hz of event time, as fast as it goes", runs: 1, last: 3 * time.Second,
			shape: shape{Connections: 1, Sensors: 10, Batch: 1, QoS: 1, Inflight: 10_000, Period: 5, Ago: 365 * 24},
			with:  neverHistory, own: true, stretch: &stretch{windows: true, from: 1.5, to: 2.5},
			targets: []Target{atMost(cpuSpread, flat)},
			sizes: &sizes{of: "sensors", list: []float64{10, 100, 1000, 10_000, 100_000}, upTo: 100_000, measure: measureEach,
				at:   func(s shape, n float64) shape { s.Sensors = int(n); return s },
				fits: func(p []Point) []Figure { return append(spread(p, cpuReading, cpuSpread), memory(p)...) }}},
		{name: "scale-connections", about: "what a reading costs with more and more connections: 20,000 sensors, 40,000 readings/s in groups of ten, however many connections share them", runs: 1, last: 3 * time.Second,
			shape: shape{Connections: 1, Sensors: 20_000, Batch: 1, QoS: 1, Inflight: 20_000, Rate: 40_000, Period: 5, Ago: 365 * 24},
			with:  neverHistory, own: true, stretch: &stretch{windows: true, from: 1.5, to: 2.5},
			targets: []Target{atMost(cpuSpread, flat)},
			sizes: &sizes{of: "connections", list: []float64{1, 10, 100, 500, 1000, 2000}, upTo: 2000, measure: measureEach,
				at: func(s shape, n float64) shape {
					s.Connections = int(n)
					s.Gather = 10 * n / max(1, s.Rate)
					return s
				},
				fits: func(p []Point) []Figure { return append(spread(p, cpuReading, cpuSpread), memory(p)...) }}},
		{name: "scale-rate", about: "what a reading costs when each of 1,000 sensors sends more and more often, by event time, as fast as it goes; every minute of each is a window", runs: 1, last: 3 * time.Second,
			shape: shape{Connections: 100, Sensors: 1000, Batch: 1, QoS: 1, Inflight: 500, Ago: 365 * 24},
			with:  neverHistory, own: true, stretch: &stretch{windows: true, from: 1.5, to: 2.5},
			targets: []Target{atMost(workOff, flat)},
			sizes: &sizes{of: "Hz", list: []float64{0.1, 0.2, 0.5, 1, 2, 5, 10}, upTo: 10, measure: measureEach,
				at:   func(s shape, hz float64) shape { s.Period = 1 / hz; return s },
				fits: func(p []Point) []Figure { return append(work(p), memory(p)...) }}},
		{name: "scale-database", about: "what a reading, a start and a question cost with more and more readings in the database: 100 sensors at 1 Hz of event time, arrays of 100, as fast as it goes; --up-to 1e8 goes on to 100 million",
			runs: 1, last: 3 * time.Second,
			shape: shape{Connections: 10, Sensors: 100, Batch: 100, QoS: 1, Inflight: 10, Ago: 365 * 24, Abreast: 2},
			with:  neverHistory, own: true, targets: []Target{atMost(cpuSpread, flat)},
			sizes: &sizes{of: grownReadings, list: []float64{1e6, 3e6, 1e7, 3e7, 1e8}, upTo: 1e7, measure: measureGrowth,
				at:   func(s shape, _ float64) shape { return s },
				fits: func(p []Point) []Figure { return append(spread(p, cpuReading, cpuSpread), memory(p)...) }}},
		{name: "queries", about: "what people ask while it takes 50,000 readings/s: four readers that ask all questions in turn, beside the same load without them, by turns", runs: 1, warm: 2 * time.Second, last: 16 * time.Second,
			shape: shape{Connections: 100, Sensors: 1000, Batch: 1, QoS: 1, Inflight: 5000, Rate: 50_000},
			with:  neverHistory, own: true, measure: (*bench).measureAsked},
	}
}
