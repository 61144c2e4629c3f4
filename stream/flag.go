package stream

import (
	"math"
	"slices"
)

// flag gives each reading its flag, the worst of what QARTOD's tests say of it, and gathers the cleaned temperatures: readings that fail by themselves are left out,
// spikes are replaced by their neighbourhood's median. Raw values are never altered. The tests whose limits a window's range cannot reach are not run.
func (m *closing) flag() {
	l := m.limits
	n := len(m.usable)
	values := slices.Grow(m.values[:0], 2*n)
	for i := range m.usable {
		values = append(values, m.usable[i].Temp)
	}
	m.values = values
	m.flags = GrossRange(m.flags[:0], values, span(l.FailLow, l.FailHigh), span(l.SuspectLow, l.SuspectHigh))
	m.codes(values)
	m.clean = values[n:n:cap(values)]
	for i, f := range m.flags {
		if f == FlagFail {
			m.outside++
			continue
		}
		m.clean = append(m.clean, values[i])
		m.cleanTS = append(m.cleanTS, m.usable[i].TS)
		m.position = append(m.position, i)
	}
	if limit := milli(l.SpikeK); len(m.clean) >= minKnown && slices.Max(m.clean)-slices.Min(m.clean) > limit {
		m.despike(limit)
	}
	g := &m.memory.Gauge
	if k := len(m.clean) - 1; k >= 0 {
		g.Good, g.GoodAt = m.clean[k], m.cleanTS[k]
	}
}

func milli(v float64) Milli { return Milli(math.Round(v * 1000)) }

func span(low, high float64) Span { return Span{milli(low), milli(high)} }

// mark worsens a reading's flag.
func (m *closing) mark(i int, f Flag) { m.flags[i] = worse(m.flags[i], f) }

// despike fails what Hampel's filter or twice the spike limit between neighbours calls an outlier, suspects what the limit does, and suspects steps that are left: more than
// the spike limit beyond what the kind's rate allows.
func (m *closing) despike(limit Milli) {
	raw := slices.Clone(m.clean)
	spikes := 0
	for i, f := range Spike(nil, raw, limit, 2*limit, SpikeDifferential) {
		if f == FlagFail || f == FlagSuspect {
			m.mark(m.position[i], f)
		}
		if f == FlagFail {
			spikes++
		}
	}
	m.spikes = hampel(m.clean, limit, m.memory.Quantum, func(i int) { m.mark(m.position[i], FlagFail) })
	if spikes > m.spikes { // Hampel's neighbourhood may be too rough to see them
		for i := 1; i < len(raw)-1; i++ {
			if m.clean[i] == raw[i] && m.flags[m.position[i]] == FlagFail {
				m.clean[i] = (m.clean[i-1] + raw[i+1]) / 2
				m.spikes++
			}
		}
	}
	if m.nominal == 0 {
		return
	}
	rate := m.limits.RateKPerMin/60 + limit.Float()*1000/float64(m.nominal)
	for i, f := range ChangeRate(nil, m.clean, m.cleanTS, rate, math.Inf(1)) {
		if f == FlagSuspect {
			m.mark(m.position[i], f)
		}
	}
}

// quiet flags readings of a value that stands still while it should not, and of a signal that hardly moves, and lists what is not good. A value that has stood still for half of
// the time at which the window is quarantined is suspect, after all of it it fails: QARTOD's flat line with a tolerance below the quantum, carried over windows.
func (m *closing) quiet() {
	if limit, moving := m.flatLimit(); moving {
		since, value := m.heldSince, m.held
		for i := range m.usable {
			r := &m.usable[i]
			if r.Temp != value || since == 0 {
				value, since = r.Temp, r.TS
				continue
			}
			if still := r.TS - max(since, m.stillFrom()); still >= limit {
				m.mark(i, FlagFail)
			} else if 2*still >= limit {
				m.mark(i, FlagSuspect)
			}
		}
		m.attenuated()
	}
	for i, f := range m.flags {
		if f != FlagGood {
			m.window.Flagged = append(m.window.Flagged, Flagged{TS: m.usable[i].TS, Flag: f})
		}
	}
}

// minAttenuated is the fewest readings whose range tells that a signal is attenuated.
const minAttenuated = 12

// attenuated suspects a window of a finely resolving sensor that moved by less than two of its steps.
func (m *closing) attenuated() {
	q := m.memory.Quantum
	if q == 0 || q >= fineQuantum || len(m.clean) < minAttenuated || slices.Max(m.clean)-slices.Min(m.clean) >= 2*q {
		return
	}
	for i, f := range AttenuatedSignal(nil, m.clean, m.cleanTS, 2*q.Float(), 0, SpreadRange, 0, 0) {
		if f == FlagSuspect {
			m.mark(m.position[i], f)
		}
	}
}

// stillFrom is the earliest time from which a value that stands still counts: a sensor's first readings tell nothing of before.
func (m *closing) stillFrom() int64 {
	if m.memory.Windows == 0 {
		return m.from
	}
	return math.MinInt64
}

// maxFill is how many readings in a row are filled in.
const maxFill = 2

// fill puts up to maxFill values on a straight line between the cleaned readings beside them where so many are missing or failed. They weigh in the features like
// readings, so that a window's figures do not lean to where more arrived; they count neither as readings nor for completeness, and nothing of them is stored.
func (m *closing) fill() {
	if m.nominal <= 0 || len(m.clean) < 2 {
		return
	}
	missing := 0
	for i := 1; i < len(m.cleanTS); i++ {
		missing += m.missing(i)
	}
	if missing == 0 {
		return
	}
	clean, ts := make([]Milli, 0, len(m.clean)+missing), make([]int64, 0, len(m.clean)+missing)
	for i := range m.clean {
		if i > 0 {
			k := int64(m.missing(i))
			dv, dt := int64(m.clean[i]-m.clean[i-1]), m.cleanTS[i]-m.cleanTS[i-1]
			for j := int64(1); j <= k; j++ {
				clean = append(clean, m.clean[i-1]+Milli(dv*j/(k+1)))
				ts = append(ts, m.cleanTS[i-1]+dt*j/(k+1))
			}
		}
		clean, ts = append(clean, m.clean[i]), append(ts, m.cleanTS[i])
	}
	m.clean, m.cleanTS = clean, ts
}

// missing is how many values are filled in before cleaned reading i.
func (m *closing) missing(i int) int {
	n := (m.cleanTS[i]-m.cleanTS[i-1]+m.nominal/2)/m.nominal - 1
	if n < 0 || n > maxFill {
		return 0
	}
	return int(n)
}
