package stream

import (
	"fmt"
	"math"
	"slices"
)

// A component that fails gets hotter than its peers, gets hot while it turns, and cools when it stands. What is none of this is the sensor:
//
//	low      nothing cools one bearing alone: a sensor that reads below what its peers and its own past say, for windows on end, is at fault
//	gain     and where what is missing grows with the rise over ambient, dirt keeps the heat from it: fouling
//	step     far below in one window: a disagreement that no heat explains
//	growth   above its mate, and still going up against it while the vehicle stands: heat would go down, and what a hot wheel gives it gives to both ends
//	soak     hours after the last run everything is at ambient: what is not, is off
//	cooling  what nothing heats cools towards ambient at a known pace (cool.go): what does not fit what is shown, is the sensor's
//
// A sensor that reads above its peers and does not rise at standstill is left in, and so is whatever is hot: it may be what the alarms are for. One that was found to drift while it was
// cool stays out until it is really hot, or leaves its peers faster than a drift does. Where there are only
// two of a kind they cannot tell which of them is wrong: the lower one is out when the way in which they came apart is no heat's (twin.go), and of motors, whose heat comes as slowly as a
// sensor's error, when its own past says so too; and either of them when it does not cool as it shows, the higher one of two discs too.

// The limits of a comparison with peers.
const (
	offK        = 2.0  // K: never astray by less
	offShare    = 0.06 // of the peers' rise over ambient: bearings of one vehicle differ by some per cent in friction and load
	stepLimits  = 2.0  // how many of these limits in one window are a disagreement
	offMemory   = 4    // windows that Off stands on
	gainMemory  = 240  // windows that the gain stands on
	gainPrior   = 300. // K²: before much is known the gain is 1
	minGain     = 10   // windows before anything is said
	minRelated  = 3    // peers that together tell who is wrong
	pairK       = 2.5  // K: with fewer, the limit is this and pairShare of their rise, how they came apart must say so (twin.go), and the sensor's own past
	pairShare   = 0.06
	pairOwn     = 0.6 // share of the deviation that must show against the sensor's own baseline
	peersOwn    = 0.2 // share of the deviation, at most half the limit, that its own past must show where most peers are hot over theirs
	discK       = 2.0 // K: of discs, whose past says little, the limit is this and discShare
	discShare   = 0.04
	ownMemory   = 15   // windows that Own stands on
	growKMin    = 0.04 // K/min: growth at standstill that is no noise of the fit
	growMost    = 0.6  // K/min: what goes faster is no drift
	growSigma   = 3.0
	hotK        = 45.0                 // K over ambient, where bearings' alarms begin: from here on no reading is found to drift upwards
	hotDiscK    = 80.0                 // and where a disc is hotter than stops make it: its alarms begin at 200 degC
	hotMostK    = 65.0                 // K over ambient, where bearings are hot: what was found to drift while it was cooler is believed again
	mostDirt    = 0.5                  // of the rise: dirt takes up to 40 %
	mostError   = 40.0                 // K: no drift goes so far unnoticed
	minScatter  = 0.0009               // K²: what a sensor scatters at least
	standStill  = 0.5                  // km/h
	soakGap     = int64(600_000)       // ms without a reading after which nobody knows what the vehicle did
	soakAfter   = int64(6 * 3_600_000) // ms of standing after which parts are at ambient (domain notes, section 3)
	soakLimit   = 4.0                  // K: IEC 60751 class B, the ambient sensor's own error, and sun
	minSoak     = 10                   // windows
	fitSums     = 5
	fitForget   = 0.97
	minFitRange = 1.0 // K²: variance of the peers' rise from which gain and offset can be told apart
)

// Values of gauge.Astray.
const (
	astrayLow  = 1 + iota // below its peers
	astrayHigh            // above them, and growing at standstill
	astrayGain            // its gain has fallen
	astraySoak            // off ambient in cold soak
)

