package model_test

import (
	"math"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// TestFiguresInWords pins how each feature is said: with its unit, its direction, what is usual, and when it is missing.
func TestFiguresInWords(t *testing.T) {
	said := map[string]bool{}
	for _, tt := range []struct {
		feature      int
		value, usual float64 // NaN: not known
		want         string
	}{
		{stream.FKind, 1, 1, "the component is a bearing"},
		{stream.FMean, 81.54, 42.1, "mean of 81.5 °C, usual 42.1 °C"},
		{stream.FMax, 83, math.NaN(), "highest reading of 83 °C"},
		{stream.FMin, -3.25, 12, "lowest reading of -3.3 °C, usual 12 °C"},
		{stream.FStd, 0.42, 0.2, "standard deviation of 0.4 K, usual 0.2 K"},
		{stream.FLast, 81.9, 41, "last reading of 81.9 °C, usual 41 °C"},
		{stream.FSlope, 1.24, 0.01, "rising by 1.2 K/min, usual 0 K/min"},
		{stream.FSlope, -0.8, 0.3, "falling by 0.8 K/min, usual 0.3 K/min rising"},
		{stream.FShortLong, 0.5, -0.1, "0.5 K over its mean at the end, usual 0.1 K under"},
		{stream.FAmbient, 28, 21.4, "ambient of 28 °C, usual 21.4 °C"},
		{stream.FOverAmbient, 45.3, 17, "45.3 K over ambient, usual 17 K"},
		{stream.FSpeed, 72, 80, "mean speed of 72 km/h, usual 80 km/h"},
		{stream.FLoad, 60, 55, "mean load of 60 t, usual 55 t"},
		{stream.FBrakeShare, 0.2, 0, "brake applied for 20 %, usual 0 %"},
		{stream.FRiseBaseline, 10.2, -0.4, "10.2 K over its baseline, usual 0.4 K under"},
		{stream.FPeerDiff, -9.9, -0.3, "9.9 K under its peers, usual 0.3 K"},
		{stream.FPeerZ, 4.1, 0.2, "4.1 robust deviations over its peers, usual 0.2"},
		{stream.FMateDiff, 12.4, 1.1, "12.4 K over its mate, usual 1.1 K"},
		{stream.FMateDiff, -3.2, 1.1, "3.2 K under its mate, usual 1.1 K over"},
		{stream.FMateDiff, -0.01, -0.02, "0 K under its mate, usual 0 K"},
		{stream.FMateDiff, math.NaN(), 1.1, "no mate"},
		{stream.FPeerDiff, math.NaN(), 1.1, "fewer than 2 peers"},
		{stream.FRiseBaseline, math.NaN(), math.NaN(), "no baseline yet"},
		{stream.FHeading, 60.1, 19, "heading for 60.1 K over ambient, usual 19 K"},
		{stream.FCompleteness, 0.95, 1, "95 % of the expected readings, usual 100 %"},
		{stream.FSuspectShare, 0.02, 0, "2 % of the readings suspect, usual 0 %"},
	} {
		c := model.Contribution{Feature: stream.FeatureList[tt.feature].Name, Value: tt.value}
		if !math.IsNaN(tt.usual) {
			c.Usual = &tt.usual
		}
		if got := c.Text(); got != tt.want {
			t.Errorf("%s of %v, usual %v: %q, want %q", c.Feature, tt.value, tt.usual, got, tt.want)
		}
		said[c.Feature] = true
		c.Value = math.NaN()
		if got := c.Text(); got == "" || strings.ContainsAny(got, "%") || strings.Contains(got, "NaN") {
			t.Errorf("%s missing is said %q", c.Feature, got)
		}
	}
	for _, f := range stream.FeatureList {
		if !said[f.Name] {
			t.Errorf("%s has no line here", f.Name)
		}
	}
	usual := 641.82
	for want, c := range map[string]model.Contribution{
		"s2_last 643, usual 642": {Feature: "s2_last", Value: 642.6, Usual: &usual},
		"x0 0.0123":              {Feature: "x0", Value: 0.01234},
		"x0 1e+20":               {Feature: "x0", Value: 1e20},
		"x0 missing":             {Feature: "x0", Value: math.NaN(), Usual: &usual},
	} {
		if got := c.Text(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestAlertsAreExplainedExactly: the window that raises an alert, or makes it worse, has exact Shapley values in the alert; the predictions, and the alert between, have their path.
func TestAlertsAreExplainedExactly(t *testing.T) {
	f := mustTrain(t, fleet(4000, 1), model.DefaultTrainConfig())
	scorer, err := model.NewScorer(f, model.Rules{}, model.DefaultAlertConfig())
	if err != nil {
		t.Fatal(err)
	}
	s, hold := sensor(stream.Bearing), model.Hold{}
	var last *model.Alert
	for i := range int64(4) {
		w := window(s, i, 0)
		w.Features = bearing(95, 25, 35)
		scored, err := scorer.Score(w, hold)
		if err != nil {
			t.Fatal(err)
		}
		hold = scored.Prediction.Hold
		_, path := f.Explain(w.Features[:], model.DefaultTop)
		exact, err := f.ExplainExactly(w.Features[:], model.DefaultTop)
		if err != nil {
			t.Fatal(err)
		}
		if got := scored.Prediction.Explanation; got[0].Contribution != path[0].Contribution || scored.Prediction.Score != nil {
			t.Errorf("window %d: the prediction is explained by %+v, its path by %+v", i, got, path)
		}
		if path[0].Contribution == exact[0].Contribution || exact[0].Usual == nil {
			t.Fatalf("path %+v, exact %+v", path, exact)
		}
		a := scored.Alert
		if a == nil {
			continue
		}
		want, method := path, model.MethodPath
		if len(scored.Transitions) > 0 {
			want, method = exact, model.MethodTreeSHAP
		}
		if a.Method != method || a.Explanation[0].Contribution != want[0].Contribution || !strings.Contains(a.Reason, want[0].Text()) {
			t.Errorf("window %d: the alert says %q, by %s: %+v", i, a.Reason, a.Method, a.Explanation)
		}
		last = a
	}
	if last == nil || last.Method != model.MethodPath {
		t.Errorf("the last alert is %+v", last)
	}
}
