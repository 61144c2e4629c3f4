package model_test

import (
	"errors"
	"math"
	"math/bits"
	"testing"

	"github.com/camrail/cidp/model"
)

// TestShapleyIsExact holds Shapley to its definition: over all subsets of features, the weighted mean of what a feature adds, where a feature that is not known takes both ways at a
// node by the training rows.
func TestShapleyIsExact(t *testing.T) {
	for _, features := range []int{1, 2, 3, 5, 8} {
		for _, depth := range []int{1, 4, 9} {
			cfg := small()
			cfg.Trees, cfg.MaxDepth, cfg.MinLeaf = 3, depth, 1
			f := mustTrain(t, noisy(300, features, uint64(features)), cfg)
			dst := make([]float64, features)
			for _, x := range noisy(6, features, 99).X {
				score, base, err := f.Shapley(dst, x)
				if err != nil || score != f.Predict(x) {
					t.Fatalf("score %v, probability %v: %v", score, f.Predict(x), err)
				}
				want, empty := bruteShapley(f, x)
				if math.Abs(base-empty) > 1e-12 {
					t.Errorf("%d features, depth %d: base %v, the mean of the training rows is %v", features, depth, base, empty)
				}
				for i := range want {
					if !(math.Abs(dst[i]-want[i]) <= 1e-9) {
						t.Errorf("%d features, depth %d, row %v: feature %d has %v, by all subsets %v", features, depth, x, i, dst[i], want[i])
					}
				}
			}
		}
	}
}

// bruteShapley goes through all subsets.
func bruteShapley(f *model.Forest, x []float64) (phi []float64, empty float64) {
	n := len(x)
	game := make([]float64, 1<<n)
	for known := range game {
		game[known] = model.Expected(f, x, func(feature int) bool { return known>>feature&1 == 1 })
	}
	weight := make([]float64, n) // of a subset by its size: size! (n-1-size)! / n!
	for size := range weight {
		weight[size] = 1 / float64(n)
		for k := 1; k <= size; k++ {
			weight[size] *= float64(k) / float64(n-k)
		}
	}
	phi = make([]float64, n)
	for known := range game {
		for i := range phi {
			if known>>i&1 == 0 {
				phi[i] += weight[bits.OnesCount(uint(known))] * (game[known|1<<i] - game[known])
			}
		}
	}
	return phi, game[0]
}

// TestShapleyAddsUp: base and values make the score, on large and deep forests and on the golden ones; a feature that no node reads has nothing.
func TestShapleyAddsUp(t *testing.T) {
	sequential(t)
	check := func(name string, f *model.Forest, rows [][]float64) {
		dst := make([]float64, len(f.Schema()))
		worst := 0.0
		for _, x := range rows {
			score, sum, err := f.Shapley(dst, x)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range dst {
				sum += v
			}
			worst = math.Max(worst, math.Abs(sum-score))
		}
		t.Logf("%s: %d nodes, depth %d, %d rows: off by at most %.2g", name, f.Nodes(), f.Depth(), len(rows), worst)
		if !(worst <= 1e-12) {
			t.Errorf("%s: base and values miss the score by up to %v", name, worst)
		}
	}
	cfg := model.DefaultTrainConfig()
	check("default", mustTrain(t, noisy(20_000, 20, 1), cfg), noisy(20, 20, 2).X)
	cfg.Trees, cfg.MaxDepth, cfg.MinLeaf = 20, 64, 1
	check("deep", mustTrain(t, noisy(8000, 60, 1), cfg), noisy(20, 60, 2).X)
	for name, files := range golden(t) {
		var rows struct {
			Rows [][]float64 `json:"rows"`
		}
		sharedJSON(t, "vectors/forest/"+name+"_test_rows.json.gz", &rows)
		check(name, imported(t, files[0]), rows.Rows[:50])
	}
}

// TestShapleyOfALadder is a tree that splits on another feature at each of 200 steps, and on the same few again: its products have 200 factors.
func TestShapleyOfALadder(t *testing.T) {
	const steps = 200
	var nodes []uint64
	var values []float32
	var covers []uint32
	for i := range steps { // node 2i splits off the leaf 2i+1
		nodes, values, covers = append(nodes, model.PackNode(i%150, 0, 2*i+1)), append(values, 0.5), append(covers, uint32(2*(steps-i)+1))
		nodes, values, covers = append(nodes, model.PackLeaf(2*i+1)), append(values, float32(i%2)), append(covers, 2)
	}
	nodes, values, covers = append(nodes, model.PackLeaf(2*steps)), append(values, 1), append(covers, 1)
	f, err := model.RebuildCovered(numbered(150), []uint32{0}, nodes, values, covers)
	if err != nil {
		t.Fatal(err)
	}
	x, dst := make([]float64, 150), make([]float64, 150)
	for i := range x {
		x[i] = float64(i%7 - 1)
	}
	score, sum, err := f.Shapley(dst, x)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range dst {
		sum += v
	}
	if !(math.Abs(sum-score) <= 1e-12) {
		t.Errorf("base and values make %v, the score is %v", sum, score)
	}
}

func TestShapleyRefuses(t *testing.T) {
	f, err := model.Rebuild(numbered(1), []uint32{0}, []uint64{model.PackLeaf(0)}, []float32{0.5})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Shapley(make([]float64, 1), make([]float64, 1)); f.Covered() || !errors.Is(err, model.ErrNoRows) {
		t.Errorf("without training rows: %v", err)
	}
	_, _, err = tinyForest(t).Shapley(make([]float64, 4), make([]float64, 3))
	mustFail(t, err, "its width is not the model's")
}

// TestLegendre holds the rule to the integrals of all powers it promises.
func TestLegendre(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 8, 16, 64, 128} {
		points, weight := model.Legendre(n)
		for power := range 2 * n {
			sum := 0.0
			for i, x := range points {
				sum += weight[i] * math.Pow(x, float64(power))
			}
			if want := 1 / float64(power+1); !(math.Abs(sum-want) <= 1e-13) {
				t.Fatalf("%d points: the integral of x^%d is %v, want %v", n, power, sum, want)
			}
		}
	}
}
