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
// One end that heats comes away from the other, too, and heat begins with hundredths of a kelvin. What tells it from an exchange is the two together, which it lifts, and where the two were
// before (offset.go): an exchange must be likely enough beside it (likely.go). One window in a thousand shows such a step by chance. So it is only doubt: both are out at once, each
// further window makes the step's mean surer, and once it is too small they are let in again. Doubt ends after doubtWindows: the readings are true but for that little, and whoever was to
// look at the cables has been told. A step that pair.go finds, too, it takes over.

// The limits of a step.
const (
	courseDelay    = 3               // windows between what is learned and the newest
	minCourse      = 18              // windows learned before anything is said
	courseMemory   = 60              // windows that the noise stands on
	courseClip     = 25.0            // times the usual squared miss: more is no measure of what is usual
	coursePrior    = 20.0            // windows that what the readings' scatter explains counts for
	courseLeast    = 0.026           // K: no less is called a step
	courseRough    = 1.8             // times what the readings' scatter explains: who miss by more are moved by something else, such as a clock that is wrong
	courseSure     = 2.2             // standard errors of a step
	courseBorne    = 3.3             // of one in doubt
	courseFloor    = 1e-5            // K²: no noise is less, and what is clipped may be so much more than usual
	courseLeft     = 0.02            // K: and no less stays in doubt
	doubtWindows   = 16              // windows for which it does
	courseAnew     = courseDelay + 1 // windows after something else has come
	courseOthers   = 0.375           // of the variance of how far two are apart: by which both together scatter against the others
	courseFlat     = 3.5             // noises by which the two windows after a step may differ, besides a fiftieth of it
	courseOnset    = 3.0             // noises by which the window of the step may lie outside what was before and after
	courseTogether = 0.5             // of the step in doubt: how far both together may move; a step of one alone moves them by half of it
	courseLifted   = 2.5             // standard errors by which both together may move, besides swapLike of the step
	courseMoved    = 3.4             // noises that heat may have been foretold to move the two meanwhile, besides a tenth of the step
	courseHeat     = 0.15            // K for each K that both warm: who differ by more are not alike
	courseStray    = 4.0             // noises by which a window may miss the step in doubt, besides a fifth of it
	walkLevel      = 0.04            // how much more uncertain a window makes level, heat and trend, in squared noises
	walkHeat       = 0.014
	walkTrend      = 0.0002
	firstHeat      = 12.0 // and how uncertain they are at first
	firstTrend     = 0.04
)

// course is how far two mates are expected to be apart, and how far both together off the others. It folds over the windows that pairing holds.
type course struct {
	Apart  strand            // of the pairing's Apart
	Both   strand            // and of its Both
	P      [6]float64        // covariances of either in its squared noises: level with level, heat, trend; heat with heat, trend; trend with trend
	N      float64           // windows that the noises stand on
	Chance float64           // K²: what Apart.Noise would be if the readings' scatter were all
	Doubt  float64           // windows since a step that is in doubt; 0: none is; below 0: windows until it begins anew
	Warm   [pairRing]float64 // degC: mean of the two, newest first
	Late   float64           // K: by which the windows before the newest three missed, each half of the one after it
	Offset offset            // what the two sensors read apart
}

