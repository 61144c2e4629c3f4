package model_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/camrail/cidp/model"
)

// TestSameBytesOnAnyThreads is the promise behind the embedded model: a seed gives one file.
func TestSameBytesOnAnyThreads(t *testing.T) {
	d := noisy(3000, 12, 1)
	var want []byte
	for _, threads := range []int{1, 2, 7, 0} {
		for _, procs := range []int{1, 2, 7} {
			before := runtime.GOMAXPROCS(procs)
			cfg := small()
			cfg.Threads = threads
			got := mustEncode(t, mustTrain(t, d, cfg))
			runtime.GOMAXPROCS(before)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%d threads on %d processors made another file", threads, procs)
			}
		}
	}
	cfg := small()
	cfg.Seed = 2
	if bytes.Equal(mustEncode(t, mustTrain(t, d, cfg)), want) {
		t.Error("another seed made the same file")
	}
}

// TestSameForestForEver pins the random sequence, the training and the file format to what they were, on every architecture. Its data come from
// integers alone. A change here means that every model must be trained again: raise the file version with it.
func TestSameForestForEver(t *testing.T) {
	draws := model.Draws(7, 3, 1000, 8)
	if want := []uint64{411, 743, 718, 42, 75, 849, 688, 653}; !slices.Equal(draws, want) {
		t.Errorf("draws %v, want %v", draws, want)
	}
	d := pinned()
	cfg := small()
	cfg.Name = "pinned"
	f := mustTrain(t, d, cfg)
	if got, want := f.ID(), "a0048c002eec20b1"; got != want {
		t.Errorf("the pinned training made model %s, want %s", got, want)
	}
}

// pinned is data made of integers alone.
func pinned() model.Dataset {
	d := model.Dataset{Schema: numbered(6)}
	state := uint32(1)
	for i := range 500 {
		x := make([]float64, 6)
		for j := range x {
			state = state*1664525 + 1013904223
			x[j] = float64(state>>20) / 8
		}
		if i%17 == 0 {
			x[5] = math.NaN()
		}
		d.X = append(d.X, x)
		d.Y = append(d.Y, label(x[0]+x[1] > 600 || x[2] < 40))
	}
	return d
}

// TestRootSplitIsTheBest compares the trainer's first split with a search of every cut by Gini impurity in plain floats.
func TestRootSplitIsTheBest(t *testing.T) {
	for seed := range uint64(20) {
		for _, minLeaf := range []int{1, 5, 40} {
			d := noisy(150, 4, seed+1)
			feature, cut, bag, ok := model.RootSplit(d, model.TrainConfig{MinLeaf: minLeaf, Seed: seed})
			if !ok {
				t.Fatalf("seed %d: no split", seed)
			}
			got := impurity(d, bag, feature, float64(cut), minLeaf)
			for j := range d.Schema {
				for _, row := range d.X {
					at := row[j]
					if math.IsNaN(at) {
						at = math.Inf(1) // everything against missing
					}
					if other := impurity(d, bag, j, at, minLeaf); other < got-1e-9 {
						t.Fatalf("seed %d, min leaf %d: x%d <= %v has impurity %v, the trainer took x%d <= %v with %v",
							seed, minLeaf, j, at, other, feature, cut, got)
					}
				}
			}
		}
	}
}

// impurity is the Gini impurity left by a cut, weighted by rows; infinite when a side is too small.
func impurity(d model.Dataset, bag []uint32, feature int, cut float64, minLeaf int) float64 {
	var n, pos [2]float64
	for i, row := range d.X {
		side := 1
		if float32(row[feature]) <= float32(cut) {
			side = 0
		}
		n[side] += float64(bag[i])
		pos[side] += float64(bag[i]) * float64(d.Y[i])
	}
	sum := 0.0
	for s := range n {
		if n[s] < float64(minLeaf) {
			return math.Inf(1)
		}
		sum += 2 * pos[s] * (n[s] - pos[s]) / n[s]
	}
	return sum
}

