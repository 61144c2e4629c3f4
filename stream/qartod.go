package stream

import (
	"math"
	"slices"
)

// The tests of IOOS QARTOD as pure functions over a sensor's readings in event-time order. Each appends one flag a value to dst and returns it: a caller that
// keeps dst allocates nothing. Values are canonical (thousandths), times ms; a missing value is Missing and always gets FlagMissing. The semantics are
// those of ioos_qc 9c1853a (Apache-2.0), whose vectors a test runs; where it is easy to be wrong the function says what holds.

// Missing stands for a value that is not there.
const Missing Milli = math.MinInt64

// NoLimit is a limit that nothing passes.
const NoLimit Milli = math.MaxInt64

// Span is a range of values with both ends in it.
type Span struct{ Low, High Milli }

func (s Span) holds(v Milli) bool { return s.Low <= v && v <= s.High }

// GrossRange fails what is outside fail and suspects what is outside suspect. A value that equals an end of a span is inside it.
func GrossRange(dst []Flag, v []Milli, fail, suspect Span) []Flag {
	for _, x := range v {
		f := FlagGood
		switch {
		case x == Missing:
			f = FlagMissing
		case !fail.holds(x):
			f = FlagFail
		case !suspect.holds(x):
			f = FlagSuspect
		}
		dst = append(dst, f)
	}
	return dst
}

// SpikeMethod is what a value is held against to be called a spike.
type SpikeMethod uint8

const (
	// SpikeAverage takes the distance from the mean of the two neighbours. Neighbours of a big spike are spikes by it too.
	SpikeAverage SpikeMethod = iota
	// SpikeDifferential takes the smaller of the steps up to the value and down from it, and 0 where both go the same way.
	SpikeDifferential
)

// Spike flags values that are farther from their neighbours than a limit, strictly. The ends, and values with a missing neighbour, are unknown.
func Spike(dst []Flag, v []Milli, suspect, fail Milli, method SpikeMethod) []Flag {
	for i, x := range v {
		f := FlagGood
		switch {
		case x == Missing:
			f = FlagMissing
		case i == 0 || i == len(v)-1 || v[i-1] == Missing || v[i+1] == Missing:
			f = FlagUnknown
		default:
			f = byLimits(spikeTwice(v[i-1], x, v[i+1], method), twice(suspect), twice(fail))
		}
		dst = append(dst, f)
	}
	return dst
}

// spikeTwice is twice the height of x between its neighbours: the mean of two integers needs a half.
func spikeTwice(before, x, after Milli, method SpikeMethod) Milli {
	if method == SpikeAverage {
		return abs(2*x - before - after)
	}
	up, down := x-before, x-after
	if up > 0 && down > 0 || up < 0 && down < 0 {
		return 2 * min(abs(up), abs(down))
	}
	return 0
}

func twice(limit Milli) Milli {
	if limit == NoLimit {
		return NoLimit
	}
	return 2 * limit
}

func byLimits(height, suspect, fail Milli) Flag {
	switch {
	case height > fail:
		return FlagFail
	case height > suspect:
		return FlagSuspect
	}
	return FlagGood
}

// ChangeRate is the rate of change test: it flags values reached faster than a limit, strictly, in units a second: K/s for degrees. The first value, and one after a missing one, is good.
// A limit of +Inf flags nothing.
func ChangeRate(dst []Flag, v []Milli, ts []int64, suspect, fail float64) []Flag {
	for i, x := range v {
		f := FlagGood
		switch {
		case x == Missing:
			f = FlagMissing
		case i > 0 && v[i-1] != Missing && ts[i] > ts[i-1]:
			rate := float64(abs(x-v[i-1])) / float64(ts[i]-ts[i-1]) // thousandths a ms are units a second
			if rate > fail {
				f = FlagFail
			} else if rate > suspect {
				f = FlagSuspect
			}
		}
		dst = append(dst, f)
	}
	return dst
}

// FlatLine flags a value when it and those before it over a time stayed within a tolerance: int(time / median interval) + 1 values, missing ones among them, whose
// range is strictly less than tolerance. A tolerance of 0 therefore never flags: take one below the sensor's quantum. Fewer than 3 values are good.
func FlatLine(dst []Flag, v []Milli, ts []int64, suspectMs, failMs int64, tolerance Milli) []Flag {
	suspect, fail := flatCount(ts, suspectMs), flatCount(ts, failMs)
	for i, x := range v {
		f := FlagGood
		switch {
		case x == Missing:
			f = FlagMissing
		case len(v) < 3:
		case flatOver(v, i, fail, tolerance):
			f = FlagFail
		case flatOver(v, i, suspect, tolerance):
			f = FlagSuspect
		}
		dst = append(dst, f)
	}
	return dst
}

