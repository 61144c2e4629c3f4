package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Calibration is what an isotonic map (Zadrozny and Elkan, KDD 2002) does for a forest's scores, measured on rows that neither their forest nor their map has seen, and the map itself
// where it is applied. Each fold's rows are mapped by what the other folds teach, by time only the earlier ones; figures before and after are of the same rows.
type Calibration struct {
	Method  string  `json:"method"` // "isotonic"
	Applied bool    `json:"applied"`
	Why     string  `json:"why"` // one sentence, with figures
	Split   Split   `json:"split"`
	Rows    int     `json:"rows"`
	Before  Fit     `json:"before"`
	After   Fit     `json:"after"`
	Knots   []Point `json:"knots,omitempty"` // of the map, rising; only where it is applied. Between them it is a straight line, beyond them flat
}

// Point is a score and the probability that it stands for.
type Point [2]float64

// Fit is how well probabilities fit what happened.
type Fit struct {
	Brier float64 `json:"brier"`
	Reliability
}

const (
	methodIsotonic = "isotonic"
	maxKnots       = 80
)

// Calibrate fits a map on the out-of-fold scores of a cross-validation, and measures it. It is applied only where it lowers the Brier score, of all rows and in most folds. y is
// the labels of the data set that was cross-validated.
func Calibrate(cv *CrossValidation, y []uint8) (*Calibration, error) {
	if len(cv.ends) == 0 || len(cv.Rows) != len(cv.P) || cv.ends[len(cv.ends)-1] != len(cv.P) {
		return nil, errors.New("calibrate: the cross-validation does not hold its scores")
	}
	labels := make([]uint8, len(cv.Rows))
	for i, r := range cv.Rows {
		if r < 0 || r >= len(y) {
			return nil, fmt.Errorf("calibrate: row %d of %d was tested", r, len(y))
		}
		labels[i] = y[r]
	}
	var before, after []float64
	var told []uint8
	folds, better, from := 0, 0, 0
	for _, end := range cv.ends {
		others := isotonic(cv.P[:from], labels[:from])
		if cv.Split != ByTime {
			others = isotonic(slices.Concat(cv.P[:from], cv.P[end:]), slices.Concat(labels[:from], labels[end:]))
		}
		if len(others) > 0 {
			raw, was, fitted := cv.P[from:end], len(before), 0.0
			for i, p := range raw {
				after = append(after, others.at(p))
				fitted += squared(after[was+i], labels[from+i]) - squared(p, labels[from+i])
			}
			before, told = append(before, raw...), append(told, labels[from:end]...)
			if folds++; fitted < 0 {
				better++
			}
		}
		from = end
	}
	c := &Calibration{Method: methodIsotonic, Split: cv.Split, Rows: len(told)}
	if len(told) == 0 {
		c.Why = "no fold has another to learn the map from"
		return c, nil
	}
	var err error
	if c.Before, err = fit(before, told); err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	if c.After, err = fit(after, told); err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	knots := isotonic(cv.P, labels)
	c.Applied = c.After.Brier < c.Before.Brier && 2*better > folds && len(knots) > 1
	said := "does not lower"
	if c.Applied {
		said, c.Knots = "lowers", knots
	}
	c.Why = fmt.Sprintf("it %s the Brier score of %d rows not learnt from, %.6f before and %.6f after, lower in %d of %d folds; calibration error %.4f before and %.4f after",
		said, c.Rows, c.Before.Brier, c.After.Brier, better, folds, c.Before.ECE, c.After.ECE)
	return c, nil
}

func squared(p float64, y uint8) float64 {
	d := p - float64(y)
	return float64(d * d)
}

// fit measures probabilities; labels of one class have a fit as well.
func fit(p []float64, y []uint8) (f Fit, err error) {
	if f.Reliability, err = Reliable(p, y); err != nil {
		return f, err
	}
	for i := range p {
		f.Brier += squared(p[i], y[i])
	}
	f.Brier = round6(f.Brier / float64(len(p)))
	return f, nil
}

// knots is an isotonic map.
type knots []Point

