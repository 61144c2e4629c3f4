package model_test

import (
	"math"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

const long = time.Hour // a brake that has not been used for long

// TestDefaultRules is the default profile as a table: what the window shows, which rule speaks, how loud.
func TestDefaultRules(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		what     string
		kind     stream.Kind
		mean     float64 // degC
		over     float64 // K over ambient
		mate     float64 // K over the mate
		peer     float64 // K over the peers' median
		unbraked time.Duration
		rule     string
		level    model.Level
	}{
		{"a cool bearing", stream.Bearing, 45, 20, 1, 1, 0, "absolute", model.Normal},
		{"a bearing just under warm", stream.Bearing, 79.9, 44.9, 19.9, 0, 0, "absolute", model.Normal},
		{"a warm bearing", stream.Bearing, 80, 40, 5, 5, 0, "absolute", model.Watch},
		{"a hot bearing", stream.Bearing, 95, 60, 5, 5, 0, "absolute", model.Alarm},
		{"a burning bearing", stream.Bearing, 110, 60, 5, 5, 0, "absolute", model.Critical},
		{"warm on a cold day", stream.Bearing, 50, 45, 5, 5, 0, "over_ambient", model.Watch},
		{"hot on a cold day", stream.Bearing, 70, 65, 5, 5, 0, "over_ambient", model.Alarm},
		{"very hot on a cold day", stream.Bearing, 94, 90, 5, 5, 0, "over_ambient", model.Critical},
		{"warmer than its mate", stream.Bearing, 60, 30, 20, 5, 0, "mate_difference", model.Watch},
		{"hotter than its mate", stream.Bearing, 60, 30, 35, 5, 0, "mate_difference", model.Alarm},
		{"far hotter than its mate", stream.Bearing, 60, 30, 45, 5, 0, "mate_difference", model.Critical},
		{"cooler than its mate", stream.Bearing, 60, 30, -50, 5, 0, "absolute", model.Normal},
		{"the higher level wins", stream.Bearing, 82, 66, 21, 5, 0, "over_ambient", model.Alarm},
		{"only the mean is known", stream.Bearing, 96, nan, nan, nan, 0, "absolute", model.Alarm},
		{"nothing is known", stream.Bearing, nan, nan, nan, nan, 0, "", model.Normal},
		{"a motor at work", stream.Motor, 120, 90, 60, 5, 0, "absolute", model.Normal},
		{"a warm motor", stream.Motor, 135, 90, 0, 5, 0, "absolute", model.Watch},
		{"a hot motor", stream.Motor, 145, 90, 0, 5, 0, "absolute", model.Alarm},
		{"a motor at its class limit", stream.Motor, 155, 90, 0, 5, 0, "absolute", model.Critical},
		{"a brake in use", stream.Brake, 580, 550, 0, 20, 0, "peer_difference", model.Normal},
		{"a brake released a while ago", stream.Brake, 450, 420, 0, 20, 4 * time.Minute, "peer_difference", model.Normal},
		{"a dragging brake, warm", stream.Brake, 200, 180, 0, 20, 5 * time.Minute, "absolute", model.Watch},
		{"a dragging brake, hot", stream.Brake, 300, 280, 0, 20, long, "absolute", model.Alarm},
		{"a dragging brake, burning", stream.Brake, 400, 380, 0, 20, long, "absolute", model.Critical},
		{"a brake unlike its peers", stream.Brake, 190, 160, 0, 100, 0, "peer_difference", model.Watch},
		{"a cool transformer", stream.Transformer, 70, 40, nan, nan, 0, "absolute", model.Normal},
		{"a warm transformer", stream.Transformer, 90, 60, nan, nan, 0, "absolute", model.Watch},
		{"a hot transformer", stream.Transformer, 105, 70, nan, nan, 0, "absolute", model.Alarm},
		{"a boiling transformer", stream.Transformer, 130, 90, nan, nan, 0, "absolute", model.Critical},
		{"something else", stream.Other, 900, 880, 100, 100, long, "", model.Normal},
	} {
		t.Run(tt.what, func(t *testing.T) {
			x := features(tt.kind, tt.mean, tt.over, tt.mate, tt.peer)
			got := model.DefaultRules().Eval(&x, model.Normal, tt.unbraked)
			if got.Name != tt.rule || got.Level != tt.level {
				t.Errorf("got %q at %s with score %.3f, want %q at %s", got.Name, got.Level, got.Score, tt.rule, tt.level)
			}
			if (got.Why == "") != (tt.level == model.Normal) {
				t.Errorf("level %s says %q", got.Level, got.Why)
			}
		})
	}
}

// features is a window that shows only what the rules look at.
func features(kind stream.Kind, mean, over, mate, peer float64) stream.Features {
	var x stream.Features
	for i := range x {
		x[i] = math.NaN()
	}
	x[stream.FKind], x[stream.FMean], x[stream.FOverAmbient], x[stream.FMateDiff], x[stream.FPeerDiff] = float64(kind), mean, over, mate, peer
	return x
}

