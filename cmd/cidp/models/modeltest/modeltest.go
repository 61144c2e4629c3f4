// Package modeltest makes models for tests: what goes live in the program goes live by its trial, and so these have one.
package modeltest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// Passed and Failed are trials of which a model's going live follows.
func Passed() *model.Trial {
	return &model.Trial{Source: "a test", Failures: 40, Passed: true, Why: "in a test it missed 1 of 40 failures where the best rule missed 9"}
}

// Failed is the trial of a model that stays in shadow.
func Failed() *model.Trial {
	return &model.Trial{Source: "a test", Failures: 40, Why: "in a test it missed 9 of 40 failures, as the best rule did"}
}

// With gives the same forest with another trial, nil for none, and so another id.
func With(t testing.TB, f *model.Forest, trial *model.Trial) *model.Forest {
	t.Helper()
	m := f.Manifest()
	m.Trial = trial
	out, err := f.WithManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Default is the forest that comes with the program, with a trial.
func Default(t testing.TB, trial *model.Trial) *model.Forest {
	t.Helper()
	f, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	return With(t, f, trial)
}

// Small grows a forest on made-up windows: hot fails, more or less by the seed. Each seed is another model.
func Small(t testing.TB, seed uint64, trial *model.Trial) *model.Forest {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	d := model.Dataset{Schema: stream.FeatureList[:]}
	for range 300 {
		row := make([]float64, stream.NumFeatures)
		for i := range row {
			row[i] = 100 * random.Float64()
		}
		var fails uint8
		if row[stream.FMean]+20*random.NormFloat64() > 40+10*float64(seed%5) {
			fails = 1
		}
		d.X, d.Y = append(d.X, row), append(d.Y, fails)
	}
	cfg := model.DefaultTrainConfig()
	cfg.Trees, cfg.MaxDepth, cfg.Seed, cfg.Name = 12, 4, seed, "small"
	f, err := model.Train(t.Context(), d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return With(t, f, trial)
}

// File writes a model where a test may name it.
func File(t testing.TB, f *model.Forest) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), f.ID()+".cidpmodel")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Encode(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
