package model

import (
	"fmt"
	"math"
)

// Reliability is how probabilities fit what happened, in ten bins of equal width (Niculescu-Mizil and Caruana, ICML 2005): of rows told 0.3, three in ten should be
// positive. Figures are rounded to 1e-6.
type Reliability struct {
	ECE  float64          `json:"ece"`  // expected calibration error: mean distance of probability and share, weighted by rows
	Bins []ReliabilityBin `json:"bins"` // bins with rows, rising
}

// ReliabilityBin is the rows whose probability lies in [From, To), the last bin with its end.
type ReliabilityBin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Rows  int     `json:"rows"`
	Mean  float64 `json:"mean"`  // probability
	Share float64 `json:"share"` // of positive rows
}

const reliabilityBins = 10

// Reliable measures probabilities against labels. It refuses what is no probability, unlike lengths and no rows.
func Reliable(p []float64, y []uint8) (Reliability, error) {
	if len(p) != len(y) || len(p) == 0 {
		return Reliability{}, fmt.Errorf("measure reliability: %d probabilities, %d labels", len(p), len(y))
	}
	var sum [reliabilityBins]float64
	var rows, positives [reliabilityBins]int
	for i, v := range p {
		if !(v >= 0 && v <= 1) || y[i] > 1 {
			return Reliability{}, fmt.Errorf("measure reliability: row %d has probability %v and label %d", i, v, y[i])
		}
		b := min(int(float64(v*reliabilityBins)), reliabilityBins-1)
		sum[b] += v
		rows[b]++
		positives[b] += int(y[i])
	}
	var r Reliability
	for b, n := range rows {
		if n == 0 {
			continue
		}
		mean, share := sum[b]/float64(n), float64(positives[b])/float64(n)
		r.ECE += float64(math.Abs(mean-share) * (float64(n) / float64(len(p))))
		r.Bins = append(r.Bins, ReliabilityBin{From: round6(float64(b) / reliabilityBins), To: round6(float64(b+1) / reliabilityBins),
			Rows: n, Mean: round6(mean), Share: round6(share)})
	}
	r.ECE = round6(r.ECE)
	return r, nil
}
