package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/camrail/cidp/stream"
)

// SourceForest is the source of a prediction, and the rule of an alert, when the forest spoke.
const SourceForest = "forest"

// Rules of physics that speak alone: RulesID is their model_id, and the source where none of them had its inputs.
const RulesID = "rules"

// ActorLine is the actor of a transition that no person made.
const ActorLine = "line"

// Kinds of transition. They are persisted: added to, never changed.
const (
	KindRaised   = "raised"
	KindSeverity = "severity"
	KindCleared  = "cleared"
)

// AlertConfig says how probabilities become levels and levels become alerts.
type AlertConfig struct {
	Watch      float64 // probability from which the forest says watch
	Alarm      float64
	Critical   float64
	Hysteresis float64 // a level once reached is held down to its probability minus this
	RaiseAfter int     // consecutive valid windows at alarm or more that raise an alert; one at critical always does
	ClearAfter int     // consecutive valid windows at normal that clear it
}

// DefaultAlertConfig is watch from 0.4, alarm from 0.9, critical from 0.97 of a calibrated probability, each held 0.15 lower; two windows raise, five clear. The alarm's cut was chosen
// on simulated fleets (docs/champions.md).
func DefaultAlertConfig() AlertConfig {
	return AlertConfig{Watch: 0.4, Alarm: 0.9, Critical: 0.97, Hysteresis: 0.15, RaiseAfter: 2, ClearAfter: 5}
}

// Validate says in a sentence what makes no sense.
func (c AlertConfig) Validate() error {
	switch {
	case !(0 < c.Watch && c.Watch < c.Alarm && c.Alarm < c.Critical && c.Critical <= 1):
		return fmt.Errorf("check alert configuration: the levels start at %v, %v and %v, which must rise within 0 to 1", c.Watch, c.Alarm, c.Critical)
	case !(c.Hysteresis >= 0 && c.Hysteresis < c.Watch):
		return fmt.Errorf("check alert configuration: the hysteresis %v must be at least 0 and below the watch probability %v", c.Hysteresis, c.Watch)
	case c.RaiseAfter < 1 || c.ClearAfter < 1:
		return fmt.Errorf("check alert configuration: %d windows to raise and %d to clear, at least 1 is needed", c.RaiseAfter, c.ClearAfter)
	}
	return nil
}

// Scored is everything that one valid window meant.
type Scored struct {
	Prediction  Prediction   // with the hold for the sensor's next window
	Alert       *Alert       // the open alert, or the one this window cleared; nil when there is none
	Transitions []Transition // what moved, in order
	Shadows     []ShadowPrediction
}

// Next folds one valid window into a sensor's level and alert. Windows come in event-time order; a window of another sensor needs
// another hold. It is pure: the same arguments give the same result.
//
// Level: the highest that the forest or a rule supports, where a level already held is supported down to its lower limit. The source is the
// rule where its level is the higher, else the forest.
//
// Alert: raised by RaiseAfter windows in a row at alarm or more, or by one at critical. While it is open its severity is the worst level seen: it
// rises at once and never falls. It clears after ClearAfter windows in a row whose level is normal, which with the defaults is a first probability below 0.25
// and then below 0.4, all rules below their watch limits likewise. Only valid windows count: a quarantined window neither continues nor breaks a row.
func (c AlertConfig) Next(h Hold, w *stream.Window, p float64, rule RuleResult, path []Contribution, modelID string) Scored {
	return c.next(h, w, p, rule, explainer{path: path}, modelID)
}

func (c AlertConfig) next(h Hold, w *stream.Window, p float64, rule RuleResult, e explainer, modelID string) Scored {
	forest := c.level(p, h.Level)
	source, level := SourceForest, forest
	if rule.Level > forest {
		source, level = rule.Name, rule.Level
	}
	m := move{c: c, w: w, p: p, source: source, before: h, level: level}
	why := e.explain(m.raises() || m.worsens())
	m.reason = c.reason(h, w, p, forest, rule, why)
	return m.scored(rule.Score, e, why, modelID)
}

// NextByRules does the same where the rules speak alone: the probability is the rule's score and the level the rule's. What it looked at is the explanation.
func (c AlertConfig) NextByRules(h Hold, w *stream.Window, rule RuleResult) Scored {
	source, why := rule.Name, Explanation{Method: MethodRule}
	if source == "" {
		source = RulesID
	} else {
		why.Top = []Contribution{{Feature: stream.FeatureList[rule.Feature].Name, Value: rule.Value, Contribution: rule.Score}}
	}
	m := move{c: c, w: w, p: rule.Score, source: source, before: h, level: rule.Level}
	if m.reason = rule.Why; rule.Level == Normal {
		m.reason = c.reason(h, w, rule.Score, Normal, rule, why)
	}
	return m.scored(rule.Score, explainer{path: why.Top}, why, RulesID)
}

