package stream

import (
	"math"
	"slices"
)

// comparison holds the windows of an asset that close together, so that peers and mates are compared over the same time.
type comparison struct{ closed []*closing }

// minPeers is the fewest peers whose median means something; minPeersZ the fewest whose spread does.
const (
	minPeers  = 2
	minPeersZ = 3
	madFloorK = 0.5 // K: peers that agree to the last digit must not make every window an outlier
)

// fill judges a window by its own figures, then sets it against those of its peers (same kind) and of its mate (same position, other
// side) that are sound themselves: a broken sensor is nobody's measure.
func (c comparison) fill(m *closing) {
	m.judge()
	f := &m.window.Features
	var peers []float64
	for _, o := range c.closed {
		if o == m || o.window.Start != m.window.Start || o.window.End != m.window.End {
			continue
		}
		v := o.window.Features[FMean]
		if math.IsNaN(v) || len(o.verdict()) > 0 {
			continue
		}
		if o.sensor.Kind == m.sensor.Kind {
			peers = append(peers, v)
		}
		if m.sensor.Position != "" && o.sensor.Position == m.sensor.Position && o.sensor.Side != m.sensor.Side {
			f[FMateDiff] = f[FMean] - v
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
