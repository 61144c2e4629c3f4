package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/camrail/cidp/model"
)

// large is the data of the speed targets: 200,000 rows of 32 features, of which ten carry a signal that leans on products, 12 % or so positive.
var large = sync.OnceValue(func() model.Dataset { return wide(200_000, 32, 11) })

// wide is generated data with full float32 values, so that every bin is used.
func wide(rows, features int, seed uint64) model.Dataset {
	rng := rand.New(rand.NewPCG(seed, 7))
	d := model.Dataset{Schema: numbered(features), X: make([][]float64, rows), Y: make([]uint8, rows), Group: make([]int32, rows)}
	values := make([]float64, rows*features)
	for i := range rows {
		x := values[i*features : (i+1)*features : (i+1)*features]
		for j := range x {
			x[j] = float64(float32(rng.NormFloat64()))
		}
		score := x[0] + x[1]*x[2] + x[3]*x[4] + math.Sin(2*x[5]) + 0.7*x[6]*x[7]*x[8] + 0.5*x[9] + 1.5*rng.NormFloat64()
		d.X[i], d.Y[i], d.Group[i] = x, label(score > 2.8), int32(i/20)
	}
	return d
}

// forests of the speed targets, grown once a depth.
var largeForests = map[int]*model.Forest{}

func largeForest(b *testing.B, depth int) *model.Forest {
	b.Helper()
	if largeForests[depth] == nil {
		cfg := model.DefaultTrainConfig()
		cfg.MaxDepth = depth
		largeForests[depth] = mustTrain(b, large(), cfg)
	}
	return largeForests[depth]
}

// BenchmarkTrainLarge grows 100 trees of depth 12 on 200,000 rows of 32 features: binning, out-of-bag figures and digest included.
func BenchmarkTrainLarge(b *testing.B) {
	d := large()
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			cfg := model.DefaultTrainConfig()
			cfg.MaxDepth, cfg.Threads = 12, threads
			for b.Loop() {
				mustTrain(b, d, cfg)
			}
		})
	}
}

// BenchmarkPredictLarge scores single rows, a different one each time, on the forests of the speed targets.
func BenchmarkPredictLarge(b *testing.B) {
	rows := wide(2000, 32, 12).X
	for _, depth := range []int{8, 12} {
		b.Run(fmt.Sprintf("100x%d", depth), func(b *testing.B) {
			f := largeForest(b, depth)
			b.ReportAllocs()
			var sum float64
			i := 0
			for b.Loop() {
				sum += f.Predict(rows[i%len(rows)])
				i++
			}
			b.ReportMetric(float64(f.Nodes()), "nodes")
			if !(sum >= 0) {
				b.Fatal("no probability")
			}
		})
	}
}

// BenchmarkPredictBatchLarge scores 2,000 rows a call.
func BenchmarkPredictBatchLarge(b *testing.B) {
	f, rows := largeForest(b, 12), wide(2000, 32, 12).X
	dst := make([]float64, 0, len(rows))
	b.ReportAllocs()
	for b.Loop() {
		dst = f.PredictBatch(dst[:0], rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}

// BenchmarkPredictGolden scores the golden forests of scikit-learn on their own rows.
func BenchmarkPredictGolden(b *testing.B) {
	for name, files := range golden(b) {
		var rows struct {
			Rows [][]float64 `json:"rows"`
		}
		sharedJSON(b, "vectors/forest/"+name+"_test_rows.json.gz", &rows)
		b.Run(name, func(b *testing.B) {
			f := imported(b, files[0])
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				f.Predict(rows.Rows[i%len(rows.Rows)])
				i++
			}
			b.ReportMetric(float64(f.Nodes()), "nodes")
		})
	}
}
