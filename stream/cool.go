package stream

import "math"

// What nothing heats cools towards ambient, the faster the farther off it is: Newton's law of cooling, dT/dt = -k (T - ambient). So the pace at which a component cools says how far above
// ambient it is, whatever its sensor says, and the difference of the two is the sensor's error: after minutes of standing, where cold soak needs six hours. A hot component cools as well, the
// more so as it is hotter: heat is not mistaken for an error. A sensor that drifts while the component cools shows more still, since its own pace comes on top.
//
// k is learned from the sensor's own past, apart for standing (still air) and, of discs, which nothing heats unless they are braked, for running unbraked (k in proportion to 1 + the root of the speed in km/h: still
// air, and a laminar stream along a plate, Incropera and DeWitt, Fundamentals of Heat and Mass Transfer, chapter 7). Motors and transformers are heated while they run.

// The regimes of cooling.
const (
	coolStand = iota
	coolRun
	coolRegimes
)

// cooling is the part of a sensor's memory that holds how its component cools. It folds over closed windows in event-time order.
type cooling [coolRegimes]cooled

// cooled is one regime.
type cooled struct {
	YY, SY float64 // K², K²/min: sums of rise squared and of rise × fall, the rise times the air's share: their quotient is k, 1/min
	N      float64 // windows they stand on
	Off    float64 // K: how far above ambient it seems to end, slow
	OffN   float64 // windows it stands on
	Last   float64 // K: where the last window seemed to end
	Var    float64 // K²: how that scatters from window to window
}

// The limits of cooling.
const (
	coolMinK     = 15.0 // K: below this rise it is lost in the noise
	coolMinKmh   = 20.0 // slower than this it may have been braked, or stood, for a part of the window
	coolClip     = 4.0  // K: more is no measure of how it cools
	coolClipOff  = 24.0 // K: and by more it does not move what is known
	coolSigmas   = 3.0  // of the slow mean
	coolUsual    = 0.3  // of the limit: nearer to ambient it cools as ever
	coolError    = 0.9  // of what shows running: an error shows as much standing, a drift more
	coolHeat     = 0.6  // of what shows running: heat that is there while it runs shows less standing, what the wheelset gives back
	coolVarFirst = 16.0 // K²: what a window scatters before much is known
)

var (
	coolMemory = [coolRegimes]float64{40, 60} // windows that k stands on at most
	coolLeast  = [coolRegimes]float64{4, 10}  // and at least
	coolSlow   = [coolRegimes]float64{6, 12}  // windows that Off stands on at most
	coolLimit  = [coolRegimes]float64{4, 5}   // K
)

// cooledNow is what a window says of how its component cools.
type cooledNow struct {
	known      bool
	regime     int
	rise, fall float64 // K and K/min, times and by the air's share of k
	k          float64 // 1/min as known before; 0: not yet
}

func (c *cooled) sound() bool {
	ok := c.N >= 0 && c.OffN >= 0 && c.Var >= 0 && (c.YY > 0) == (c.N > 0)
	for _, v := range []float64{c.YY, c.SY, c.N, c.Off, c.OffN, c.Last, c.Var} {
		ok = ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return ok
}

// cool takes a window in which nothing heats the component.
func (m *closing) cool() {
	f, kind := &m.window.Features, m.sensor.Kind
	rise, speed, air := f[FOverAmbient], f[FSpeed], 1.0
	now := cooledNow{known: true}
	switch {
	case kind != Brake && kind != Motor || !(rise >= coolMinK):
		return
	case speed < standStill:
	case kind == Brake && speed > coolMinKmh && f[FBrakeShare] == 0:
		now.regime, air = coolRun, (1+math.Sqrt(speed))/10
	default:
		return
	}
	if f[FSlope] > growMost {
		m.memory.Cool.forget() // it is heated all the same
		return
	}
	c := &m.memory.Cool[now.regime]
	if c.N >= coolLeast[now.regime] && c.SY > 0 {
		now.k = c.SY / c.YY
		c.follow(rise+f[FSlope]/float64(now.k*air), coolSlow[now.regime])
	}
	now.rise, now.fall = float64(rise*air), -f[FSlope]
	if now.k > 0 { // clipped, so that one odd window, and an error of the sensor, move it little
		end := min(max(rise-now.fall/float64(now.k*air), -coolClip), coolClip)
		now.fall = float64(now.k * air * (rise - end))
	}
	m.related.cool = now
}

// follow takes where a window seems to end.
func (c *cooled) follow(end, most float64) {
	c.OffN = min(c.OffN+1, most)
	c.Off += min(max(end-c.Off, -coolClipOff), coolClipOff) / c.OffN
	if step := min(max(end-c.Last, -coolClipOff), coolClipOff); c.OffN == 1 {
		c.Var = coolVarFirst
	} else { // by the steps: a drift scatters no more than before
		c.Var += (float64(float64(step*step)/2) - c.Var) / (2 * most)
	}
	c.Last = end
}

// learn takes how fast a window cooled.
func (c *cooling) learn(now cooledNow) {
	if !now.known {
		return
	}
	r := &c[now.regime]
	if r.N++; r.N > coolMemory[now.regime] {
		r.N = coolMemory[now.regime]
		r.YY -= r.YY / r.N
		r.SY -= r.SY / r.N
	}
	r.YY += float64(now.rise * now.rise)
	r.SY += float64(now.rise * now.fall)
}

// forget drops where the component seemed to cool to, and keeps how fast it does.
func (c *cooling) forget() {
	for i := range c {
		c[i].Off, c[i].OffN, c[i].Last, c[i].Var = 0, 0, 0, 0
	}
}

// limit is how far off a regime must end to be told, K; infinite while too little is known.
func (c *cooling) limit(regime int) float64 {
	r := &c[regime]
	if r.OffN < coolSlow[regime]/2 {
		return math.Inf(1)
	}
	return max(coolLimit[regime], float64(coolSigmas*math.Sqrt(r.Var/r.OffN)))
}

// below says whether a component seems to cool to far below ambient: nothing does, it is the sensor.
func (c *cooling) below() bool {
	run, stand := c.limit(coolRun), c.limit(coolStand)
	return c[coolRun].Off < -run || c[coolStand].Off < -stand && (math.IsInf(run, 1) || c[coolRun].Off < -run/2)
}

// above says whether it seems to cool to far above ambient, and standing as far as running: a disc that drags is heated while it runs. Standing, it is held up by its wheelset alone, which
// the drag has warmed, and that is less.
func (c *cooling) above() bool {
	return c[coolRun].Off > c.limit(coolRun) && c[coolStand].Off > max(c.limit(coolStand), float64(coolError*c[coolRun].Off))
}

// heated says whether it ends so much farther above ambient running than standing that heat has come, also to a sensor that was found to read high.
func (c *cooling) heated() bool {
	return c[coolRun].Off > c.limit(coolRun) && c[coolStand].OffN >= coolSlow[coolStand]/2 && c[coolStand].Off < float64(coolHeat*c[coolRun].Off)
}

// best is the regime that says most: running, where enough of it is known.
func (c *cooling) best() int {
	if c[coolRun].OffN >= coolSlow[coolRun]/2 {
		return coolRun
	}
	return coolStand
}

// known says whether it is known where the component cools to.
func (c *cooling) known() bool { return c[c.best()].OffN >= coolSlow[c.best()]/2 }

// usual says whether the component cools as it ever did: then it is not its sensor that reads low.
func (c *cooling) usual() bool {
	return c.known() && c[c.best()].Off > -float64(coolUsual*coolLimit[c.best()])
}