// related is how a window stands to its peers, kept until the gauge learns from it.
type related struct {
	known      bool
	peers, own float64 // rise over ambient, K
	off, limit float64 // K
	cool       cooledNow
}

// relate judges the sensor by its peers and by ambient. It comes after the window's own verdict: a window that is out by its own figures tells nothing of the sensor.
func (m *closing) relate(with []mate) {
	w := m.window
	if len(w.Reasons) > 0 {
		return
	}
	g := &m.memory.Gauge
	m.soak()
	m.cool()
	r := m.reference(with)
	ambient := w.Features[FAmbient]
	if r.n == 0 || math.IsNaN(ambient) || math.IsNaN(w.Features[FMean]) {
		m.alone()
		if g.Astray != 0 && !m.warm() {
			m.blameAlone()
		}
		return
	}
	x, y := r.mean-ambient, w.Features[FOverAmbient]
	m.related = related{known: true, peers: x, own: y, off: y - float64(g.gain()*x), limit: offK + float64(offShare*math.Abs(x)), cool: m.related.cool}
	if g.GainN < minGain {
		return
	}
	off, limit := m.related.off, m.related.limit
	g.OffN = min(g.OffN+1, offMemory)
	g.Off += float64((off - g.Off) / float64(g.OffN))
	g.fit(x, off)
	if own := w.Features[FRiseBaseline]; !math.IsNaN(own) {
		g.OwnN = min(g.OwnN+1, ownMemory)
		g.Own += float64((own - g.Own) / float64(g.OwnN))
	}
	if r.n < minRelated {
		m.memory.Twin.follow(w.Start, w.End, off, y)
	}
	m.growth(r, limit)
	m.astray(r, x, limit)
	if r.n >= minRelated && off < -stepLimits*limit && g.Astray == 0 && !m.peersHot(r, limit) {
		m.object(PeerDisagreement, "it reads %.1f K below what %d peers say, limit %.1f K: nothing cools one component alone", -off, r.n, stepLimits*limit)
	}
}

// peersOf is what a window's peers say together. mean is their lower quartile: hot components among them must not make the others look cold.
type peersOf struct {
	mean float64
	n    int
	hot  int   // of them those that are over their own baselines by more than the least limit
	mate *mate // the other end of the axle, the first by name, also one that is out for spikes alone; nil without one
}

func (m *closing) reference(with []mate) (r peersOf) {
	var room [32]float64
	means := room[:0]
	for i := range with {
		o := &with[i]
		if !m.meets(o) || o.sensor.Kind != m.sensor.Kind {
			continue
		}
		if o.sound() {
			means = append(means, o.mean)
			if o.over > offK {
				r.hot++
			}
		} else if o.verdict != gaugeSpiky {
			continue
		}
		if p := m.sensor.Position; p != "" && o.sensor.Position == p && o.sensor.Side != m.sensor.Side && (r.mate == nil || o.sensor.Name < r.mate.sensor.Name) {
			r.mate = o
		}
	}
	if r.n = len(means); r.n > 0 {
		slices.Sort(means)
		r.mean = means[(r.n-1)/4]
	}
	return r
}

// gain is the usual own rise over ambient for one kelvin of the peers'.
func (g *gauge) gain() float64 { return (g.XY + gainPrior) / (g.XX + gainPrior) }

func (g *gauge) learnGain(x, y float64) {
	if g.GainN++; g.GainN >= gainMemory {
		g.GainN = gainMemory
		g.XY -= float64(g.XY / gainMemory)
		g.XX -= float64(g.XX / gainMemory)
	}
	g.XY += float64(x * y)
	g.XX += float64(x * x)
}

// fit gathers what tells a fallen gain from an offset: a straight line of the deviation over the peers' rise, the past forgotten slowly.
func (g *gauge) fit(x, off float64) {
	for i, v := range [fitSums]float64{1, x, float64(x * x), off, float64(x * off)} {
		g.Fit[i] = float64(g.Fit[i]*fitForget) + v
	}
}

