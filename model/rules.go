package model

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/camrail/cidp/stream"
)

// Names of the rules. They are the source of a prediction when the rule spoke, and are persisted: added to, never changed.
const (
	RuleAbsolute       = "absolute"
	RuleOverAmbient    = "over_ambient"
	RuleMateDifference = "mate_difference"
	RulePeerDifference = "peer_difference"
)

// Limit is one rule of one kind of component: a figure of the window and where it becomes worrying. A level without a
// limit is 0.
type Limit struct {
	Rule     string        // one of the rules' names
	Watch    float64       // in the figure's unit: degC or K
	Alarm    float64       // likewise
	Critical float64       // likewise
	Deadband float64       // a level once reached is held down to its limit minus this
	Unbraked time.Duration // speaks only after so long without braking, and never where braking is not known; 0: always
	Source   string        // who says so
}

// Rules are limits on physical quantities, by kind: a first champion that any forest must beat, and one that needs no
// training. Kind other has none.
type Rules struct {
	Bearing     []Limit
	Motor       []Limit
	Brake       []Limit
	Transformer []Limit
}

// RuleResult is the strongest rule of a window: the highest level, then the highest score, then the first.
type RuleResult struct {
	Name  string  // empty when no rule had its inputs
	Level Level   // after the deadband
	Score float64 // 0 to 1: 0.3, 0.6 and 0.85 at the limits for watch, alarm and critical, straight between them, never falling
	Why   string  // a sentence with figure, unit and limit; empty at normal

	Feature int // that the rule looked at, by its place in stream.FeatureList; with Name
}

// Scores at the limits. They are the default cuts of the forest's probability, so that both read alike.
var limitScores = [...]float64{Normal: 0, Watch: 0.3, Alarm: 0.6, Critical: 0.85, Critical + 1: 1}

// DefaultRules are limits gathered from published practice (the sources are named in each). They are defaults, not Camrail's own: an
// operator sets his.
func DefaultRules() Rules {
	const profile = "CIDP default profile, between "
	return Rules{
		Bearing: []Limit{
			{Rule: RuleAbsolute, Watch: 80, Alarm: 95, Critical: 110, Deadband: 5,
				Source: profile + "Indian Railways (70 to 80 degC), the German HOA (80 to 100 degC) and CR400BF onboard practice (110 degC)"},
			{Rule: RuleOverAmbient, Watch: 45, Alarm: 65, Critical: 90, Deadband: 5,
				Source: profile + "Chinese onboard practice (40 K) and US wayside practice (94 to 111 K)"},
			{Rule: RuleMateDifference, Watch: 20, Alarm: 35, Critical: 45, Deadband: 5,
				Source: profile + "Indian Railways (20 to 25 K on an axle) and the German HOA (45 K)"},
		},
		Motor: []Limit{
			{Rule: RuleAbsolute, Watch: 135, Alarm: 145, Critical: 155, Deadband: 5,
				Source: "insulation class F, hot spot 155 degC: 20 K and 10 K below it, and it"},
		},
		Brake: []Limit{
			{Rule: RuleAbsolute, Watch: 200, Alarm: 300, Critical: 400, Deadband: 10, Unbraked: 5 * time.Minute,
				Source: "CIDP default profile: hot without braking is a dragging brake; braking itself reaches nearly 600 degC"},
			{Rule: RulePeerDifference, Watch: 100, Deadband: 10,
				Source: "CIDP default profile: 100 K over the median of the vehicle's brakes"},
		},
		Transformer: []Limit{
			{Rule: RuleAbsolute, Watch: 90, Alarm: 105, Critical: 130, Deadband: 5,
				Source: "IEC 60076-7 practice: top oil 90 and 105 degC; 130 degC trips on the hot spot, which is never cooler than the oil"},
		},
	}
}

// Validate says in a sentence which limit makes no sense.
func (r Rules) Validate() error {
	for kind := stream.Bearing; kind <= stream.Transformer; kind++ {
		for _, l := range r.of(kind) {
			if err := l.validate(); err != nil {
				return fmt.Errorf("check rules: %s, %q: %w", kind, l.Rule, err)
			}
		}
	}
	return nil
}

