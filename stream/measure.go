package stream

import (
	"math"
	"slices"
)

// closing is a window while it is being closed, with what its verdict and its memory need besides its features.
type closing struct {
	sensor     *sensorState
	window     *Window
	limits     *Limits
	memory     memory // the sensor's, moved by this window as far as its own readings go
	length     int64  // nominal length of the window, ms
	cut        bool   // it ended early
	interval   int64  // usual step between its readings, ms; 0 with fewer than minKnown
	nominal    int64  // period that the window is judged by, ms; 0 when unknown
	from       int64  // event time from which readings are expected, ms
	first      int64  // event time of the first reading, in dispute or not, ms
	last       int64  // and of the last one
	usable     []Reading
	values     []Milli // scratch of flag
	steps      []int64 // scratch of typicalInterval
	clean      []Milli // cleaned temperatures of the readings that did not fail, in event-time order
	cleanTS    []int64
	flags      []Flag // of usable
	position   []int  // of clean, before gaps are filled, in usable
	outside    int    // readings that failed by themselves: outside the fail limits, or a fault code
	spikes     int
	held       Milli   // the value before the window
	heldSince  int64   // and since when it stood, ms; 0: there is none
	lastBefore int64   // event time of the last reading of the window before, ms; 0: none
	related    related // how it stands to its peers
	gap        int64   // longest time without a reading, ms
	flatFor    int64   // how long the value has not changed at the end, ms; 0 when it changed within the window
	rate       float64 // fastest sustained change, K/min
	judged     bool
	why        []string // the reasons in words
}

// measure gathers a closing window's own figures from its readings in event-time order. Readings in dispute are left out; a window with no
// other reading is not made.
func (w *Windower) measure(s *sensorState, entries []entry, c candidate, by ClosedBy) *closing {
	m := w.newClosing(len(entries))
	m.sensor, m.limits, m.length, m.cut = s, s.limits, c.length, c.cut
	s.past.unpack(&m.memory)
	m.first, m.last = entries[0].TS, entries[len(entries)-1].TS
	m.held, m.heldSince, m.lastBefore = m.memory.Value, m.memory.Since, m.memory.Last
	if len(s.unmade) > 0 {
		m.first = s.unmade[0]
	}
	at := 0
	for i := range entries {
		if entries[i].conflicted {
			continue
		}
		r := entries[i].Reading
		s.asset.context.join(&r, &at)
		m.usable = append(m.usable, r)
	}
	if len(m.usable) == 0 {
		w.reuse(m)
		return nil
	}
	m.window = &Window{
		Sensor: s.Sensor, Start: c.start, End: c.end, N: len(m.usable), ClosedBy: by,
		Last: m.usable[len(m.usable)-1].TS,
		Live: w.cfg.HistoryAfter == 0 || w.received-c.end <= w.cfg.HistoryAfter.Milliseconds(),
	}
	m.interval = m.typicalInterval()
	m.count(c)
	m.begin()
	m.flag()
	m.track()
	m.quiet()
	m.fill()
	m.figures()
	return m
}

// count finds the expected number of readings and the longest gap. A sensor's first window expects readings from its first one on.
func (m *closing) count(c candidate) {
	m.from = c.start
	if m.memory.Windows == 0 {
		m.from = m.usable[0].TS
	}
	m.nominal = m.sensor.periodNow()
	if m.nominal == 0 || m.nominal*minReadings > m.length { // not known yet, or the sensor woke up
		m.nominal = m.interval
	}
	expected := int64(minKnown)
	if m.nominal > 0 {
		expected = max(1, (c.end-m.from+m.nominal/2)/m.nominal)
	}
	w := m.window
	w.Expected = int(expected)
	w.Completeness = min(1, float64(w.N)/float64(w.Expected))
	last := m.from
	for i := range m.usable {
		m.gap = max(m.gap, m.usable[i].TS-last)
		last = m.usable[i].TS
	}
	m.gap = max(m.gap, c.end-last)
}

// typicalInterval is the lower median of the intervals between at least minKnown readings, 0 with fewer. Most sensors send at one pace: then there is nothing to sort.
func (m *closing) typicalInterval() int64 {
	if len(m.usable) < minKnown {
		return 0
	}
	steps, even := m.steps[:0], true
	for i := 1; i < len(m.usable); i++ {
		step := m.usable[i].TS - m.usable[i-1].TS
		even = even && (i == 1 || step == steps[0])
		steps = append(steps, step)
	}
	if m.steps = steps; !even {
		slices.Sort(steps)
	}
	return steps[(len(steps)-1)/2]
}