func TestForestLearns(t *testing.T) {
	d := noisy(6000, 10, 1)
	train, held, err := model.GroupSplit(d.Group, 0.3, 1)
	if err != nil {
		t.Fatal(err)
	}
	f := mustTrain(t, d.Pick(train), model.DefaultTrainConfig())
	test := d.Pick(held)
	e, err := model.Evaluate(f.PredictBatch(nil, test.X), test.Y)
	if err != nil {
		t.Fatal(err)
	}
	alone := 0.0 // the best that one feature can do
	for j := range d.Schema {
		score := make([]float64, len(test.X))
		for i, x := range test.X {
			if score[i] = x[j]; math.IsNaN(x[j]) {
				score[i] = 0
			}
		}
		one, err := model.Evaluate(score, test.Y)
		if err != nil {
			t.Fatal(err)
		}
		alone = max(alone, one.ROCAUC)
	}
	t.Logf("held out: %+v; best single feature ROC %.3f; manifest %+v", e, alone, *f.Manifest().RowOOB)
	if e.ROCAUC < 0.85 || e.ROCAUC < alone+0.05 {
		t.Errorf("held-out ROC %.3f, a single feature has %.3f", e.ROCAUC, alone)
	}
	if oob := f.Manifest().RowOOB; math.Abs(oob.ROCAUC-e.ROCAUC) > 0.05 || oob.Rows < len(train)*99/100 {
		t.Errorf("out-of-bag %+v is far from held-out %+v, though these rows are independent", *oob, e)
	}
}

func TestMissingGoesRight(t *testing.T) {
	// Failing rows are those that miss x0; x1 says nothing.
	d := model.Dataset{Schema: numbered(2)}
	for i := range 400 {
		x := []float64{float64(i % 50), float64(i % 7)}
		if i%4 == 0 {
			x[0] = math.NaN()
		}
		d.X, d.Y = append(d.X, x), append(d.Y, label(i%4 == 0))
	}
	f := mustTrain(t, d, small())
	for _, tt := range []struct {
		x0, low, high float64
	}{
		{math.NaN(), 0.95, 1}, {3, 0, 0.05}, {-1e30, 0, 0.05}, {1e30, 0, 0.05}, {math.Inf(1), 0, 0.05},
	} {
		if p := f.Predict([]float64{tt.x0, 3}); p < tt.low || p > tt.high {
			t.Errorf("x0 = %v: probability %v, want %v to %v", tt.x0, p, tt.low, tt.high)
		}
	}
}

func TestDegenerateData(t *testing.T) {
	rows := func(n int, x func(i int) []float64) model.Dataset {
		d := model.Dataset{}
		for i := range n {
			d.X, d.Y = append(d.X, x(i)), append(d.Y, label(i%3 == 0))
		}
		d.Schema = numbered(len(d.X[0]))
		return d
	}
	for name, d := range map[string]model.Dataset{
		"two rows":     rows(2, func(i int) []float64 { return []float64{float64(i)} }),
		"constant":     rows(90, func(int) []float64 { return []float64{4, 4} }),
		"all missing":  rows(90, func(int) []float64 { return []float64{math.NaN()} }),
		"zeros":        rows(90, func(i int) []float64 { return []float64{math.Copysign(0, float64(i%2)-0.5)} }),
		"one and many": rows(900, func(i int) []float64 { return []float64{7, float64(i)} }),
		"neighbours":   rows(90, func(i int) []float64 { return []float64{math.Float64frombits(uint64(i%5) << 29)} }),
		"extremes":     rows(90, func(i int) []float64 { return []float64{math.MaxFloat32 * float64(i%3-1)} }),
	} {
		t.Run(name, func(t *testing.T) {
			f := mustTrain(t, d, small())
			for _, x := range d.X {
				if p := f.Predict(x); p != f.Walk(x) || !(p >= 0 && p <= 1) {
					t.Fatalf("row %v: %v, walk %v", x, p, f.Walk(x))
				}
			}
			mustDecode(t, mustEncode(t, f))
		})
	}
	f := mustTrain(t, rows(90, func(int) []float64 { return []float64{4, 4} }), small())
	if f.Nodes() != f.Trees() || math.Abs(f.Base()-1.0/3) > 0.1 {
		t.Errorf("constant rows made %d nodes in %d trees with base %v", f.Nodes(), f.Trees(), f.Base())
	}
}