func TestRuleSentences(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		x    stream.Features
		held model.Level
		want string
	}{
		{features(stream.Bearing, 97.44, nan, nan, nan), model.Normal, "mean temperature 97.4 °C reaches the alarm limit of 95 °C"},
		{features(stream.Bearing, 92, nan, nan, nan), model.Alarm, "mean temperature 92 °C is held by the deadband of 5 K under the alarm limit of 95 °C"},
		{features(stream.Bearing, 60, 47, nan, nan), model.Normal, "rise over ambient 47 K reaches the watch limit of 45 K"},
		{features(stream.Bearing, 60, nan, 36.06, nan), model.Normal, "difference to the other end of the axle 36.1 K reaches the alarm limit of 35 K"},
		{features(stream.Brake, 60, nan, nan, 130), model.Normal, "difference to the median of its peers 130 K reaches the watch limit of 100 K"},
		{features(stream.Brake, 310, nan, nan, 0), model.Normal, "mean temperature 310 °C reaches the alarm limit of 300 °C after 5m0s without braking"},
	} {
		if got := model.DefaultRules().Eval(&tt.x, tt.held, long).Why; got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

func TestDeadbandHoldsWhatIsHeld(t *testing.T) {
	limit := model.DefaultRules().Bearing[0] // 80, 95, 110 degC, deadband 5 K
	for _, tt := range []struct {
		v    float64
		held model.Level
		want model.Level
	}{
		{92, model.Normal, model.Watch}, {92, model.Watch, model.Watch}, {92, model.Alarm, model.Alarm}, {92, model.Critical, model.Alarm},
		{90, model.Alarm, model.Alarm}, {89.9, model.Alarm, model.Watch}, {106, model.Critical, model.Critical}, {104, model.Critical, model.Alarm},
		{75, model.Watch, model.Watch}, {74.9, model.Critical, model.Normal}, {math.NaN(), model.Critical, model.Normal},
	} {
		if got := limit.RuleLevel(tt.v, tt.held); got != tt.want {
			t.Errorf("%v degC with %s held is %s, want %s", tt.v, tt.held, got, tt.want)
		}
	}
}

func TestScoreNeverFalls(t *testing.T) {
	for _, limit := range []model.Limit{
		{Watch: 80, Alarm: 95, Critical: 110}, {Watch: 100}, {Critical: 7}, {Alarm: 3, Critical: 4}, {Watch: 1, Critical: 9},
	} {
		last := 0.0
		for v := -50.0; v < 1000; v += 0.25 {
			s := limit.RuleScore(v)
			if s < last || s > 1 || v <= 0 && s != 0 {
				t.Fatalf("%+v: score %v at %v after %v", limit, s, v, last)
			}
			last = s
		}
	}
	limit := model.Limit{Watch: 80, Alarm: 95, Critical: 110}
	for v, want := range map[float64]float64{0: 0, 40: 0.15, 80: 0.3, 87.5: 0.45, 95: 0.6, 110: 0.85, 220: 0.925} {
		if got := limit.RuleScore(v); math.Abs(got-want) > 1e-12 {
			t.Errorf("score of %v is %v, want %v", v, got, want)
		}
	}
}

func TestRulesValidate(t *testing.T) {
	if err := model.DefaultRules().Validate(); err != nil {
		t.Fatal(err)
	}
	good := model.Limit{Rule: "absolute", Watch: 80, Alarm: 90, Source: "a test"}
	for name, tt := range map[string]struct {
		spoil func(l *model.Limit)
		says  string
	}{
		"unknown rule":       {func(l *model.Limit) { l.Rule = "hunch" }, "no such rule"},
		"no source":          {func(l *model.Limit) { l.Source = "" }, "no source"},
		"no limit":           {func(l *model.Limit) { l.Watch, l.Alarm = 0, 0 }, "no limit"},
		"falling":            {func(l *model.Limit) { l.Alarm = 70 }, "70 for alarm does not rise"},
		"NaN":                {func(l *model.Limit) { l.Alarm = math.NaN() }, "does not rise"},
		"negative":           {func(l *model.Limit) { l.Watch = -3 }, "does not rise"},
		"endless":            {func(l *model.Limit) { l.Alarm = math.Inf(1) }, "does not rise"},
		"negative deadband":  {func(l *model.Limit) { l.Deadband = -1 }, "deadband"},
		"negative unbraked":  {func(l *model.Limit) { l.Unbraked = -1 }, "without braking"},
		"nothing is spoiled": {func(*model.Limit) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := good
			tt.spoil(&l)
			err := model.Rules{Motor: []model.Limit{l}}.Validate()
			if tt.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			mustFail(t, err, "check rules: motor", tt.says)
		})
	}
}
