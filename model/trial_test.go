package model_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// contest makes rows of assets, each fourth of which fails in its last rows. A competitor sees the failure through noise: the more of it, the worse.
type contest struct {
	assets int
	seed   uint64
}

const contestRows = 20

func (c contest) rows(forest, rule float64) model.TrialRows {
	rng := rand.New(rand.NewPCG(c.seed, 7))
	d := model.TrialRows{Rules: []model.Candidate{{Name: "useless"}, {Name: model.RuleOverAmbient}}}
	for a := range c.assets {
		for n := range contestRows {
			y := uint8(0)
			if a%4 == 0 && n >= contestRows-5 {
				y = 1
			}
			d.Y, d.Group = append(d.Y, y), append(d.Group, int32(a))
			d.P = append(d.P, float64(y)+float64(forest*rng.NormFloat64()))
			d.Rules[0].Score = append(d.Rules[0].Score, rng.Float64())
			d.Rules[1].Score = append(d.Rules[1].Score, float64(y)+float64(rule*rng.NormFloat64()))
		}
	}
	return d
}

func held(t *testing.T, d model.TrialRows) model.Trial {
	t.Helper()
	cfg := model.DefaultTrialConfig()
	cfg.Resamples = 300
	trial, err := model.HoldTrial(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return trial
}

// TestTrial: a forest that beats the rules passes; one that does not, one that is no better than chance tells, and one with too few failures do not, however good they are. What does not
// pass may not go live, and the model says why.
func TestTrial(t *testing.T) {
	sequential(t)
	for name, tt := range map[string]struct {
		contest
		forest, rule float64
		passed       bool
		failures     int
		says         string
	}{
		"better":                     {contest{160, 1}, 0.3, 0.6, true, 40, "of over_ambient alone: gain +"},
		"worse":                      {contest{160, 1}, 0.6, 0.3, false, 40, "gain -"},
		"the same":                   {contest{160, 1}, 0.4, 0.4, false, 40, "95 % interval -"},
		"better, of 29 failures":     {contest{116, 1}, 0.1, 0.8, false, 29, "29 distinct failures are too few to tell it from chance, 30 are needed; PR-AUC "},
		"better, of 30 failures":     {contest{120, 1}, 0.1, 0.8, true, 30, "it misses 0 of 30 failures"},
		"perfect beside a faultless": {contest{160, 1}, 0, 0, false, 40, "gain +0.000"},
	} {
		t.Run(name, func(t *testing.T) {
			got := held(t, tt.rows(tt.forest, tt.rule))
			if got.Passed != tt.passed || got.Failures != tt.failures || !strings.Contains(got.Why, tt.says) {
				t.Fatalf("passed %t of %d failures: %s\nwant %t, %d, %q", got.Passed, got.Failures, got.Why, tt.passed, tt.failures, tt.says)
			}
			if got.GainLow > got.Gain || got.Gain > got.GainHigh || got.Rules[0].Name != model.RuleOverAmbient || got.Groups != tt.assets {
				t.Errorf("%+v", got)
			}
			forest := mustTrain(t, noisy(200, 3, 1), small())
			m := forest.Manifest()
			m.Trial = &got
			forest, err := forest.WithManifest(m)
			if err != nil {
				t.Fatal(err)
			}
			ok, why := forest.MayGoLive()
			if ok != tt.passed || !strings.Contains(why, got.Why) {
				t.Errorf("may go live: %t, %s", ok, why)
			}
		})
	}
}

// TestTrialMissesCount: a forest that ranks rows better but leaves whole failures unseen, which the rule finds, does not pass.
func TestTrialMissesCount(t *testing.T) {
	d := contest{160, 3}.rows(0.05, 0.35)
	for i := range d.P {
		if d.Group[i]%40 == 0 {
			d.P[i] = 0 // four of forty failures
		}
	}
	got := held(t, d)
	if got.Passed || got.GainLow <= 0 || got.Forest.Missed != 4 || got.Rules[0].Missed >= 4 {
		t.Errorf("passed %t: %s", got.Passed, got.Why)
	}
}

// TestTrialDrawsAssets: rows of one asset are drawn together, so that a hundred copies of each row make the interval no narrower.
func TestTrialDrawsAssets(t *testing.T) {
	sequential(t)
	one := contest{160, 5}.rows(0.5, 0.6)
	many := model.TrialRows{Rules: []model.Candidate{{Name: "useless"}, {Name: model.RuleOverAmbient}}}
	for i := range one.Y {
		for range 20 {
			many.Y, many.P, many.Group = append(many.Y, one.Y[i]), append(many.P, one.P[i]), append(many.Group, one.Group[i])
			for k := range many.Rules {
				many.Rules[k].Score = append(many.Rules[k].Score, one.Rules[k].Score[i])
			}
		}
	}
	a, b := held(t, one), held(t, many)
	if math.Abs(a.GainLow-b.GainLow) > 1e-6 || math.Abs(a.GainHigh-b.GainHigh) > 1e-6 {
		t.Errorf("from %v to %v, and of copies from %v to %v", a.GainLow, a.GainHigh, b.GainLow, b.GainHigh)
	}
	if again := held(t, one); again.Why != a.Why || again.GainLow != a.GainLow {
		t.Errorf("the same trial again says %s, not %s", again.Why, a.Why)
	}
}

// TestTrialInterval: the interval of 95 % covers the gain of a much larger sample about as often as it says.
func TestTrialInterval(t *testing.T) {
	sequential(t)
	large := contest{8000, 99}.rows(0.5, 0.6)
	truth := held(t, large).Gain
	covered := 0
	const trials = 60
	for seed := range uint64(trials) {
		if got := held(t, contest{120, seed}.rows(0.5, 0.6)); got.GainLow <= truth && truth <= got.GainHigh {
			covered++
		}
	}
	if covered < 50 { // 57 are expected, 50 and fewer come by chance once in 700 times
		t.Errorf("%d of %d intervals cover %v", covered, trials, truth)
	}
}

func TestTrialRefuses(t *testing.T) {
	d := contest{8, 1}.rows(1, 1)
	for want, spoil := range map[string]func(d *model.TrialRows, c *model.TrialConfig){
		"no rule to beat": func(d *model.TrialRows, _ *model.TrialConfig) { d.Rules = nil },
		"probabilities":   func(d *model.TrialRows, _ *model.TrialConfig) { d.P = d.P[1:] },
		"3 draws":         func(_ *model.TrialRows, c *model.TrialConfig) { c.Resamples = 3 },
		"both classes":    func(d *model.TrialRows, _ *model.TrialConfig) { d.Y = make([]uint8, len(d.Y)) },
		"rule useless: evaluate": func(d *model.TrialRows, _ *model.TrialConfig) {
			d.Rules[0].Score = []float64{1}
		},
	} {
		rows, cfg := d, model.DefaultTrialConfig()
		rows.Rules = append([]model.Candidate(nil), d.Rules...)
		spoil(&rows, &cfg)
		_, err := model.HoldTrial(rows, cfg)
		mustFail(t, err, "hold trial", want)
	}
}

// TestColumnRules: each column is a rule whose direction its folds have learnt, and never from the rows that test.
func TestColumnRules(t *testing.T) {
	d := model.Dataset{Schema: []stream.Feature{{Name: "up"}, {Name: "down"}, {Name: "turned"}}}
	for a := range int32(6) {
		for n := range 10 {
			y := uint8(n / 5)
			v := float64(n)
			turned := v
			if a == 0 {
				turned = -v // only the asset that tests runs the other way
			}
			d.X, d.Y, d.Group = append(d.X, []float64{v, -v, turned}), append(d.Y, y), append(d.Group, a)
		}
	}
	d.X[3][0] = math.NaN()
	var test, train []int
	for i := range d.X {
		if d.Group[i] == 0 {
			test = append(test, i)
		} else {
			train = append(train, i)
		}
	}
	got := model.ColumnRules(d, []model.Fold{{Train: train, Test: test}})
	for _, c := range got {
		rising := c.Score[9] > c.Score[0]
		if rising != (c.Name != "turned") || len(c.Score) != 10 {
			t.Errorf("%s scores %v", c.Name, c.Score)
		}
	}
	if got[0].Score[3] != model.Silent {
		t.Errorf("a missing value scores %v", got[0].Score[3])
	}
}

// TestTrialOfTimes: without assets, stretches of time are drawn together, and a run of positive rows is one failure.
func TestTrialOfTimes(t *testing.T) {
	d := model.Dataset{Schema: []stream.Feature{{Name: "v"}}}
	for i := range 600 {
		y := uint8(0)
		if i%60 >= 50 {
			y = 1
		}
		d.X, d.Y, d.Time = append(d.X, []float64{float64(y)}), append(d.Y, y), append(d.Time, int64(599-i)) // the newest row comes first
	}
	folds, err := model.Folds(d, model.FoldConfig{Split: model.ByTime, Folds: 2})
	if err != nil {
		t.Fatal(err)
	}
	cv := model.CrossValidation{}
	for _, f := range folds {
		cv.Rows = append(cv.Rows, f.Test...)
		for range f.Test {
			cv.P = append(cv.P, 0.5)
		}
	}
	trial := held(t, model.TrialOf(d, cv, folds))
	if trial.Failures < 6 || trial.Failures > 8 || trial.Groups != 50 || trial.Passed {
		t.Errorf("%d failures, %d groups, passed %t", trial.Failures, trial.Groups, trial.Passed)
	}
}