func TestTrainRefuses(t *testing.T) {
	base := func() (model.Dataset, model.TrainConfig) { return noisy(100, 3, 1), small() }
	for name, tt := range map[string]struct {
		spoil func(d *model.Dataset, c *model.TrainConfig)
		words []string
	}{
		"no features":   {func(d *model.Dataset, _ *model.TrainConfig) { d.Schema = nil }, []string{"0 features"}},
		"257 features":  {func(d *model.Dataset, _ *model.TrainConfig) { d.Schema = numbered(257) }, []string{"257 features", "256"}},
		"unnamed":       {func(d *model.Dataset, _ *model.TrainConfig) { d.Schema[1].Name = "" }, []string{"feature 1 has no name"}},
		"named twice":   {func(d *model.Dataset, _ *model.TrainConfig) { d.Schema[1].Name = "x0" }, []string{"x0 is named twice"}},
		"no rows":       {func(d *model.Dataset, _ *model.TrainConfig) { d.X, d.Y, d.Group = nil, nil, nil }, []string{"no rows"}},
		"few labels":    {func(d *model.Dataset, _ *model.TrainConfig) { d.Y = d.Y[1:] }, []string{"100 rows but 99 labels"}},
		"few groups":    {func(d *model.Dataset, _ *model.TrainConfig) { d.Group = d.Group[1:] }, []string{"100 rows but 99 groups"}},
		"narrow row":    {func(d *model.Dataset, _ *model.TrainConfig) { d.X[9] = d.X[9][1:] }, []string{"row 9 has 2 values", "3 features"}},
		"third label":   {func(d *model.Dataset, _ *model.TrainConfig) { d.Y[4] = 2 }, []string{"row 4 has label 2"}},
		"one class":     {func(d *model.Dataset, _ *model.TrainConfig) { clear(d.Y) }, []string{"label 0", "both classes"}},
		"infinite":      {func(d *model.Dataset, _ *model.TrainConfig) { d.X[7][2] = math.Inf(-1) }, []string{"row 7, feature x2", "-Inf"}},
		"too large":     {func(d *model.Dataset, _ *model.TrainConfig) { d.X[7][2] = 1e39 }, []string{"row 7, feature x2", "float32"}},
		"no trees":      {func(_ *model.Dataset, c *model.TrainConfig) { c.Trees = 0 }, []string{"0 trees"}},
		"no depth":      {func(_ *model.Dataset, c *model.TrainConfig) { c.MaxDepth = 0 }, []string{"depth 0"}},
		"too deep":      {func(_ *model.Dataset, c *model.TrainConfig) { c.MaxDepth = 65 }, []string{"depth 65"}},
		"empty leaves":  {func(_ *model.Dataset, c *model.TrainConfig) { c.MinLeaf = 0 }, []string{"at least 0 rows"}},
		"many per node": {func(_ *model.Dataset, c *model.TrainConfig) { c.PerNode = 4 }, []string{"4 features a node of 3"}},
		"a criterion":   {func(_ *model.Dataset, c *model.TrainConfig) { c.Criterion = "hunch" }, []string{`"hunch"`, "entropy"}},
		"no weight":     {func(_ *model.Dataset, c *model.TrainConfig) { c.PositiveWeight = -2 }, []string{"counted as -2"}},
		"NaN weight":    {func(_ *model.Dataset, c *model.TrainConfig) { c.PositiveWeight = math.NaN() }, []string{"counted as NaN"}},
		"few threads":   {func(_ *model.Dataset, c *model.TrainConfig) { c.Threads = -1 }, []string{"-1 threads"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, cfg := base()
			tt.spoil(&d, &cfg)
			f, err := model.Train(context.Background(), d, cfg)
			if f != nil {
				t.Error("there is a forest beside the error")
			}
			mustFail(t, err, append(tt.words, "train forest: ")...)
		})
	}
}

// TestTrainStopsWhenCancelled runs in a bubble, which fails when a goroutine is left.
func TestTrainStopsWhenCancelled(t *testing.T) { synctest.Test(t, trainAndCancel) }

func trainAndCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := small()
	cfg.Trees = 5000
	cfg.Progress = func(done, _ int) {
		if done == 3 {
			cancel()
		}
	}
	f, err := model.Train(ctx, noisy(2000, 8, 1), cfg)
	if f != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("forest %v, error %v", f, err)
	}
	cfg.Progress = nil
	if _, err := model.Train(ctx, noisy(100, 3, 1), cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("a context cancelled before gave %v", err)
	}
}

func TestProgressRises(t *testing.T) {
	var seen []int
	cfg := small()
	cfg.Threads = 4
	cfg.Progress = func(done, total int) {
		if total != cfg.Trees {
			t.Errorf("total %d", total)
		}
		seen = append(seen, done)
	}
	mustTrain(t, noisy(500, 5, 1), cfg)
	for i, n := range seen {
		if n != i+1 {
			t.Fatalf("progress %v", seen)
		}
	}
	if len(seen) != cfg.Trees {
		t.Errorf("%d calls for %d trees", len(seen), cfg.Trees)
	}
}

