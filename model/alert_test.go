package model_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

const minute = 60_000

// sensor is the axle box of the stories below.
func sensor(kind stream.Kind) *stream.Sensor {
	return &stream.Sensor{ID: 7, AssetID: 2, Site: "douala", Asset: "loco-3301", Name: "axle3-left", Kind: kind}
}

// window is the n-th minute of a sensor, at mean degC.
func window(s *stream.Sensor, n int64, mean float64) *stream.Window {
	const start = 1_763_900_040_000 // 2025-11-23T12:14:00Z
	w := &stream.Window{Sensor: s, Start: start + n*minute, End: start + (n+1)*minute, N: 60, Expected: 60, Completeness: 1}
	w.Features = features(s.Kind, mean, math.NaN(), math.NaN(), math.NaN())
	return w
}

// storyLevels are the levels of the stories below: round numbers, whatever the defaults are.
func storyLevels() model.AlertConfig {
	c := model.DefaultAlertConfig()
	c.Watch, c.Alarm, c.Critical, c.Hysteresis = 0.3, 0.6, 0.85, 0.1
	return c
}

// TestAlertStories tells what an alert does, window by window. A step is the forest's probability, optionally with the mean temperature after a slash (50
// otherwise), then what must come of it: the level, and what moved.
func TestAlertStories(t *testing.T) {
	for _, story := range []struct{ name, steps string }{
		{"one bad window is not an alert", `
			0.10 normal
			0.70 alarm
			0.10 normal
			0.70 alarm
			0.55 alarm   raised alarm`}, // held by the hysteresis, and it counts
		{"two in a row raise, five quiet ones clear", `
			0.70 alarm
			0.65 alarm   raised alarm
			0.40 watch   open
			0.19 normal  open
			0.10 normal  open
			0.10 normal  open
			0.10 normal  open
			0.10 normal  cleared alarm
			0.10 normal`},
		{"critical raises at once", `
			0.10 normal
			0.90 critical raised critical
			0.76 critical open
			0.74 alarm   open`},
		{"severity rises at once and never falls while open", `
			0.60 alarm
			0.60 alarm   raised alarm
			0.85 critical severity alarm>critical
			0.50 alarm   open
			0.86 critical open
			0.10 normal  open
			0.10 normal  open
			0.10 normal  open
			0.10 normal  open
			0.10 normal  cleared critical`},
		{"a watch while open starts the count again", `
			0.90 critical raised critical
			0.10 normal  open
			0.10 normal  open
			0.10 normal  open
			0.10 normal  open
			0.35 watch   open
			0.25 watch   open
			0.19 normal  open
			0.29 normal  open
			0.10 normal  open
			0.10 normal  open
			0.10 normal  cleared critical`},
		{"after clearing, an alert starts anew", `
			0.90 critical raised critical
			0 normal open
			0 normal open
			0 normal open
			0 normal open
			0 normal cleared critical
			0.7 alarm
			0.7 alarm raised alarm`},
		{"each level is held a tenth lower", `
			0.29 normal
			0.30 watch
			0.21 watch
			0.19 normal
			0.60 alarm
			0.51 alarm   raised alarm
			0.49 watch   open
			0.59 watch   open`},
		{"a rule raises what the forest does not see", `
			0.05/81  watch    absolute
			0.05/96  alarm    absolute
			0.05/97  alarm    absolute raised alarm
			0.05/111 critical absolute severity alarm>critical
			0.05/91  alarm    absolute open
			0.05/76  watch    absolute open
			0.05/74  normal   open`},
		{"the forest speaks where both are as loud", `
			0.65/96 alarm
			0.65/96 alarm raised alarm
			0.65/111 critical absolute severity alarm>critical
			0.95/111 critical open`},
		{"whatever still supports a level holds it", `
			0.55/96 alarm absolute
			0.55/60 alarm raised alarm
			0.45/60 watch open`},
	} {
		t.Run(story.name, func(t *testing.T) {
			s := sensor(stream.Bearing)
			var hold model.Hold
			for n, line := range strings.Split(strings.TrimSpace(story.steps), "\n") {
				step := strings.Fields(line)
				p, mean := 0.0, 50.0
				if _, err := fmt.Sscanf(step[0], "%g/%g", &p, &mean); err != nil {
					if _, err := fmt.Sscanf(step[0], "%g", &p); err != nil {
						t.Fatal(err)
					}
				}
				w := window(s, int64(n), mean)
				rule := model.DefaultRules().Eval(w, hold)
				got := storyLevels().Next(hold, w, p, rule, nil, "0123456789abcdef")
				if want := strings.Join(step[1:], " "); tell(got) != want {
					t.Fatalf("step %d, %s: got %q, want %q", n+1, step[0], tell(got), want)
				}
				hold = got.Prediction.Hold
			}
		})
	}
}

