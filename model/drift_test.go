package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// TestPSIByHand: (0.6-0.5) ln(0.6/0.5) + (0.4-0.5) ln(0.4/0.5) = 0.0182322 + 0.0223144.
func TestPSIByHand(t *testing.T) {
	for _, c := range []struct {
		expected, counts []int64
		want             float64
	}{
		{[]int64{50, 50}, []int64{60, 40}, 0.0405465},
		{[]int64{50, 50}, []int64{7, 7}, 0},
		{[]int64{10, 20, 30, 40}, []int64{40, 30, 20, 10}, 0.9128696},           // 0.3 ln 4 + 0.1 ln 1.5 + 0.1 ln 1.5 + 0.3 ln 4
		{[]int64{1, 1}, []int64{1, 0}, 0.5*math.Log(2) + 0.4999*math.Log(5000)}, // an empty bin counts as 1e-4
		{[]int64{0, 5, 0}, []int64{5, 0, 0}, 2 * 0.9999 * math.Log(1e4)},
		{[]int64{0, 0}, []int64{1, 1}, math.NaN()},
		{[]int64{1, 1}, []int64{0, 0}, math.NaN()},
	} {
		got := model.PSI(c.expected, c.counts)
		if math.Abs(got-c.want) > 1e-6 && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("PSI(%v, %v) = %.7f, want %.7f", c.expected, c.counts, got, c.want)
		}
	}
}

// TestPSIOfTheSameDistribution: of n draws of the distribution itself the index is about (bins-1)/n on average, and never near what makes anybody look; a shift is seen.
func TestPSIOfTheSameDistribution(t *testing.T) {
	expected := make([]int64, 10)
	for i := range expected {
		expected[i] = 1000
	}
	const seeds, n = 2000, 1000
	sum, most := 0.0, 0.0
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		same, shifted := make([]int64, 10), make([]int64, 10)
		for range n {
			z := rng.NormFloat64()
			same[decile(z)]++
			shifted[decile(z+0.75)]++
		}
		psi := model.PSI(expected, same)
		sum, most = sum+psi, max(most, psi)
		if psi := model.PSI(expected, shifted); psi < model.PSILook {
			t.Errorf("seed %d: a shift of 0.75 standard deviations gives %.3f", seed, psi)
		}
	}
	if mean := sum / seeds; math.Abs(mean-9.0/n) > 0.001 || most >= model.PSIWatch/2 {
		t.Errorf("mean %.5f, want %.5f; the largest of %d is %.4f", mean, 9.0/n, seeds, most)
	}
}

// decile of a standard normal value.
func decile(z float64) int {
	return min(int(10*0.5*math.Erfc(-z/math.Sqrt2)), 9)
}

// sequence draws 168 hourly scores, the second half risen by some standard deviations, and gives where a rise was first told of, -1: nowhere.
func sequence(draw func(i int) float64, rise float64) int {
	d := model.NewPageHinkley()
	for i := range 168 {
		x := draw(i)
		if i >= 84 {
			x += rise
		}
		if d.Add(x) {
			return i
		}
	}
	return -1
}

// TestPageHinkley states how often it is wrong, and how late: in a week of steady hours fewer than one in 200 weeks has an alarm, be they normal, skewed or with a day in them; a rise of two standard
// deviations is told of within a day in 95 % of the weeks of the skewed hours and in all others, one of four within half a day.
func TestPageHinkley(t *testing.T) {
	const seeds = 1000
	for name, c := range map[string]struct {
		sd   float64
		draw func(rng *rand.Rand, i int) float64
		late int // of seeds that may take longer
	}{
		"normal": {0.004, func(rng *rand.Rand, _ int) float64 { return 0.02 + 0.004*rng.NormFloat64() }, seeds / 100},
		"skewed": {0.0131, func(rng *rand.Rand, _ int) float64 { return 0.01 * math.Exp(0.8*rng.NormFloat64()) }, seeds / 20},
		"a day": {0.00245, func(rng *rand.Rand, i int) float64 {
			return 0.02 + 0.002*math.Sin(2*math.Pi*float64(i)/24) + 0.002*rng.NormFloat64()
		}, seeds / 100},
	} {
		wrong, late, later := 0, 0, 0
		for seed := range uint64(seeds) {
			of := func(stream uint64) func(i int) float64 {
				rng := rand.New(rand.NewPCG(seed, stream))
				return func(i int) float64 { return c.draw(rng, i) }
			}
			if sequence(of(1), 0) >= 0 {
				wrong++
			}
			if at := sequence(of(2), 2*c.sd); at < 0 || at > 84+24 {
				late++
			}
			if at := sequence(of(3), 4*c.sd); at < 0 || at > 84+12 {
				later++
			}
		}
		t.Logf("%s: %d of %d steady weeks with an alarm, %d rises of two and %d of four not told of in time", name, wrong, seeds, late, later)
		if wrong*200 > seeds || late > c.late || later > seeds/100 {
			t.Errorf("%s: that is more than is stated", name)
		}
	}
}

// windows of a fleet, with features drawn anew.
func drawn(rng *rand.Rand) (end int64, features stream.Features, p float64) {
	for i := range features {
		features[i] = 40 * rng.NormFloat64()
	}
	features[stream.FPeerZ] = math.NaN()
	return 1_700_000_000_000 + rng.Int64N(30*3_600_000), features, rng.Float64()
}

