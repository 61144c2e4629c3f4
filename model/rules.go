package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/stream"
)

// Names of the rules. They are the source of a prediction when the rule spoke, and are persisted: added to, never changed.
const (
	RuleAbsolute       = "absolute"
	RuleOverAmbient    = "over_ambient"
	RuleMateDifference = "mate_difference"
	RulePeerDifference = "peer_difference"
	RulePeerZ          = "peer_z"
	RuleRiseBaseline   = "rise_baseline"
	RuleRate           = "rate"
)

// RuleNames lists the rules there are, in the order in which they are shown.
func RuleNames() []string {
	return []string{RuleAbsolute, RuleOverAmbient, RuleMateDifference, RulePeerDifference, RulePeerZ, RuleRiseBaseline, RuleRate}
}

// Limit is one rule of one kind of component: a figure of the window and where it becomes worrying. A level without a
// limit is 0.
type Limit struct {
	Rule     string        // one of the rules' names
	Watch    float64       // in the figure's unit: degC, K, K/min or, of a robust z, 1
	Alarm    float64       // likewise
	Critical float64       // likewise
	Deadband float64       // a level once reached is held down to its limit minus this
	Unbraked time.Duration // speaks only after so long without braking, and never where braking is not known; 0: always
	Steady   time.Duration // speaks only after so long at a steady speed (Hold.SteadySince), and never where no speed is known; 0: always
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
	Score float64 // 0 to 1: 0.4, 0.9 and 0.97 at the limits for watch, alarm and critical, straight between them, never falling
	Why   string  // a sentence with figure, unit and limit; empty at normal

	Feature int     // that the rule looked at, by its place in stream.FeatureList; with Name
	Value   float64 // what it judged, in that feature's unit; with Name
}

// Scores at the limits. They are the default cuts of the forest's probability, so that both read alike.
var limitScores = [...]float64{Normal: 0, Watch: DefaultAlertConfig().Watch, Alarm: DefaultAlertConfig().Alarm, Critical: DefaultAlertConfig().Critical, Critical + 1: 1}

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
	case l.Steady < 0:
		return fmt.Errorf("the time at a steady speed %s is negative", l.Steady)
	}
	return nil
}

func (r *Rules) of(kind stream.Kind) []Limit {
	if slot := r.slot(kind); slot != nil {
		return *slot
	}
	return nil
}

// slot is where a kind's rules are, nil for a kind that has none.
func (r *Rules) slot(kind stream.Kind) *[]Limit {
	switch kind {
	case stream.Bearing:
		return &r.Bearing
	case stream.Motor:
		return &r.Motor
	case stream.Brake:
		return &r.Brake
	case stream.Transformer:
		return &r.Transformer
	default:
		return nil
	}
}

// Limit gives a kind's rule by name.
func (r Rules) Limit(kind stream.Kind, rule string) (l Limit, ok bool) {
	limits := r.of(kind)
	if i := slices.IndexFunc(limits, func(l Limit) bool { return l.Rule == rule }); i >= 0 {
		return limits[i], true
	}
	return Limit{}, false
}

// Set puts a rule in a kind's list, in place of the one of its name or at the end, and Drop takes it out. Kind other takes none.
func (r *Rules) Set(kind stream.Kind, l Limit) {
	slot := r.slot(kind)
	if slot == nil {
		return
	}
	limits := slices.Clone(*slot)
	if i := slices.IndexFunc(limits, func(o Limit) bool { return o.Rule == l.Rule }); i >= 0 {
		limits[i] = l
	} else {
		limits = append(limits, l)
	}
	*slot = limits
}

// Drop is explained at Set.
func (r *Rules) Drop(kind stream.Kind, rule string) {
	if slot := r.slot(kind); slot != nil {
		*slot = slices.DeleteFunc(slices.Clone(*slot), func(l Limit) bool { return l.Rule == rule })
	}
}