func (l Limit) validate() error {
	if _, ok := l.figure(); !ok {
		return errors.New("there is no such rule")
	}
	if l.Source == "" {
		return errors.New("no source is named")
	}
	last, found := 0.0, false
	for level := Watch; level <= Critical; level++ {
		at := l.at(level)
		if at == 0 {
			continue
		}
		if !(at > last) || math.IsInf(at, 0) {
			return fmt.Errorf("the limit %v for %s does not rise", at, level)
		}
		last, found = at, true
	}
	switch {
	case !found:
		return errors.New("there is no limit in it")
	case !(l.Deadband >= 0) || math.IsInf(l.Deadband, 0):
		return fmt.Errorf("the deadband %v is not 0 or more", l.Deadband)
	case l.Unbraked < 0:
		return fmt.Errorf("the time without braking %s is negative", l.Unbraked)
	}
	return nil
}

func (r Rules) of(kind stream.Kind) []Limit {
	switch kind {
	case stream.Bearing:
		return r.Bearing
	case stream.Motor:
		return r.Motor
	case stream.Brake:
		return r.Brake
	case stream.Transformer:
		return r.Transformer
	default:
		return nil
	}
}

// Eval gives the strongest rule on a window's features. A rule whose figure is missing is silent. held is the level the sensor is at, which the
// deadbands hold; unbraked is how long the sensor's windows have seen no braking, 0 when they have or when nobody knows.
func (r Rules) Eval(x *stream.Features, held Level, unbraked time.Duration) RuleResult {
	var best RuleResult
	var limit Limit
	for _, l := range r.of(kindOf(x)) {
		figure, ok := l.figure()
		if !ok || math.IsNaN(x[figure]) || unbraked < l.Unbraked {
			continue
		}
		level, score := l.level(x[figure], held), l.score(x[figure])
		if best.Name == "" || level > best.Level || level == best.Level && score > best.Score {
			best = RuleResult{Name: l.Rule, Level: level, Score: score, Feature: figure}
			limit = l
		}
	}
	if best.Level > Normal {
		best.Why = limit.sentence(x, best.Level)
	}
	return best
}

// kindOf reads the component's kind from its feature.
func kindOf(x *stream.Features) stream.Kind {
	if k := x[stream.FKind]; k >= 0 && k <= float64(stream.Transformer) {
		return stream.Kind(k)
	}
	return stream.Other
}

// figure is the feature that the rule looks at.
func (l Limit) figure() (feature int, ok bool) {
	switch l.Rule {
	case RuleAbsolute:
		return stream.FMean, true
	case RuleOverAmbient:
		return stream.FOverAmbient, true
	case RuleMateDifference:
		return stream.FMateDiff, true
	case RulePeerDifference:
		return stream.FPeerDiff, true
	default:
		return 0, false
	}
}

func (l Limit) at(level Level) float64 {
	switch level {
	case Watch:
		return l.Watch
	case Alarm:
		return l.Alarm
	case Critical:
		return l.Critical
	default:
		return 0
	}
}

// level is the highest level whose limit the figure reaches, or stays within the deadband of when it is held.
func (l Limit) level(v float64, held Level) Level {
	for level := Critical; level > Normal; level-- {
		at := l.at(level)
		if at != 0 && (v >= at || level <= held && v >= at-l.Deadband) {
			return level
		}
	}
	return Normal
}

// score maps a figure to 0..1: 0 up to 0, straight lines to each limit's score, and above the last limit closer and closer to
// the next level's score without reaching it.
func (l Limit) score(v float64) float64 {
	low, from := 0.0, Normal
	if !(v > 0) {
		return 0
	}
	for level := Watch; level <= Critical; level++ {
		at := l.at(level)
		if at == 0 {
			continue
		}
		if v < at {
			share := (v - low) / (at - low)
			return limitScores[from] + float64(share*(limitScores[level]-limitScores[from]))
		}
		low, from = at, level
	}
	room := limitScores[from+1] - limitScores[from]
	return limitScores[from] + float64(room*(1-low/v))
}

func (l Limit) sentence(x *stream.Features, level Level) string {
	figure, _ := l.figure()
	at, unit := l.at(level), unitText(stream.FeatureList[figure].Unit)
	relation := "reaches"
	if x[figure] < at {
		relation = "is held by the deadband of " + number(l.Deadband) + " K under"
	}
	var what string
	switch l.Rule {
	case RuleAbsolute:
		what = "mean temperature"
	case RuleOverAmbient:
		what = "rise over ambient"
	case RuleMateDifference:
		what = "difference to the other end of the axle"
	case RulePeerDifference:
		what = "difference to the median of its peers"
	}
	s := fmt.Sprintf("%s %s %s %s the %s limit of %s %s", what, number(x[figure]), unit, relation, level, number(at), unit)
	if l.Unbraked > 0 {
		s += fmt.Sprintf(" after %s without braking", l.Unbraked)
	}
	return s
}
