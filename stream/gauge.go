package stream

import "math"

// gauge is the part of a sensor's memory by which the sensor itself is judged: what it last said, how it flickers, and how it stands to its peers. Every field folds over closed
// windows in event-time order.
type gauge struct {
	Verdict int64   // of the last window, by its own figures: 0 not known, gaugeSound, gaugeBroken, gaugeSpiky
	Slope   float64 // K/min, of the last window
	Good    Milli   // the last cleaned reading
	GoodAt  int64   // its event time, ms; 0: none yet
	Code    Milli   // the fault code that the last window ended with
	CodeOn  int64   // 1 while there is one

	SpikeN  [spikeWindows]int64 // readings of the newest windows
	SpikeOf [spikeWindows]int64 // spikes among them

	Dither  float64 // usual share of readings at standstill at which the temperature turned back
	DitherN int64   // windows it stands on

	Still int64   // event time from which the vehicle has been seen to stand, ms; 0: it moves, or nobody knows
	Soak  float64 // K: mean over ambient in cold soak
	SoakN int64   // windows it stands on

	XY, XX float64 // sums of own rise × peers' rise and of peers' rise squared, K²: their quotient is the gain
	GainN  int64   // windows they stand on
	Off    float64 // K: how far the sensor is off what gain and peers say, slow
	OffN   int64   // windows it stands on
	Own    float64 // K: how far it is off its own baseline, slow
	OwnN   int64   // windows it stands on
	Grow   float64 // growth of Off at standstill, weighed
	GrowW  float64 // its weight
	Fit    [fitSums]float64
	Astray int64 // what the sensor is known for: 0 nothing, astrayLow, astrayHigh, astrayGain, astraySoak
}

// Values of Verdict.
const (
	gaugeSound  = 1
	gaugeBroken = 2
	gaugeSpiky  = 3 // broken by spikes alone, which cleaning replaced: how it moves is still known
)

// spikeWindows is how many windows before the present one are looked at for spikes.
const spikeWindows = 2

// sound says whether the figures are such as encode writes.
func (g *gauge) sound() bool {
	ok := g.Verdict >= 0 && g.Verdict <= gaugeSpiky && g.GoodAt >= 0 && g.GoodAt < MaxTS && g.CodeOn >= 0 && g.CodeOn <= 1 &&
		g.Dither >= 0 && g.Dither <= 1 && g.DitherN >= 0 && g.Still >= 0 && g.Still < MaxTS && g.SoakN >= 0 && g.GainN >= 0 && g.OffN >= 0 && g.OwnN >= 0 && g.XX >= 0 && g.GrowW >= 0 &&
		g.Astray >= 0 && g.Astray <= astraySoak
	for i := range g.SpikeN {
		ok = ok && g.SpikeN[i] >= 0 && g.SpikeOf[i] >= 0
	}
	for _, v := range append([]float64{g.Slope, g.Soak, g.XY, g.XX, g.Off, g.Own, g.Grow, g.GrowW}, g.Fit[:]...) {
		ok = ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return ok
}

// orZero is a figure, 0 where it is missing.
func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// note keeps what a window's own figures say of the sensor. One that is known to drift is no measure of others either.
func (g *gauge) note(reasons []Reason) {
	switch {
	case g.Astray != 0:
		g.Verdict = gaugeBroken
	case len(reasons) == 0:
		g.Verdict = gaugeSound
	case len(reasons) == 1 && reasons[0] == Spikes:
		g.Verdict = gaugeSpiky
	default:
		g.Verdict = gaugeBroken
	}
}

// asMate gives what peers compare with. The form before had no gauge: valid is what the store says of the window.
func (g *gauge) asMate(valid bool) (slope float64, verdict int64) {
	switch {
	case g.Verdict != 0:
		return g.Slope, g.Verdict
	case valid:
		return math.NaN(), gaugeSound
	}
	return math.NaN(), gaugeBroken
}

// flatChance is how probable a window of n equal values is at standstill, by how often the temperature turned back there; 1 while that is not known.
func (g *gauge) flatChance(n int) float64 {
	if g.DitherN < 2 {
		return 1
	}
	chance := 1.0
	for i := 2; i < n; i++ {
		chance *= 1 - g.Dither
	}
	return chance
}

// recentSpikes counts spikes, and readings, of this window and those before it; a sensor's first window is not judged by it.
func (m *closing) recentSpikes() (n, of int) {
	g := &m.memory.Gauge
	for i := range g.SpikeN {
		n += int(g.SpikeOf[i])
		of += int(g.SpikeN[i])
	}
	if of == 0 {
		return 0, 1
	}
	return n + m.spikes, of + m.window.N
}

// ditherMemory is how many windows the usual flicker stands on at most.
const ditherMemory = 30

// learn folds a closed window's own figures into the gauge.
func (g *gauge) learn(m *closing, frozen bool) {
	w := m.window
	copy(g.SpikeN[1:], g.SpikeN[:spikeWindows-1])
	copy(g.SpikeOf[1:], g.SpikeOf[:spikeWindows-1])
	g.SpikeN[0], g.SpikeOf[0] = int64(w.N), int64(m.spikes)
	g.Slope = orZero(w.Features[FSlope])
	if r := &m.related; !frozen && w.SelfValid() && !(r.known && math.Abs(r.off) >= r.limit/2) {
		if r.known {
			g.learnGain(r.peers, r.own)
		}
		m.memory.Cool.learn(r.cool)
	}
	standing := w.Features[FSpeed] < standingKmh // false while nobody knows
	if standing && w.SelfValid() && len(m.usable) >= minReadings {
		g.DitherN = min(g.DitherN+1, ditherMemory)
		g.Dither += float64((m.turns() - g.Dither) / float64(g.DitherN))
	}
	switch {
	case !standing:
		g.Still = 0
	case g.Still == 0 || m.lastBefore != 0 && w.Start-m.lastBefore > soakGap:
		g.Still = w.Start
	}
}

// standingKmh is a mean speed below which a vehicle stands.
const standingKmh = 5.0

// turns is the share of readings at which the temperature turned back: noise does, a component that warms or cools does not.
func (m *closing) turns() float64 {
	n, way := 0, Milli(0)
	for i := 1; i < len(m.usable); i++ {
		step := m.usable[i].Temp - m.usable[i-1].Temp
		if step > 0 && way < 0 || step < 0 && way > 0 {
			n++
		}
		way = step
	}
	return float64(n) / float64(len(m.usable)-2)
}
