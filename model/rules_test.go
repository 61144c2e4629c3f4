package model_test

import (
	"fmt"
	"math"
	"strings"
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
		{"unlike the other boxes", stream.Bearing, 60, 30, 5, 15, 0, "peer_difference", model.Watch},
		{"the higher level wins", stream.Bearing, 82, 66, 21, 5, 0, "over_ambient", model.Alarm},
		{"only the mean is known", stream.Bearing, 96, nan, nan, nan, 0, "absolute", model.Alarm},
		{"nothing is known", stream.Bearing, nan, nan, nan, nan, 0, "", model.Normal},
		{"a motor at work", stream.Motor, 120, 70, 60, 5, 0, "absolute", model.Normal},
		{"a warm motor", stream.Motor, 135, 84, 0, 5, 0, "absolute", model.Watch},
		{"a motor on a cold day", stream.Motor, 100, 95, 0, 5, 0, "over_ambient", model.Alarm},
		{"a hot motor", stream.Motor, 145, 90, 0, 5, 0, "absolute", model.Alarm},
		{"a motor at its class limit", stream.Motor, 155, 90, 0, 5, 0, "absolute", model.Critical},
		{"a brake in use", stream.Brake, 580, 550, 0, 20, 0, "peer_difference", model.Normal},
		{"a brake released a while ago", stream.Brake, 450, 420, 0, 20, 4 * time.Minute, "peer_difference", model.Normal},
		{"a dragging brake, warm", stream.Brake, 200, 180, 0, 20, 5 * time.Minute, "absolute", model.Watch},
		{"a dragging brake, hot", stream.Brake, 300, 280, 0, 20, long, "absolute", model.Alarm},
		{"a dragging brake, burning", stream.Brake, 400, 380, 0, 20, long, "absolute", model.Critical},
		{"a brake unlike its peers", stream.Brake, 190, 160, 0, 100, 0, "peer_difference", model.Watch},
		{"a cool transformer", stream.Transformer, 70, 35, nan, nan, 0, "absolute", model.Normal},
		{"a warm transformer", stream.Transformer, 90, 50, nan, nan, 0, "absolute", model.Watch},
		{"a transformer on a cold day", stream.Transformer, 75, 60, nan, nan, 0, "over_ambient", model.Alarm},
		{"a hot transformer", stream.Transformer, 105, 59, nan, nan, 0, "absolute", model.Alarm},
		{"a boiling transformer", stream.Transformer, 130, 74, nan, nan, 0, "absolute", model.Critical},
		{"something else", stream.Other, 900, 880, 100, 100, long, "", model.Normal},
	} {
		t.Run(tt.what, func(t *testing.T) {
			x := features(tt.kind, tt.mean, tt.over, tt.mate, tt.peer)
			got := judged(x, model.Normal, tt.unbraked)
			if got.Name != tt.rule || got.Level != tt.level {
				t.Errorf("got %q at %s with score %.3f, want %q at %s", got.Name, got.Level, got.Score, tt.rule, tt.level)
			}
			if (got.Why == "") != (tt.level == model.Normal) {
				t.Errorf("level %s says %q", got.Level, got.Why)
			}
		})
	}
}

