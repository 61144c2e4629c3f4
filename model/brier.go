package model

import (
	"fmt"
	"math"
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

// Trend makes the hourly Brier score of what was counted and what has been told since. Components of which nothing was told are taken for sound: workshops tell of failures, not of the rest. Of those that failed, windows
// within the horizon before are held to 1, and those after until the repair are left out. The newest horizon is left out: nobody can know yet.
func (r *DriftReport) Trend(told []Tracked, horizon time.Duration) (BrierTrend, error) {
	var out BrierTrend
	hours := make([]ScoredHour, len(r.Hours))
	copy(hours, r.Hours)
	at := make(map[int64]*ScoredHour, len(hours))
	for i := range hours {
		at[hours[i].Start] = &hours[i]
	}
	for i := range told {
		t := &told[i]
		labels, _, err := Labels(t.Windows, &t.Component, horizon)
		if err != nil {
			return out, fmt.Errorf("measure scores: %w", err)
		}
		for k, w := range t.Windows {
			h := at[bucketOf(w.End)*DriftBucket.Milliseconds()]
			if p := t.P[k]; h != nil && !math.IsNaN(p) {
				h.hold(labels[k], p)
			}
		}
	}
	trend := NewPageHinkley()
	for _, h := range hours {
		if h.Windows < leastBrierWindows || h.Start+DriftBucket.Milliseconds() > r.To-horizon.Milliseconds() {
			continue
		}
		b := BrierHour{Start: h.Start, Windows: h.Windows, Brier: h.Squares / float64(h.Windows)}
		out.Hours = append(out.Hours, b)
		if trend.Add(b.Brier) && out.Risen == 0 {
			out.Risen = b.Start
		}
	}
	return out, nil
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
