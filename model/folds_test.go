package model_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/camrail/cidp/model"
)

// timed is noisy with a time to each row, three rows a time, in no order.
func timed(rows int) model.Dataset {
	d := noisy(rows, 4, 5)
	for i := range d.X {
		d.Time = append(d.Time, int64(i*7919%rows/3*10))
	}
	return d
}

// TestRandomSplitIsRefused is the promise of the trainer: no default, and no call without the caller's word, tests a forest on rows of an asset it learnt from.
func TestRandomSplitIsRefused(t *testing.T) {
	if s := model.DefaultFoldConfig(); s.Split != model.ByGroup || s.IndependentRows {
		t.Errorf("the default folds are %+v", s)
	}
	d := noisy(600, 4, 1)
	cfg := model.DefaultFoldConfig()
	cfg.Split = model.ByRow
	_, err := model.Folds(d, cfg)
	mustFail(t, err, "make folds: ", "a random split of rows is refused", "by asset")
	_, err = model.CrossValidate(context.Background(), d, small(), cfg)
	mustFail(t, err, "a random split of rows is refused")

	disguised := noisy(600, 4, 1)
	for i := range disguised.Group {
		disguised.Group[i] = int32(i)
	}
	_, err = model.Folds(disguised, model.DefaultFoldConfig())
	mustFail(t, err, "each of the 600 rows is a group of its own", "a random split of rows is refused")

	none := d
	none.Group = nil
	_, err = model.Folds(none, model.DefaultFoldConfig())
	mustFail(t, err, "needs the asset of each row")
	_, err = model.Folds(d, model.FoldConfig{Split: "", Folds: 5})
	mustFail(t, err, `a split by ""`)

	cfg.IndependentRows = true
	folds, err := model.Folds(d, cfg)
	if err != nil || len(folds) != 5 {
		t.Errorf("independent rows: %d folds, %v", len(folds), err)
	}
	partition(t, d, folds)
}

// partition fails unless every row tests exactly once and trains for every other fold.
func partition(t *testing.T, d model.Dataset, folds []model.Fold) {
	t.Helper()
	tested := make([]int, len(d.X))
	for k, f := range folds {
		if len(f.Train)+len(f.Test) != len(d.X) || !slices.IsSorted(f.Train) || !slices.IsSorted(f.Test) {
			t.Fatalf("fold %d trains on %d rows and tests %d of %d", k, len(f.Train), len(f.Test), len(d.X))
		}
		for _, i := range f.Test {
			tested[i]++
		}
	}
	for i, n := range tested {
		if n != 1 {
			t.Fatalf("row %d tests %d times", i, n)
		}
	}
}

func TestFoldsNeverPartAnAsset(t *testing.T) {
	d := noisy(3000, 4, 2)
	folds, err := model.Folds(d, model.DefaultFoldConfig())
	if err != nil {
		t.Fatal(err)
	}
	partition(t, d, folds)
	for k, f := range folds {
		trains := map[int32]bool{}
		for _, i := range f.Train {
			trains[d.Group[i]] = true
		}
		failing := map[int32]bool{}
		for _, i := range f.Test {
			if trains[d.Group[i]] {
				t.Fatalf("fold %d: asset %d is on both sides", k, d.Group[i])
			}
			if d.Y[i] == 1 {
				failing[d.Group[i]] = true
			}
		}
		if n := d.Pick(f.Test).Groups(); n != 30 || len(failing) < 20 {
			t.Errorf("fold %d tests %d assets of 150, %d of them failing", k, n, len(failing))
		}
	}
	other := model.DefaultFoldConfig()
	other.Seed = 2
	again, err := model.Folds(d, model.DefaultFoldConfig())
	if err != nil || !slices.Equal(again[0].Test, folds[0].Test) {
		t.Errorf("the same seed parts otherwise (%v)", err)
	}
	if again, err = model.Folds(d, other); err != nil || slices.Equal(again[0].Test, folds[0].Test) {
		t.Errorf("another seed parts alike (%v)", err)
	}
}