// tell puts what came of a window in the words of the stories.
func tell(s model.Scored) string {
	words := []string{s.Prediction.Level.String()}
	if s.Prediction.Source != model.SourceForest {
		words = append(words, s.Prediction.Source)
	}
	for _, tr := range s.Transitions {
		switch tr.Kind {
		case model.KindRaised:
			words = append(words, "raised", tr.To.String())
		case model.KindSeverity:
			words = append(words, "severity", tr.From.String()+">"+tr.To.String())
		case model.KindCleared:
			words = append(words, "cleared", tr.From.String())
		}
	}
	if len(s.Transitions) == 0 && s.Alert != nil {
		words = append(words, "open")
	}
	return strings.Join(words, " ")
}

// TestAlertRow follows one alert's row and transitions field by field.
func TestAlertRow(t *testing.T) {
	s, c := sensor(stream.Bearing), storyLevels()
	why := []model.Contribution{{Feature: "mate_diff_c", Value: 31.44, Contribution: 0.4}, {Feature: "peer_z", Value: math.NaN(), Contribution: -0.1}}
	first := c.Next(model.Hold{}, window(s, 0, 70), 0.7, model.RuleResult{}, why, "m")
	if first.Alert != nil || first.Transitions != nil {
		t.Fatalf("the first window made %+v %+v", first.Alert, first.Transitions)
	}
	w := window(s, 1, 71)
	w.Revision = 3
	second := c.Next(first.Prediction.Hold, w, 0.72, model.RuleResult{Name: "absolute", Score: 0.2}, why, "m")
	reason := "failure probability 0.72 reaches the alarm limit of 0.60; largest path contributions: 31.4 K over its mate (+0.40); fewer than 3 peers (-0.10)"
	a := second.Alert
	want := &model.Alert{
		ID: a.ID, SensorID: 7, State: model.Active, Severity: model.Alarm, RaisedAt: w.End, UpdatedAt: w.End, PFailure: 0.72, Value: 71,
		Rule: "forest", Reason: reason, Explanation: why, Method: model.MethodPath, WindowID: w.ID(), Start: w.Start, End: w.End, ModelID: "m",
	}
	if a.Explanation[1].Value = 0; !reflect.DeepEqual(a, want) { // NaN is not equal to itself
		t.Errorf("alert %+v\nwant  %+v", a, want)
	}
	raised := model.Transition{
		AlertID: a.ID, SensorID: 7, WindowID: w.ID(), Revision: 3, At: w.End, Kind: "raised", From: model.Normal, To: model.Alarm,
		State: model.Active, Cause: "2 windows in a row at alarm or more: " + reason, Actor: "line",
	}
	if len(second.Transitions) != 1 || second.Transitions[0] != raised {
		t.Errorf("transitions %+v\nwant %+v", second.Transitions, raised)
	}
	hold := second.Prediction.Hold
	if hold != (model.Hold{Level: model.Alarm, Above: 2, AlertID: a.ID, Worst: model.Alarm, RaisedAt: w.End, LastEnd: w.End}) {
		t.Errorf("hold %+v", hold)
	}
	var last model.Scored
	for n := range int64(5) {
		last = c.Next(hold, window(s, 2+n, 55), 0.04, model.RuleResult{}, nil, "m")
		hold = last.Prediction.Hold
	}
	end := window(s, 6, 55).End
	if b := last.Alert; b == nil || b.State != model.Cleared || b.Severity != model.Alarm || b.RaisedAt != w.End || b.UpdatedAt != end || b.ID != a.ID {
		t.Errorf("cleared alert %+v", b)
	}
	if want := "5 windows in a row at normal; failure probability 0.04, mean temperature 55 °C"; last.Transitions[0].Cause != want || last.Alert.Reason != want {
		t.Errorf("cause %q, reason %q, want %q", last.Transitions[0].Cause, last.Alert.Reason, want)
	}
	if hold != (model.Hold{LastEnd: end}) {
		t.Errorf("after clearing the hold is %+v", hold)
	}
}

