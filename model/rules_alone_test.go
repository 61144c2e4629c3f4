package model_test

import (
	"math"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// TestRulesAlone: without a forest the probability is the strongest rule's score, the level and the sentence are the rule's, and what it looked at is the explanation.
func TestRulesAlone(t *testing.T) {
	scorer, err := model.NewScorer(nil, model.DefaultRules(), model.DefaultAlertConfig())
	if err != nil || scorer.ModelID() != model.RulesID {
		t.Fatalf("%q: %v", scorer.ModelID(), err)
	}
	s := sensor(stream.Bearing)
	for _, c := range []struct {
		mean, ambient, mate float64
		source, feature     string
		level               model.Level
	}{
		{50, 30, 1, model.RuleAbsolute, "mean_c", model.Normal},
		{97, 70, 1, model.RuleAbsolute, "mean_c", model.Alarm},
		{70, 20, 2, model.RuleOverAmbient, "over_ambient_c", model.Watch},
		{60, 40, 50, model.RuleMateDifference, "mate_diff_c", model.Critical},
	} {
		w := window(s, 0, 0)
		w.Features = bearing(c.mean, c.ambient, c.mate)
		got, err := scorer.Score(w, model.Hold{})
		if err != nil {
			t.Fatal(err)
		}
		p := got.Prediction
		if p.Source != c.source || p.Level != c.level || p.ModelID != model.RulesID || p.PFailure != p.RuleScore || !(p.PFailure > 0 && p.PFailure < 1) {
			t.Errorf("mean %v: %+v", c.mean, p)
		}
		if len(p.Explanation) != 1 || p.Explanation[0].Feature != c.feature || p.Explanation[0].Contribution != p.PFailure {
			t.Errorf("mean %v: explanation %+v", c.mean, p.Explanation)
		}
		if a := got.Alert; c.level == model.Critical && (a == nil || a.Rule != c.source || a.ModelID != model.RulesID || !strings.Contains(a.Reason, "critical limit of 45 K") || strings.Contains(a.Reason, "probability")) {
			t.Errorf("alert %+v", a)
		}
	}
	// A level is held by the rule's deadband, whatever its score would hold.
	w := window(s, 0, 0)
	w.Features = bearing(91, 60, 1)
	for held, want := range map[model.Level]model.Level{model.Alarm: model.Alarm, model.Normal: model.Watch} {
		if got, _ := scorer.Score(w, model.Hold{Level: held}); got.Prediction.Level != want {
			t.Errorf("held at %s: %s, want %s", held, got.Prediction.Level, want)
		}
	}
	// Where no rule has its inputs nothing is made up.
	w = window(sensor(stream.Other), 0, 0)
	w.Features = bearing(300, 20, 90)
	w.Features[stream.FKind] = float64(stream.Other)
	got, err := scorer.Score(w, model.Hold{})
	if p := got.Prediction; err != nil || p.Source != model.RulesID || p.PFailure != 0 || p.Level != model.Normal || p.Explanation != nil {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestShadows: each forest in shadow says what it would say live, and moves nothing.
func TestShadows(t *testing.T) {
	live, cold := mustTrain(t, fleet(2000, 1), small()), mustTrain(t, fleet(2000, 2), small())
	alone, err := model.NewScorer(live, model.DefaultRules(), model.DefaultAlertConfig())
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := alone.With(live, []*model.Forest{cold, live})
	if err != nil {
		t.Fatal(err)
	}
	w := window(sensor(stream.Bearing), 0, 0)
	w.Features = bearing(85, 25, 40)
	got, err := scorer.Score(w, model.Hold{})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := alone.Score(w, model.Hold{})
	if got.Prediction.PFailure != want.Prediction.PFailure || got.Prediction.Hold != want.Prediction.Hold || len(want.Shadows) != 0 {
		t.Errorf("a shadow moves the prediction: %+v, want %+v", got.Prediction, want.Prediction)
	}
	if len(got.Shadows) != 2 {
		t.Fatalf("%d shadows, want 2", len(got.Shadows))
	}
	for i, f := range []*model.Forest{cold, live} {
		s := got.Shadows[i]
		if s.ModelID != f.ID() || s.PFailure != f.Predict(w.Features[:]) || s.WindowID != w.ID() || s.Revision != w.Revision {
			t.Errorf("shadow %d: %+v", i, s)
		}
	}
	if got.Shadows[1].Differs {
		t.Error("the live forest differs from itself")
	}
	rules, err := scorer.With(nil, []*model.Forest{live})
	if err != nil {
		t.Fatal(err)
	}
	w.Features = bearing(40, 35, math.NaN())
	if got, err = rules.Score(w, model.Hold{}); err != nil || got.Prediction.ModelID != model.RulesID || len(got.Shadows) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := scorer.With(mustTrain(t, noisy(200, 20, 1), small()), nil); err == nil {
		t.Error("a live forest for other features is taken")
	}
	if _, err := scorer.With(nil, []*model.Forest{mustTrain(t, noisy(200, 20, 1), small())}); err == nil {
		t.Error("a shadow for other features is taken")
	}
}
