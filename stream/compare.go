package stream

import (
	"math"
	"slices"
)

// mate is a window as another sensor's window of the same time is compared with it.
type mate struct {
	sensor     *sensorState
	start, end int64
	length     int64   // nominal, ms: windows of unlike lengths do not close together and are not compared
	mean       float64 // degC, NaN without a sound reading
	slope      float64 // K/min, NaN where it is not known
	verdict    int64   // by its own figures, as gauge.Verdict
	between    bool
	scatter    float64 // K²: variance of mean by the readings' scatter
	over       float64 // K over its own baseline; 0 where that is not known
	move       float64 // K over the mean of the window before; NaN where that is not known
	quantum    Milli   // smallest step between its readings; 0 while unknown
	last       int64   // event time of its last reading, in dispute or not, ms
	interval   int64   // usual step between its readings, ms
}

// mateWindow gives a window as others compare with it, by what its sensor remembers with it.
func mateWindow(s *sensorState, start, end int64, mean, slope float64, verdict int64, k *memory) mate {
	return mate{sensor: s, start: start, end: end, length: k.Nominal, mean: mean, slope: slope, verdict: verdict,
		scatter: k.Scatter, over: k.Over, move: k.Move, quantum: k.Quantum, last: k.Last, interval: k.Intervals[(k.Next+ringSize-1)%ringSize]}
}

// sound says whether others may be measured by it: valid by its own figures, and not known to drift. A broken sensor is nobody's measure.
func (o *mate) sound() bool { return o.verdict == gaugeSound }

// mates gives what the windows that close now are compared with: each other, those of sensors that are behind and stay open, and those that closed
// before while another sensor still had readings of that time. Windows that end early are not compared: when each is found to end depends on who sent first.
func (a *assetState) mates(scratch []mate, groups ...[]*closing) []mate {
	out := append(scratch[:0], a.closed...)
	for _, group := range groups {
		for _, m := range group {
			m.judge()
			if !m.cut {
				w, k := m.window, &m.memory
				o := mateWindow(m.sensor, w.Start, w.End, w.Features[FMean], w.Features[FSlope], k.Gauge.Verdict, k)
				o.between, o.length, o.last, o.interval = w.Between, m.length, m.last, m.interval // which the sensor remembers only when the window has closed
				out = append(out, o)
			}
		}
	}
	return out
}

// remember keeps the closed windows that a sensor of the asset has open readings beside: its own will be compared with them.
func (a *assetState) remember(all []mate) {
	a.closed = append([]mate(nil), slices.DeleteFunc(all, func(m mate) bool {
		return !m.sensor.hasClosed(&m) || !slices.ContainsFunc(a.sensors, func(s *sensorState) bool { return s != m.sensor && s.hasOpen(&m) })
	})...)
}

// minPeers is the fewest peers whose median means something; minPeersZ the fewest whose spread does.
const (
	minPeers  = 2
	minPeersZ = 3
	madFloorK = 0.5 // K: peers that agree to the last digit must not make every window an outlier
)

// hasMate says whether another sensor of the asset is this one's mate: the one that the registry names, else one at the same position on the other side.
func (s *sensorState) hasMate(o *sensorState) bool {
	if s.mate != nil {
		return o.Name == *s.mate
	}
	return s.Position != "" && o.Position == s.Position && o.Side != s.Side
}

// meets says whether a window is another sensor's of the same time and length, with a mean to compare with.
func (m *closing) meets(o *mate) bool {
	return o.sensor != m.sensor && o.start == m.window.Start && o.end == m.window.End && o.length == m.length && !math.IsNaN(o.mean)
}

// compare sets a window against those of its peers (same kind) and of its mate that are sound themselves.
func (m *closing) compare(with []mate) {
	if m.cut {
		return
	}
	defer m.relate(with)
	defer m.pair(with) // first: two that changed places do not drift
	f := &m.window.Features
	var room [32]float64
	peers := room[:0]
	mateName := ""
	for i := range with {
		o := &with[i]
		if !m.meets(o) || !o.sound() {
			continue
		}
		if o.sensor.Kind == m.sensor.Kind {
			peers = append(peers, o.mean)
		}
		if m.sensor.hasMate(o.sensor) && (mateName == "" || o.sensor.Name < mateName) {
			mateName = o.sensor.Name
			f[FMateDiff] = f[FMean] - o.mean
		}
	}
	if len(peers) < minPeers {
		return
	}
	mid := median(peers)
	f[FPeerDiff] = f[FMean] - mid
	if len(peers) < minPeersZ {
		return
	}
	for i := range peers {
		peers[i] = math.Abs(peers[i] - mid)
	}
	mad := max(float64(1.4826*median(peers)), madFloorK)
	f[FPeerZ] = f[FPeerDiff] / mad
}

// median sorts v and gives its median, the mean of the middle two when even.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}
