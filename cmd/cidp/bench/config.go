package bench

import (
	"fmt"
	"time"
)

// Config says what is measured, and how.
type Config struct {
	Scenarios []string      // by name; none: all
	Addr      string        // another broker, or a platform that runs; empty: the program itself as a child
	Runs      int           // of each scenario; figures are their medians. 0: the scenario's own
	For       time.Duration // measured time of a run; 0: the scenario's own
	UpTo      float64       // the largest size of a scenario that has sizes; 0: the scenario's own
	Past      time.Duration // event time that is there before people ask; 0: a day
	Override  Override
	Data      string   // folder in which each run makes a folder of its own, which it removes; empty: the system's temporary one
	Profiles  string   // folder for the processor profile of each scenario's last run; empty: they are read and thrown away
	With      []string // more arguments of the platform

	Program string   // path of this program
	Env     []string // what its children need in their environment
	Version string
	Say     func(format string, args ...any) // progress, a line a call
}

// Override replaces what a scenario's load is; zero values and nil keep it.
type Override struct {
	Connections, Sensors, Batch, Inflight int
	QoS                                   *int
	Rate                                  *float64 // readings a second; 0: flat out
	Gather                                time.Duration
}

// apply gives a scenario's load with what was replaced.
func (o *Override) apply(s shape) (shape, error) {
	for _, f := range []struct {
		to   *int
		from int
	}{{&s.Connections, o.Connections}, {&s.Sensors, o.Sensors}, {&s.Batch, o.Batch}, {&s.Inflight, o.Inflight}} {
		if f.from < 0 {
			return s, fmt.Errorf("%d: connections, sensors, readings a message and messages in flight are positive", f.from)
		}
		if f.from > 0 {
			*f.to = f.from
		}
	}
	if o.QoS != nil {
		s.QoS = *o.QoS
	}
	if o.Rate != nil {
		s.Rate = *o.Rate
	}
	if o.Gather != 0 {
		s.Gather = o.Gather.Seconds()
	}
	s.Sensors = max(1, s.Sensors/s.Connections) * s.Connections // each connection has as many: what is told is what ran
	if s.QoS < 0 || s.QoS > 2 {
		return s, fmt.Errorf("QoS is %d: it must be 0, 1 or 2", s.QoS)
	}
	return s, nil
}