// flatCount is how many values a time spans, 0 when it cannot be told.
func flatCount(ts []int64, limit int64) int64 {
	if len(ts) < 3 {
		return 0
	}
	steps := make([]int64, len(ts)-1)
	for i := range steps {
		steps[i] = ts[i+1] - ts[i]
	}
	slices.Sort(steps)
	n := len(steps)
	twiceMedian := steps[(n-1)/2] + steps[n/2]
	if twiceMedian <= 0 {
		return 0
	}
	return 2*limit/twiceMedian + 1
}

func flatOver(v []Milli, i int, count int64, tolerance Milli) bool {
	if count <= 0 || int64(i)+1 < count {
		return false
	}
	low, high := v[i], v[i]
	for _, x := range v[i+1-int(count) : i] {
		if x != Missing {
			low, high = min(low, x), max(high, x)
		}
	}
	return high-low < tolerance
}

// Spread is how AttenuatedSignal measures whether values still move.
type Spread uint8

const (
	// SpreadStd is the standard deviation: of the population over the whole series, of the sample (n-1) over a period, as ioos_qc has it from numpy and pandas.
	SpreadStd Spread = iota
	// SpreadRange is the largest value less the smallest.
	SpreadRange
)

// AttenuatedSignal flags values around which the spread is strictly less than a limit, in the values' unit. With a period it looks at the values in
// (ts - period, ts], and a value with fewer than least of them, or none of which a spread can be told, is unknown; with period 0 at all of them.
func AttenuatedSignal(dst []Flag, v []Milli, ts []int64, suspect, fail float64, by Spread, period int64, least int) []Flag {
	whole := math.NaN()
	if period == 0 {
		whole = spread(v, by, 0)
	}
	from := 0
	for i, x := range v {
		s := whole
		if period > 0 {
			for ts[from] <= ts[i]-period {
				from++
			}
			if s = math.NaN(); present(v[from:i+1]) >= max(least, 1) {
				s = spread(v[from:i+1], by, 1)
			}
		}
		f := FlagGood
		switch {
		case x == Missing:
			f = FlagMissing
		case math.IsNaN(s):
			f = FlagUnknown
		case s < fail:
			f = FlagFail
		case s < suspect:
			f = FlagSuspect
		}
		dst = append(dst, f)
	}
	return dst
}

func present(v []Milli) (n int) {
	for _, x := range v {
		if x != Missing {
			n++
		}
	}
	return n
}

// spread gives the range, or the standard deviation with n-less in the denominator; NaN when there are too few values.
func spread(v []Milli, by Spread, less int) float64 {
	var sum int64
	low, high, n := NoLimit, -NoLimit, present(v)
	for _, x := range v {
		if x != Missing {
			sum += int64(x)
			low, high = min(low, x), max(high, x)
		}
	}
	switch {
	case n == 0 || by == SpreadStd && n <= less:
		return math.NaN()
	case by == SpreadRange:
		return (high - low).Float()
	}
	mean, square := float64(sum)/float64(n), 0.0
	for _, x := range v {
		if x != Missing {
			d := float64(x) - mean
			square += float64(d * d)
		}
	}
	return math.Sqrt(square/float64(n-less)) / 1000
}

// Aggregate gives the worst flag that each value got: fail before suspect before good before unknown before missing. Every slice has a flag for each value.
func Aggregate(dst []Flag, tests ...[]Flag) []Flag {
	if len(tests) == 0 {
		return dst
	}
	for i := range tests[0] {
		f := tests[0][i]
		for _, t := range tests[1:] {
			f = worse(f, t[i])
		}
		dst = append(dst, f)
	}
	return dst
}

func worse(a, b Flag) Flag {
	if precedence(b) > precedence(a) {
		return b
	}
	return a
}

func precedence(f Flag) int {
	switch f {
	case FlagFail:
		return 4
	case FlagSuspect:
		return 3
	case FlagGood:
		return 2
	case FlagUnknown:
		return 1
	}
	return 0
}
