package model

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/stream"
)

// Failure is one row of a truth or maintenance file: what is wrong with a component, from when, and when it fails.
type Failure struct {
	Site, Asset, Sensor string
	Kind                stream.Kind
	Fault               string // what it is called; the rows of a table are named by it
	Onset               int64  // event time, ms; 0: not known
	At                  int64  // event time at which it fails, ms; 0: it does not, or its heat comes from the component beside it
	OfSensor            bool   // the sensor is at fault: its component is sound
}

// Warning is one alert that was raised for people. Alerts of silence and of a fail-safe speak of no component: leave them out.
type Warning struct {
	Site, Asset, Sensor string
	Kind                stream.Kind
	Raised              int64 // event time, ms
	Cleared             int64 // event time, ms; 0: it stands
	Severity            Level // the worst it came to
	Source              string
}

// MatchConfig says how warnings are held against failures.
type MatchConfig struct {
	Lead       time.Duration // a failure is warned of in time when its first warning comes at least so long ahead
	Horizon    time.Duration // of a failure without a known onset: how long ahead a warning may be of it
	AssetHours float64       // observed, of all assets together
	From, To   int64         // event time observed, ms: failures outside [From, To) are left out; To 0: all are in
}

// DefaultMatchConfig wants ten minutes of lead, and takes a warning within two hours of a failure without a known onset as of it.
func DefaultMatchConfig() MatchConfig {
	return MatchConfig{Lead: 10 * time.Minute, Horizon: 2 * time.Hour}
}

// Validate says in a sentence what makes no sense.
func (c MatchConfig) Validate() error {
	switch {
	case c.Lead < 0 || c.Horizon < c.Lead:
		return fmt.Errorf("check matching: a lead of %s within a horizon of %s", c.Lead, c.Horizon)
	case !(c.AssetHours > 0):
		return fmt.Errorf("check matching: %v asset-hours were observed", c.AssetHours)
	case c.To != 0 && c.To <= c.From:
		return fmt.Errorf("check matching: observed from %d to %d ms", c.From, c.To)
	}
	return nil
}

// Outcome is what became of one failure.
type Outcome string

// The outcomes of a failure.
const (
	Warned Outcome = "warned" // in time
	Late   Outcome = "late"   // before it failed, but with less lead than wanted
	Missed Outcome = "missed" // not before it failed
)

// FailureOutcome is a failure with its first warning.
type FailureOutcome struct {
	Failure
	Outcome Outcome
	Warning int   // position of its first warning in what was given, -1 where it is missed
	LeadMs  int64 // from that warning to the failure; 0 where it is missed
}

// Meaning is what a warning turned out to be.
type Meaning string

// The meanings of a warning.
const (
	OfFailure   Meaning = "failure"    // of a failure, the first one of it or a later one
	OfFault     Meaning = "fault"      // of a fault of the machine that is no failure: one that mends, or the heat of the component beside it
	FalseFaulty Meaning = "sensor"     // false: the component is sound, its sensor is not
	FalseSound  Meaning = "sound"      // false: component and sensor are sound, or were still
	Unjudged    Meaning = "unobserved" // of a failure that is left out
)

// IsFalse says whether a warning is a false alarm.
func (m Meaning) IsFalse() bool { return m == FalseFaulty || m == FalseSound }

// WarningOutcome is a warning with what it turned out to be.
type WarningOutcome struct {
	Warning
	Meaning Meaning
	Fault   string // of the component or its sensor; empty where nothing is wrong
}

// MatchFigures are the figures of a group of failures and of the false alarms beside them.
type MatchFigures struct {
	Name     string `json:"name"` // of the group: a kind, a fault, or all
	Failures int    `json:"failures"`
	Warned   int    `json:"warned"` // in time
	Late     int    `json:"late"`
	Missed   int    `json:"missed"`

	WarnedShare float64   `json:"warned_share"` // of the failures, 0 to 1; 0 without any
	MedianLead  float64   `json:"median_lead_min"`
	Leads       []float64 `json:"leads_min"` // of all that were warned of before they failed, in time or late, min, rising

	FalseAlarms int     `json:"false_alarms"`
	FalseRate   float64 `json:"false_per_1000_asset_hours"`
}