// scored folds the window and says what it meant. e explains the prediction, why its alert.
func (m *move) scored(ruleScore float64, e explainer, why Explanation, modelID string) Scored {
	w, next := m.w, m.fold()
	out := Scored{
		Prediction: Prediction{
			WindowID: w.ID(), Revision: w.Revision, SensorID: w.Sensor.ID, Start: w.Start, End: w.End,
			PFailure: m.p, Level: m.level, Source: m.source, RuleScore: ruleScore, ModelID: modelID,
			Explanation: e.path, Score: e.score, Hold: next,
		},
		Transitions: m.moved,
	}
	if m.alert != nil {
		m.alert.PFailure, m.alert.Value = m.p, w.Features[stream.FMean]
		m.alert.Rule, m.alert.Reason = m.source, m.reason
		m.alert.Explanation, m.alert.Method, m.alert.Score, m.alert.ModelID = why.Top, why.Method, why.Score, modelID
		m.alert.SensorID, m.alert.WindowID = w.Sensor.ID, w.ID()
		m.alert.UpdatedAt, m.alert.Start, m.alert.End = w.End, w.Start, w.End
		out.Alert = m.alert
	}
	return out
}

// level is the forest's own level: the highest whose probability is reached, or held.
func (c AlertConfig) level(p float64, held Level) Level {
	limits := [...]float64{Watch: c.Watch, Alarm: c.Alarm, Critical: c.Critical}
	for level := Critical; level > Normal; level-- {
		if p >= limits[level] || level <= held && p >= limits[level]-c.Hysteresis {
			return level
		}
	}
	return Normal
}

// move is one step of a sensor's alert.
type move struct {
	c      AlertConfig
	w      *stream.Window
	p      float64
	source string
	reason string
	before Hold
	level  Level
	alert  *Alert
	moved  []Transition
}

// raises says whether the window raises an alert.
func (m *move) raises() bool {
	return m.before.AlertID == "" && (m.level == Critical || m.level >= Alarm && m.before.Above+1 >= m.c.RaiseAfter)
}

// worsens says whether the open alert's severity rises.
func (m *move) worsens() bool { return m.before.AlertID != "" && m.level > m.before.Worst }

// fold gives the hold after the window, and notes the alert and what moved.
func (m *move) fold() Hold {
	h := m.before
	h.Level = m.level
	h.follow(m.w)
	if m.level >= Alarm {
		h.Above++
	} else {
		h.Above = 0
	}
	switch {
	case m.raises():
		m.raise(&h)
	case m.worsens():
		m.transition(&h, KindSeverity, h.Worst, m.level, Active, fmt.Sprintf("level rises from %s to %s: %s", h.Worst, m.level, m.reason))
		h.Worst = m.level
	}
	if h.AlertID == "" {
		return h
	}
	m.alert = &Alert{ID: h.AlertID, State: Active, Severity: h.Worst, RaisedAt: h.RaisedAt}
	if m.level != Normal {
		h.Below = 0
		return h
	}
	if h.Below++; h.Below >= m.c.ClearAfter {
		m.clear(&h)
	}
	return h
}

func (m *move) raise(h *Hold) {
	h.AlertID = alertID(m.w.Sensor, m.w.Start)
	h.Worst, h.RaisedAt, h.Below = m.level, m.w.End, 0
	cause := "a window at critical"
	if m.level != Critical {
		cause = plural(h.Above, "window") + " in a row at alarm or more"
	}
	m.transition(h, KindRaised, Normal, m.level, Active, cause+": "+m.reason)
}

func (m *move) clear(h *Hold) {
	m.alert.State = Cleared
	m.reason = fmt.Sprintf("%s in a row at normal; failure probability %s, mean temperature %s °C",
		plural(h.Below, "window"), prob(m.p), number(m.w.Features[stream.FMean]))
	m.transition(h, KindCleared, h.Worst, Normal, Cleared, m.reason)
	h.AlertID, h.Worst, h.RaisedAt, h.Below, h.Above = "", Normal, 0, 0, 0
}

func (m *move) transition(h *Hold, kind string, from, to Level, state AlertState, cause string) {
	m.moved = append(m.moved, Transition{
		AlertID: h.AlertID, SensorID: m.w.Sensor.ID, WindowID: m.w.ID(), Revision: m.w.Revision, At: m.w.End,
		Kind: kind, From: from, To: to, State: state, Cause: cause, Actor: ActorLine,
	})
}

// alertID names an alert by what it is about, so that the same readings give the same id in any database.
func alertID(s *stream.Sensor, start int64) string {
	return nameHash("alert", s.Site, s.Asset, s.Name, strconv.FormatInt(start, 10))
}

// nameHash is the first 16 hex digits of the SHA-256 over the parts, joined by a byte that no name may hold.
func nameHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return hex.EncodeToString(sum[:8])
}
