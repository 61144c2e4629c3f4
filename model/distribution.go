package model

import (
	"fmt"
	"math"
	"slices"
)

// Distribution is how one feature, or the score, was spread over the rows that a model was trained with: ten bins of about as many rows each (deciles), parted at values that
// occur. Equal values are never parted, so a feature with few of them has fewer bins. Values are rounded to float32, as scoring does.
type Distribution struct {
	Edges   []float32 `json:"edges"`   // rising: a bin holds the values above the edge before it and at most its own; the first and the last bin are open
	Rows    []int     `json:"rows"`    // rows in each bin, one more than there are edges
	Missing int       `json:"missing"` // rows without a value, in no bin
	Median  *float32  `json:"median"`  // the lower one of an even number; null without values
}

// spreadBins is how many bins a distribution has at most, but for a value that is the only one: it gets a bin for itself, with open ones on both sides.
const spreadBins = 10

// spread takes the distribution of sorted values.
func spread(sorted []float32, missing int) Distribution {
	d := Distribution{Edges: []float32{}, Missing: missing}
	n := len(sorted)
	if n == 0 {
		d.Rows = []int{0}
		return d
	}
	median := sorted[(n-1)/2]
	d.Median = &median
	top := sorted[n-1]
	if below := math.Nextafter32(top, float32(math.Inf(-1))); sorted[0] == top && !math.IsInf(float64(below), 0) {
		d.Edges, d.Rows = []float32{below, top}, []int{0, n, 0}
		return d
	}
	held := 0
	for k := 1; k < spreadBins; k++ {
		edge := sorted[(n*k-1)/spreadBins]
		if edge == top || len(d.Edges) > 0 && edge == d.Edges[len(d.Edges)-1] {
			continue
		}
		after, _ := slices.BinarySearch(sorted, math.Nextafter32(edge, float32(math.Inf(1))))
		d.Edges, d.Rows = append(d.Edges, edge), append(d.Rows, after-held)
		held = after
	}
	d.Rows = append(d.Rows, n-held)
	return d
}

// spreadOf takes the distribution of scores, which it does not change.
func spreadOf(p []float64) Distribution {
	sorted := make([]float32, len(p))
	for i, v := range p {
		sorted[i] = cast(v)
	}
	slices.Sort(sorted)
	return spread(sorted, 0)
}

// Bin gives the bin of a value; -1 for a missing one.
func (d Distribution) Bin(v float64) int {
	if math.IsNaN(v) {
		return -1
	}
	i, _ := slices.BinarySearch(d.Edges, cast(v))
	return i
}

// Known is how many rows had a value.
func (d Distribution) Known() int {
	n := 0
	for _, rows := range d.Rows {
		n += rows
	}
	return n
}

// Share gives the share of each bin among the rows that had a value; zeros without any.
func (d Distribution) Share() []float64 {
	out := make([]float64, len(d.Rows))
	if n := d.Known(); n > 0 {
		for i, rows := range d.Rows {
			out[i] = float64(rows) / float64(n)
		}
	}
	return out
}

// MissingShare is the share of rows without a value.
func (d Distribution) MissingShare() float64 {
	return float64(d.Missing) / float64(d.Known()+d.Missing)
}

// check says what makes it none.
func (d Distribution) check() error {
	if len(d.Edges) > spreadBins || len(d.Rows) != len(d.Edges)+1 {
		return fmt.Errorf("%d edges and %d bins", len(d.Edges), len(d.Rows))
	}
	for i, e := range d.Edges {
		if math.IsInf(float64(e), 0) || math.IsNaN(float64(e)) || i > 0 && e <= d.Edges[i-1] {
			return fmt.Errorf("edge %d is %v, edges must rise", i, e)
		}
	}
	if d.Missing < 0 || d.Missing > maxRows {
		return fmt.Errorf("%d rows without a value", d.Missing)
	}
	for i, rows := range d.Rows {
		if rows < 0 || rows > maxRows {
			return fmt.Errorf("bin %d has %d rows", i, rows)
		}
	}
	if n := d.Known(); n+d.Missing == 0 || n == 0 != (d.Median == nil) {
		return fmt.Errorf("%d rows with and %d without a value, and a median: %t", n, d.Missing, d.Median != nil)
	}
	return nil
}

// Where the scores of a distribution come from: rows that the trees which scored them did not learn from.
const (
	OutOfFold = "out_of_fold" // of folds by asset or time
	OutOfBag  = "out_of_bag"  // of each row by the trees that did not draw it; flatters
)

// ScoreDistribution is how a model's probabilities were spread over data it did not learn from.
type ScoreDistribution struct {
	Of string `json:"of"` // OutOfFold or OutOfBag
	Distribution
}

// Distribution gives how feature i of the schema was spread over the training rows. ok is false where the model does not say: an imported one. The caller must not
// write to its slices.
func (f *Forest) Distribution(i int) (d Distribution, ok bool) {
	if i < 0 || i >= len(f.spreads) {
		return Distribution{}, false
	}
	return f.spreads[i], true
}

// ScoreDistribution gives how the model's probabilities were spread over rows it did not learn from. ok is false where the model does not say.
func (f *Forest) ScoreDistribution() (d ScoreDistribution, ok bool) {
	if f.scores == nil {
		return ScoreDistribution{}, false
	}
	return *f.scores, true
}

// checkSpreads proves the distributions of a forest: of all features or none.
func (p *parts) checkSpreads() error {
	if len(p.spreads) != 0 && len(p.spreads) != len(p.schema) {
		return fmt.Errorf("%d distributions for %d features", len(p.spreads), len(p.schema))
	}
	for i, d := range p.spreads {
		if err := d.check(); err != nil {
			return fmt.Errorf("the distribution of %s has %w", p.schema[i].Name, err)
		}
	}
	if p.scores == nil {
		return nil
	}
	if p.scores.Of != OutOfFold && p.scores.Of != OutOfBag {
		return fmt.Errorf("the distribution of the score is of %q", p.scores.Of)
	}
	if err := p.scores.check(); err != nil {
		return fmt.Errorf("the distribution of the score has %w", err)
	}
	return nil
}