// at maps a score.
func (k knots) at(p float64) float64 {
	i, end := 0, len(k)
	for i < end { // the first knot at p or above: a search without a call, on every row's way
		if mid := (i + end) / 2; k[mid][0] < p {
			i = mid + 1
		} else {
			end = mid
		}
	}
	switch i {
	case 0:
		return k[0][1]
	case len(k):
		return k[i-1][1]
	}
	a, b := k[i-1], k[i]
	share := (p - a[0]) / (b[0] - a[0])
	return min(a[1]+float64(share*(b[1]-a[1])), b[1])
}

// knots gives the map of a calibration that is applied; nil when none is.
func (c *Calibration) knots() (knots, error) {
	switch {
	case c == nil || !c.Applied && len(c.Knots) == 0:
		return nil, nil
	case !c.Applied || len(c.Knots) < 2 || c.Method != methodIsotonic:
		return nil, fmt.Errorf("a calibration by %q with %d knots, applied: %t", c.Method, len(c.Knots), c.Applied)
	}
	k := knots(c.Knots)
	if err := k.check(); err != nil {
		return nil, fmt.Errorf("the calibration has %w", err)
	}
	return k, nil
}

// check says what makes knots no map.
func (k knots) check() error {
	if len(k) > maxKnots {
		return fmt.Errorf("%d knots, at most %d are allowed", len(k), maxKnots)
	}
	for i, a := range k {
		if !(a[0] >= 0 && a[0] <= 1 && a[1] >= 0 && a[1] <= 1) || i > 0 && !(a[0] > k[i-1][0] && a[1] >= k[i-1][1]) {
			return fmt.Errorf("knot %d maps %v to %v, knots must rise from 0 to 1", i, a[0], a[1])
		}
	}
	return nil
}

// block is rows that get one probability.
type block struct {
	score           float64 // sum of the scores
	rows, positives int
}

func (b block) share() float64 { return float64(b.positives) / float64(b.rows) }

func (b *block) take(c block) {
	b.score, b.rows, b.positives = b.score+c.score, b.rows+c.rows, b.positives+c.positives
}

// isotonic fits the rising map with the least squared error by pooling adjacent violators (Ayer and others, 1955): a block of rows whose shares would fall is one. Equal scores are one
// row. A block is a knot at its mean score; where there are more than fit a file, the two neighbours whose union costs least are one, again and again. It is empty where a
// class is missing.
func isotonic(p []float64, y []uint8) knots {
	order := make([]int32, len(p))
	positives := 0
	for i := range order {
		order[i] = int32(i)
		positives += int(y[i])
	}
	if positives == 0 || positives == len(p) {
		return nil
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(p[a], p[b]) })
	var blocks []block
	for i := 0; i < len(order); {
		score := p[order[i]]
		var tied block
		for ; i < len(order) && p[order[i]] == score; i++ {
			tied.take(block{score, 1, int(y[order[i]])})
		}
		blocks = append(blocks, tied)
		for n := len(blocks); n > 1 && blocks[n-2].positives*blocks[n-1].rows >= blocks[n-1].positives*blocks[n-2].rows; n-- {
			blocks[n-2].take(blocks[n-1])
			blocks = blocks[:n-1]
		}
	}
	for len(blocks) > maxKnots {
		at, least := 0, math.Inf(1)
		for i := range len(blocks) - 1 {
			a, b := blocks[i], blocks[i+1]
			gap := b.share() - a.share()
			if cost := float64(a.rows) * float64(b.rows) / float64(a.rows+b.rows) * float64(gap*gap); cost < least {
				at, least = i, cost
			}
		}
		blocks[at].take(blocks[at+1])
		blocks = slices.Delete(blocks, at+1, at+2)
	}
	out := make(knots, 0, len(blocks))
	for _, b := range blocks {
		k := Point{min(b.score/float64(b.rows), 1), b.share()}
		if n := len(out); n > 0 && k[0] <= out[n-1][0] { // means of scores a bit apart
			out[n-1][1] = k[1]
			continue
		}
		out = append(out, k)
	}
	return out
}
