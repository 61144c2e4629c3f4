package stream

import "math"

// Every product that is added to something is written float64(a*b): Go may otherwise fuse the two into one rounding on some
// architectures, and the same readings would no longer give the same bits.

// begin fills the features that the flags already ask for, and leaves the others missing.
func (m *closing) begin() {
	f := &m.window.Features
	for i := range f {
		f[i] = math.NaN()
	}
	f[FKind] = float64(m.sensor.Kind)
	f[FCompleteness] = m.window.Completeness
	m.conditions(f)
}

// figures fills the features that a window's own readings give.
func (m *closing) figures() {
	f := &m.window.Features
	f[FSuspectShare] = float64(len(m.window.Flagged)) / float64(len(m.usable))
	if len(m.clean) == 0 {
		return
	}
	m.temperatures(f)
	m.rate = m.fastest()
	over := f[FMean] - f[FAmbient] // NaN without ambient
	f[FOverAmbient] = over
	f[FHeading] = over + float64(m.limits.TauMin*f[FSlope])
	f[FRiseBaseline] = over - m.memory.usual(speedBin(f[FSpeed]))
}

func (m *closing) temperatures(f *Features) {
	n := len(m.clean)
	var sum, lo, hi = int64(0), m.clean[0], m.clean[0]
	for _, v := range m.clean {
		sum += int64(v)
		lo, hi = min(lo, v), max(hi, v)
	}
	mean := float64(sum) / float64(n) // thousandths
	f[FMean], f[FMin], f[FMax] = mean/1000, lo.Float(), hi.Float()
	f[FLast] = m.clean[n-1].Float()
	var square float64
	for _, v := range m.clean {
		d := float64(v) - mean
		square += float64(d * d)
	}
	f[FStd] = math.Sqrt(square/float64(n)) / 1000
	f[FSlope] = m.slope(mean)
	quarter := m.clean[n-max(1, n/4):]
	sum = 0
	for _, v := range quarter {
		sum += int64(v)
	}
	f[FShortLong] = (float64(sum)/float64(len(quarter)) - mean) / 1000
}

// slope is the least-squares slope in K/min; 0 with one reading.
func (m *closing) slope(mean float64) float64 {
	start := m.window.Start
	var sum int64
	for _, ts := range m.cleanTS {
		sum += ts - start
	}
	center := float64(sum) / float64(len(m.cleanTS))
	var xy, xx float64
	for i, ts := range m.cleanTS {
		x := float64(ts-start) - center
		xy += float64(x * (float64(m.clean[i]) - mean))
		xx += float64(x * x)
	}
	if xx == 0 {
		return 0
	}
	return xy / xx * 60 // thousandths a millisecond = K a second
}

func (m *closing) conditions(f *Features) {
	var ambient, speed, load, brake mean
	for i := range m.usable {
		c := &m.usable[i].Conditions
		if c.Has&HasAmbient != 0 {
			ambient.add(c.Ambient.Float())
		}
		if c.Has&HasSpeed != 0 {
			speed.add(c.Speed.Float())
		}
		if c.Has&HasLoad != 0 {
			load.add(c.Load.Float())
		}
		if c.Has&HasBrake != 0 {
			brake.add(float64(c.Brake))
		}
	}
	f[FAmbient], f[FSpeed], f[FLoad], f[FBrakeShare] = ambient.value(), speed.value(), load.value(), brake.value()
}

type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64) { m.sum += v; m.n++ }

func (m *mean) value() float64 {
	if m.n == 0 {
		return math.NaN()
	}
	return m.sum / float64(m.n)
}

// blocks is how many equal parts of a window the fastest change is looked for between.
const blocks = 6

// noiseK is a change that is never called fast, K.
const noiseK = 3.0

// fastest is the fastest sustained change in K/min: between the means of neighbouring sixths of the window when they differ by more than noiseK, and over
// the whole window. Single readings do not show it: their noise over a second would.
func (m *closing) fastest() float64 {
	var temp, when [blocks]mean
	span := m.window.End - m.window.Start
	for i, ts := range m.cleanTS {
		b := min(blocks-1, max(0, (ts-m.window.Start)*blocks/span))
		temp[b].add(m.clean[i].Float())
		when[b].add(float64(ts - m.window.Start))
	}
	first, prev, rate := -1, -1, 0.0
	for b := range blocks {
		if temp[b].n == 0 {
			continue
		}
		if prev >= 0 {
			rate = max(rate, change(&temp[prev], &temp[b], &when[prev], &when[b]))
		} else {
			first = b
		}
		prev = b
	}
	if first >= 0 && prev > first {
		rate = max(rate, change(&temp[first], &temp[prev], &when[first], &when[prev]))
	}
	return rate
}

func change(from, to, since, till *mean) float64 {
	dt := till.value() - since.value()
	dk := math.Abs(to.value() - from.value())
	if dk <= noiseK || dt <= 0 {
		return 0
	}
	return dk / dt * 60_000
}
