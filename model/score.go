package model

import (
	"fmt"

	"github.com/camrail/cidp/stream"
)

// Scorer is the station of the line: the rules, a forest beside them where one is live, the alerts they make, and the forests in shadow. It is immutable and keeps nothing between
// windows: a sensor's past is the Hold that the caller keeps.
type Scorer struct {
	live    *Forest // nil: the rules speak alone
	id      string
	rules   Rules
	alerts  AlertConfig
	shadows []shadow
}

type shadow struct {
	forest *Forest
	id     string
}

// NewScorer refuses a forest made for other features than stream.FeatureList, and rules or levels that make no sense. Without a forest the rules speak alone.
func NewScorer(live *Forest, rules Rules, alerts AlertConfig) (*Scorer, error) {
	if err := rules.Validate(); err != nil {
		return nil, err
	}
	if err := alerts.Validate(); err != nil {
		return nil, err
	}
	return (&Scorer{rules: rules, alerts: alerts}).With(live, nil)
}

// With gives a scorer of the same rules and levels with another live forest, nil for none, and other forests in shadow. It refuses what NewScorer does.
func (s *Scorer) With(live *Forest, shadows []*Forest) (*Scorer, error) {
	out := &Scorer{live: live, id: RulesID, rules: s.rules, alerts: s.alerts}
	if live != nil {
		if err := live.Check(stream.FeatureList[:]); err != nil {
			return nil, err
		}
		out.id = live.ID()
	}
	for _, f := range shadows {
		if err := f.Check(stream.FeatureList[:]); err != nil {
			return nil, err
		}
		out.shadows = append(out.shadows, shadow{f, f.ID()})
	}
	return out, nil
}

// ModelID is the live forest's ID, or RulesID.
func (s *Scorer) ModelID() string { return s.id }

// Score scores one window and folds it into its sensor's hold, the zero Hold for a sensor's first. Windows of a sensor come in event-time order. A quarantined window
// is refused with an error: poisoned readings must not become confident predictions.
func (s *Scorer) Score(w *stream.Window, h Hold) (Scored, error) {
	if !w.Valid() {
		return Scored{}, fmt.Errorf("score window: %s/%s/%s from %d ms is quarantined (%s)", w.Sensor.Site, w.Sensor.Asset, w.Sensor.Name, w.Start, w.Reasons[0])
	}
	rule := s.rules.Eval(w, h)
	var out Scored
	if s.live == nil {
		out = s.alerts.NextByRules(h, w, rule)
	} else {
		p, why := s.live.explainer(w)
		out = s.alerts.next(h, w, p, rule, why, s.id)
	}
	out.Shadows = s.compare(w, out.Prediction.PFailure)
	return out, nil
}

// compare lets the forests in shadow score a window of which the live probability is known.
func (s *Scorer) compare(w *stream.Window, live float64) []ShadowPrediction {
	if len(s.shadows) == 0 {
		return nil
	}
	level := s.alerts.level(live, Normal)
	out := make([]ShadowPrediction, len(s.shadows))
	for i := range s.shadows {
		p := s.shadows[i].forest.Predict(w.Features[:])
		out[i] = ShadowPrediction{WindowID: w.ID(), Revision: w.Revision, ModelID: s.shadows[i].id, PFailure: p, Differs: s.alerts.level(p, Normal) != level}
	}
	return out
}