// fouled says whether the deviation is in proportion to the rise rather than the same at every rise.
func (g *gauge) fouled() bool {
	n := g.Fit[0]
	meanX, meanOff := g.Fit[1]/n, g.Fit[3]/n
	spread := g.Fit[2]/n - float64(meanX*meanX)
	if !(spread >= minFitRange) {
		return false
	}
	slope := (g.Fit[4]/n - float64(meanX*meanOff)) / spread
	part := float64(slope * meanX)
	return slope < 0 && -part > math.Abs(meanOff-part)
}

// growth weighs how the sensor moves against its mate while the vehicle stands: the difference of the slopes by its variance, as the scatter about the line gives it.
func (m *closing) growth(r peersOf, limit float64) {
	g, f := &m.memory.Gauge, &m.window.Features
	if math.Abs(g.Off) < 0.3*limit {
		g.Grow, g.GrowW = float64(g.Grow*0.9), float64(g.GrowW*0.9)
		return
	}
	if r.mate == nil || !(f[FSpeed] < standStill) || math.IsNaN(r.mate.slope) || len(m.cleanTS) < minReadings {
		return
	}
	span := m.minutes()
	weight := float64(len(m.cleanTS)) * float64(span*span) / (2 * 12 * max(m.scatter(), minScatter))
	apart := f[FSlope] - r.mate.slope
	if math.Abs(apart) > growMost {
		return
	}
	g.Grow += float64(weight * apart)
	g.GrowW += weight
}

// minutes is the time from the first to the last cleaned reading.
func (m *closing) minutes() float64 {
	return float64(m.cleanTS[len(m.cleanTS)-1]-m.cleanTS[0]) / 60_000
}

// scatter is the variance of the cleaned readings about their line, K².
func (m *closing) scatter() float64 {
	f, span := &m.window.Features, m.minutes()
	return float64(f[FStd]*f[FStd]) - float64(f[FSlope]*f[FSlope])*float64(span*span)/12
}

// meanScatter is by how much the scatter of the cleaned readings about their line moves their mean: its variance, K².
func (m *closing) meanScatter() float64 {
	if len(m.cleanTS) < minKnown {
		return 0
	}
	return max(m.scatter(), 0) / float64(len(m.cleanTS))
}

// move takes the window's mean, and by how much it is over that of the window before.
func (m *closing) move() {
	k, w := &m.memory, m.window
	if w.Between {
		return
	}
	mean := w.Features[FMean]
	if k.Windows == 0 || math.IsNaN(k.Mean) || math.IsNaN(mean) || m.lastBefore < w.Start-m.length {
		k.Move = math.NaN()
	} else {
		k.Move = mean - k.Mean
	}
	if k.Mean = mean; k.Gauge.Verdict != gaugeSound || math.IsNaN(mean) {
		k.Mean = math.NaN()
	}
}

// grows says whether a sensor above its mate still rises against it at standstill.
func (g *gauge) grows() bool {
	return g.GrowW > 0 && g.Grow > growKMin*g.GrowW && float64(g.Grow*g.Grow) > growSigma*growSigma*g.GrowW
}