// Eval gives the strongest rule on a window; h is its sensor's hold before it: the level that the deadbands hold, and how long there was no braking and a steady speed. A rule whose
// figure is missing is silent.
func (r Rules) Eval(w *stream.Window, h Hold) RuleResult {
	var best RuleResult
	var strongest Limit
	held := h.Level
	h.follow(w)
	for _, l := range r.of(kindOf(&w.Features)) {
		v, ok := l.value(w, &h)
		if !ok {
			continue
		}
		level, score := l.level(v, held), l.score(v)
		if best.Name == "" || level > best.Level || level == best.Level && score > best.Score {
			best = RuleResult{Name: l.Rule, Level: level, Score: score, Value: v}
			best.Feature, _ = l.figure()
			strongest = l
		}
	}
	if best.Level > Normal {
		best.Why = strongest.sentence(w, &h, best.Level)
	}
	return best
}

// Scores gives what each rule of RuleNames says of a window alone, in that order, and what the strongest of them says; Silent where it has not its inputs. It does what Eval does, without
// words. spoke says whether any rule had its inputs.
func (r Rules) Scores(w *stream.Window, h Hold) (scores []float64, spoke bool) {
	names := RuleNames()
	scores = slices.Repeat([]float64{Silent}, len(names)+1)
	h.follow(w)
	for _, l := range r.of(kindOf(&w.Features)) {
		if v, ok := l.value(w, &h); ok {
			i, score := slices.Index(names, l.Rule), l.score(v)
			scores[i], scores[len(names)] = max(scores[i], score), max(scores[len(names)], score)
			spoke = true
		}
	}
	return scores, spoke
}

// Only gives one rule of all kinds, to see what it would do alone.
func (r Rules) Only(rule string) Rules {
	pick := func(limits []Limit) []Limit {
		return slices.DeleteFunc(slices.Clone(limits), func(l Limit) bool { return l.Rule != rule })
	}
	return Rules{Bearing: pick(r.Bearing), Motor: pick(r.Motor), Brake: pick(r.Brake), Transformer: pick(r.Transformer)}
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
	case RulePeerZ:
		return stream.FPeerZ, true
	case RuleRiseBaseline:
		return stream.FRiseBaseline, true
	case RuleRate:
		return stream.FSlope, true
	default:
		return 0, false
	}
}

// value is the figure that the rule judges, if it may speak of this window; h is the hold after it. The rate is the hold's, over some minutes.
func (l Limit) value(w *stream.Window, h *Hold) (v float64, ok bool) {
	feature, known := l.figure()
	if !known || l.Unbraked > 0 && h.unbraked(w) < l.Unbraked || l.Steady > 0 && h.steady(w) < l.Steady {
		return 0, false
	}
	if v = w.Features[feature]; l.Rule == RuleRate && !math.IsNaN(v) {
		v = h.Rate
	}
	return v, !math.IsNaN(v)
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

// ruleWords are the figures of the rules as people call them.
var ruleWords = map[string]string{
	RuleAbsolute: "mean temperature", RuleOverAmbient: "rise over ambient", RuleMateDifference: "difference to the other end of the axle",
	RulePeerDifference: "difference to the median of its peers", RulePeerZ: "robust z against its peers", RuleRiseBaseline: "rise over its own baseline",
	RuleRate: "rate of rise over some minutes",
}

func (l Limit) sentence(w *stream.Window, h *Hold, level Level) string {
	figure, _ := l.figure()
	v, _ := l.value(w, h)
	unit := func(v float64) string {
		return strings.TrimSpace(number(v) + " " + strings.TrimPrefix(unitText(stream.FeatureList[figure].Unit), "1"))
	}
	relation := "reaches"
	if v < l.at(level) {
		deadband := number(l.Deadband) + " K"
		if l.Rule == RulePeerZ || l.Rule == RuleRate {
			deadband = unit(l.Deadband)
		}
		relation = "is held by the deadband of " + deadband + " under"
	}
	s := fmt.Sprintf("%s %s %s the %s limit of %s", ruleWords[l.Rule], unit(v), relation, level, unit(l.at(level)))
	if l.Unbraked > 0 {
		s += fmt.Sprintf(" after %s without braking", l.Unbraked)
	}
	if l.Steady > 0 {
		s += fmt.Sprintf(" after %s at a steady %s km/h", h.steady(w).Round(time.Second), number(h.SteadyKmh))
	}
	return s
}
