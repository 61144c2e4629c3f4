package model_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// TestPredictWalks holds the flat, interleaved scoring to a plain walk of the trees, bit for bit, on ordinary rows and on rows made of
// what floats are worst at.
func TestPredictWalks(t *testing.T) {
	for _, cfg := range []model.TrainConfig{
		{Trees: 1, MaxDepth: 1, MinLeaf: 1, Seed: 1},
		{Trees: 6, MaxDepth: 3, MinLeaf: 1, Seed: 2},
		{Trees: 7, MaxDepth: 20, MinLeaf: 1, Seed: 3},
		{Trees: 100, MaxDepth: 8, MinLeaf: 5, Seed: 4},
	} {
		f := mustTrain(t, noisy(600, 7, 1), cfg)
		rows := noisy(300, 7, 2).X
		awkward := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64,
			math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.MaxFloat32, math.Float64frombits(0xfff8_0000_0000_0001)}
		for _, q := range f.Thresholds() { // on a threshold, and a hair to each side
			v := q.Value
			awkward = append(awkward, float64(v), float64(math.Nextafter32(v, float32(math.Inf(1)))), float64(math.Nextafter32(v, float32(math.Inf(-1)))))
		}
		rng := rand.New(rand.NewPCG(9, 9))
		for range 3000 {
			x := make([]float64, 7)
			for j := range x {
				x[j] = awkward[rng.IntN(len(awkward))]
			}
			rows = append(rows, x)
		}
		batch := f.PredictBatch(nil, rows)
		for i, x := range rows {
			got, want := f.Predict(x), f.Walk(x)
			explained, _ := f.Explain(x, 3)
			if got != want || batch[i] != want || explained != want {
				t.Fatalf("%d trees, row %v: Predict %v, batch %v, Explain %v, walk %v", cfg.Trees, x, got, batch[i], explained, want)
			}
			if !(got >= 0 && got <= 1) {
				t.Fatalf("row %v: %v is not a probability", x, got)
			}
		}
	}
}

func TestPredictAllocatesNothing(t *testing.T) {
	f := mustTrain(t, noisy(500, 20, 1), small())
	x := noisy(1, 20, 2).X[0]
	if n := testing.AllocsPerRun(100, func() { f.Predict(x) }); n != 0 {
		t.Errorf("Predict allocates %v times", n)
	}
	dst := make([]float64, 20)
	if n := testing.AllocsPerRun(100, func() { f.Contributions(dst, x) }); n != 0 {
		t.Errorf("Contributions allocates %v times", n)
	}
}

func TestPredictRefusesAnotherWidth(t *testing.T) {
	f := mustTrain(t, noisy(500, 5, 1), small())
	for _, n := range []int{0, 4, 6, 300} {
		if p := f.Predict(make([]float64, n)); !math.IsNaN(p) {
			t.Errorf("%d values of 5 got probability %v", n, p)
		}
		if p, top := f.Explain(make([]float64, n), 3); !math.IsNaN(p) || top != nil {
			t.Errorf("%d values of 5 were explained: %v %v", n, p, top)
		}
	}
}

func TestWidestRow(t *testing.T) {
	f := mustTrain(t, noisy(300, 256, 1), small())
	for _, x := range noisy(50, 256, 2).X {
		if p, top := f.Explain(x, 300); p != f.Walk(x) || len(top) > 256 {
			t.Fatalf("256 features: %v, walk %v, %d contributions", p, f.Walk(x), len(top))
		}
	}
}

func TestCheckNamesTheFirstDifference(t *testing.T) {
	f := mustTrain(t, fleet(300, 1), small())
	if err := f.Check(stream.FeatureList[:]); err != nil {
		t.Fatal(err)
	}
	change := func(do func(s []stream.Feature) []stream.Feature) []stream.Feature {
		return do(append([]stream.Feature(nil), stream.FeatureList[:]...))
	}
	for name, tt := range map[string]struct {
		schema []stream.Feature
		words  []string
	}{
		"name": {change(func(s []stream.Feature) []stream.Feature { s[3].Name = "low_c"; return s }), []string{"input 3", `"min_c"`, `"low_c"`}},
		"unit": {change(func(s []stream.Feature) []stream.Feature { s[2].Unit = "degF"; return s }), []string{"input 2", "max_c", `"degC"`, `"degF"`}},
		"order": {change(func(s []stream.Feature) []stream.Feature { s[1], s[2] = s[2], s[1]; return s }),
			[]string{"input 1", `"mean_c"`, `"max_c"`}},
		"fewer": {change(func(s []stream.Feature) []stream.Feature { return s[:19] }), []string{"20 inputs", "19"}},
		"more": {change(func(s []stream.Feature) []stream.Feature { return append(s, stream.Feature{Name: "x"}) }),
			[]string{"20 inputs", "21"}},
		"none": {nil, []string{"20 inputs", "0"}},
	} {
		t.Run(name, func(t *testing.T) { mustFail(t, f.Check(tt.schema), tt.words...) })
	}
}

func TestDefaultOpens(t *testing.T) {
	f, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(stream.FeatureList[:]); err != nil {
		t.Fatal(err)
	}
	m := f.Manifest()
	if len(f.ID()) != 16 || f.Trees() != m.Trees || m.Rows == 0 || m.DataSHA256 == "" || m.Name == "" {
		t.Errorf("default model %s has %d trees and manifest %+v", f.ID(), f.Trees(), m)
	}
}

// FuzzKey holds the order of keys to the order of float32, with both zeros equal and missing above everything.
func FuzzKey(f *testing.F) {
	f.Add(0.0, math.Copysign(0, -1))
	f.Add(1.5, -1.5)
	f.Add(math.Inf(1), math.NaN())
	f.Add(math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64)
	f.Fuzz(func(t *testing.T, a, b float64) {
		ka, kb := model.Key(a), model.Key(b)
		switch {
		case math.IsNaN(a):
			if ka != math.MaxUint32 {
				t.Fatalf("key of NaN is %x", ka)
			}
		case math.IsNaN(b):
			if ka >= kb {
				t.Fatalf("%v is not below missing", a)
			}
		default:
			if fa, fb := float32(a), float32(b); (fa < fb) != (ka < kb) || (fa == fb) != (ka == kb) {
				t.Fatalf("%v and %v have keys %x and %x", a, b, ka, kb)
			}
			if got := model.ThresholdOf(ka); got != float32(a) {
				t.Fatalf("%v comes back as %v", a, got)
			}
		}
	})
}