// TestAlertIDIsOfNamesAndTime holds the id to what it is about: not to row ids, which differ from database to database.
func TestAlertIDIsOfNamesAndTime(t *testing.T) {
	id := func(change func(s *stream.Sensor, w *stream.Window)) string {
		s := sensor(stream.Bearing)
		w := window(s, 0, 120)
		change(s, w)
		return storyLevels().Next(model.Hold{}, w, 0.95, model.RuleResult{}, nil, "m").Alert.ID
	}
	base := id(func(*stream.Sensor, *stream.Window) {})
	if want := "ec8df8b6423e0fdd"; base != want {
		t.Errorf("alert id %s, want %s: ids in other people's systems have changed", base, want)
	}
	if same := id(func(s *stream.Sensor, w *stream.Window) { s.ID, s.AssetID, w.Revision, w.End = 99, 98, 4, w.End+1 }); same != base {
		t.Error("the id depends on row ids, revision or length")
	}
	for name, change := range map[string]func(s *stream.Sensor, w *stream.Window){
		"site":   func(s *stream.Sensor, _ *stream.Window) { s.Site = "yaounde" },
		"asset":  func(s *stream.Sensor, _ *stream.Window) { s.Asset = "loco-3302" },
		"sensor": func(s *stream.Sensor, _ *stream.Window) { s.Name = "axle3-right" },
		"start":  func(_ *stream.Sensor, w *stream.Window) { w.Start -= minute },
	} {
		if id(change) == base {
			t.Errorf("another %s has the same alert id", name)
		}
	}
}

// TestBrakeWaitsForFiveMinutesWithoutBraking walks a hot brake through the windows after a stop: it may cool first.
func TestBrakeWaitsForFiveMinutesWithoutBraking(t *testing.T) {
	f := mustTrain(t, fleet(300, 1), small())
	scorer, err := model.NewScorer(f, model.DefaultRules(), storyLevels())
	if err != nil {
		t.Fatal(err)
	}
	s := sensor(stream.Brake)
	for _, tt := range []struct {
		name  string
		share []float64 // of braking, window by window; -1: not known; -2: no valid window
		speak bool      // in the last window
	}{
		{"braking", []float64{0, 0, 0, 0, 0, 0.1}, false},
		{"four minutes", []float64{1, 0, 0, 0, 0}, false},
		{"five minutes", []float64{1, 0, 0, 0, 0, 0}, true},
		{"from the first window on", []float64{0, 0, 0, 0, 0}, true},
		{"not known in between", []float64{0, 0, -1, 0, 0, 0, 0}, false},
		{"a gap may hide braking", []float64{0, 0, 0, -2, 0, 0, 0}, false},
		{"long after a gap", []float64{0, 0, 0, -2, 0, 0, 0, 0, 0}, true},
		{"never known", []float64{-1, -1, -1, -1, -1, -1, -1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var hold model.Hold
			var last model.Scored
			for n, share := range tt.share {
				w := window(s, int64(n), 320)
				switch w.Features[stream.FBrakeShare] = share; share {
				case -1:
					w.Features[stream.FBrakeShare] = math.NaN()
				case -2:
					continue
				}
				if last, err = scorer.Score(w, hold); err != nil {
					t.Fatal(err)
				}
				hold = last.Prediction.Hold
			}
			if got := last.Prediction.RuleScore > 0; got != tt.speak {
				t.Errorf("the rule speaks: %v (score %v, hold %+v)", got, last.Prediction.RuleScore, hold)
			}
		})
	}
}

