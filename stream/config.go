package stream

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Config is what the windower is told. The zero value is not usable: start from DefaultConfig.
type Config struct {
	Window       time.Duration // length of a window of event time, aligned to the epoch
	Hop          time.Duration `json:",omitempty"` // distance between the starts of windows, where a kind does not give its own; 0 or the window: they tumble (hop.go)
	Disorder     time.Duration // how far behind its sensor's newest a reading may come and still find its window open
	Lateness     time.Duration // how far behind its sensor's newest a reading may come and still revise its closed window; 0: such a reading is late
	Idle         time.Duration // how long a member may send nothing before its mates' windows stop waiting for it
	FutureAfter  time.Duration // a reading this far ahead of its receipt is refused as future
	TooOld       time.Duration // a reading this far behind its receipt is refused as too_old; 0: never
	HistoryAfter time.Duration // a window this old at receipt is history: nothing of it is published as live; 0: never
	SilentAfter  time.Duration // a sensor of which nothing was accepted for so long is silent (silence.go); 0: nobody is
	FailShare    float64       // of an asset's last windows quarantined: above it the fail-safe opens (failsafe.go); 0: never
	Kinds        map[Kind]Limits
	Rules        []Rule    // of the sensor registry, before the patterns
	Patterns     []Pattern // first match wins
}

// Pattern gives sensors a kind, and a period where theirs is not to be learned, by the shape of their name.
type Pattern struct {
	Match  string // shell pattern on the sensor's name, or on site/asset/sensor when it has slashes
	Kind   Kind
	Period time.Duration // 0: learned
}

// Limits are the quality limits of a kind. Source says where they come from.
type Limits struct {
	FailLow, FailHigh       float64   // degC: outside is a failed reading (IOOS QARTOD gross range)
	SuspectLow, SuspectHigh float64   // degC: outside is a suspect reading
	SpikeK                  float64   // K: least distance from the local median that can be a spike
	RateKPerMin             float64   // K/min: faster than this for a sixth of a window is not physical
	Sentinels               []float64 // degC: what devices say instead of a temperature; fails only where it stands out from its neighbours
	TauMin                  float64   // min: thermal time constant of the component, for heading_over_ambient_c
	HopS                    float64   `json:",omitempty"` // s: distance between the starts of windows; 0: Config.Hop
	Source                  string
	Where                   string `json:"-"` // where they stand, for people: sensors.toml line 3; empty: defaults
}

// DefaultConfig gives the documented defaults.
func DefaultConfig() Config {
	return Config{
		Window:       time.Minute,
		Disorder:     10 * time.Second,
		Lateness:     10 * time.Minute,
		Idle:         30 * time.Second,
		FutureAfter:  2 * time.Minute,
		HistoryAfter: 24 * time.Hour,
		SilentAfter:  5 * time.Minute,
		FailShare:    0.5,
		Kinds:        DefaultLimits(),
		Patterns:     DefaultPatterns(),
	}
}

// defaultSentinels are what devices report instead of a temperature, degC: a lost digital sensor, one just switched on, an open PT100 or
// thermocouple at full scale, and a gateway's default.
func defaultSentinels() []float64 { return []float64{-127, 85, 850, 1254, 0} }

// DefaultLimits are plausibility limits: what a working sensor on that component can show at all, not what is healthy. An operator's own
// limits replace them by configuration.
func DefaultLimits() map[Kind]Limits {
	return map[Kind]Limits{
		Other: {Sentinels: defaultSentinels(), FailLow: -60, FailHigh: 1000, SuspectLow: -55, SuspectHigh: 800, SpikeK: 10, RateKPerMin: 400, TauMin: 30,
			Source: "widest of the kinds below"},
		Bearing: {Sentinels: defaultSentinels(), FailLow: -50, FailHigh: 250, SuspectLow: -40, SuspectHigh: 180, SpikeK: 5, RateKPerMin: 10, TauMin: 30,
			Source: "IEC 60751 class B range; runaway measured at 2.6 to 3.4 K/min from NTSB's East Palestine figures, times three"},
		Motor: {Sentinels: defaultSentinels(), FailLow: -50, FailHigh: 350, SuspectLow: -40, SuspectHigh: 250, SpikeK: 8, RateKPerMin: 30, TauMin: 20,
			Source: "class 200 insulation limit plus 50 K; rate proposed"},
		Brake: {Sentinels: defaultSentinels(), FailLow: -50, FailHigh: 950, SuspectLow: -40, SuspectHigh: 700, SpikeK: 40, RateKPerMin: 400, TauMin: 8,
			Source: "discs reach almost 600 degC in hard braking; an emergency stop heats one at up to 400 K/min (proposed)"},
		Transformer: {Sentinels: defaultSentinels(), FailLow: -50, FailHigh: 220, SuspectLow: -40, SuspectHigh: 150, SpikeK: 5, RateKPerMin: 10, TauMin: 60,
			Source: "IEC 60076-7 top-oil 105 degC with room for a fault; rate proposed"},
	}
}

