package stream

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// SensorChange is a known sensor that the registry now describes otherwise than before, or than it is stored.
type SensorChange struct {
	*Sensor         // as it is from now on; not to be changed
	PeriodMs int64  // in force: configured, else learned, 0 while not known
	What     string // in words: kind other to bearing, period learned to 10s; empty for a sensor that is new
}

// ErrNotWhileRunning says that a configuration differs in what only a restart can change.
var ErrNotWhileRunning = errors.New("only kinds, rules and patterns can change while the windower runs")

// Configure puts another sensor registry in force: the limits of kinds, the rules and the patterns. Windows that close from now on follow it, open ones with all their readings
// too, and what a shorter period makes due closes at once. Call it between two passes, after Take and before the next Feed: then all windows of a batch were
// closed under one registry. Sensors whose kind, place or period changed are in the batch. After an error nothing has changed, and nothing changes with the configuration that
// is in force already.
func (w *Windower) Configure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("check windower configuration: %w", err)
	}
	if !reflect.DeepEqual(withoutRegistry(w.cfg), withoutRegistry(cfg)) {
		return fmt.Errorf("configure windower: %w", ErrNotWhileRunning)
	}
	w.cfg, w.registry = cfg, NewRegistry(&cfg)
	for _, s := range w.sensors {
		before, period := *s.Sensor, s.period
		w.configure(s)
		s.asset.moved = s.asset.moved || s.hop != nil && s.hop.stale
		if *s.Sensor == before && s.period == period {
			continue
		}
		w.batch.Changed = append(w.batch.Changed, s.change(&before, period))
		s.asset.moved = s.asset.moved || s.period != period
	}
	w.reopen()
	for _, a := range w.assets {
		w.setStep(a)
		a.waits = waits{}
		if a.moved {
			w.closeDue(a, -1)
			a.moved = false
		}
	}
	return nil
}

// withoutRegistry is what of a configuration cannot change while the windower runs.
func withoutRegistry(c Config) Config {
	c.Kinds, c.Rules, c.Patterns = nil, nil, nil
	return c
}

// configure gives a sensor what the registry says of it. What was handed out of it stays as it was.
func (w *Windower) configure(s *sensorState) {
	in := w.registry.Resolve(s.Site, s.Asset, s.Name)
	s.period, s.limits, s.mate = in.Period.Milliseconds(), in.Limits, in.Mate
	s.setHop(w.cfg.hopOf(in.Limits), w.base)
	now := *s.Sensor
	now.Kind, now.Position, now.Axle, now.Side = in.Kind, in.Position, in.Axle, in.Side
	if now != *s.Sensor {
		s.Sensor = &now
	}
}

// change says what is new about a sensor. period is the one that was configured before, ms.
func (s *sensorState) change(before *Sensor, period int64) SensorChange {
	var what []string
	note := func(name, was, is string) {
		if was != is {
			what = append(what, fmt.Sprintf("%s %s to %s", name, orNone(was), orNone(is)))
		}
	}
	note("kind", before.Kind.String(), s.Kind.String())
	note("position", before.Position, s.Position)
	note("axle", fmt.Sprint(before.Axle), fmt.Sprint(s.Axle))
	note("side", before.Side, s.Side)
	note("period", periodText(period), periodText(s.period))
	return SensorChange{Sensor: s.Sensor, PeriodMs: s.periodNow(), What: strings.Join(what, ", ")}
}

func orNone(v string) string {
	if v == "" {
		return "none"
	}
	return v
}

func periodText(v int64) string {
	if v == 0 {
		return "learned"
	}
	return ms(v).String()
}

// RestorePeriod says which period is stored of a sensor that RestoreSensor gave back, 0 when none was known. Where another is in force now, the registry has changed over the restart:
// the sensor goes into the batch, and Settle closes what that makes due. A caller that leaves it out is right as long as no configured period ever changes.
func (w *Windower) RestorePeriod(sensorID, periodMs int64) error {
	if sensorID < 1 || sensorID > int64(len(w.sensors)) {
		return fmt.Errorf("restore period: sensor %d is not known", sensorID)
	}
	if s := w.sensors[sensorID-1]; s.periodNow() != periodMs {
		s.asset.moved = true
		w.batch.Changed = append(w.batch.Changed, SensorChange{Sensor: s.Sensor, PeriodMs: s.periodNow(),
			What: fmt.Sprintf("period %s to %s", periodText(periodMs), periodText(s.periodNow()))})
	}
	return nil
}

// Differences says in words, one change each, how a configuration's kinds, rules and patterns differ from those of another.
func (c *Config) Differences(from *Config) []string {
	var out []string
	for k := Other; k <= Transformer; k++ {
		was, is := from.Kinds[k], c.Kinds[k]
		for _, f := range LimitFields() {
			if v, now := f.Text(&was), f.Text(&is); v != now {
				out = append(out, fmt.Sprintf("kind %s: %s %s to %s", k, f.Name, v, now))
			}
		}
		if was.Source != is.Source {
			out = append(out, fmt.Sprintf("kind %s: source %q to %q", k, was.Source, is.Source))
		}
	}
	before, after := from.rulesByMatch(), c.rulesByMatch()
	for _, match := range slices.Sorted(maps.Keys(before)) {
		if _, there := after[match]; !there {
			out = append(out, fmt.Sprintf("%s: no rule any more", match))
		}
	}
	for _, match := range slices.Sorted(maps.Keys(after)) {
		was, there := before[match]
		switch is := after[match]; {
		case !there:
			out = append(out, fmt.Sprintf("%s: %s", match, is))
		case was != is:
			out = append(out, fmt.Sprintf("%s: %s, was %s", match, is, was))
		}
	}
	if len(out) == 0 && !reflect.DeepEqual(from.Rules, c.Rules) {
		out = append(out, "the order of the rules")
	}
	if !reflect.DeepEqual(from.Patterns, c.Patterns) {
		out = append(out, "the patterns")
	}
	return out
}

func (c *Config) rulesByMatch() map[string]string {
	out := make(map[string]string, len(c.Rules))
	for i := range c.Rules {
		out[c.Rules[i].Match] = c.Rules[i].String()
	}
	return out
}

// String says in words what the rule gives.
func (r *Rule) String() string {
	var out []string
	if r.Kind != nil {
		out = append(out, "kind "+r.Kind.String())
	}
	text := func(name string, v *string) {
		if v != nil {
			out = append(out, name+" "+orNone(*v))
		}
	}
	text("position", r.Position)
	if r.Axle != nil {
		out = append(out, fmt.Sprint("axle ", *r.Axle))
	}
	text("side", r.Side)
	text("mate", r.Mate)
	if r.Period != nil {
		out = append(out, "period "+periodText(r.Period.Milliseconds()))
	}
	for _, f := range LimitFields() {
		if v, there := r.Limits[f.Name]; there {
			out = append(out, f.Name+" "+f.text(v))
		}
	}
	if r.LimitsFrom != "" {
		out = append(out, fmt.Sprintf("limits from %q", r.LimitsFrom))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}