func TestTimeFoldsLearnFromThePast(t *testing.T) {
	d := timed(900)
	cfg := model.FoldConfig{Split: model.ByTime, Folds: 4, Gap: 100}
	folds, err := model.Folds(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	last := int64(math.MinInt64)
	for k, f := range folds {
		newest, oldest := int64(math.MinInt64), int64(math.MaxInt64)
		for _, i := range f.Train {
			newest = max(newest, d.Time[i])
		}
		for _, i := range f.Test {
			oldest = min(oldest, d.Time[i])
		}
		if len(f.Train) == 0 || newest >= oldest-cfg.Gap || newest < oldest-cfg.Gap-10 {
			t.Errorf("fold %d learns from %d rows up to %d and tests from %d", k, len(f.Train), newest, oldest)
		}
		if oldest <= last {
			t.Errorf("fold %d tests from %d, the one before from %d", k, oldest, last)
		}
		last = oldest
		if tested += len(f.Test); len(f.Test) < 150 || len(f.Test) > 210 {
			t.Errorf("fold %d tests %d rows", k, len(f.Test))
		}
	}
	if tested < 700 || tested > 730 {
		t.Errorf("%d rows test", tested)
	}
}

func TestFoldsRefuse(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(d *model.Dataset, c *model.FoldConfig)
		says  string
	}{
		"one fold":       {func(_ *model.Dataset, c *model.FoldConfig) { c.Folds = 1 }, "1 folds"},
		"many folds":     {func(_ *model.Dataset, c *model.FoldConfig) { c.Folds = 101 }, "101 folds"},
		"few groups":     {func(d *model.Dataset, _ *model.FoldConfig) { clear(d.Group) }, "1 groups do not make 5 folds"},
		"short groups":   {func(d *model.Dataset, _ *model.FoldConfig) { d.Group = d.Group[1:] }, "299 groups"},
		"no time":        {func(d *model.Dataset, c *model.FoldConfig) { c.Split, d.Time = model.ByTime, nil }, "needs the time of each row"},
		"one time":       {func(d *model.Dataset, c *model.FoldConfig) { c.Split = model.ByTime; clear(d.Time) }, "too few"},
		"negative gap":   {func(_ *model.Dataset, c *model.FoldConfig) { c.Split, c.Gap = model.ByTime, -1 }, "is negative"},
		"gap of forever": {func(_ *model.Dataset, c *model.FoldConfig) { c.Split, c.Gap = model.ByTime, math.MaxInt64 }, "nothing before fold 1"},
	} {
		t.Run(name, func(t *testing.T) {
			d, cfg := timed(300), model.DefaultFoldConfig()
			tt.spoil(&d, &cfg)
			_, err := model.Folds(d, cfg)
			mustFail(t, err, "make folds: ", tt.says)
		})
	}
	short := timed(300)
	short.Time = short.Time[1:]
	mustFail(t, short.Check(), "300 rows but 299 times")
}