// astray keeps what the sensor is known for and says it. It ends once the sensor agrees with its peers to half the limit.
func (m *closing) astray(r peersOf, x, limit float64) {
	g := &m.memory.Gauge
	switch {
	case g.Astray == astrayHigh && (g.Off < limit/2 || m.hot(hotMostK) || m.runsAway() || r.n < minRelated && m.memory.Cool.heated()), r.n < minRelated && m.otherHot(x), (g.Astray == astrayLow || g.Astray == astrayGain) && g.Off > -limit/2:
		g.Astray, g.Grow, g.GrowW = 0, 0, 0
	case g.Astray != 0 || g.OffN < offMemory:
	case r.n < minRelated:
		m.twins(x, limit)
	case m.peersHot(r, limit):
	case g.Off < -limit && g.fouled():
		g.Astray = astrayGain
	case g.Off < -limit:
		g.Astray = astrayLow
	case g.Off > limit && r.mate != nil && m.window.Features[FMean]-r.mate.mean > limit && !m.hot(hotK) && g.grows():
		g.Astray = astrayHigh
	}
	if r.n < minRelated && m.warm() {
		return
	}
	switch {
	case g.Astray == astrayHigh && r.n < minRelated:
		m.blame(astrayHigh, "it reads %.1f K above what %d peers and its past say, limit %.1f K, and cools as if towards %.1f K above ambient, standing no less than running: a source of heat shows less", g.Off, r.n, limit, m.memory.Cool[coolRun].Off)
	case g.Astray == astrayLow:
		m.blame(astrayLow, "it reads %.1f K below what %d peers and its past say, limit %.1f K: nothing cools one component alone", -g.Off, r.n, limit)
	case g.Astray == astrayHigh:
		m.blame(astrayHigh, "it reads %.1f K above what %d peers and its past say, limit %.1f K, and rises against its mate at standstill, where heat would go", g.Off, r.n, limit)
	case g.Astray == astrayGain:
		m.blame(astrayGain, "of %.1f K over ambient that %d peers show it misses %.1f K, limit %.1f K, the more the hotter they are", x, r.n, -g.Off, limit)
	case g.Astray == astraySoak:
		m.blame(astraySoak, "it was %.1f K off ambient in cold soak, limit %.1f K", g.Soak, soakLimit)
	}
}

// peersHot says whether most peers are hot over their own baselines, so that even their lower quartile may be, while the sensor is near its own, slowly and in this very window: one that falls at once
// is as far below its past as below them, and where all run hot one that is below them is above its past. Then nothing is found of it that was not known before.
func (m *closing) peersHot(r peersOf, limit float64) bool {
	g := &m.memory.Gauge
	sound := func(own, off float64) bool { return own > max(float64(peersOwn*off), -limit/2) && own < limit/2 }
	return 2*r.hot > r.n && g.OwnN >= ownMemory && sound(g.Own, g.Off) && sound(m.window.Features[FRiseBaseline], m.related.off)
}

// runsAway says whether a sensor that is known to drift upwards leaves its peers faster than a drift does: heat has come to the error. What Off lags behind by, of something that goes at
// one rate, is that rate for offMemory - 1 windows.
func (m *closing) runsAway() bool {
	minutes := float64(m.length) / 60_000
	return m.related.off-m.memory.Gauge.Off > (offMemory-1)*growMost*minutes
}

// twins judges a sensor that has fewer than minRelated peers by how the two came apart, and by how it cools.
func (m *closing) twins(x, limit float64) {
	g, c := &m.memory.Gauge, &m.memory.Cool
	sensor, gain := m.memory.Twin.tells(g.Off)
	switch {
	case g.Off < -limit/2 && c.below() && sensor && gain:
		g.Astray = astrayGain
	case g.Off < -limit/2 && c.below():
		g.Astray = astrayLow
	case g.Off > limit/2 && c.above() && sensor && !m.hot(hotK):
		g.Astray = astrayHigh
	case !sensor || !m.low(x) || m.otherHot(x):
	case gain:
		g.Astray = astrayGain
	case !c.usual():
		g.Astray = astrayLow
	}
}

// alone judges a sensor that nothing can be compared with by how it cools.
func (m *closing) alone() {
	g, c := &m.memory.Gauge, &m.memory.Cool
	switch {
	case g.Astray == astrayHigh && (m.hot(hotMostK) || c.heated()):
		g.Astray = 0
	case g.Astray == astrayLow && c.usual():
		g.Astray = 0
	case g.Astray != 0:
	case c.below():
		g.Astray = astrayLow
	case c.above() && !m.hot(hotK):
		g.Astray = astrayHigh
	}
}