// Matched is warnings held against failures.
type Matched struct {
	Failures []FailureOutcome // rows that fail within the time observed, in the order given
	Warnings []WarningOutcome // in the order given
	All      MatchFigures
	ByKind   []MatchFigures // kinds with a failure or a false alarm, in the order of stream.Kind
	ByFault  []MatchFigures // likewise by fault, by name; false alarms of sound sensors are under the empty name
}

// Match holds warnings against failures. What counts:
//
// A failure is warned of by a warning on its own sensor, raised after the fault's onset (or within the horizon, where no onset is known) and not after the failure. The
// first such warning gives the lead; others of the same failure count nothing. A warning raised before the onset cannot be of the fault, and does not count however long it stands.
//
// A warning is a false alarm unless its sensor has, at the instant it is raised, a fault of the machine: one that fails (before and after), one that never does, or the heat of
// the component beside it, such as a bearing next to a dragging brake. Those come as rows without At. A warning on a sensor that is broken while its component is sound is false: nobody asked
// for a workshop visit there. A warning that is raised, cleared and raised again is counted each time.
//
// False alarms of each group are counted over the same asset-hours. Figures are rounded to 1e-6.
func Match(failures []Failure, warnings []Warning, cfg MatchConfig) (Matched, error) {
	if err := cfg.Validate(); err != nil {
		return Matched{}, err
	}
	rows := map[placeKey][]Failure{}
	for _, f := range failures {
		switch {
		case f.At != 0 && f.At < f.Onset:
			return Matched{}, fmt.Errorf("match warnings: %s/%s/%s fails at %d ms, before its onset at %d ms", f.Site, f.Asset, f.Sensor, f.At, f.Onset)
		case f.At != 0 && f.OfSensor:
			return Matched{}, errors.New("match warnings: a fault of a sensor has no failure")
		}
		k := placeKey{f.Site, f.Asset, f.Sensor}
		rows[k] = append(rows[k], f)
	}
	var out Matched
	raised := map[placeKey][]int{}
	for i, w := range warnings {
		k := placeKey{w.Site, w.Asset, w.Sensor}
		raised[k] = append(raised[k], i)
		meaning, fault := cfg.meaning(rows[k], w.Raised)
		out.Warnings = append(out.Warnings, WarningOutcome{w, meaning, fault})
	}
	for _, f := range failures {
		if f.At != 0 && cfg.observed(f.At) {
			out.Failures = append(out.Failures, cfg.outcome(f, raised[placeKey{f.Site, f.Asset, f.Sensor}], warnings))
		}
	}
	out.tally(cfg)
	return out, nil
}

type placeKey struct{ site, asset, sensor string }

func (c MatchConfig) observed(at int64) bool { return c.To == 0 || at >= c.From && at < c.To }

// begins is when a fault may first be warned of.
func (c MatchConfig) begins(f Failure) int64 {
	if f.Onset == 0 && f.At != 0 {
		return f.At - c.Horizon.Milliseconds()
	}
	return f.Onset
}

// meaning says what a warning raised at an instant is of. A fault of the machine explains it whatever else is wrong with the sensor.
func (c MatchConfig) meaning(rows []Failure, raised int64) (Meaning, string) {
	meaning, fault := FalseSound, ""
	for _, f := range rows {
		switch {
		case raised < c.begins(f):
		case f.OfSensor:
			meaning, fault = FalseFaulty, f.Fault
		case f.At == 0:
			return OfFault, f.Fault
		case !c.observed(f.At):
			return Unjudged, f.Fault
		default:
			return OfFailure, f.Fault
		}
	}
	return meaning, fault
}

