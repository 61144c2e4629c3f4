package stream

import "math"

// What two mates are apart by is what one of the two sensors reads too much of, which stays, and what their ends are apart by, which grows with how much both are over ambient and changes
// its sign when their cables change places. So an exchange mirrors them at the former: whoever steps by 0.05 K in it was 0.025 K beside it before, on the right side, which few are of those
// that heat moves by so much. offset learns it as the intercept of a line over the rise, by recursive least squares with forgetting, which is a Kalman filter whose state walks.

// The limits of what two sensors read apart.
const (
	offsetFirst  = 0.25          // K: standard deviation of it before anything is learned, two class A sensors at 50 degC (IEC 60751)
	slopeFirst   = 0.03          // and of what the ends are apart by for each K over ambient
	offsetMiss   = 0.1 * 0.1     // K²: by which a window is off that line, which goes on for many windows
	offsetWalk   = 0.002 * 0.002 // K²: by which a window makes it more uncertain
	slopeWalk    = 0.001 * 0.001 // and the slope
	offsetAway   = 3.0 * 3.0     // squared standard errors: what is farther off the line is not of it
	offsetAnew   = 100           // windows of such after which nothing is known any more
	offsetFloor  = 0.05 * 0.05   // K²: and no surer is it
	offsetSure   = 2.5           // standard errors by which an exchange may miss the mirror, besides what the two may move before and after it
	offsetSpread = 0.4 * 0.4     // K²: by which two miss it that were not exchanged
)

// offset is how far two sensors are apart where their ends are not.
type offset struct {
	Off   float64    // K
	Slope float64    // K for each K over ambient
	V     [3]float64 // variances: of Off, of both, of Slope; none are 0 before anything is learned
}

func (o *offset) sound() bool { return o.V[0] >= 0 && o.V[2] >= 0 }

// learn takes how far the two are apart at a rise over ambient, both in K. A window far off the line, of an end that fails, say, teaches nothing but that the line may not hold any more.
func (o *offset) learn(apart, rise float64) {
	if o.V[0] == 0 {
		*o = offset{V: [3]float64{offsetFirst * offsetFirst, 0, slopeFirst * slopeFirst}}
	}
	v := &o.V
	v[0] += offsetWalk
	v[2] += slopeWalk
	a, b := v[0]+float64(rise*v[1]), v[1]+float64(rise*v[2])
	all := a + float64(rise*b) + offsetMiss
	miss := apart - o.Off - float64(o.Slope*rise)
	if miss*miss > offsetAway*all {
		v[0] = min(v[0]+offsetFirst*offsetFirst/offsetAnew, offsetFirst*offsetFirst)
		v[2] = min(v[2]+slopeFirst*slopeFirst/offsetAnew, slopeFirst*slopeFirst)
		return
	}
	o.Off += float64(a * miss / all)
	o.Slope += float64(b * miss / all)
	v[0] = max(offsetWalk, v[0]-float64(a*a/all)) // rounding
	v[1] -= float64(a * b / all)
	v[2] = max(slopeWalk, v[2]-float64(b*b/all))
}

// turn has the ends change places.
func (o *offset) turn() { o.Slope, o.V[1] = -o.Slope, -o.V[1] }

// mirror is by how much two that were apart by before and are by after, K, miss an exchange, and its variance, K².
func (o *offset) mirror(before, after float64) (miss, variance float64) {
	return (before+after)/2 - o.Off, o.V[0] + offsetFloor
}

// mirrors says whether it may have been one.
func (o *offset) mirrors(before, after float64) bool {
	if math.Abs(before+after) > swapBias {
		return false
	}
	miss, variance := o.mirror(before, after)
	return o.V[0] == 0 || math.Abs(miss) <= float64(offsetSure*math.Sqrt(variance))+float64(swapCalm/2*math.Abs(after-before))
}

// likelier is the logarithm of how much likelier it makes an exchange than anything else.
func (o *offset) likelier(before, after float64) float64 {
	if o.V[0] == 0 {
		return 0
	}
	miss, variance := o.mirror(before, after)
	all := variance + offsetSpread
	return (ln(all/variance) - float64(miss*miss/variance) + float64(miss*miss/all)) / 2
}
