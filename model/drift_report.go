package model

import "math"

// DriftState says how far a distribution has moved. "Look" is no "wrong": nothing is switched off by it.
type DriftState string

// The states, in rising order but for the first.
const (
	DriftUnknown DriftState = "unknown" // too few windows, or nothing to compare with
	DriftSteady  DriftState = "steady"
	DriftWatch   DriftState = "watch"
	DriftLook    DriftState = "look"
)

// driftState names an index.
func driftState(psi float64) DriftState {
	switch {
	case math.IsNaN(psi):
		return DriftUnknown
	case psi >= PSILook:
		return DriftLook
	case psi >= PSIWatch:
		return DriftWatch
	}
	return DriftSteady
}

// DriftFigure is how one feature, or the score, is spread now beside training.
type DriftFigure struct {
	Name            string  // of the feature; empty: the score
	PSI             float64 // of the values there are
	State           DriftState
	Missing         float64 // share of windows without a value
	MissingTraining float64
}

// DriftReport is what is to be told of a model's windows.
type DriftReport struct {
	ModelID  string
	From, To int64 // event time of the buckets that hold windows, ms
	Windows  int64
	Features []DriftFigure // in the order of the schema
	Score    DriftFigure
	Hours    []ScoredHour // those with windows, in order
}

// ScoredHour is the windows that ended in an hour.
type ScoredHour struct {
	Start   int64 // event time, ms
	Windows int64
	Squares float64 // sum of the squared probabilities: of windows of sound components, the sum of their Brier scores
}

// Report adds the buckets up. An index of fewer than DriftLeast windows is NaN, and its state unknown.
func (d *Drift) Report() DriftReport {
	r := DriftReport{ModelID: d.model}
	counts := make([]int64, d.width)
	for key := d.oldest(); d.any && key <= d.newest; key++ {
		b := &d.ring[key%int64(len(d.ring))]
		if b.key != key || b.windows == 0 {
			continue
		}
		start := key * DriftBucket.Milliseconds()
		if r.Windows == 0 {
			r.From = start
		}
		r.To = start + DriftBucket.Milliseconds()
		r.Windows += b.windows
		r.Hours = append(r.Hours, ScoredHour{Start: start, Windows: b.windows, Squares: float64(b.squares) / squareUnit})
		for i, n := range b.counts {
			counts[i] += int64(n)
		}
	}
	for i := range d.inputs {
		figure := d.inputs[i].figure(counts, r.Windows)
		if i == len(d.inputs)-1 {
			r.Score = figure
		} else {
			r.Features = append(r.Features, figure)
		}
	}
	return r
}

// figure compares what was counted with training: the values there are by their index, and how many are missing by the share that is missing beyond training's. That fewer are is no harm: training
// leaves conditions and neighbours out of some of its fleets on purpose.
func (s *spreadOver) figure(counts []int64, windows int64) DriftFigure {
	f := DriftFigure{Name: s.name, PSI: math.NaN(), State: DriftUnknown, Missing: math.NaN(), MissingTraining: s.MissingShare()}
	if windows == 0 {
		return f
	}
	bins := len(s.Rows)
	mine, missing := counts[s.at:s.at+bins], counts[s.at+bins]
	f.Missing = float64(missing) / float64(windows)
	if windows < DriftLeast {
		return f
	}
	if windows-missing >= DriftLeast {
		expected := make([]int64, bins)
		for i, n := range s.Rows {
			expected[i] = int64(n)
		}
		f.PSI = PSI(expected, mine)
	}
	f.State = driftState(f.PSI)
	switch more := f.Missing - f.MissingTraining; {
	case more >= MissingLook:
		f.State = DriftLook
	case more >= MissingWatch && f.State != DriftLook:
		f.State = DriftWatch
	}
	return f
}

// BrierHours is how many hourly scores there must be before a rise can be told.
const BrierHours = 24

// PageHinkley tells when the mean of a sequence has risen: the sum of what each value lies above the mean of those before it, less an allowance, since that sum was lowest
// (Page 1954; Hinkley 1971). Values count in standard deviations of those before them, at most Clip: one wild hour is no change. The zero value is not usable: start from NewPageHinkley.
type PageHinkley struct {
	Allowance float64 // standard deviations that a value may lie above the mean and count for nothing
	Limit     float64 // of the sum
	Clip      float64
	Floor     float64 // the least standard deviation, in the values' unit
	Warm      int     // values before it says anything

	n           int
	mean, m2    float64 // of the values so far (Welford 1962)
	sum, lowest float64
}

// NewPageHinkley is set for some hundred hourly Brier scores; how often it is wrong and how late, its tests say.
func NewPageHinkley() *PageHinkley {
	return &PageHinkley{Allowance: 0.5, Limit: 12, Clip: 3, Floor: 0.001, Warm: BrierHours}
}

// Add takes the next value and says whether the mean has risen by now.
func (d *PageHinkley) Add(x float64) bool {
	if d.n >= d.Warm {
		sd := max(math.Sqrt(d.m2/float64(d.n-1)), d.Floor)
		z := min((x-d.mean)/sd, d.Clip)
		d.sum += z - d.Allowance
		d.lowest = min(d.lowest, d.sum)
	}
	d.n++
	delta := x - d.mean
	d.mean += delta / float64(d.n)
	d.m2 += float64(delta * (x - d.mean))
	return d.sum-d.lowest > d.Limit
}