// Closings that are done are used again, with the memory of their slices: at most maxSpare, and none of more than maxSpareReadings.
const (
	maxSpare         = 64
	maxSpareReadings = 1024
)

// newClosing gives an empty closing with room for n readings.
func (w *Windower) newClosing(n int) *closing {
	if k := len(w.spare) - 1; k >= 0 {
		m := w.spare[k]
		w.spare = w.spare[:k]
		return m
	}
	return &closing{usable: make([]Reading, 0, n), cleanTS: make([]int64, 0, n), flags: make([]Flag, 0, n), position: make([]int, 0, n), values: make([]Milli, 0, 2*n)}
}

// reuse takes back a closing that nobody refers to any more.
func (w *Windower) reuse(m *closing) {
	if len(w.spare) < maxSpare && cap(m.usable) <= maxSpareReadings {
		*m = closing{usable: m.usable[:0], cleanTS: m.cleanTS[:0], flags: m.flags[:0], position: m.position[:0], values: m.values[:0], steps: m.steps[:0]}
		w.spare = append(w.spare, m)
	}
}

// minKnown is the fewest readings that tell a period, and the fewest that make a window.
const minKnown = 3

// hampelK is how many neighbours on each side make a reading's neighbourhood.
const hampelK = 3

// hampel replaces outliers by the median of their neighbourhood, in place, judging by the values as they came, and tells which. An outlier lies
// farther from the median than 3 × 1.4826 × MAD (Pearson 2002), the MAD at least the sensor's quantum, and than floor, which keeps quantised sensors, whose MAD
// is 0, from being all outliers.
func hampel(values []Milli, floor, quantum Milli, outlier func(i int)) (n int) {
	if len(values) < minKnown {
		return 0
	}
	raw := slices.Clone(values)
	var near, dev [2*hampelK + 1]Milli
	for i, v := range raw {
		lo, hi := max(0, i-hampelK), min(len(raw), i+hampelK+1)
		a := near[:copy(near[:], raw[lo:hi])]
		slices.Sort(a)
		med := a[(len(a)-1)/2]
		d := dev[:len(a)]
		for j, x := range a {
			d[j] = abs(x - med)
		}
		slices.Sort(d)
		mad := max(d[(len(d)-1)/2], quantum)
		if off := abs(v - med); off > floor && off > mad*44478/10000 {
			values[i] = med
			outlier(i)
			n++
		}
	}
	return n
}

func abs(m Milli) Milli {
	if m < 0 {
		return -m
	}
	return m
}

// track moves the part of the memory that folds over readings: how long the value has stood still, and the sensor's quantum.
func (m *closing) track() {
	k := &m.memory
	flat := len(m.usable) >= minKnown
	for i := range m.usable {
		r := &m.usable[i]
		flat = flat && r.Temp == m.usable[0].Temp
		step := abs(r.Temp - k.Value)
		if k.Since != 0 && step == 0 {
			continue
		}
		if k.Since != 0 && (k.Quantum == 0 || step < k.Quantum) {
			k.Quantum = step
		}
		k.Value, k.Since = r.Temp, r.TS
	}
	if flat {
		m.flatFor = m.window.End - min(k.Since, m.from)
	}
}

// learn folds the closed window into the sensor's memory. frozen keeps the baseline still.
func (m *closing) learn(frozen bool) {
	k, w := &m.memory, m.window
	if m.interval > 0 {
		k.learnInterval(m.interval)
	} else if k.Last != 0 {
		k.learnGap(m.usable[0].TS - k.Last)
	}
	if k.Windows == 0 {
		k.First = m.first
	}
	k.Last = m.last
	k.Windows++
	k.Nominal, k.Cut = m.length, 0
	if m.cut {
		k.Cut = 1
	}
	k.Gauge.learn(m, frozen)
	if over := w.Features[FOverAmbient]; !frozen && w.SelfValid() && !math.IsNaN(over) {
		k.learnRise(speedBin(w.Features[FSpeed]), over)
	}
	m.sensor.past = k.pack()
}