// judged is what the default rules say of a window that shows x, of a sensor at a level that has seen no braking for so long at its end.
func judged(x stream.Features, held model.Level, unbraked time.Duration) model.RuleResult {
	w := window(sensor(stream.Kind(x[stream.FKind])), 0, 0)
	h := model.Hold{Level: held, LastEnd: w.Start}
	if unbraked > 0 {
		h.FreeSince, x[stream.FBrakeShare] = w.End-unbraked.Milliseconds(), 0
	}
	w.Features = x
	return model.DefaultRules().Eval(w, h)
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
		if got := judged(tt.x, tt.held, long).Why; got != tt.want {
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
	for v, want := range map[float64]float64{0: 0, 40: 0.2, 80: 0.4, 87.5: 0.65, 95: 0.9, 110: 0.97, 220: 0.985} {
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
		"negative steady":    {func(l *model.Limit) { l.Steady = -1 }, "at a steady speed"},
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

// TestRateWaitsForASteadySpeed walks a bearing that heats by 4 K a minute through a run: pulling away, a long run, a step of speed, a gap.
func TestRateWaitsForASteadySpeed(t *testing.T) {
	const runUp = 21 // windows that the mask of twenty minutes takes, with the one that pulls away
	for name, tt := range map[string]struct {
		speed func(n int64) float64
		skip  int64 // a window that is missing
		first int64 // window that alarms first; -1: none
	}{
		"after twenty minutes of a steady speed": {func(n int64) float64 { return 40 + 35*float64(min(n, 1)) }, -1, runUp - 1},
		"not where no speed is known":            {func(int64) float64 { return math.NaN() }, -1, -1},
		"not where it stands":                    {func(int64) float64 { return 0 }, -1, -1},
		"a step of speed begins anew":            {func(n int64) float64 { return 50 + 20*float64(n/10%2) }, -1, -1},
		"a small change does not":                {func(n int64) float64 { return 70 + 14*float64(n%2) }, -1, runUp - 2},
		"a gap begins anew":                      {func(int64) float64 { return 70 }, 10, 10 + runUp - 1},
	} {
		t.Run(name, func(t *testing.T) {
			rules := model.DefaultRules().Only(model.RuleRate)
			var h model.Hold
			first := int64(-1)
			for n := int64(0); n < 45 && first < 0; n++ {
				w := window(sensor(stream.Bearing), n, 50)
				w.Features[stream.FSpeed], w.Features[stream.FSlope] = tt.speed(n), 4
				if n == tt.skip {
					continue
				}
				if r := rules.Eval(w, h); r.Level >= model.Alarm {
					first = n
					if want := fmt.Sprintf(" after 20m0s at a steady %.0f km/h", h.SteadyKmh); !strings.HasPrefix(r.Why, "rate of rise over some minutes 4 K/min reaches the alarm limit of 3.4 K/min") || !strings.HasSuffix(r.Why, want) {
						t.Errorf("it says %q", r.Why)
					}
				}
				h = h.Follow(w)
			}
			if first != tt.first {
				t.Errorf("the first alarm is in window %d, want %d", first, tt.first)
			}
		})
	}
}

// TestRateIsNotOneWindow: a single steep window is noise, and the rate forgets it.
func TestRateIsNotOneWindow(t *testing.T) {
	var h model.Hold
	for n := int64(0); n < 60; n++ {
		w := window(sensor(stream.Bearing), n, 50)
		w.Features[stream.FSpeed], w.Features[stream.FSlope] = 70, 0.3
		if n == 40 {
			w.Features[stream.FSlope] = 9
		}
		if r := model.DefaultRules().Only(model.RuleRate).Eval(w, h); r.Level != model.Normal {
			t.Fatalf("window %d: %s", n, r.Why)
		}
		h = h.Follow(w)
	}
	if math.Abs(h.Rate-0.3) > 0.03 {
		t.Errorf("the rate is %v K/min after a quarter of an hour at 0.3", h.Rate)
	}
}

// TestRulesGoOnBetween: a window that overlaps those that learn is no gap. What waits for a steady speed, or for time without braking, speaks in it as in its neighbours.
func TestRulesGoOnBetween(t *testing.T) {
	for kind, rule := range map[stream.Kind]string{stream.Bearing: model.RuleRate, stream.Brake: model.RuleAbsolute} {
		heat := func(n int64) *stream.Window {
			w := window(sensor(kind), n, 320)
			w.Features[stream.FSpeed], w.Features[stream.FSlope], w.Features[stream.FBrakeShare] = 70, 4, 0
			return w
		}
		var h model.Hold
		for n := int64(0); n < 30; n++ {
			h = h.Follow(heat(n))
		}
		for late := int64(10_000); late < 60_000; late += 10_000 {
			w := heat(29)
			w.Start, w.End, w.Between = w.Start+late, w.End+late, true
			if r := model.DefaultRules().Only(rule).Eval(w, h); r.Name != rule || r.Level < model.Alarm {
				t.Errorf("%s, %d s behind: %+v", kind, late/1000, r)
			}
		}
		if r := model.DefaultRules().Only(rule).Eval(heat(31), h); r.Name == rule {
			t.Errorf("%s: a gap may hide what it waits for, and it speaks: %+v", kind, r)
		}
	}
}

// TestEveryRuleSpeaksAlone: each rule of the default profile has a figure that makes it speak, its words and its unit.
func TestEveryRuleSpeaksAlone(t *testing.T) {
	for rule, want := range map[string]string{
		model.RuleAbsolute: "mean temperature 95 °C reaches the alarm limit of 95 °C", model.RuleOverAmbient: "rise over ambient 95 K reaches the critical limit of 90 K",
		model.RuleMateDifference: "difference to the other end of the axle 95 K reaches the critical limit of 45 K",
		model.RulePeerDifference: "difference to the median of its peers 95 K reaches the critical limit of 45 K",
		model.RulePeerZ:          "robust z against its peers 95 reaches the watch limit of 4", model.RuleRiseBaseline: "rise over its own baseline 95 K reaches the critical limit of 45 K",
		model.RuleRate: "rate of rise over some minutes 95 K/min reaches the alarm limit of 3.4 K/min after 1h0m0s at a steady 70 km/h",
	} {
		w := window(sensor(stream.Bearing), 0, 95)
		for _, f := range []int{stream.FOverAmbient, stream.FMateDiff, stream.FPeerDiff, stream.FPeerZ, stream.FRiseBaseline, stream.FSlope} {
			w.Features[f] = 95
		}
		w.Features[stream.FSpeed] = 70
		got := model.DefaultRules().Only(rule).Eval(w, model.Hold{LastEnd: w.Start, SteadySince: w.End - long.Milliseconds(), SteadyKmh: 70, Rate: 95})
		if got.Name != rule || got.Why != want {
			t.Errorf("%s: %q says %q, want %q", rule, got.Name, got.Why, want)
		}
	}
	if got := model.RuleNames(); len(got) != 7 {
		t.Errorf("the rules are %v", got)
	}
}
