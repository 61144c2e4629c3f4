package stream

import (
	"math"
	"unsafe"
)

// Where the two ends of an axle happen to be of one temperature, exchanged cables move either by some hundredths of a kelvin. That is more than the noise of sixty readings leaves in a
// window's mean, but less than heat moves the two in a few windows. What heat does can be foretold: how far mates are apart goes with how much both warm, for they differ in friction and in
// mass, and beyond that slowly, with the sun. course follows it through the window before the newest three by a Kalman filter (Kalman, A New Approach to Linear Filtering and Prediction
// Problems, 1960), foretells those three, and looks whether the last two are off by one and the same step while nothing else says that it is heat.
//
// One window in a thousand shows such a step by chance. So it is only doubt: both are out at once, each further window makes the step's mean surer, and once it is too small they are let in again.
// Doubt ends after doubtWindows: the readings are true but for that little, and whoever was to look at the cables has been told. A step that pair.go finds, too, it takes over.

// The limits of a step.
const (
	courseDelay   = 3     // windows between what is learned and the newest
	minCourse     = 18    // windows learned before anything is said
	courseMemory  = 60    // windows that the noise stands on
	courseClip    = 25.0  // times the usual squared miss: more is no measure of what is usual
	coursePrior   = 20.0  // windows that what the readings' scatter explains counts for
	courseLeast   = 0.036 // K: no less is called a step
	courseRough   = 1.8   // times what the readings' scatter explains: who miss by more are moved by something else, such as a clock that is wrong
	courseSure    = 2.8   // standard errors of a step
	courseBorne   = 3.3   // of one in doubt
	courseLeft    = 0.02  // K: and no less stays in doubt
	doubtWindows  = 16    // windows for which it does
	courseFlat    = 3.5   // noises by which the two windows after a step may differ, besides a fiftieth of it
	courseOnset   = 3.0   // noises by which the window of the step may lie outside what was before and after
	courseLike    = 0.25  // of the step: how far both together may move; a step of one alone moves them by half of it
	courseLikeMin = 2.7   // noises: less is chance
	courseMoved   = 3.4   // noises that heat may have been foretold to move the two meanwhile, besides a tenth of the step
	courseHeat    = 0.15  // K for each K that both warm: who differ by more are not alike
	courseStray   = 4.0   // noises by which a window may miss the step in doubt, besides a fifth of it
	walkLevel     = 0.04  // how much more uncertain a window makes level, heat and trend, in squared noises
	walkHeat      = 0.014
	walkTrend     = 0.0002
	firstHeat     = 12.0 // and how uncertain they are at first
	firstTrend    = 0.04
)

// course is how far two mates are expected to be apart. It folds over the windows that pairing holds.
type course struct {
	Level  float64           // K apart
	Heat   float64           // K apart for each K that both warm
	Trend  float64           // K a window
	P      [6]float64        // covariances in squared noises: level with level, heat, trend; heat with heat, trend; trend with trend
	N      float64           // windows that Noise stands on
	Chance float64           // K²: what it would be if the readings' scatter were all
	Noise  float64           // K²: mean squared miss of a window, each divided by how uncertain it was
	Doubt  float64           // windows since a step that is in doubt; 0: none is
	Sum    float64           // K: what those windows missed by
	Warm   [pairRing]float64 // degC: mean of the two, newest first
}

// courseWords is how many words a course takes in the memory: two figures of 32 bits each. They come back as they were written, so that what follows does not depend on a restart.
const (
	courseFigures = int(unsafe.Sizeof(course{}) / 8)
	courseWords   = (courseFigures + 1) / 2
)

type packedCourse [courseWords]int64

// figures are the fields in order.
func (c *course) figures() *[courseFigures]float64 {
	return (*[courseFigures]float64)(unsafe.Pointer(c))
}

func (k *packedCourse) pack(c *course) {
	*k = packedCourse{}
	for i, v := range c.figures() {
		k[i/2] |= int64(uint64(math.Float32bits(float32(v))) << (i % 2 * 32))
	}
}

func (k *packedCourse) unpack() (c course) {
	for i := range c.figures() {
		c.figures()[i] = float64(math.Float32frombits(uint32(uint64(k[i/2]) >> (i % 2 * 32))))
	}
	return c
}

