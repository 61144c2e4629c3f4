package model_test

import (
	"math"
	"testing"

	"github.com/camrail/cidp/model"
)

// TestRootSplitLowersItsCriterionMost compares the first split with a search of every cut in plain floats, by each criterion and with weighted classes.
func TestRootSplitLowersItsCriterionMost(t *testing.T) {
	entropy := func(n, p float64) float64 { return -xLog(p/n) - xLog(1-p/n) }
	gini := func(n, p float64) float64 { return 2 * p / n * (1 - p/n) }
	for _, tt := range []struct {
		criterion model.Criterion
		weight    float64
		impurity  func(n, p float64) float64
	}{
		{model.Gini, 7, gini}, {model.Gini, 0.25, gini}, {model.Entropy, 0, entropy}, {model.Entropy, 7, entropy}, {"", 1, gini},
	} {
		for seed := range uint64(20) {
			d := noisy(150, 4, seed+1)
			cfg := model.TrainConfig{MinLeaf: 5, Seed: seed, Criterion: tt.criterion, PositiveWeight: tt.weight}
			feature, cut, bag, ok := model.RootSplit(d, cfg)
			if !ok {
				t.Fatalf("%s, weight %v, seed %d: no split", tt.criterion, tt.weight, seed)
			}
			weight := max(tt.weight, 0)
			if weight == 0 {
				weight = 1
			}
			got := weighted(d, bag, feature, float64(cut), 5, weight, tt.impurity)
			for j := range d.Schema {
				for _, row := range d.X {
					at := row[j]
					if math.IsNaN(at) {
						at = math.Inf(1) // everything against missing
					}
					if other := weighted(d, bag, j, at, 5, weight, tt.impurity); other < got-1e-9 {
						t.Fatalf("%s, weight %v, seed %d: x%d <= %v has impurity %v, the trainer took x%d <= %v with %v",
							tt.criterion, tt.weight, seed, j, at, other, feature, cut, got)
					}
				}
			}
		}
	}
}

func xLog(v float64) float64 {
	if v <= 0 {
		return 0
	}
	return v * math.Log(v)
}

// weighted is the impurity that a cut leaves, positive rows counted weight times; infinite when a side has too few rows.
func weighted(d model.Dataset, bag []uint32, feature int, cut float64, minLeaf int, weight float64, impurity func(n, p float64) float64) float64 {
	var rows, n, p [2]float64
	for i, row := range d.X {
		side := 1
		if float32(row[feature]) <= float32(cut) {
			side = 0
		}
		w := float64(bag[i])
		rows[side] += w
		if d.Y[i] == 1 {
			w *= weight
			p[side] += w
		}
		n[side] += w
	}
	sum := 0.0
	for s := range n {
		if rows[s] < float64(minLeaf) {
			return math.Inf(1)
		}
		sum += n[s] * impurity(n[s], p[s])
	}
	return sum
}

// TestClassWeightsMoveTheProbability: a weight counts a positive row as so many, and without it a probability is a share of rows.
func TestClassWeightsMoveTheProbability(t *testing.T) {
	d := noisy(4000, 6, 3)
	share := 0.0
	for _, y := range d.Y {
		share += float64(y) / float64(len(d.Y))
	}
	cfg := small()
	if base := mustTrain(t, d, cfg).Base(); math.Abs(base-share) > 0.01 {
		t.Errorf("without weights the base is %v, %v of the rows are positive", base, share)
	}
	cfg.PositiveWeight = (1 - share) / share
	if base := mustTrain(t, d, cfg).Base(); math.Abs(base-0.5) > 0.02 {
		t.Errorf("with balanced classes the base is %v", base)
	}
}

// TestPinnedCriteria pins what each criterion grows, on every architecture; see TestSameForestForEver.
func TestPinnedCriteria(t *testing.T) {
	d := pinned()
	for name, tt := range map[string]struct {
		change func(c *model.TrainConfig)
		want   string
	}{
		"entropy":          {func(c *model.TrainConfig) { c.Criterion = model.Entropy }, "46df1919dc3ce501"},
		"weighted":         {func(c *model.TrainConfig) { c.PositiveWeight = 3.7 }, "d1f694fcf3fe5c96"},
		"weighted entropy": {func(c *model.TrainConfig) { c.Criterion, c.PositiveWeight = model.Entropy, 0.3 }, "27cdae08c5f04dbf"},
	} {
		cfg := small()
		cfg.Name = "pinned"
		tt.change(&cfg)
		if got := mustTrain(t, d, cfg).ID(); got != tt.want {
			t.Errorf("%s made model %s, want %s", name, got, tt.want)
		}
	}
	plain, spelled := small(), small()
	spelled.Criterion, spelled.PositiveWeight = model.Gini, 1
	if a, b := mustTrain(t, d, plain).ID(), mustTrain(t, d, spelled).ID(); a != b {
		t.Errorf("Gini and weight 1 spelled out made model %s, left out %s", b, a)
	}
}

func TestNLogN(t *testing.T) {
	if model.NLogN(0) != 0 || model.NLogN(1) != 0 {
		t.Errorf("0 ln 0 = %v, 1 ln 1 = %v", model.NLogN(0), model.NLogN(1))
	}
	for n := 1e-7; n < 1e9; n *= 1.01 {
		if got, want := model.NLogN(n), n*math.Log(n); math.Abs(got-want) > 1e-14*math.Abs(want)+1e-15*n {
			t.Fatalf("%v ln %v = %v, want %v", n, n, got, want)
		}
	}
}