// TestDriftIsAFunctionOfTheSet: whatever the order, and however often it is kept and given back, the same windows of the stretch give the same report; older ones do not count.
func TestDriftIsAFunctionOfTheSet(t *testing.T) {
	forest, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	type window struct {
		end      int64
		features stream.Features
		p        float64
	}
	rng := rand.New(rand.NewPCG(4, 4))
	var all []window
	for range 3000 {
		end, features, p := drawn(rng)
		all = append(all, window{end, features, p})
	}
	last := window{end: 1_700_000_000_000 + 33*3_600_000, p: 0.5}
	var first string
	for round := range 4 {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		d, err := model.NewDrift(forest, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		kept := map[int64][]byte{} // what a store would keep
		for i, w := range append(all, last) {
			d.Add(w.end, w.features[:], w.p)
			if i%(50+round*300) != 0 {
				continue
			}
			buckets, oldest := d.Changed()
			for _, b := range buckets {
				kept[b.Start] = b.Counts
			}
			again, err := model.NewDrift(forest, 24*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			for start, counts := range kept {
				if start < oldest {
					delete(kept, start)
				} else if err := again.Restore(model.StoredBucket{Start: start, Counts: counts}); err != nil {
					t.Fatal(err)
				}
			}
			d = again
		}
		r := d.Report()
		if text := fmt.Sprintf("%+v", r); first == "" {
			first = text
		} else if text != first {
			t.Errorf("round %d:\n%s\nwas\n%s", round, text, first)
		}
		if peer := r.Features[stream.FPeerZ]; peer.Missing < 0.99 || peer.State != model.DriftLook || !math.IsNaN(peer.PSI) {
			t.Errorf("a feature that is always missing is told as %+v", peer)
		}
		if len(r.Features) != stream.NumFeatures || r.Windows < model.DriftLeast || r.Windows >= 3000 || r.Features[stream.FMean].State != model.DriftLook || r.Score.State != model.DriftLook {
			t.Errorf("report %+v", r)
		}
		if r.To-r.From > 24*3_600_000 || len(r.Hours) > 24 {
			t.Errorf("from %d to %d, %d hours", r.From, r.To, len(r.Hours))
		}
	}
}

// TestDriftOfTrainingIsSteady: windows spread as the model's training data are no drift.
func TestDriftOfTrainingIsSteady(t *testing.T) {
	forest, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	d, err := model.NewDrift(forest, model.MinDriftSpan)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	like := func(s model.Distribution) float64 { // a value of the bins as often as training had one
		n := rng.IntN(s.Known() + s.Missing)
		for bin, rows := range s.Rows {
			if n -= rows; n < 0 {
				switch {
				case bin < len(s.Edges):
					return float64(s.Edges[bin])
				case bin > 0:
					return float64(s.Edges[bin-1]) + 1
				}
				return 0
			}
		}
		return math.NaN()
	}
	score, _ := forest.ScoreDistribution()
	for n := range 5000 {
		if r := d.Report(); n == model.DriftLeast-1 && (r.Score.State != model.DriftUnknown || !math.IsNaN(r.Features[0].PSI)) {
			t.Errorf("of %d windows it says %+v", n, r.Score)
		}
		var features stream.Features
		for i := range features {
			s, _ := forest.Distribution(i)
			features[i] = like(s)
		}
		d.Add(1_700_000_000_000, features[:], like(score.Distribution))
	}
	r := d.Report()
	for _, f := range append(r.Features, r.Score) {
		if f.State != model.DriftSteady || f.PSI > 0.02 || math.Abs(f.Missing-f.MissingTraining) > 0.05 {
			t.Errorf("%q: %+v", f.Name, f)
		}
	}
}

func TestDriftRefuses(t *testing.T) {
	forest, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, span := range []time.Duration{0, time.Hour, 90 * time.Minute * 3, 100 * 24 * time.Hour, -time.Hour} {
		if _, err := model.NewDrift(forest, span); err == nil {
			t.Errorf("a span of %s is taken", span)
		}
	}
}

// FuzzDriftRestore gives back whatever bytes a damaged database could hold: an error or the counts that were kept, which are then written as they came.
func FuzzDriftRestore(f *testing.F) {
	forest, err := model.Default()
	if err != nil {
		f.Fatal(err)
	}
	fresh := func() *model.Drift {
		d, err := model.NewDrift(forest, 48*time.Hour)
		if err != nil {
			f.Fatal(err)
		}
		return d
	}
	d := fresh()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		end, features, p := drawn(rng)
		d.Add(end, features[:], p)
	}
	buckets, _ := d.Changed()
	for _, b := range buckets {
		f.Add(b.Start, b.Counts)
	}
	f.Add(int64(0), []byte{})
	f.Add(int64(-1<<62), buckets[0].Counts)
	f.Fuzz(func(t *testing.T, start int64, counts []byte) {
		d := fresh()
		if d.Restore(model.StoredBucket{Start: start, Counts: counts}) != nil {
			return
		}
		again := fresh()
		if err := again.Restore(model.StoredBucket{Start: start, Counts: counts}); err != nil || !reflect.DeepEqual(fmt.Sprint(d.Report()), fmt.Sprint(again.Report())) {
			t.Errorf("given back twice it says %v and %v (%v)", d.Report(), again.Report(), err)
		}
	})
}

// BenchmarkDriftAdd counts a window, and lays out its hour to be kept once in ten.
func BenchmarkDriftAdd(b *testing.B) {
	forest, err := model.Default()
	if err != nil {
		b.Fatal(err)
	}
	d, err := model.NewDrift(forest, 168*time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	end, features, p := drawn(rng)
	bytes := 0
	for i := range b.N {
		d.Add(end+int64(i), features[:], p)
		if i%10 == 0 {
			for _, s := range first(d.Changed()) {
				bytes = len(s.Counts)
			}
		}
	}
	b.ReportMetric(float64(bytes), "B/hour")
}

func first(buckets []model.StoredBucket, _ int64) []model.StoredBucket { return buckets }