// TestCrossValidateIsHonest: each asset has a fingerprint and a label of its own, so there is nothing to learn. Rows parted at random look perfect; folds by
// asset show the truth.
func TestCrossValidateIsHonest(t *testing.T) {
	d := model.Dataset{Schema: numbered(3)}
	base := noisy(60, 3, 9)
	for i := range 1200 {
		g := i % 60
		x := slices.Clone(base.X[g])
		for j := range x {
			if math.IsNaN(x[j]) {
				x[j] = 0
			}
			x[j] += float64(i) * 1e-6
		}
		d.X, d.Y, d.Group = append(d.X, x), append(d.Y, uint8(g*2654435761>>7&1)), append(d.Group, int32(g))
	}
	cfg := small()
	var progress []int
	cfg.Progress = func(done, total int) {
		if total != 5*cfg.Trees {
			t.Errorf("progress of %d", total)
		}
		progress = append(progress, done)
	}
	honest, err := model.CrossValidate(context.Background(), d, cfg, model.DefaultFoldConfig())
	if err != nil {
		t.Fatal(err)
	}
	if len(progress) != 5*cfg.Trees || !slices.IsSorted(progress) || progress[len(progress)-1] != 5*cfg.Trees {
		t.Errorf("%d steps of progress", len(progress))
	}
	cfg.Progress = nil
	flattering, err := model.CrossValidate(context.Background(), d, cfg, model.FoldConfig{Split: model.ByRow, Folds: 5, Seed: 1, IndependentRows: true})
	if err != nil {
		t.Fatal(err)
	}
	if honest.Pooled.ROCAUC > 0.75 || flattering.Pooled.ROCAUC < 0.95 {
		t.Errorf("ROC %.3f by asset, %.3f by row", honest.Pooled.ROCAUC, flattering.Pooled.ROCAUC)
	}
	if honest.Split != model.ByGroup || len(honest.Folds) != 5 || len(honest.P) != 1200 || honest.Pooled.Groups != 60 || honest.Folds[0].Groups != 12 {
		t.Errorf("by asset: %+v", honest)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := model.CrossValidate(ctx, d, cfg, model.DefaultFoldConfig()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	cfg.Folds = &honest
	kept := mustDecode(t, mustEncode(t, mustTrain(t, d, cfg))).Manifest().Folds
	if kept == nil || kept.Pooled != honest.Pooled || len(kept.Reliability.Bins) == 0 || kept.Split != model.ByGroup {
		t.Errorf("the file says %+v of the folds", kept)
	}
}

// TestLeakIsCaught adds what only the future knows.
func TestLeakIsCaught(t *testing.T) {
	leaky := func(column func(d model.Dataset, i int) float64) model.Dataset {
		d := noisy(400, 3, 4)
		d.Schema = numbered(4)
		for i := range d.X {
			d.X[i] = append(d.X[i], column(d, i))
		}
		return d
	}
	for name, tt := range map[string]struct {
		column func(d model.Dataset, i int) float64
		leaks  bool
		clock  bool
	}{
		"the label":            {func(d model.Dataset, i int) float64 { return float64(d.Y[i]) }, true, false},
		"time left":            {func(d model.Dataset, i int) float64 { return 30 - float64(d.Y[i])*20 + float64(i%19) }, true, false},
		"missing when failing": {func(d model.Dataset, i int) float64 { return []float64{0, math.NaN()}[d.Y[i]] }, true, false},
		"almost the label":     {func(d model.Dataset, i int) float64 { return float64(d.Y[i]) - float64(i%97)*0.011 }, false, false},
		"a clock":              {func(_ model.Dataset, i int) float64 { return float64(i) }, false, true},
		"cycles of an asset":   {func(d model.Dataset, i int) float64 { return float64(i % 20) }, false, true},
		"cycles left":          {func(d model.Dataset, i int) float64 { return 50 - float64(i%20) }, false, true},
		"up and down":          {func(_ model.Dataset, i int) float64 { return float64(i % 7) }, false, false},
		"a clock with gaps":    {func(_ model.Dataset, i int) float64 { return []float64{float64(i), math.NaN()}[i/399] }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := leaky(tt.column)
			if got := model.Leaks(d); slices.Equal(got, []string{"x3"}) != tt.leaks || len(got) > 1 {
				t.Errorf("leaks %q", got)
			}
			if got := model.Clocks(d); slices.Equal(got, []string{"x3"}) != tt.clock || len(got) > 1 {
				t.Errorf("clocks %q", got)
			}
		})
	}
	few := leaky(func(d model.Dataset, i int) float64 { return float64(d.Y[i]) })
	if got := model.Leaks(few.Pick([]int{0, 1, 2, 3, 4, 5, 6, 7})); got != nil {
		t.Errorf("eight rows prove %q", got)
	}
	if got := model.Clocks(few.Pick([]int{0, 20, 40, 60})); got != nil {
		t.Errorf("four rows prove %q", got)
	}
}