func (c MatchConfig) outcome(f Failure, raised []int, warnings []Warning) FailureOutcome {
	out := FailureOutcome{Failure: f, Outcome: Missed, Warning: -1}
	for _, i := range raised {
		at := warnings[i].Raised
		if at >= c.begins(f) && at <= f.At && (out.Warning < 0 || at < warnings[out.Warning].Raised) {
			out.Warning, out.LeadMs = i, f.At-at
		}
	}
	switch {
	case out.Warning < 0:
	case out.LeadMs >= c.Lead.Milliseconds():
		out.Outcome = Warned
	default:
		out.Outcome = Late
	}
	return out
}

// tally adds outcomes up: over all, by kind and by fault.
func (m *Matched) tally(cfg MatchConfig) {
	all := MatchFigures{Name: "all"}
	kinds, faults := map[stream.Kind]*MatchFigures{}, map[string]*MatchFigures{}
	for _, f := range m.Failures {
		for _, g := range []*MatchFigures{&all, in(kinds, f.Kind), in(faults, f.Fault)} {
			g.add(f)
		}
	}
	for _, w := range m.Warnings {
		if w.Meaning.IsFalse() {
			all.FalseAlarms++
			in(kinds, w.Kind).FalseAlarms++
			in(faults, w.Fault).FalseAlarms++
		}
	}
	m.All = all.finish(cfg)
	for kind, g := range kinds {
		g.Name = kind.String()
	}
	for fault, g := range faults {
		g.Name = fault
	}
	m.ByKind, m.ByFault = finished(kinds, cfg), finished(faults, cfg)
}

// in gives the figures of a group, made at its first sight.
func in[K comparable](groups map[K]*MatchFigures, key K) *MatchFigures {
	g := groups[key]
	if g == nil {
		g = &MatchFigures{}
		groups[key] = g
	}
	return g
}

func finished[K cmp.Ordered](groups map[K]*MatchFigures, cfg MatchConfig) []MatchFigures {
	keys := make([]K, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []MatchFigures
	for _, k := range keys {
		out = append(out, groups[k].finish(cfg))
	}
	return out
}

func (g *MatchFigures) add(f FailureOutcome) {
	g.Failures++
	switch f.Outcome {
	case Warned:
		g.Warned++
	case Late:
		g.Late++
	default:
		g.Missed++
		return
	}
	g.Leads = append(g.Leads, round6(float64(f.LeadMs)/60_000))
}

func (g *MatchFigures) finish(cfg MatchConfig) MatchFigures {
	slices.Sort(g.Leads)
	g.MedianLead = g.Lead(0.5)
	if g.Failures > 0 {
		g.WarnedShare = round6(float64(g.Warned) / float64(g.Failures))
	}
	g.FalseRate = round6(float64(g.FalseAlarms) / cfg.AssetHours * 1000)
	return *g
}

// Lead is a quantile of the lead times in minutes, q from 0 to 1: the least that at least that share of them do not exceed; 0 without any.
func (g *MatchFigures) Lead(q float64) float64 {
	if len(g.Leads) == 0 {
		return 0
	}
	for i, v := range g.Leads {
		if float64(i+1) >= float64(q*float64(len(g.Leads))) {
			return v
		}
	}
	return g.Leads[len(g.Leads)-1]
}

// String is the group in one line, for a log.
func (g MatchFigures) String() string {
	return fmt.Sprintf("%s: %d failures, %d warned in time (%.1f %%), %d late, %d missed, median lead %.1f min, %d false alarms (%.2f per 1,000 asset-hours)",
		cmp.Or(strings.ReplaceAll(g.Name, "_", " "), "sound"), g.Failures, g.Warned, 100*g.WarnedShare, g.Late, g.Missed, g.MedianLead, g.FalseAlarms, g.FalseRate)
}