// strand is one of the two figures that a course foretells.
type strand struct {
	Level float64 // K
	Heat  float64 // K for each K that both warm
	Trend float64 // K a window
	Noise float64 // K²: mean squared miss of a window, each divided by how uncertain it was
	Sum   float64 // K: what the windows since a step that is in doubt missed by
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

// sound says whether the words are such as pack writes.
func (k *packedCourse) sound() bool {
	c := k.unpack()
	ok := c.P[0] >= 0 && c.P[3] >= 0 && c.P[5] >= 0 && c.N >= 0 && c.N <= courseMemory && c.N == math.Trunc(c.N) && c.Apart.Noise >= 0 && c.Both.Noise >= 0 && c.Chance >= 0 &&
		c.Doubt >= -courseAnew && c.Doubt < doubtWindows && c.Doubt == math.Trunc(c.Doubt) && c.Offset.sound()
	for _, v := range c.figures() {
		ok = ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return ok
}

// follow takes the newest window of a pairing, which holds it already, with the mean of the two and ambient, degC, NaN where it is not known, the least step, K, and by how much the scatter of
// both's readings alone moves the two apart, K². turned says that pairing found with it that they changed places, or that they had not.
func (c *course) follow(p *pairing, turned bool, both, ambient, least, chance float64) {
	copy(c.Warm[1:], c.Warm[:pairRing-1])
	c.Warm[0] = both
	c.Chance += (chance - c.Chance) / min(c.N+1, courseMemory)
	if turned {
		if c.turn(); p.N > courseDelay { // without a jump, after which all begins anew
			c.rest(p)
		}
	}
	if last := pairRing - 1; p.N == pairRing && c.Doubt <= 0 && !math.IsNaN(ambient) {
		c.Offset.learn(p.Apart[last], c.Warm[last]-ambient)
	}
	switch {
	case p.N <= courseDelay: // a gap, or pair.go has found a jump
		c.lose(p)
	case p.N == courseDelay+1, c.Doubt == -1, c.Doubt == 0 && c.P == [6]float64{}:
		c.begin(p)
	case c.Doubt < 0:
		c.Doubt++
	case c.Doubt > 0:
		c.bear(p)
	default:
		c.step(c.Warm[courseDelay] - c.Warm[courseDelay+1])
		c.take(p.Apart[courseDelay], p.Both[courseDelay])
		if c.N >= minCourse && c.Apart.Noise <= float64(courseRough*c.Chance) && p.Left == 0 {
			c.look(p, least)
		}
	}
}

// turn has how far the two are apart go with the other end's heat.
func (c *course) turn() {
	c.Apart.Heat = -c.Apart.Heat
	c.Offset.turn()
}

// lose forgets a step that is in doubt.
func (c *course) lose(p *pairing) {
	if c.Doubt > 0 && p.Left == 0 {
		p.end()
	}
	c.Doubt, c.Apart.Sum, c.Both.Sum = 0, 0, 0
}

// rest has it begin anew some windows later.
func (c *course) rest(p *pairing) {
	c.lose(p)
	c.Doubt = -courseAnew
}

// begin goes on from a window behind a gap, or a step. How the two go with heat is still known.
func (c *course) begin(p *pairing) {
	c.lose(p)
	heat := c.P[3]
	if heat == 0 {
		heat = firstHeat
	}
	c.P = [6]float64{1, 0, 0, heat, 0, firstTrend}
	c.Apart.Level, c.Apart.Trend = p.Apart[courseDelay], 0
	c.Both.Level, c.Both.Trend = p.Both[courseDelay], 0
	c.Late = 0
}

// moves is by how much it is foretold to move, K, in a window in which both warm by that much, K.
func (s *strand) moves(warm float64) float64 { return float64(s.Heat*warm) + s.Trend }

// step foretells the next window, in which both warm by that much, K.
func (c *course) step(warm float64) {
	p := &c.P
	c.Apart.Level += c.Apart.moves(warm)
	c.Both.Level += c.Both.moves(warm)
	p[0] += float64(2*warm*p[1]) + float64(2*p[2]) + float64(warm*warm*p[3]) + float64(2*warm*p[4]) + p[5] + walkLevel
	p[1] += float64(warm*p[3]) + p[4]
	p[2] += float64(warm*p[4]) + p[5]
	p[0] = max(0, p[0]) // rounding
	p[3] += walkHeat
	p[5] += walkTrend
}

// take learns from how far the two are apart, and both together off the others, in the window foretold.
func (c *course) take(apart, both float64) {
	p := &c.P
	all := p[0] + 1
	level, heat, trend := p[0]/all, p[1]/all, p[2]/all
	p[3] = max(0, p[3]-float64(heat*p[1]))
	p[4] -= float64(heat * p[2])
	p[5] = max(0, p[5]-float64(trend*p[2]))
	c.Late = (c.Late + apart - c.Apart.Level) / 2
	p[0] /= all
	p[1] /= all
	p[2] /= all
	for _, s := range [...]struct {
		*strand
		miss float64
	}{{&c.Apart, apart - c.Apart.Level}, {&c.Both, both - c.Both.Level}} {
		s.Level += float64(level * s.miss)
		s.Heat += float64(heat * s.miss)
		s.Trend += float64(trend * s.miss)
		square := float64(s.miss*s.miss) / all
		if c.N > minMoves/2 {
			square = min(square, float64(courseClip*(s.Noise+courseFloor)))
		}
		s.Noise += float64((square - s.Noise) / min(c.N+1, courseMemory))
	}
	c.N = min(c.N+1, courseMemory)
}

// noise is the standard deviation of a window's figure, K, which the readings' scatter, as chance, K², tells before the windows do.
func (c *course) noise(s *strand, chance float64) float64 {
	return math.Sqrt(max(courseFloor, (float64(coursePrior*chance)+float64(c.N*s.Noise))/(coursePrior+c.N)))
}

// noises are those of both strands. The mean of the two scatters by half of what their difference does; so much again may the others' move, of some more sensors.
func (c *course) noises() (apart, both float64) {
	return c.noise(&c.Apart, c.Chance), c.noise(&c.Both, courseOthers*c.Chance)
}

// look begins to doubt where the newest two windows are off by one step of at least least, K, that no heat explains.
func (c *course) look(p *pairing, least float64) {
	next := *c
	var off, lift [courseDelay]float64
	for i := range off {
		k := courseDelay - 1 - i
		next.step(c.Warm[k] - c.Warm[k+1])
		off[i], lift[i] = p.Apart[k]-next.Apart.Level, p.Both[k]-next.Both.Level
	}
	noise, both := c.noises()
	step, together, spread := (off[1]+off[2])/2, (lift[1]+lift[2])/2, 0.5+next.P[0]
	size, limit := math.Abs(step), max(least, float64(courseSure*noise*math.Sqrt(spread)))
	if size < limit || math.Abs(c.Apart.Heat) > courseHeat || math.Abs(next.Apart.Level-c.Apart.Level) > float64(size/10)+float64(courseMoved*noise) ||
		math.Abs(off[2]-off[1]) > size/50+float64(courseFlat*noise) {
		return
	}
	a := &p.Apart
	before, jump := (a[3]+a[4])/2, (a[0]+a[1]-a[3]-a[4])/2
	if math.Abs(a[3]-a[4]) > size/50+float64(courseFlat*noise) || math.Abs(step-jump) > size/8+float64(courseMoved*noise) ||
		!c.Offset.mirrors(before, (a[0]+a[1])/2) {
		return // it went on before, and what was foretold lags behind
	}
	if math.Abs(together) > float64(swapLike*size)+float64(courseLifted*both*math.Sqrt(spread)) {
		return // one end did it
	}
	if first := math.Copysign(off[0], off[0]*step); first < -float64(courseOnset*noise) || first > size+float64(courseOnset*noise) {
		return
	}
	if c.exchanged(before, step, together, math.Sqrt(spread)) < likelyEnough {
		return
	}
	*c = next
	c.Doubt, c.Apart.Sum, c.Both.Sum = 2, off[1]+off[2], lift[1]+lift[2]
	p.Jump, p.Limit = step, limit
}

// bear asks the next window whether it bears the step in doubt out.
func (c *course) bear(p *pairing) {
	c.step(c.Warm[0] - c.Warm[1])
	off, lift := p.Apart[0]-c.Apart.Level, p.Both[0]-c.Both.Level
	c.Doubt++
	c.Apart.Sum += off
	c.Both.Sum += lift
	noise, _ := c.noises()
	step, together := c.Apart.Sum/c.Doubt, c.Both.Sum/c.Doubt
	size, limit := math.Abs(step), max(courseLeft, float64(courseBorne*noise*math.Sqrt(1/c.Doubt+c.P[0])))
	p.Jump, p.Limit = step, limit
	switch {
	case math.Abs(off-step) > float64(courseStray*noise)+size/5, math.Abs(together) > courseTogether*size: // something else has come
		c.rest(p)
	case size < limit: // it was chance: what is foretold goes on from the window before the newest three
		for i := range courseDelay {
			warm := c.Warm[i] - c.Warm[i+1]
			c.Apart.Level -= c.Apart.moves(warm)
			c.Both.Level -= c.Both.moves(warm)
		}
		c.lose(p)
	case c.Doubt == doubtWindows: // they have been told of for long enough
		c.lose(p)
		c.turn()
		c.Doubt = -courseDelay
	}
}