// DefaultPatterns recognise the usual names of sensors.
func DefaultPatterns() []Pattern {
	var out []Pattern
	for _, p := range []struct {
		kind  Kind
		globs []string
	}{
		{Bearing, []string{"axle*", "bearing*", "*-bearing*", "brg*", "axlebox*", "box*"}},
		{Motor, []string{"motor*", "tm[0-9]*"}},
		{Brake, []string{"brake*", "disc*"}},
		{Transformer, []string{"transformer*", "trafo*"}},
	} {
		for _, g := range p.globs {
			out = append(out, Pattern{Match: g, Kind: p.kind})
		}
	}
	return out
}

// Validate gives one full sentence for each thing that is wrong.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Window >= time.Second && c.Window <= 24*time.Hour && c.Window%time.Millisecond == 0,
		"the window must be between 1s and 24h, not %s", c.Window)
	check(c.Disorder >= 0 && c.Disorder <= 24*time.Hour, "the disorder must be between 0 and 24h, not %s", c.Disorder)
	check(c.Lateness >= 0 && c.Lateness <= 7*24*time.Hour, "the lateness must be between 0 and 168h, not %s", c.Lateness)
	check(c.Idle >= time.Second, "idle must be at least 1s, not %s", c.Idle)
	check(c.FutureAfter >= 0, "the future limit must not be negative")
	check(c.TooOld >= 0, "the age limit must not be negative")
	check(c.HistoryAfter >= 0, "history-after must not be negative")
	check(c.SilentAfter == 0 || c.SilentAfter >= time.Second, "silent-after must be 0 or at least 1s, not %s", c.SilentAfter)
	check(c.FailShare >= 0 && c.FailShare < 1, "failsafe-share must be at least 0 and below 1, not %v", c.FailShare)
	for k := Other; k <= Transformer; k++ {
		l, ok := c.Kinds[k]
		check(ok, "kind %s has no limits", k)
		check(!ok || l.FailLow <= l.SuspectLow && l.SuspectLow < l.SuspectHigh && l.SuspectHigh <= l.FailHigh,
			"the limits of kind %s must be in order: fail low, suspect low, suspect high, fail high", k)
		if err := c.hopFault(&l); ok && err != nil {
			check(false, "the hop of kind %s %w", k, err)
		}
		check(!ok || l.SpikeK > 0 && l.RateKPerMin > 0 && l.TauMin > 0, "the spike, rate and time constant of kind %s must be above 0", k)
	}
	for _, p := range c.Patterns {
		_, err := path.Match(p.Match, "x")
		check(err == nil, "the sensor pattern %q is not a shell pattern", p.Match)
		check(p.Period >= 0 && p.Period.Milliseconds() <= maxPeriod, "the period of the sensor pattern %q must be between 0 and 24h, not %s", p.Match, p.Period)
	}
	errs = append(errs, c.checkFinite())
	errs = append(errs, c.checkRules()...)
	return errors.Join(errs...)
}

// ParseKind reads a kind's name.
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), nil
		}
	}
	return Other, fmt.Errorf("kind %q is not one of other, bearing, motor, brake, transformer", name)
}

// describe reads position, axle and side out of a sensor's name: axle3-left is at position axle3, axle 3, left. Two sensors of an
// asset at one position on different sides are mates.
func describe(s *Sensor) {
	if i := strings.LastIndexAny(s.Name, "-_."); i > 0 {
		switch s.Name[i+1:] {
		case "left", "l":
			s.Position, s.Side = s.Name[:i], "left"
		case "right", "r":
			s.Position, s.Side = s.Name[:i], "right"
		}
	}
	from := strings.IndexAny(s.Name, digits)
	if from < 0 {
		return
	}
	n := s.Name[from:]
	if n = n[:len(n)-len(strings.TrimLeft(n, digits))]; len(n) < 6 {
		s.Axle, _ = strconv.Atoi(n)
	}
}

const digits = "0123456789"