func TestScorer(t *testing.T) {
	f := mustTrain(t, fleet(2000, 1), small())
	scorer, err := model.NewScorer(f, model.DefaultRules(), storyLevels())
	if err != nil {
		t.Fatal(err)
	}
	s := sensor(stream.Bearing)
	w := window(s, 0, 0)
	w.Features = bearing(85, 25, 40)
	got, err := scorer.Score(w, model.Hold{})
	if err != nil {
		t.Fatal(err)
	}
	p := got.Prediction
	if p.PFailure != f.Predict(w.Features[:]) || p.ModelID != f.ID() || scorer.ModelID() != f.ID() || p.WindowID != w.ID() || p.SensorID != 7 ||
		p.Start != w.Start || p.End != w.End || len(p.Explanation) != 3 || p.PFailure < 0.5 || p.RuleScore < 0.6 {
		t.Errorf("prediction %+v", p)
	}
	again, _ := scorer.Score(w, model.Hold{})
	if !reflect.DeepEqual(got, again) {
		t.Error("the same window scored twice differs")
	}
	w.Reasons = []stream.Reason{stream.Flatline}
	_, err = scorer.Score(w, model.Hold{})
	mustFail(t, err, "douala/loco-3301/axle3-left", "quarantined", "flatline")

	_, err = model.NewScorer(mustTrain(t, noisy(200, 20, 1), small()), model.DefaultRules(), storyLevels())
	mustFail(t, err, "input 0", "kind_code")
	_, err = model.NewScorer(f, model.Rules{Brake: []model.Limit{{Rule: "hunch"}}}, storyLevels())
	mustFail(t, err, "brake", "hunch")
	_, err = model.NewScorer(f, model.DefaultRules(), model.AlertConfig{})
	mustFail(t, err, "check alert configuration")
}

func TestAlertConfigValidate(t *testing.T) {
	if err := storyLevels().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *model.AlertConfig){
		"levels fall":       func(c *model.AlertConfig) { c.Alarm = 0.2 },
		"over one":          func(c *model.AlertConfig) { c.Critical = 1.1 },
		"not a number":      func(c *model.AlertConfig) { c.Watch = math.NaN() },
		"wide hysteresis":   func(c *model.AlertConfig) { c.Hysteresis = 0.3 },
		"negative":          func(c *model.AlertConfig) { c.Hysteresis = -0.1 },
		"raised by nothing": func(c *model.AlertConfig) { c.RaiseAfter = 0 },
		"cleared by none":   func(c *model.AlertConfig) { c.ClearAfter = 0 },
	} {
		c := storyLevels()
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("%s: %+v is accepted", name, c)
		}
	}
}

func TestLevelNames(t *testing.T) {
	for level, name := range map[model.Level]string{model.Normal: "normal", model.Watch: "watch", model.Alarm: "alarm", model.Critical: "critical"} {
		back, err := model.ParseLevel(name)
		text, textErr := level.MarshalText()
		if level.String() != name || err != nil || back != level || textErr != nil || string(text) != name {
			t.Errorf("%s: %s, %v, %v, %s, %v", name, level, back, err, text, textErr)
		}
	}
	_, err := model.ParseLevel("worried")
	mustFail(t, err, "worried")
	if _, err := model.Level(9).MarshalText(); err == nil || model.Level(9).String() != "level 9" {
		t.Errorf("level 9 is %q, %v", model.Level(9), err)
	}
}
