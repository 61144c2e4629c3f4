package model_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/integrate"
	"gonum.org/v1/gonum/stat"

	"github.com/camrail/cidp/model"
)

// TestRankFiguresAgreeWithGonum compares our ROC-AUC, whose bits must not depend on the machine, with gonum's curve and its area.
func TestRankFiguresAgreeWithGonum(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		n := 20 + rng.IntN(400)
		p, y := make([]float64, n), make([]uint8, n)
		for i := range p {
			if rng.IntN(4) == 0 {
				y[i] = 1
			}
			p[i] = math.Round(20*(0.3*float64(y[i])+0.7*rng.Float64())) / 20 // with ties
		}
		y[0], y[1] = 0, 1
		got, err := model.Evaluate(p, y)
		if err != nil {
			t.Fatal(err)
		}
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			switch {
			case p[a] < p[b]:
				return -1
			case p[a] > p[b]:
				return 1
			}
			return 0
		})
		scores, classes := make([]float64, n), make([]bool, n)
		for i, k := range order {
			scores[i], classes[i] = p[k], y[k] == 1
		}
		tpr, fpr, _ := stat.ROC(nil, scores, classes, nil)
		if want := integrate.Trapezoidal(fpr, tpr); math.Abs(got.ROCAUC-want) > 1e-6 {
			t.Fatalf("ROC-AUC %v, gonum says %v", got.ROCAUC, want)
		}
	}
}
