package stream

import "slices"

// A device that has no temperature sends a number all the same: -127, 85, 850, 1254, 0. Some of them are temperatures that a healthy component has: a bearing warms through
// 85.000 degC on its way. So a fault code fails only where it stands out from both sides: the reading before it and the one after it, as far as there are any, must be
// farther off than a spike, and farther than the kind's rate allows in the time between. A run of one code is judged as one, and one that goes on from the window before
// goes on failing: the leap into it was there.

// codes fails the runs of fault codes among the readings that are within the limits.
func (m *closing) codes(values []Milli) {
	g := &m.memory.Gauge
	var room [8]Milli
	known := room[:0]
	for _, c := range m.limits.Sentinels {
		known = append(known, milli(c))
	}
	running, on := g.Code, g.CodeOn == 1
	g.Code, g.CodeOn = 0, 0
	for i := 0; i < len(values); {
		v := values[i]
		if m.flags[i] == FlagFail || !slices.Contains(known, v) {
			i++
			continue
		}
		j := i + 1
		for j < len(values) && values[j] == v {
			j++
		}
		if m.outstanding(values, i, j, on && i == 0 && running == v) {
			for k := i; k < j; k++ {
				m.flags[k] = FlagFail
			}
			if j == len(values) {
				g.Code, g.CodeOn = v, 1
			}
		}
		i = j
	}
}

// outstanding says whether the run [i, j) of one code stands out. goesOn: it failed at the end of the window before.
func (m *closing) outstanding(values []Milli, i, j int, goesOn bool) bool {
	sides := 0
	if goesOn {
		sides++
	} else if before, at, ok := m.goodBefore(values, i); ok {
		if !m.leap(values[i]-before, m.usable[i].TS-at) {
			return false
		}
		sides++
	}
	for k := j; k < len(values); k++ {
		if m.flags[k] == FlagFail {
			continue
		}
		if !m.leap(values[j-1]-values[k], m.usable[k].TS-m.usable[j-1].TS) {
			return false
		}
		sides++
		break
	}
	return sides > 0
}

// goodBefore is the newest reading before i that did not fail, of this window or the last ones.
func (m *closing) goodBefore(values []Milli, i int) (v Milli, ts int64, ok bool) {
	for k := i - 1; k >= 0; k-- {
		if m.flags[k] != FlagFail {
			return values[k], m.usable[k].TS, true
		}
	}
	g := &m.memory.Gauge
	return g.Good, g.GoodAt, g.GoodAt != 0
}

// leap says whether a step in so many ms is more than a spike beyond what the kind's rate allows.
func (m *closing) leap(step Milli, dt int64) bool {
	return abs(step).Float() > m.limits.SpikeK+float64(m.limits.RateKPerMin*float64(dt))/60_000
}
