package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// scoring scores the stored windows of a warehouse anew: by a forest, by each rule alone, and by both as the line does. What a window's features say of the past is as it was stored.
type scoring struct {
	forest *model.Forest
	judges []*judge
	cover  map[int64]*covered // by asset
	rows   []report.Row
	all    int // windows
	bad    int // of them quarantined
	from   int64
	to     int64
}

// judge is one who scores, and the alerts that his scores alone would raise. Who scores with the forest and the rules together moves alerts as the line does.
type judge struct {
	report.Candidate
	score    func(w *stream.Window, h model.Hold) (model.Scored, error)
	hot      func(w *stream.Window, h model.Hold, hot model.Hot) (model.Hot, *model.Alert, *model.Transition) // nil: nobody looks at quarantined windows
	holds    map[int64]model.Hold
	heat     map[int64]model.Hot
	open     map[string]int // position of the warning that stands, by alert id
	warnings []model.Warning
}

// covered is how far an asset's windows have been counted as observed, and for how long.
type covered struct{ end, ms int64 }

func newScoring(forest *model.Forest) (*scoring, error) {
	s := &scoring{forest: forest, cover: map[int64]*covered{}, from: math.MaxInt64}
	rules, levels := model.DefaultRules(), model.DefaultAlertConfig()
	line, err := model.NewScorer(forest, rules, levels)
	if err != nil {
		return nil, fmt.Errorf("use model: %w", err)
	}
	s.add(report.Forest, "the forest alone", true, func(w *stream.Window, h model.Hold) (model.Scored, error) {
		return levels.Next(h, w, forest.Predict(w.Features[:]), model.RuleResult{}, nil, ""), nil
	})
	both := s.add(report.Both, "forest and rules, as the line speaks", false, line.Score)
	both.hot = line.QuarantinedHot
	for _, name := range append([]string{report.AllRules}, model.RuleNames()...) {
		of, what := rules, "the strongest of the rules"
		if name != report.AllRules {
			of, what = rules.Only(name), "a rule alone"
		}
		s.add(name, what, false, func(w *stream.Window, h model.Hold) (model.Scored, error) {
			return levels.Next(h, w, 0, of.Eval(w, h), nil, ""), nil
		})
	}
	return s, nil
}

func (s *scoring) add(name, what string, probability bool, score func(w *stream.Window, h model.Hold) (model.Scored, error)) *judge {
	j := &judge{Candidate: report.Candidate{Name: name, What: what, Probability: probability}, score: score,
		holds: map[int64]model.Hold{}, heat: map[int64]model.Hot{}, open: map[string]int{}}
	s.judges = append(s.judges, j)
	return j
}

// read scores every window. Those between (of sensors that hop) overlap the others and count nowhere.
func (s *scoring) read(a *store.Archive) error {
	for w, err := range a.Windows() {
		if err != nil {
			return err
		}
		if w.Between {
			continue
		}
		s.observe(w)
		for _, j := range s.judges {
			if err := j.window(w); err != nil {
				return err
			}
		}
		if w.Valid() {
			s.rows = append(s.rows, report.Row{Place: report.Place{Site: w.Sensor.Site, Asset: w.Sensor.Asset, Sensor: w.Sensor.Name}, Kind: w.Sensor.Kind,
				Start: w.Start, End: w.End, X: slices.Clone(w.Features[:]), Speed: w.Features[stream.FSpeed], Group: int32(w.Sensor.AssetID)})
		}
	}
	return nil
}

// observe counts a window, and its time once for its asset. Windows come by their start.
func (s *scoring) observe(w *stream.Window) {
	s.all++
	if !w.Valid() {
		s.bad++
	}
	s.from, s.to = min(s.from, w.Start), max(s.to, w.End)
	c := s.cover[w.Sensor.AssetID]
	if c == nil {
		c = &covered{}
		s.cover[w.Sensor.AssetID] = c
	}
	c.ms += max(0, w.End-max(w.Start, c.end))
	c.end = max(c.end, w.End)
}

// assetHours is the event time observed, over all assets.
func (s *scoring) assetHours() float64 {
	ms := int64(0)
	for _, c := range s.cover {
		ms += c.ms
	}
	return float64(ms) / float64(time.Hour/time.Millisecond)
}

// window scores one window and moves the alerts.
func (j *judge) window(w *stream.Window) error {
	id := w.Sensor.ID
	hold := j.holds[id]
	if j.hot != nil {
		before, known := j.heat[id]
		if !known {
			before = model.Hot{Good: math.NaN()}
		}
		next, a, t := j.hot(w, hold, before)
		if j.heat[id] = next; a != nil && t != nil {
			j.moved(w, t, a.Rule)
		}
	}
	if !w.Valid() {
		return nil
	}
	scored, err := j.score(w, hold)
	if err != nil {
		return fmt.Errorf("score windows: %w", err)
	}
	p := &scored.Prediction
	j.holds[id] = p.Hold
	j.Scores = append(j.Scores, max(p.PFailure, p.RuleScore)) // of the forest alone and of rules alone the other is 0
	for i := range scored.Transitions {
		j.moved(w, &scored.Transitions[i], p.Source)
	}
	return nil
}

// moved notes what a transition says of warnings.
func (j *judge) moved(w *stream.Window, t *model.Transition, source string) {
	switch i, stands := j.open[t.AlertID]; {
	case t.Kind == model.KindRaised:
		j.open[t.AlertID] = len(j.warnings)
		j.warnings = append(j.warnings, model.Warning{Site: w.Sensor.Site, Asset: w.Sensor.Asset, Sensor: w.Sensor.Name, Kind: w.Sensor.Kind, Raised: t.At, Severity: t.To, Source: source})
	case stands && t.Kind == model.KindSeverity:
		j.warnings[i].Severity = t.To
	case stands && t.Kind == model.KindCleared:
		j.warnings[i].Cleared = t.At
		delete(j.open, t.AlertID)
	}
}

// candidates gives the judges with what they would have told.
func (s *scoring) candidates() []report.Candidate {
	var out []report.Candidate
	for _, j := range s.judges {
		c := j.Candidate
		c.Warned = &report.Warned{Warnings: j.warnings}
		out = append(out, c)
	}
	return out
}
