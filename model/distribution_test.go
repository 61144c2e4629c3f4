package model_test

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
)

func TestDistributionOfTraining(t *testing.T) {
	d := model.Dataset{Schema: numbered(5)}
	for i := range 1000 {
		missing := float64(i)
		if i%4 == 0 {
			missing = math.NaN()
		}
		// a ramp; mostly zeros; always the same; a quarter missing; all missing
		d.X = append(d.X, []float64{float64(i) / 10, float64(max(0, i-950)), 7, missing, math.NaN()})
		d.Y = append(d.Y, label(i > 700))
	}
	f := mustDecode(t, mustEncode(t, mustTrain(t, d, small())))
	for i, want := range []struct {
		edges   []float32
		rows    []int
		missing int
		median  float32
	}{
		{[]float32{9.9, 19.9, 29.9, 39.9, 49.9, 59.9, 69.9, 79.9, 89.9}, []int{100, 100, 100, 100, 100, 100, 100, 100, 100, 100}, 0, 49.9},
		{[]float32{0}, []int{951, 49}, 0, 0},
		{[]float32{math.Nextafter32(7, 0), 7}, []int{0, 1000, 0}, 0, 7},
		{[]float32{99, 199, 299, 399, 499, 599, 699, 799, 899}, []int{75, 75, 75, 75, 75, 75, 75, 75, 75, 75}, 250, 499},
		{nil, []int{0}, 1000, float32(math.NaN())},
	} {
		got, ok := f.Distribution(i)
		if !ok || !slices.Equal(got.Edges, want.edges) || !slices.Equal(got.Rows, want.rows) || got.Missing != want.missing {
			t.Errorf("feature %d: %+v, want %+v", i, got, want)
		}
		if math.IsNaN(float64(want.median)) != (got.Median == nil) || got.Median != nil && *got.Median != want.median {
			t.Errorf("feature %d: median %v, want %v", i, got.Median, want.median)
		}
		counted := make([]int, len(got.Rows))
		missing := 0
		for _, x := range d.X {
			if b := got.Bin(x[i]); b >= 0 {
				counted[b]++
			} else {
				missing++
			}
		}
		if !slices.Equal(counted, got.Rows) || missing != got.Missing || got.MissingShare() != float64(missing)/1000 {
			t.Errorf("feature %d: by Bin the training rows are %v and %d missing, the distribution says %v and %d", i, counted, missing, got.Rows, got.Missing)
		}
	}
	if got, _ := f.Distribution(1); got.Bin(-5) != 0 || got.Bin(1e9) != 1 || got.Share()[0] != 0.951 {
		t.Errorf("values beyond the training rows: bins %d and %d; shares %v", got.Bin(-5), got.Bin(1e9), got.Share())
	}
	if _, ok := f.Distribution(5); ok {
		t.Error("there is a distribution of a sixth feature")
	}
}

func TestDistributionOfScores(t *testing.T) {
	d := noisy(900, 5, 1)
	cfg := small()
	byBag, ok := mustTrain(t, d, cfg).ScoreDistribution()
	if !ok || byBag.Of != model.OutOfBag || byBag.Known() < 890 {
		t.Errorf("without folds: %+v", byBag)
	}
	folds, err := model.CrossValidate(context.Background(), d, cfg, model.DefaultFoldConfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Folds = &folds
	byFold, ok := mustTrain(t, d, cfg).ScoreDistribution()
	if !ok || byFold.Of != model.OutOfFold || byFold.Known() != 900 || len(byFold.Rows) != 10 {
		t.Errorf("with folds: %+v", byFold)
	}
	for _, p := range folds.P {
		byFold.Rows[byFold.Bin(p)]--
	}
	if slices.Max(byFold.Rows) != 0 || slices.Min(byFold.Rows) != 0 {
		t.Errorf("the bins are off by %v from the folds' own scores", byFold.Rows)
	}
}

// TestImportedForestsSayWhatTheyBring: scikit-learn's arrays tell the training rows of nodes, its ONNX does not, and neither a distribution.
func TestImportedForestsSayWhatTheyBring(t *testing.T) {
	f, err := model.ReadArrays(bytes.NewReader([]byte(`{"n_features":1,"classes":[0,1],"trees":[
{"children_left":[1,-1,-1],"children_right":[2,-1,-1],"feature":[0,-2,-2],"threshold":[0.5,-2,-2],"value":[[0.6,0.4],[1,0],[0,1]],"weighted_n_node_samples":[5.0,3.0,2.0]},
{"children_left":[1,-1,-1],"children_right":[2,-1,-1],"feature":[0,-2,-2],"threshold":[0.5,-2,-2],"value":[[3,2],[3,0],[0,2]]}]}`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := model.Covers(f); !slices.Equal(got, []uint32{5, 3, 2, 5, 3, 2}) {
		t.Errorf("training rows %v", got)
	}
	if _, ok := f.Distribution(0); ok {
		t.Error("an imported forest has a distribution")
	}
	if _, ok := f.ScoreDistribution(); ok {
		t.Error("an imported forest has a distribution of scores")
	}
	comesBack(t, f, [][]float64{{0}, {1}})
	for name, text := range map[string]string{
		"rows that do not add up": `"value":[[0.6,0.4],[1,0],[0,1]],"weighted_n_node_samples":[5,3,3]`,
		"shares":                  `"value":[[0.6,0.4],[1,0],[0,1]]`,
		"samples beside weights":  `"value":[[0.6,0.4],[1,0],[0,1]],"weighted_n_node_samples":[5.5,3.25,2.25],"n_node_samples":[5,3,2]`,
		"weights":                 `"value":[[0.6,0.4],[1,0],[0,1]],"weighted_n_node_samples":[5.5,3.25,2.25]`,
	} {
		f, err := model.ReadArrays(bytes.NewReader([]byte(`{"n_features":1,"classes":[0,1],"trees":[{"children_left":[1,-1,-1],"children_right":[2,-1,-1],"feature":[0,-2,-2],
			"threshold":[0.5,-2,-2],` + text + `}]}`)))
		if err != nil {
			t.Fatal(err)
		}
		if got := model.Covers(f); (got != nil) != strings.HasPrefix(name, "samples") {
			t.Errorf("%s were taken for training rows: %v", name, got)
		}
	}
	for name, files := range golden(t) {
		for _, path := range files {
			f := imported(t, path)
			fromArrays := bytes.HasSuffix([]byte(path), []byte(".json.gz"))
			if (model.Covers(f) != nil) != fromArrays {
				t.Errorf("%s: %s has the training rows of %d nodes", name, path, len(model.Covers(f)))
			}
		}
	}
}