func TestLimitsOfATree(t *testing.T) {
	d := noisy(2000, 6, 1)
	for _, depth := range []int{1, 3, 8, 64} {
		cfg := small()
		cfg.MaxDepth, cfg.MinLeaf = depth, 1
		if f := mustTrain(t, d, cfg); f.Depth() > depth || depth < 9 && f.Depth() != depth {
			t.Errorf("depth %d allowed, %d used", depth, f.Depth())
		}
	}
	cfg := small()
	cfg.MinLeaf = 1001
	if f := mustTrain(t, d, cfg); f.Nodes() != f.Trees() {
		t.Errorf("2,000 rows with leaves of 1,001 made %d nodes in %d trees", f.Nodes(), f.Trees())
	}
}

func TestManifest(t *testing.T) {
	d := noisy(1000, 10, 1)
	cfg := small()
	cfg.Name, cfg.Source, cfg.HeldOut = "trial", "a test", &model.Evaluation{Rows: 7, ROCAUC: 0.9}
	f := mustDecode(t, mustEncode(t, mustTrain(t, d, cfg)))
	m := f.Manifest()
	if m.Name != "trial" || m.Source != "a test" || m.HeldOut == nil || *m.HeldOut != *cfg.HeldOut || m.Seed != 1 || m.Trees != 20 ||
		m.MaxDepth != 6 || m.MinLeaf != 5 || m.PerNode != 3 || m.Rows != 1000 || m.Groups != 50 || m.Positives == 0 || m.RowOOB.Caveat == "" {
		t.Errorf("manifest %+v", m)
	}
	for name, change := range map[string]func(d *model.Dataset){
		"value": func(d *model.Dataset) { d.X[3][2] += 0.001 },
		"label": func(d *model.Dataset) { d.Y[3] ^= 1 },
		"group": func(d *model.Dataset) { d.Group[3]++ },
		"name":  func(d *model.Dataset) { d.Schema[0].Name = "y0" },
		"unit":  func(d *model.Dataset) { d.Schema[0].Unit = "K" },
	} {
		other := noisy(1000, 10, 1)
		change(&other)
		if mustTrain(t, other, cfg).Manifest().DataSHA256 == m.DataSHA256 {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

func TestCutBins(t *testing.T) {
	inf := float32(math.Inf(1))
	uppers, cuts := model.CutBins([]float32{-1, -1, 0, 0, 0, 4})
	if !slices.Equal(uppers, []float32{-1, 0, 4}) || !slices.Equal(cuts, []float32{-0.5, 2, inf}) {
		t.Errorf("few values: uppers %v, cuts %v", uppers, cuts)
	}
	if uppers, cuts = model.CutBins(nil); len(uppers) != 0 || len(cuts) != 0 {
		t.Errorf("no values: uppers %v, cuts %v", uppers, cuts)
	}
	// Half the rows share one value: it fills one bin, and the others share the rest evenly.
	var many []float32
	for i := range 10_000 {
		many = append(many, float32(max(0, i-5000)))
	}
	uppers, cuts = model.CutBins(many)
	if len(uppers) != 255 || len(cuts) != 255 || uppers[0] != 0 || uppers[254] != 4999 || cuts[254] != inf {
		t.Fatalf("many values: %d bins from %v to %v", len(uppers), uppers[0], uppers[len(uppers)-1])
	}
	for b := 1; b < 255; b++ {
		if n := uppers[b] - uppers[b-1]; n < 15 || n > 25 {
			t.Errorf("bin %d holds %v rows of about 20", b, n)
		}
		if !(cuts[b-1] >= uppers[b-1] && cuts[b-1] < uppers[b]) {
			t.Errorf("cut %v is not between %v and %v", cuts[b-1], uppers[b-1], uppers[b])
		}
	}
	for _, v := range []float32{-math.MaxFloat32, -1, -math.SmallestNonzeroFloat32, 0, 1, 1e30} {
		next := math.Nextafter32(v, inf)
		if cut := model.Between(v, next); !(cut >= v && cut < next) {
			t.Errorf("cut %v between %v and its neighbour %v", cut, v, next)
		}
	}
}
