package model

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Bins 0 to 254 hold values in rising order; the top bin holds what is missing, so that missing goes right of every cut.
const (
	valueBins  = 255
	missingBin = 255
)

// column is one feature of the training data, cut into bins.
type column struct {
	bins []uint8   // the bin of each row
	cuts []float32 // cuts[b] is a threshold with bins 0 to b at or below it and the rest above; the last is +Inf

	spread Distribution
}

// binColumns cuts every feature on the given number of threads. Columns do not depend on each other, so neither does the
// result on the threads.
func binColumns(ctx context.Context, d Dataset, threads int) ([]column, error) {
	cols := make([]column, len(d.Schema))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(threads, len(cols)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				j := int(next.Add(1)) - 1
				if j >= len(cols) {
					return
				}
				cols[j] = binColumn(d.X, j)
			}
		})
	}
	wg.Wait()
	return cols, ctx.Err()
}

func binColumn(rows [][]float64, j int) column {
	values := make([]float32, 0, len(rows))
	for _, row := range rows {
		if !math.IsNaN(row[j]) {
			values = append(values, cast(row[j]))
		}
	}
	slices.Sort(values)
	uppers, cuts := cutBins(values)
	c := column{bins: make([]uint8, len(rows)), cuts: cuts, spread: spread(values, len(rows)-len(values))}
	for i, row := range rows {
		c.bins[i] = missingBin
		if !math.IsNaN(row[j]) {
			b, _ := slices.BinarySearch(uppers, cast(row[j]))
			c.bins[i] = uint8(b)
		}
	}
	return c
}

// cutBins shares sorted values out to at most 255 bins of like population, never parting equal values. With few distinct
// values each has a bin of its own. It gives the largest value of each bin and the cuts between them.
func cutBins(sorted []float32) (uppers, cuts []float32) {
	distinct := 0
	for i := range sorted {
		if i == 0 || sorted[i] != sorted[i-1] {
			distinct++
		}
	}
	rows, bins, held := len(sorted), valueBins, 0
	for i, v := range sorted {
		held++
		if i+1 < len(sorted) && sorted[i+1] == v {
			continue
		}
		full := distinct <= valueBins || bins > 1 && held*bins >= rows
		if i+1 < len(sorted) && !full {
			continue
		}
		uppers = append(uppers, v)
		cut := float32(math.Inf(1))
		if i+1 < len(sorted) {
			cut = between(v, sorted[i+1])
		}
		cuts = append(cuts, cut)
		rows, bins, held = rows-held, bins-1, 0
	}
	return uppers, cuts
}

// between gives a threshold t with lo <= t < hi, halfway where float32 has one there.
func between(lo, hi float32) float32 {
	t := float32((float64(lo) + float64(hi)) / 2)
	if t >= hi {
		return lo
	}
	return t + 0 // of the two zeros, the positive one
}