// otherHot says whether the other one is the odd one: most of what it shows is missed, which no dirt takes, and this one cools as it ever did.
func (m *closing) otherHot(x float64) bool {
	off, known := m.memory.Gauge.Off, m.memory.Cool.known()
	return off < -float64(mostDirt*x) && (known && m.memory.Cool.usual() || !known && off < -mostError)
}

// blameAlone refuses a window that nothing can be compared with for what its sensor is known for.
func (m *closing) blameAlone() {
	g, c := &m.memory.Gauge, &m.memory.Cool
	end := c[c.best()].Off
	switch {
	case g.Astray == astrayLow && c.below():
		m.blame(astrayLow, "it cools as if towards %.1f K below ambient, limit %.1f K: nothing does", -end, coolLimit[c.best()])
	case g.Astray == astrayHigh && c.above():
		m.blame(astrayHigh, "it cools as if towards %.1f K above ambient, limit %.1f K, standing no less than running: a source of heat shows less", end, coolLimit[c.best()])
	default:
		m.blame(g.Astray, "it was %.1f K off when it could last be compared", g.Off)
	}
}

// low says whether a sensor with fewer than minRelated peers reads so low that it may be its own fault.
func (m *closing) low(x float64) bool {
	g := &m.memory.Gauge
	if m.sensor.Kind == Brake {
		return g.Off < -discK-float64(discShare*math.Abs(x))
	}
	return g.Off < -pairK-float64(pairShare*math.Abs(x)) && g.OwnN >= ownMemory && g.Own < pairOwn*g.Off
}

// warm says whether a sensor that is known to read low is hot in this window all the same, or over what it used to be: where fewer than minRelated others say that it is low, that
// may be heat, and heat stays in. What a disc used to be says little: it is what it was braked.
func (m *closing) warm() bool {
	low := m.memory.Gauge.Astray == astrayLow || m.memory.Gauge.Astray == astrayGain
	return low && (m.window.Features[FRiseBaseline] > 0 && m.sensor.Kind != Brake && !m.memory.Cool.below() || m.window.Features[FOverAmbient] >= hotK)
}

// hot says whether a window is at limit over ambient or more, K; a disc at its own limit. From hotK on a sensor is never called one that reads high, from hotMostK on one that was found to
// is believed again.
func (m *closing) hot(limit float64) bool {
	if m.sensor.Kind == Brake {
		limit = hotDiscK
	}
	return !(m.window.Features[FOverAmbient] < limit)
}

// soak holds a sensor without a source of heat against ambient once its vehicle has stood for hours.
func (m *closing) soak() {
	g, w := &m.memory.Gauge, m.window
	off := w.Features[FOverAmbient]
	if kind := m.sensor.Kind; kind != Bearing && kind != Brake || math.IsNaN(off) || g.Still == 0 || !(w.Features[FSpeed] < standStill) || w.Start-g.Still < soakAfter {
		return
	}
	g.SoakN = min(g.SoakN+1, gainMemory)
	g.Soak += float64((off - g.Soak) / float64(g.SoakN))
	switch {
	case g.SoakN >= minSoak && math.Abs(g.Soak) > soakLimit && g.Astray == 0:
		g.Astray = astraySoak
	case g.Astray == astraySoak && math.Abs(g.Soak) < soakLimit/2:
		g.Astray = 0
	}
}

// blame refuses the window for what its sensor is known for.
func (m *closing) blame(what int64, format string, args ...any) {
	reason := SensorDrift
	if what == astrayGain {
		reason = Fouling
	}
	m.object(reason, format, args...)
}

// object adds a reason after the verdict by the window's own figures.
func (m *closing) object(reason Reason, format string, args ...any) {
	if slices.Contains(m.window.Reasons, reason) {
		return
	}
	m.refuse(reason, format, args...)
	why := m.why[len(m.why)-1]
	if m.window.Detail != "" {
		why = fmt.Sprintf("%s; %s", m.window.Detail, why)
	}
	m.window.Detail = why
}