func (k *packedCourse) sound() bool {
	c := k.unpack()
	ok := c.P[0] >= 0 && c.P[3] >= 0 && c.P[5] >= 0 && c.N >= 0 && c.N <= courseMemory && c.Noise >= 0 && c.Chance >= 0 && c.Doubt >= 0 && c.Doubt <= doubtWindows
	for _, v := range c.figures() {
		ok = ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return ok
}

// follow takes the newest window of a pairing, which holds it already, with the mean of the two, degC, the least step, K, and by how much their scatter alone moves
// the two apart, K².
func (c *course) follow(p *pairing, both, least, chance float64) {
	copy(c.Warm[1:], c.Warm[:pairRing-1])
	c.Warm[0] = both
	c.Chance += (chance - c.Chance) / min(c.N+1, courseMemory)
	switch {
	case c.Doubt > 0 && p.N < pairRing: // a gap, or pair.go took it over
		c.lose(p)
	case c.Doubt > 0:
		c.bear(p)
	case p.N == courseDelay+1:
		c.begin(p.Apart[courseDelay])
	case p.N == pairRing:
		c.step(c.Warm[courseDelay] - c.Warm[courseDelay+1])
		c.take(p.Apart[courseDelay])
		if c.N >= minCourse && c.Noise <= float64(courseRough*c.Chance) && p.Left == 0 {
			c.look(p, least)
		}
	}
}

// lose forgets a step that is in doubt.
func (c *course) lose(p *pairing) {
	if c.Doubt > 0 && p.Left == 0 {
		p.end()
	}
	c.Doubt, c.Sum = 0, 0
}

// begin goes on from a window behind a gap, or a step. How the two go with heat is still known.
func (c *course) begin(apart float64) {
	heat := c.P[3]
	if heat == 0 {
		heat = firstHeat
	}
	c.Level, c.Trend, c.P = apart, 0, [6]float64{1, 0, 0, heat, 0, firstTrend}
}

// step foretells the next window, in which both warm by that much, K.
func (c *course) step(warm float64) {
	p := &c.P
	c.Level += float64(c.Heat*warm) + c.Trend
	p[0] += float64(2*warm*p[1]) + float64(2*p[2]) + float64(warm*warm*p[3]) + float64(2*warm*p[4]) + p[5] + walkLevel
	p[1] += float64(warm*p[3]) + p[4]
	p[2] += float64(warm*p[4]) + p[5]
	p[3] += walkHeat
	p[5] += walkTrend
}

// take learns from how far the two are apart in the window foretold.
func (c *course) take(apart float64) {
	p := &c.P
	all, miss := p[0]+1, apart-c.Level
	level, heat, trend := p[0]/all, p[1]/all, p[2]/all
	c.Level += float64(level * miss)
	c.Heat += float64(heat * miss)
	c.Trend += float64(trend * miss)
	p[3] = max(0, p[3]-float64(heat*p[1]))
	p[4] -= float64(heat * p[2])
	p[5] = max(0, p[5]-float64(trend*p[2]))
	p[0] /= all
	p[1] /= all
	p[2] /= all
	square := float64(miss*miss) / all
	if c.N > minMoves/2 {
		square = min(square, float64(courseClip*c.Noise))
	}
	c.N = min(c.N+1, courseMemory)
	c.Noise += float64((square - c.Noise) / c.N)
}

// noise is the standard deviation of a window's Apart, K, which the readings' scatter tells before the windows do.
func (c *course) noise() float64 {
	return math.Sqrt((float64(coursePrior*c.Chance) + float64(c.N*c.Noise)) / (coursePrior + c.N))
}

// look begins to doubt where the newest two windows are off by one step of at least least, K, that no heat explains.
func (c *course) look(p *pairing, least float64) {
	next := *c
	var off [courseDelay]float64
	for i := range off {
		k := courseDelay - 1 - i
		next.step(c.Warm[k] - c.Warm[k+1])
		off[i] = p.Apart[k] - next.Level
	}
	noise, step := c.noise(), (off[1]+off[2])/2
	size, limit := math.Abs(step), max(least, float64(courseSure*noise*math.Sqrt(0.5+next.P[0])))
	if size < limit || math.Abs(c.Heat) > courseHeat || math.Abs(next.Level-c.Level) > float64(size/10)+float64(courseMoved*noise) ||
		math.Abs(off[2]-off[1]) > size/50+float64(courseFlat*noise) {
		return
	}
	a, b := &p.Apart, &p.Both
	jump := (a[0] + a[1] - a[3] - a[4]) / 2
	if math.Abs(a[3]-a[4]) > size/50+float64(courseFlat*noise) || math.Abs(step-jump) > size/8+float64(courseMoved*noise) {
		return // it went on before, and what was foretold lags behind
	}
	together := math.Abs(b[0]+b[1]-b[3]-b[4]) / 2
	if math.Abs(a[0]+a[1]+a[3]+a[4])/2 > swapBias || together > max(float64(courseLike*size), min(float64(swapLike*size)+float64(2*p.MoveBoth), float64(courseLikeMin*noise))) {
		return
	}
	if first := math.Copysign(off[0], off[0]*step); first < -float64(courseOnset*noise) || first > size+float64(courseOnset*noise) {
		return
	}
	*c = next
	c.Doubt, c.Sum = 2, off[1]+off[2]
	p.Jump, p.Limit = step, limit
}

// bear asks the next window whether it bears the step in doubt out.
func (c *course) bear(p *pairing) {
	c.step(c.Warm[0] - c.Warm[1])
	off := p.Apart[0] - c.Level
	c.Doubt++
	c.Sum += off
	noise, step := c.noise(), c.Sum/c.Doubt
	size, limit := math.Abs(step), max(courseLeft, float64(courseBorne*noise*math.Sqrt(1/c.Doubt+c.P[0])))
	p.Jump, p.Limit = step, limit
	if size >= limit && math.Abs(off-step) <= float64(courseStray*noise)+size/5 && c.Doubt < doubtWindows {
		return
	}
	if c.Doubt == doubtWindows {
		c.Heat = -c.Heat // it goes with the other end's heat now
	}
	p.N = 1
	c.lose(p)
}
