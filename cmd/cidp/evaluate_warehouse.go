package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// evaluation is a model, the rules beside it, and a warehouse whose windows they are measured on.
type evaluation struct {
	forest       *model.Forest
	rules        model.Rules
	path, source string
	split        model.Split                                     // how the windows were kept apart from those that the model learnt from; empty: nobody says
	told         func(a *store.Archive) ([]model.Warning, error) // the alerts that the line raised itself; nil: they are what forest and rules raise now
}

// warehouse scores the windows of a warehouse and holds the alerts against what is known of failures.
func (f *reportFlags) warehouse(ctx context.Context, t *terminal, on evaluation) (r *report.Report, err error) {
	a, err := store.OpenArchive(ctx, on.path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	e, err := newEvidence(f.Truth, a)
	if err != nil {
		return nil, err
	}
	failures, elsewhere := e.failures(a.Sensors)
	if len(failures) == 0 && elsewhere > 0 {
		return nil, fmt.Errorf("all failures that are known of, %d, are of assets that %s has no reading of: sites and assets must be named as their readings name them", elsewhere, on.path)
	}
	if len(failures) == 0 {
		return nil, fmt.Errorf("nothing is known of failures in %s: give --truth FILE.csv, or publish what workshops found on %s<site>/<asset>/<sensor>", on.path, stream.VerdictPrefix)
	}
	s, err := newScoring(on.forest, on.rules)
	if err != nil {
		return nil, err
	}
	if err := s.read(a, t); err != nil {
		return nil, err
	}
	if len(s.rows) == 0 {
		return nil, fmt.Errorf("%s has no valid window: there is nothing to score", on.path)
	}
	caught, err := e.labelRows(s.rows, s.seen, f.Horizon)
	if err != nil {
		return nil, err
	}
	in := f.input(on.forest)
	in.Title, in.Rows, in.Candidates, in.Failures = "How well failures were foreseen", s.rows, s.candidates(), failures
	in.Match = model.DefaultMatchConfig()
	in.Match.Lead, in.Match.AssetHours, in.Match.From, in.Match.To = f.Lead, s.assetHours(), s.from, s.to+1
	in.Line = in.Candidates[1].Warned
	if on.told != nil {
		warnings, err := on.told(a)
		if err != nil {
			return nil, err
		}
		in.Line = &report.Warned{Warnings: warnings}
	}
	in.Data = report.Data{Source: on.source, Labels: e.words(f.Truth), Unit: report.Windows, Simulated: simulated(failures),
		Assets: len(a.Assets), Sensors: len(a.Sensors), Windows: s.all, Quarantined: s.bad, HorizonMin: f.Horizon.Minutes(), FromMs: s.from, ToMs: s.to, Elsewhere: elsewhere}
	if in.Trial, err = on.trial(&in, caught, f.Seed); err != nil {
		return nil, err
	}
	return report.Make(in)
}

// trial lets the forest and each rule rank the labelled windows that some rule has its inputs for. failure tells for each row which failure it is before. Without windows of both classes there is none.
func (on *evaluation) trial(in *report.Input, failure []int32, seed uint64) (*model.Trial, error) {
	rows := model.TrialRows{Failure: []int32{}}
	var forest, all report.Candidate
	var rules []report.Candidate
	for _, c := range in.Candidates {
		switch c.Name {
		case report.Forest:
			forest = c
		case report.Both:
		default:
			if c.Name == report.AllRules {
				all = c
			}
			rules = append(rules, c)
			rows.Rules = append(rows.Rules, model.Candidate{Name: c.Name})
		}
	}
	positives := 0
	for i := range in.Rows {
		if !in.Rows[i].Known || math.IsNaN(all.Scores[i]) {
			continue
		}
		rows.Y, rows.P = append(rows.Y, in.Rows[i].Y), append(rows.P, forest.Scores[i])
		rows.Group, rows.Failure = append(rows.Group, in.Rows[i].Group), append(rows.Failure, failure[i])
		for k := range rules {
			score := rules[k].Scores[i]
			if math.IsNaN(score) {
				score = model.Silent
			}
			rows.Rules[k].Score = append(rows.Rules[k].Score, score)
		}
		positives += int(in.Rows[i].Y)
	}
	if positives == 0 || positives == len(rows.Y) {
		return nil, nil
	}
	cfg := model.DefaultTrialConfig()
	cfg.Source, cfg.Split, cfg.Seed = on.source, on.split, seed
	t, err := model.HoldTrial(rows, cfg)
	t.ModelID = on.forest.ID()
	return &t, err
}

// scoring scores the stored windows of a warehouse anew: by a forest, by each rule alone, and by both as the line does. What a window's features say of the past is as it was stored.
type scoring struct {
	rules  model.Rules
	judges []*judge
	cover  map[int64]*covered // by asset
	rows   []report.Row
	seen   []*sight         // by the first window of each sensor
	by     map[int64]*sight // by sensor
	all    int              // windows
	bad    int              // of them quarantined
	from   int64
	to     int64
}

// judge is one who scores, and the alerts that his scores alone would raise. Who scores with the forest and the rules together moves alerts as the line does.
type judge struct {
	report.Candidate
	rule     int // position in model.Rules.Scores; -1: of none
	score    func(w *stream.Window, h model.Hold) (model.Scored, error)
	hot      func(w *stream.Window, h model.Hold, hot model.Hot) (model.Hot, *model.Alert, *model.Transition) // nil: nobody looks at quarantined windows
	holds    map[int64]model.Hold
	heat     map[int64]model.Hot
	open     map[string]int // position of the warning that stands, by alert id
	warnings []model.Warning
}

// covered is how far an asset's windows have been counted as observed, and for how long.
type covered struct{ end, ms int64 }

func newScoring(forest *model.Forest, rules model.Rules) (*scoring, error) {
	s := &scoring{rules: rules, cover: map[int64]*covered{}, by: map[int64]*sight{}, from: math.MaxInt64}
	levels := model.DefaultAlertConfig()
	line, err := model.NewScorer(forest, rules, levels)
	if err != nil {
		return nil, fmt.Errorf("use model: %w", err)
	}
	s.add(report.Forest, "the forest alone", true, func(w *stream.Window, h model.Hold) (model.Scored, error) {
		return levels.Next(h, w, forest.Predict(w.Features[:]), model.RuleResult{}, nil, ""), nil
	})
	both := s.add(report.Both, "forest and rules, as the line speaks", false, line.Score)
	both.hot = line.QuarantinedHot
	byRules := func(name, what string, position int, of model.Rules) {
		s.add(name, what, false, func(w *stream.Window, h model.Hold) (model.Scored, error) {
			return levels.Next(h, w, 0, of.Eval(w, h), nil, ""), nil
		}).rule = position
	}
	names := model.RuleNames()
	byRules(report.AllRules, "the strongest of the rules", len(names), rules)
	for i, name := range names {
		byRules(name, "a rule alone", i, rules.Only(name))
	}
	return s, nil
}

func (s *scoring) add(name, what string, probability bool, score func(w *stream.Window, h model.Hold) (model.Scored, error)) *judge {
	j := &judge{Candidate: report.Candidate{Name: name, What: what, Probability: probability}, rule: -1, score: score,
		holds: map[int64]model.Hold{}, heat: map[int64]model.Hot{}, open: map[string]int{}}
	s.judges = append(s.judges, j)
	return j
}

// read scores every window. Those between (of sensors that hop) overlap the others and count nowhere.
func (s *scoring) read(a *store.Archive, t *terminal) error {
	bar := newProgress(t, a.Closed, "score windows")
	defer bar.close()
	n := int64(0)
	for w, err := range a.Windows() {
		if err != nil {
			return err
		}
		if n++; n%showEvery == 0 {
			bar.set(n)
		}
		if w.Between {
			continue
		}
		s.observe(w)
		var said []float64
		if w.Valid() {
			said, _ = s.rules.Scores(w, s.judges[0].holds[w.Sensor.ID]) // whose hold: what rules need of the past is the same in all
		}
		for _, j := range s.judges {
			if err := j.window(w, said); err != nil {
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

// observe counts a window, and its time once for its asset. Windows come by their start; the row of a valid one is added next.
func (s *scoring) observe(w *stream.Window) {
	s.all++
	if !w.Valid() {
		s.bad++
	}
	s.from, s.to = min(s.from, w.Start), max(s.to, w.End)
	v := s.by[w.Sensor.ID]
	if v == nil {
		v = &sight{place: place{w.Sensor.Site, w.Sensor.Asset, w.Sensor.Name}}
		s.by[w.Sensor.ID], s.seen = v, append(s.seen, v)
	}
	v.windows = append(v.windows, model.Observed{Start: w.Start, End: w.End, Speed: w.Features[stream.FSpeed]})
	row := -1
	if w.Valid() {
		row = len(s.rows)
	}
	v.rows = append(v.rows, row)
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

// window scores one window and moves the alerts; said is what each rule says of it.
func (j *judge) window(w *stream.Window, said []float64) error {
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
	score := max(p.PFailure, p.RuleScore) // of the forest alone the other is 0
	if j.rule >= 0 {
		if score = said[j.rule]; score == model.Silent {
			score = math.NaN()
		}
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
