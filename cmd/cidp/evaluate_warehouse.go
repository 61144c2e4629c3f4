package main

import (
	"cmp"
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
	for _, name := range append([]string{report.AllRules}, ruleNames(rules)...) {
		of, what := rules, "the strongest of the rules"
		if name != report.AllRules {
			of, what = onlyRule(rules, name), "a rule alone"
		}
		scorer, err := model.NewScorer(forest, of, levels)
		if err != nil {
			return nil, fmt.Errorf("use rule %s: %w", name, err)
		}
		s.add(name, what, false, func(w *stream.Window, h model.Hold) (model.Scored, error) {
			scored, err := scorer.Score(w, h)
			if err != nil {
				return scored, err
			}
			alone := levels.Next(h, w, scored.Prediction.RuleScore, model.RuleResult{}, nil, "")
			alone.Prediction.RuleScore = scored.Prediction.RuleScore
			return alone, nil
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
				Start: w.Start, End: w.End, X: slices.Clone(w.Features[:]), Group: int32(w.Sensor.AssetID)})
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
	score := p.PFailure
	if !j.Probability {
		score = p.RuleScore
	}
	if j.Name == report.Both {
		score = max(p.PFailure, p.RuleScore)
	}
	j.Scores = append(j.Scores, score)
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

// ruleNames lists the rules that some kind has, in order of name.
func ruleNames(r model.Rules) []string {
	var names []string
	for _, limits := range [][]model.Limit{r.Bearing, r.Motor, r.Brake, r.Transformer} {
		for _, l := range limits {
			names = append(names, l.Rule)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// onlyRule leaves one rule of each kind.
func onlyRule(r model.Rules, name string) model.Rules {
	pick := func(limits []model.Limit) []model.Limit {
		return slices.DeleteFunc(slices.Clone(limits), func(l model.Limit) bool { return l.Rule != name })
	}
	return model.Rules{Bearing: pick(r.Bearing), Motor: pick(r.Motor), Brake: pick(r.Brake), Transformer: pick(r.Transformer)}
}

// labelRows gives each row its label: 1 when its component's fault has begun and it fails within the horizon after the window. Of a window of a component that has failed nothing is known,
// nor of one whose fault never comes to a failure, or that is warmed by the component beside it.
func labelRows(rows []report.Row, failures []model.Failure, horizon time.Duration) {
	by := map[report.Place][]model.Failure{}
	for _, f := range failures {
		p := report.Place{Site: f.Site, Asset: f.Asset, Sensor: f.Sensor}
		by[p] = append(by[p], f)
	}
	for i := range rows {
		rows[i].Known, rows[i].Y = true, 0
		for _, f := range by[rows[i].Place] {
			end := rows[i].End
			switch {
			case f.OfSensor || end < f.Onset:
			case f.At == 0 || end > f.At:
				rows[i].Known = false
			case end >= f.At-horizon.Milliseconds():
				rows[i].Y = 1
			}
		}
	}
}

// placeFailures gives failures the kinds of the sensors that the warehouse knows.
func placeFailures(failures []model.Failure, sensors []*stream.Sensor) []model.Failure {
	kinds := map[report.Place]stream.Kind{}
	for _, s := range sensors {
		kinds[report.Place{Site: s.Site, Asset: s.Asset, Sensor: s.Name}] = s.Kind
	}
	out := slices.Clone(failures)
	for i := range out {
		out[i].Kind = kinds[report.Place{Site: out[i].Site, Asset: out[i].Asset, Sensor: out[i].Sensor}]
	}
	slices.SortStableFunc(out, func(a, b model.Failure) int { return cmp.Compare(a.Onset, b.Onset) })
	return out
}
