package model

import (
	"fmt"

	"github.com/camrail/cidp/stream"
)

// Scorer is the station of the line: a forest, the rules beside it, and the alerts they make. It is immutable and keeps nothing between windows: a
// sensor's past is the Hold that the caller keeps.
type Scorer struct {
	forest *Forest
	id     string
	rules  Rules
	alerts AlertConfig
}

// NewScorer refuses a forest made for other features than stream.FeatureList, and rules or levels that make no sense.
func NewScorer(f *Forest, rules Rules, alerts AlertConfig) (*Scorer, error) {
	if err := f.Check(stream.FeatureList[:]); err != nil {
		return nil, err
	}
	if err := rules.Validate(); err != nil {
		return nil, err
	}
	if err := alerts.Validate(); err != nil {
		return nil, err
	}
	return &Scorer{forest: f, id: f.ID(), rules: rules, alerts: alerts}, nil
}

// ModelID is the forest's ID.
func (s *Scorer) ModelID() string { return s.id }

// Score scores one window and folds it into its sensor's hold, the zero Hold for a sensor's first. Windows of a sensor come in event-time order. A quarantined window
// is refused with an error: poisoned readings must not become confident predictions.
func (s *Scorer) Score(w *stream.Window, h Hold) (Scored, error) {
	if !w.Valid() {
		return Scored{}, fmt.Errorf("score window: %s/%s/%s from %d ms is quarantined (%s)", w.Sensor.Site, w.Sensor.Asset, w.Sensor.Name, w.Start, w.Reasons[0])
	}
	p, explanation := s.forest.Explain(w.Features[:], DefaultTop)
	rule := s.rules.Eval(w, h)
	return s.alerts.Next(h, w, p, rule, explanation, s.id), nil
}
