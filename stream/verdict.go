package stream

import (
	"fmt"
	"strings"
	"time"
)

// The limits of a window's verdict.
const (
	minCompleteness = 0.8 // readings over expected
	maxGapShare     = 0.2 // of the window
	gapPeriods      = 2.5 // a gap of one lost reading is never too long
	maxFailShare    = 0.1 // readings outside the limits
	maxSpikeShare   = 0.05
	minSpikes       = 2
	maxSpikesRecent = 0.03 // over this window and the spikeWindows before it
	minSpikesRecent = 3
	maxSpikesMany   = 0.015 // likewise, of so many that chance has little say
	minSpikesMany   = 4
	maxFlatChance   = 1e-3 // of a whole window of one value at standstill, by how the sensor flickered there before
)

// Steps of a sensor's resolution, thousandths of a K: the finer it is, the sooner a value that stands still is stuck.
const (
	fineQuantum   Milli = 50
	coarseQuantum Milli = 200
)

// judge gives the window its verdict: every reason that applies, each with its figure and its limit in words. No reason: valid.
func (m *closing) judge() {
	w := m.window
	if m.judged {
		return
	}
	m.judged = true
	m.memory.Scatter, m.memory.Over = m.meanScatter(), orZero(w.Features[FRiseBaseline])
	if w.N < minKnown && m.nominal == 0 {
		m.refuse(Incomplete, "%d readings, and the sensor's period is not known yet: at least %d are needed", w.N, minKnown)
	} else if w.N < minKnown {
		m.refuse(Incomplete, "%d readings: at least %d are needed", w.N, minKnown)
	} else if w.Completeness < minCompleteness {
		m.refuse(Incomplete, "%d of %d expected readings, limit %.0f %%", w.N, w.Expected, minCompleteness*100)
	}
	limit := max(int64(maxGapShare*float64(w.End-w.Start)), int64(gapPeriods*float64(m.nominal)))
	if m.gap > limit {
		m.refuse(Gap, "no reading for %s, limit %s", ms(m.gap), ms(limit))
	}
	if share := float64(m.outside) / float64(w.N); share > maxFailShare {
		m.refuse(OutOfRange, "%d of %d readings outside %g to %g degC or a device's fault code, limit %.0f %%", m.outside, w.N, m.limits.FailLow, m.limits.FailHigh, maxFailShare*100)
	}
	if limit, moving := m.flatLimit(); moving && m.flatFor >= limit {
		m.refuse(Flatline, "the value has not changed for %s, limit %s", ms(m.flatFor), ms(limit))
	} else if chance := m.memory.Gauge.flatChance(len(m.usable)); !moving && m.flatFor > 0 && chance < maxFlatChance {
		m.refuse(Flatline, "the value has not changed for %s although this sensor flickers at standstill too: chance %.1g, limit %g", ms(m.flatFor), chance, maxFlatChance)
	}
	if m.spikes >= minSpikes && float64(m.spikes)/float64(w.N) > maxSpikeShare {
		m.refuse(Spikes, "%d of %d readings are spikes of more than %g K, limit %.0f %%", m.spikes, w.N, m.limits.SpikeK, maxSpikeShare*100)
	} else if n, of := m.recentSpikes(); m.spikes > 0 && tooSpiky(n, of) {
		m.refuse(Spikes, "%d of the newest %d readings are spikes of more than %g K, limit %g %% over %d windows", n, of, m.limits.SpikeK, spikyLimit(n)*100, spikeWindows+1)
	}
	if m.rate > m.limits.RateKPerMin {
		m.refuse(RateOfChange, "the temperature moved at %.1f K/min, limit %g K/min", m.rate, m.limits.RateKPerMin)
	}
	m.memory.Gauge.note(w.Reasons)
	m.move()
	w.Detail = strings.Join(m.why, "; ")
}

// tooSpiky says whether n spikes of the newest readings are no chance. The more there are, the smaller a share says so.
func tooSpiky(n, of int) bool {
	return n >= minSpikesRecent && float64(n)/float64(of) > spikyLimit(n)
}

func spikyLimit(n int) float64 {
	if n >= minSpikesMany {
		return maxSpikesMany
	}
	return maxSpikesRecent
}

func (m *closing) refuse(r Reason, format string, args ...any) {
	m.window.Reasons = append(m.window.Reasons, r)
	m.why = append(m.why, string(r)+": "+fmt.Sprintf(format, args...))
}

// flatLimit is how long a value may stand still. A sensor that is known to resolve finely is stuck when one whole window shows one value; a coarse one may show one value for
// long. While the vehicle is known to stand, its parts may well keep one temperature: then nothing is said.
func (m *closing) flatLimit() (limit int64, moving bool) {
	length := m.window.End - m.window.Start
	if m.memory.Windows == 0 {
		length = m.window.End - m.from
	}
	if v := m.window.Features[FSpeed]; v < 5 { // false for NaN: unknown speed counts as moving
		return 0, false
	}
	switch q := m.memory.Quantum; {
	case q < fineQuantum: // 0: no step was ever seen
		return length, true
	case q < coarseQuantum:
		return 3 * length, true
	}
	return 15 * length, true
}

func ms(v int64) time.Duration { return time.Duration(v) * time.Millisecond }
