package model_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
)

// TestIsotonicIsTheBestRisingMap holds the fit to the formula of the best one: at a score, the largest over all starts at or below it of the smallest mean over all ends at or above.
func TestIsotonicIsTheBestRisingMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		n := 2 + rng.IntN(60)
		p, y := make([]float64, n), make([]uint8, n)
		for i := range p {
			p[i] = float64(rng.IntN(20)) / 20 // many ties
			y[i] = label(rng.Float64() < 0.2+0.5*p[i])
		}
		knots := model.Isotonic(p, y)
		if slices.Max(y) == slices.Min(y) {
			if knots != nil {
				t.Fatalf("labels of one class: %v", knots)
			}
			continue
		}
		scores := slices.Compact(slices.Sorted(slices.Values(p)))
		mean := func(from, to float64) float64 {
			sum, rows := 0.0, 0.0
			for i := range p {
				if p[i] >= from && p[i] <= to {
					sum, rows = sum+float64(y[i]), rows+1
				}
			}
			return sum / rows
		}
		var want []float64
		for _, s := range scores {
			best := 0.0
			for _, from := range scores {
				if from > s {
					break
				}
				least := 1.0
				for _, to := range scores {
					if to >= s {
						least = min(least, mean(from, to))
					}
				}
				best = max(best, least)
			}
			want = append(want, best)
		}
		var got []float64
		for _, k := range knots {
			got = append(got, k[1])
		}
		distinct := slices.Compact(want)
		if !slices.EqualFunc(got, distinct, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
			t.Fatalf("scores %v, labels %v: levels %v, want %v", p, y, got, distinct)
		}
	}
}

func TestIsotonicIsSmallAndRises(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	p, y := make([]float64, 200_000), make([]uint8, 200_000)
	for i := range p {
		p[i] = rng.Float64()
		y[i] = label(rng.Float64() < p[i]*p[i])
	}
	knots := model.Isotonic(p, y)
	if len(knots) != 80 {
		t.Errorf("%d knots", len(knots))
	}
	last := -1.0
	for i := range 100_001 {
		s := float64(i) / 100_000
		v := model.Map(knots, s)
		if !(v >= last && v >= 0 && v <= 1) || math.Abs(v-s*s) > 0.03 {
			t.Fatalf("%v is mapped to %v after %v", s, v, last)
		}
		last = v
	}
}

// calibrating cross-validates a forest and calibrates it.
func calibrating(t *testing.T, d model.Dataset, cfg model.TrainConfig, folds model.FoldConfig) *model.Forest {
	t.Helper()
	cv, err := model.CrossValidate(context.Background(), d, cfg, folds)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Folds = &cv
	if cfg.Calibration, err = model.Calibrate(&cv, d.Y); err != nil {
		t.Fatal(err)
	}
	return mustTrain(t, d, cfg)
}

