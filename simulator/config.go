package simulator

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/camrail/cidp/stream"
)

// Config describes a fleet. Zero fields take the defaults named.
type Config struct {
	Seed       uint64
	Assets     int           // default 8: two locomotives and six coaches, 86 sensors
	RateHz     float64       // readings a second and sensor, default 0.2; the period is rounded to whole milliseconds
	Start      time.Time     // event time of the first reading, required
	Span       time.Duration // event time over which faults are planned, default 3 h; the fleet runs on after it
	Faults     []string      // names, "all" or "none"; default none
	FaultShare float64       // share of sensors to make faulty once every fault asked for has its place, default 0.15
	OtherShare float64       // share of assets whose sensors have names that tell no kind (t01, t02, ...), default 0
}

// Bounds of Config.
const (
	maxAssets = 20_000 // 2^20 sensors is what a sensor id holds
	maxSpan   = 366 * 24 * time.Hour
	minRateHz = 1.0 / 3600
	maxRateHz = 100
)

// withDefaults fills zero fields and checks every field; the error joins one sentence for each that is wrong.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Assets, 8)
	setDefault(&c.RateHz, 0.2)
	setDefault(&c.Span, 3*time.Hour)
	setDefault(&c.FaultShare, 0.15)
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Assets < 1 || c.Assets > maxAssets, "assets is %d: it must be 1 to %d", c.Assets, maxAssets)
	refuse(!(c.RateHz >= minRateHz && c.RateHz <= maxRateHz), "rate is %v Hz: it must be one reading an hour (1/3600) to %d", c.RateHz, maxRateHz)
	refuse(c.Span < time.Minute || c.Span > maxSpan, "span is %v: it must be one minute to %v", c.Span, maxSpan)
	refuse(!(c.FaultShare > 0 && c.FaultShare <= 0.9), "fault share is %v: it must be above 0, at most 0.9", c.FaultShare)
	refuse(!(c.OtherShare >= 0 && c.OtherShare <= 1), "other share is %v: it must be 0 to 1", c.OtherShare)
	ms := c.Start.UnixMilli()
	// A warm vehicle has an hour and a half behind it, and a skewed clock a minute and a half.
	refuse(c.Start.IsZero() || ms < stream.MinTS+dayMs || ms >= stream.MaxTS-2*maxSpan.Milliseconds(),
		"start is %s: it must be given, after 2000-01-02 and before the year 2246", c.Start.Format(time.RFC3339))
	faults, err := normalFaults(c.Faults)
	if err != nil {
		errs = append(errs, err)
	}
	c.Faults = faults
	return c, errors.Join(errs...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// periodMs is the reading period in whole milliseconds.
func (c Config) periodMs() int64 { return int64(math.Round(1000 / c.RateHz)) }

// StartFor gives the event time at which a run of length run, accelerated speedup times, may start at wall clock now so that
// its event time meets the wall clock at its end and never passes it. It is in whole seconds. A run without an end (run 0)
// starts an hour's worth of acceleration ago, and goes on in real time once Publish has caught up.
func StartFor(now time.Time, speedup float64, run time.Duration) time.Time {
	if run <= 0 {
		run = time.Hour
	}
	ahead := max(0, speedup-1) * run.Seconds()
	return now.Add(-time.Duration(min(ahead, 1e9) * 1e9)).UTC().Truncate(time.Second)
}
