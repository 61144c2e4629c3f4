package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Tracked is the scored windows of a component of which something is known, in order.
type Tracked struct {
	Component
	Windows []Observed
	P       []float64 // what the model gave each; NaN: it did not score it
}

// BrierHour is how right a model was of the windows that ended in an hour: their mean squared distance of probability and what happened, as far as that is known by now.
type BrierHour struct {
	Start   int64 // event time, ms
	Windows int64
	Brier   float64
}

// BrierTrend is a model's Brier score by the hour, and whether it has risen.
type BrierTrend struct {
	Hours []BrierHour
	Risen int64 // start of the hour in which Page-Hinkley told so, ms; 0: it has not
}

// leastBrierWindows is how many windows make an hour.
const leastBrierWindows = 20

// Tell holds the hours to what is known of a component by now. Components of which nothing was told are taken for sound: workshops tell of failures, not of the rest. Of those that failed, windows
// within the horizon before are held to 1, and those after until the repair are left out. A component is told of once.
func (r *DriftReport) Tell(t *Tracked, horizon time.Duration) error {
	labels, _, err := Labels(t.Windows, &t.Component, horizon)
	if err != nil {
		return fmt.Errorf("measure scores: %w", err)
	}
	for k, w := range t.Windows {
		i, known := slices.BinarySearchFunc(r.Hours, bucketOf(w.End)*DriftBucket.Milliseconds(), func(h ScoredHour, start int64) int { return cmp.Compare(h.Start, start) })
		if p := t.P[k]; known && !math.IsNaN(p) {
			r.Hours[i].hold(labels[k], p)
		}
	}
	return nil
}

// Trend makes the hourly Brier score of what was counted and what Tell was told. The newest horizon is left out: nobody can know yet.
func (r *DriftReport) Trend(horizon time.Duration) BrierTrend {
	var out BrierTrend
	trend := NewPageHinkley()
	for _, h := range r.Hours {
		if h.Windows < leastBrierWindows || h.Start+DriftBucket.Milliseconds() > r.To-horizon.Milliseconds() {
			continue
		}
		b := BrierHour{Start: h.Start, Windows: h.Windows, Brier: h.Squares / float64(h.Windows)}
		out.Hours = append(out.Hours, b)
		if trend.Add(b.Brier) && out.Risen == 0 {
			out.Risen = b.Start
		}
	}
	return out
}

// hold changes what an hour says of one window once its label is known.
func (h *ScoredHour) hold(label Label, p float64) {
	switch label {
	case Failing:
		h.Squares += 1 - float64(2*p) // (1-p)² in the place of p²
	case Down, Unclear:
		h.Squares -= float64(p * p)
		h.Windows--
	}
}