// TestCalibrationMendsWeights: a forest that counts positive rows eight times tells no probabilities; the map mends that on rows that neither has seen, and goes with the model.
func TestCalibrationMendsWeights(t *testing.T) {
	cfg := small()
	cfg.PositiveWeight = 8
	d, fresh := noisy(6000, 6, 1), noisy(6000, 6, 2)
	f := calibrating(t, d, cfg, model.DefaultFoldConfig())
	c := f.Manifest().Calibration
	if !c.Applied || !f.Calibrated() || c.Rows != 6000 || !strings.Contains(c.Why, "lowers") || len(c.Before.Bins) == 0 || len(c.After.Bins) == 0 {
		t.Fatalf("calibration %+v", c)
	}
	plain := f.Manifest()
	plain.Calibration = nil
	raw, err := f.WithManifest(plain)
	if err != nil {
		t.Fatal(err)
	}
	brier := func(f *model.Forest) float64 {
		e, err := model.Evaluate(f.PredictBatch(nil, fresh.X), fresh.Y)
		if err != nil {
			t.Fatal(err)
		}
		return e.Brier
	}
	t.Logf("%s; on fresh rows %.6f and %.6f", c.Why, brier(raw), brier(f))
	if !(brier(f) < brier(raw)) || math.Abs(brier(f)-c.After.Brier) > 0.01 || math.Abs(brier(raw)-c.Before.Brier) > 0.01 {
		t.Errorf("Brier score on fresh rows: %v before, %v after; promised %v and %v", brier(raw), brier(f), c.Before.Brier, c.After.Brier)
	}
	comesBack(t, f, fresh.X[:200])
	back := mustDecode(t, mustEncode(t, f))
	dst := make([]float64, 6)
	for _, x := range fresh.X[:200] {
		p, top := f.Explain(x, 6)
		score, sum := raw.Predict(x), f.Base()
		for _, c := range top {
			sum += c.Contribution
		}
		if p != f.Predict(x) || p != back.Predict(x) || math.Abs(sum-score) > 1e-9 {
			t.Fatalf("row %v: probability %v, explained %v, read back %v; the path adds up to %v, the score is %v", x, f.Predict(x), p, back.Predict(x), sum, score)
		}
		if got, _, err := f.Shapley(dst, x); err != nil || got != score {
			t.Fatalf("exact values explain %v, the score is %v: %v", got, score, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { f.Predict(fresh.X[0]) }); n != 0 {
		t.Errorf("a calibrated row takes %v allocations", n)
	}
	if s, _ := f.ScoreDistribution(); s.Of != model.OutOfFold || s.Bin(1) != len(s.Rows)-1 || *s.Median > 0.2 {
		t.Errorf("the distribution of the probabilities is %+v", s)
	}
}

// TestCalibrationIsHonest: where scores say nothing more than they do, the map is measured and left out; and folds by time learn it from the past alone.
func TestCalibrationIsHonest(t *testing.T) {
	cfg := small()
	d := noisy(3000, 3, 3)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range d.Y {
		d.Y[i] = label(rng.IntN(4) == 0) // nothing to learn
	}
	cfg.MinLeaf = 1400 // a forest that knows it
	f := calibrating(t, d, cfg, model.DefaultFoldConfig())
	if c := f.Manifest().Calibration; c.Applied || f.Calibrated() || len(c.Knots) > 0 || !strings.Contains(c.Why, "does not lower") {
		t.Errorf("calibration %+v", c)
	}
	for i := range d.X {
		d.Time = append(d.Time, int64(i))
	}
	cfg.MinLeaf = 5
	c := calibrating(t, d, cfg, model.FoldConfig{Split: model.ByTime, Folds: 5}).Manifest().Calibration
	if c.Split != model.ByTime || c.Rows != 2000 {
		t.Errorf("by time %d rows were measured: %+v", c.Rows, c)
	}
	_, err := model.Calibrate(&model.CrossValidation{}, d.Y)
	mustFail(t, err, "does not hold its scores")
}

func TestCalibrationsThatAreNone(t *testing.T) {
	f := tinyForest(t)
	for name, c := range map[string]model.Calibration{
		"knots, not applied": {Method: "isotonic", Knots: []model.Point{{0, 0}, {1, 1}}},
		"one knot":           {Method: "isotonic", Applied: true, Knots: []model.Point{{0, 0}}},
		"another method":     {Method: "magic", Applied: true, Knots: []model.Point{{0, 0}, {1, 1}}},
		"falls":              {Method: "isotonic", Applied: true, Knots: []model.Point{{0, 0.5}, {1, 0.4}}},
		"stands":             {Method: "isotonic", Applied: true, Knots: []model.Point{{0.5, 0.4}, {0.5, 0.5}}},
		"beyond 1":           {Method: "isotonic", Applied: true, Knots: []model.Point{{0.5, 0.4}, {0.6, 1.5}}},
		"NaN":                {Method: "isotonic", Applied: true, Knots: []model.Point{{math.NaN(), 0.4}, {0.6, 0.5}}},
		"too many":           {Method: "isotonic", Applied: true, Knots: make([]model.Point, 81)},
	} {
		m := f.Manifest()
		m.Calibration = &c
		if _, err := f.WithManifest(m); err == nil || !strings.Contains(err.Error(), "calibration") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := f.Manifest()
	m.Calibration = &model.Calibration{Method: "isotonic", Applied: true, Knots: []model.Point{{0, 0.25}, {1, 0.75}}}
	g, err := f.WithManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	x := []float64{1, 2, 3, 4}
	if got, want := g.Predict(x), 0.25+0.5*f.Predict(x); math.Abs(got-want) > 1e-12 {
		t.Errorf("%v is mapped to %v, want %v", f.Predict(x), got, want)
	}
	if p, top := g.Explain(x[:3], 3); !math.IsNaN(p) || top != nil || !math.IsNaN(g.Predict(x[:3])) {
		t.Errorf("a row of another width has probability %v", p)
	}
	if bytes.Equal(mustEncode(t, f), mustEncode(t, g)) {
		t.Error("the same file with and without a calibration")
	}
}
