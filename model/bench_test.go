package model_test

import (
	"fmt"
	"testing"

	"github.com/camrail/cidp/model"
)

// benchForest is a forest of 100 trees on 20,000 rows of 20 features, and rows to score.
func benchForest(b *testing.B, depth int) (*model.Forest, [][]float64) {
	b.Helper()
	cfg := model.DefaultTrainConfig()
	cfg.MaxDepth = depth
	f := mustTrain(b, noisy(20_000, 20, 1), cfg)
	return f, noisy(1000, 20, 2).X
}

// BenchmarkPredict scores single rows, a different one each time.
func BenchmarkPredict(b *testing.B) {
	for _, depth := range []int{8, 12} {
		b.Run(fmt.Sprintf("100x%d", depth), func(b *testing.B) {
			f, rows := benchForest(b, depth)
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

// BenchmarkWalk is the slow reference on the same rows.
func BenchmarkWalk(b *testing.B) {
	f, rows := benchForest(b, 8)
	i := 0
	for b.Loop() {
		f.Walk(rows[i%len(rows)])
		i++
	}
}

// BenchmarkExplain scores and explains single rows.
func BenchmarkExplain(b *testing.B) {
	f, rows := benchForest(b, 8)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.Explain(rows[i%len(rows)], model.DefaultTop)
		i++
	}
}

// BenchmarkTrain grows 100 trees of depth 8 on 20,000 rows of 20 features, binning and out-of-bag figures included.
func BenchmarkTrain(b *testing.B) {
	d := noisy(20_000, 20, 1)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			cfg := model.DefaultTrainConfig()
			cfg.Threads = threads
			for b.Loop() {
				mustTrain(b, d, cfg)
			}
		})
	}
}

// BenchmarkDecode reads a default-sized file.
func BenchmarkDecode(b *testing.B) {
	f, _ := benchForest(b, 8)
	file := mustEncode(b, f)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		mustDecode(b, file)
	}
}

// BenchmarkPredictCalibrated is a single row through the largest map there may be.
func BenchmarkPredictCalibrated(b *testing.B) {
	f, rows := benchForest(b, 8)
	m := f.Manifest()
	m.Calibration = &model.Calibration{Method: "isotonic", Applied: true}
	for i := range 80 {
		m.Calibration.Knots = append(m.Calibration.Knots, model.Point{float64(i) / 79, float64(i*i) / (79 * 79)})
	}
	f, err := f.WithManifest(m)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.Predict(rows[i%len(rows)])
		i++
	}
}

// BenchmarkShapley explains single rows exactly, on forests of 100 trees.
func BenchmarkShapley(b *testing.B) {
	for _, depth := range []int{8, 12} {
		b.Run(fmt.Sprintf("100x%d", depth), func(b *testing.B) {
			f, rows := benchForest(b, depth)
			dst := make([]float64, 20)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, _, err := f.Shapley(dst, rows[i%len(rows)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(f.Nodes()), "nodes")
		})
	}
}
