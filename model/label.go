package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/camrail/cidp/stream"
)

// Told is one thing that is known of a component: that it failed, or was found in a state in which it would have, or that it was sound, of itself or after a repair.
type Told struct {
	At    int64 // event time, ms
	Down  bool  // it failed or was found faulty; else it was sound
	Onset int64 // of Down: since when the fault had been there, ms; 0: not known
}

// ToldBy gives what a workshop's finding says of the component.
func ToldBy(f *stream.Finding) Told {
	since := cmp.Or(f.Since, f.TS)
	switch f.Found {
	case stream.Failed:
		return Told{At: since, Down: true}
	case stream.Faulty:
		return Told{At: f.TS, Down: true, Onset: f.Since}
	}
	return Told{At: since} // a component whose sensor is at fault is sound
}

// ToldByAll gives what stands of the findings of one component.
func ToldByAll(all []stream.Finding) []Told {
	var out []Told
	for _, f := range stream.Standing(all) {
		out = append(out, ToldBy(&f))
	}
	return out
}

// Outage is one failure of a component and the time after it: what is told meanwhile is no other failure, until the component was sound again.
type Outage struct {
	Onset int64 // since when the fault had been there, ms; 0: not known
	At    int64 // when it failed, or was found faulty, ms
	Until int64 // when it was sound again; MaxInt64: not yet
}

// Outages makes distinct failures, in order, of what is told of one component in any order. What is told twice, by a workshop and a file say, is one failure, at the earlier time.
func Outages(told []Told) []Outage {
	sorted := slices.Clone(told)
	slices.SortStableFunc(sorted, func(a, b Told) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(rank(a.Down), rank(b.Down))) })
	var out []Outage
	down := false
	for _, t := range sorted {
		switch {
		case t.Down && !down:
			out = append(out, Outage{Onset: t.Onset, At: t.At, Until: math.MaxInt64})
		case !t.Down && down:
			out[len(out)-1].Until = t.At
		}
		down = t.Down
	}
	return out
}

// Label is what is known of a window: whether its component fails within the horizon, or why nobody can say.
type Label uint8

// The labels. Windows with one of the last three neither train nor measure.
const (
	Healthy  Label = iota // it does not
	Failing               // it does
	Down                  // it has failed, and was not found sound again
	Unclear               // something is wrong with it that never came to a failure
	Censored              // less than a horizon of it is known
)

// Span is a stretch of event time, half-open, ms.
type Span struct{ From, To int64 }

// Component is what is known of the component that one sensor watches.
type Component struct {
	Outages []Outage // in order
	Unclear []Span
	Known   int64 // up to when a failure would be known of, ms
}

// Observed is a closed window as a label sees it.
type Observed struct {
	Start, End int64   // event time, ms
	Speed      float64 // mean, km/h; NaN: not known
}

// standing is the mean speed, km/h, below which a window counts as standing. A window in which a vehicle sets off has some metres of it.
const standing = 1

// Labels gives each window of a sensor its label, and how far ahead of its end, in event time, one must have looked to give it. A window is Failing when its component fails within the horizon of running time
// after the window's end, and its fault has begun by then, if that is known: before there is nothing to learn. Time in windows whose vehicle stood does not count; time in windows of unknown
// speed, and between windows, counts by the clock. Windows are in order and do not overlap.
func Labels(windows []Observed, c *Component, horizon time.Duration) (labels []Label, reach []int64, err error) {
	if horizon <= 0 {
		return nil, nil, fmt.Errorf("label windows: the horizon is %s, it must be more than 0", horizon)
	}
	run, err := newRunning(windows)
	if err != nil {
		return nil, nil, fmt.Errorf("label windows: %w", err)
	}
	labels, reach = make([]Label, len(windows)), make([]int64, len(windows))
	for i := range windows {
		labels[i], reach[i] = c.label(run, i, horizon.Milliseconds())
	}
	return labels, reach, nil
}

// label gives the label of window i. What comes after its end is known to the label alone, never to its features.
func (c *Component) label(run *running, i int, horizon int64) (Label, int64) {
	w := &run.windows[i]
	next := sort.Search(len(c.Outages), func(k int) bool { return c.Outages[k].At >= w.End })
	if next > 0 && w.Start < c.Outages[next-1].Until {
		return Down, 0
	}
	for _, s := range c.Unclear {
		if w.Start < s.To && w.End > s.From {
			return Unclear, 0
		}
	}
	end := run.after[i]
	if next < len(c.Outages) {
		f := &c.Outages[next]
		if run.at(f.At)-end > horizon {
			return Healthy, run.until(i, horizon)
		}
		if f.Onset > w.End {
			return Healthy, f.At - w.End
		}
		return Failing, f.At - w.End
	}
	if run.at(c.Known)-end < horizon {
		return Censored, 0
	}
	return Healthy, run.until(i, horizon)
}

// running is a clock of a component that stands still with its vehicle.
type running struct {
	windows []Observed
	after   []int64 // running time at the end of each window, ms
}

func newRunning(windows []Observed) (*running, error) {
	r := &running{windows: windows, after: make([]int64, len(windows))}
	sum := int64(0)
	for i := range windows {
		w := &windows[i]
		if w.Start >= w.End || i > 0 && w.Start < windows[i-1].End {
			return nil, fmt.Errorf("the window from %d to %d ms is not after the one before it", w.Start, w.End)
		}
		if i > 0 {
			sum += w.Start - windows[i-1].End
		}
		sum += w.ran(w.End)
		r.after[i] = sum
	}
	return r, nil
}

// ran is the running time of a window until t within it.
func (w *Observed) ran(t int64) int64 {
	if w.Speed < standing { // NaN is not
		return 0
	}
	return t - w.Start
}

// at gives the running time at an event time: by the clock outside of windows.
func (r *running) at(t int64) int64 {
	i := sort.Search(len(r.windows), func(k int) bool { return r.windows[k].End >= t })
	before := int64(0)
	if i > 0 {
		before = r.after[i-1]
	}
	switch {
	case i == len(r.windows) && i == 0:
		return t
	case i == len(r.windows):
		return before + t - r.windows[i-1].End
	case t > r.windows[i].Start && i > 0:
		return before + r.windows[i].Start - r.windows[i-1].End + r.windows[i].ran(t)
	case t > r.windows[i].Start:
		return r.windows[i].ran(t)
	case i > 0:
		return before + t - r.windows[i-1].End
	}
	return t - r.windows[0].Start
}

// until gives how long after window i's end its component has run for d.
func (r *running) until(i int, d int64) int64 {
	want := r.after[i] + d
	k := sort.Search(len(r.after), func(k int) bool { return r.after[k] >= want })
	if k == len(r.after) {
		last := k - 1
		return r.windows[last].End - r.windows[i].End + want - r.after[last]
	}
	return r.windows[k].End - r.windows[i].End // to the end of the window in which it has, at most
}
