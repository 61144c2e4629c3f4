package model_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/camrail/cidp/model"
)

// TestEvaluateByDefinition compares all figures with their definitions, on scores with many ties.
func TestEvaluateByDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		n := 5 + rng.IntN(200)
		p, y := make([]float64, n), make([]uint8, n)
		for i := range p {
			p[i] = float64(rng.IntN(12)) / 12
			y[i] = label(rng.Float64() < 0.2+p[i]/2)
		}
		y[0], y[1] = 0, 1
		e, err := model.Evaluate(p, y)
		if err != nil {
			t.Fatal(err)
		}
		if want := pairsInOrder(p, y); math.Abs(e.ROCAUC-want) > 1e-6 {
			t.Fatalf("ROC area %v, by definition %v", e.ROCAUC, want)
		}
		if want := averagePrecision(p, y); math.Abs(e.PRAUC-want) > 1e-6 {
			t.Fatalf("PR area %v, by definition %v", e.PRAUC, want)
		}
		brier := 0.0
		for i := range p {
			brier += (p[i] - float64(y[i])) * (p[i] - float64(y[i])) / float64(n)
		}
		if math.Abs(e.Brier-brier) > 1e-6 {
			t.Fatalf("Brier %v, by definition %v", e.Brier, brier)
		}
	}
}

// pairsInOrder is the share of pairs of a positive and a negative row in which the positive has the higher score, ties one half.
func pairsInOrder(p []float64, y []uint8) float64 {
	good, pairs := 0.0, 0.0
	for i := range p {
		for j := range p {
			if y[i] == 0 || y[j] == 1 {
				continue
			}
			pairs++
			if p[i] > p[j] {
				good++
			} else if p[i] == p[j] {
				good += 0.5
			}
		}
	}
	return good / pairs
}

// averagePrecision sums, over the distinct thresholds from the top, the recall gained times the precision there.
func averagePrecision(p []float64, y []uint8) (sum float64) {
	thresholds := slices.Clone(p)
	slices.Sort(thresholds)
	thresholds = slices.Compact(thresholds)
	slices.Reverse(thresholds)
	all, before := 0.0, 0.0
	for _, v := range y {
		all += float64(v)
	}
	for _, at := range thresholds {
		hit, n := 0.0, 0.0
		for i := range p {
			if p[i] >= at {
				n++
				hit += float64(y[i])
			}
		}
		sum += (hit - before) / all * hit / n
		before = hit
	}
	return sum
}

func TestEvaluateByHand(t *testing.T) {
	e, err := model.Evaluate([]float64{0.1, 0.4, 0.35, 0.8}, []uint8{0, 0, 1, 1})
	want := model.Evaluation{Rows: 4, Positives: 2, ROCAUC: 0.75, PRAUC: 0.833333, Brier: 0.158125}
	if err != nil || e != want {
		t.Errorf("%+v, %v; want %+v", e, err, want)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		p    []float64
		y    []uint8
		says string
	}{
		"nothing":      {nil, nil, "both classes"},
		"one class":    {[]float64{1, 0}, []uint8{1, 1}, "both classes"},
		"few labels":   {[]float64{1, 0}, []uint8{1}, "2 probabilities but 1 labels"},
		"missing":      {[]float64{1, math.NaN()}, []uint8{1, 0}, "row 1 has probability NaN"},
		"other labels": {[]float64{1, 0}, []uint8{7, 0}, "row 0"},
	} {
		_, err := model.Evaluate(tt.p, tt.y)
		t.Run(name, func(t *testing.T) { mustFail(t, err, "evaluate: ", tt.says) })
	}
}

func TestGroupSplitKeepsAssetsApart(t *testing.T) {
	groups := make([]int32, 1000)
	for i := range groups {
		groups[i] = int32(i*7919%50) - 10
	}
	train, held, err := model.GroupSplit(groups, 0.3, 1)
	if err != nil {
		t.Fatal(err)
	}
	side := map[int32]string{}
	for name, rows := range map[string][]int{"train": train, "held": held} {
		if !slices.IsSorted(rows) {
			t.Errorf("%s rows are out of order", name)
		}
		for _, r := range rows {
			if was := side[groups[r]]; was != "" && was != name {
				t.Fatalf("group %d is on both sides", groups[r])
			}
			side[groups[r]] = name
		}
	}
	if len(train)+len(held) != 1000 || len(held) != 15*20 {
		t.Errorf("%d rows to train, %d held out", len(train), len(held))
	}
	again, _, _ := model.GroupSplit(groups, 0.3, 1)
	other, _, _ := model.GroupSplit(groups, 0.3, 2)
	if !slices.Equal(again, train) || slices.Equal(other, train) {
		t.Error("the split does not follow its seed")
	}
	for _, share := range []float64{1e-9, 1 - 1e-9} { // always an asset on each side
		if train, held, err := model.GroupSplit([]int32{1, 2}, share, 1); err != nil || len(train) != 1 || len(held) != 1 {
			t.Errorf("share %v: %v %v %v", share, train, held, err)
		}
	}
	_, _, err = model.GroupSplit([]int32{4, 4, 4}, 0.5, 1)
	mustFail(t, err, "1 groups")
	for _, share := range []float64{0, 1, -1, math.NaN()} {
		_, _, err = model.GroupSplit(groups, share, 1)
		mustFail(t, err, "not between 0 and 1")
	}
}
