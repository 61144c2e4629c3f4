package stream

import "math"

// The weights of what tells an exchange from heat and from chance: a logistic regression over the steps that course looks at, those after exchanges against those after faults of machines
// and those of healthy pairs, in fleets of seeds 1, 501 to 505 and 601. The logarithm of the odds is their sum.
const (
	likelyFirst  = -4.3
	likelyEnough = -1.25 // from here on both are in doubt, though anything else is three times as likely: the readings are kept, and more windows will tell
	likelyHeat   = 0.57  // for each standard error by which both together moved less than with one end alone
	likelyMoved  = 0.15  // for each squared one by which they moved
	likelyMost   = 16.0  // of which no more count
	likelyShare  = 0.88  // for each e times of what they moved by, in likelyPart of the step
	likelyPart   = 0.2
	likelySize   = 1.35 // for each e times that the step is larger, in noises: chance makes small ones
	likelyMirror = 1.27 // for each e times that the mirror makes an exchange likelier
	likelyLate   = 0.56 // for each noise by which the windows before missed the same way: heat was on its way
	likelyClip   = 6.0  // either way, what heat and the mirror say counts no more
	likelyLater  = 3.0  // and what the windows before say
)

// exchanged is the logarithm of how much likelier than heat or chance an exchange is, of two that were apart by before and stepped, by which both together moved, all in K; errors is how
// many noises the mean of the newest two windows may be off by.
func (c *course) exchanged(before, step, together, errors float64) float64 {
	noise, other := c.noises()
	size, calm, one := math.Abs(step), float64(other*errors), float64(noise*errors)/2
	short := (size/2 - together) / math.Sqrt(float64(calm*calm)+float64(one*one))
	moved, part := together/calm, together/(likelyPart*size)
	late := c.Late / math.Copysign(noise, step)
	odds := likelyFirst + float64(likelyHeat*inside(short, likelyClip)) - float64(likelyMoved*min(float64(moved*moved), likelyMost)) - float64(likelyShare*ln(1+float64(part*part)))
	odds += float64(likelySize*ln(size/noise)) - float64(likelyLate*inside(late, likelyLater))
	return odds + float64(likelyMirror*inside(c.Offset.likelier(before, before+step), likelyClip))
}

// inside is v, or the nearer of most and -most.
func inside(v, most float64) float64 { return max(-most, min(most, v)) }

// ln is the natural logarithm of a positive number, to some 1e-11. That of package math is assembly on some machines, and its bits are not promised: here what is said would depend on them.
func ln(x float64) float64 {
	fraction, exponent := math.Frexp(x)
	if fraction < math.Sqrt2/2 {
		fraction, exponent = 2*fraction, exponent-1
	}
	s := (fraction - 1) / (fraction + 1) // ln of the fraction is 2 (s + s³/3 + s⁵/5 …)
	square, sum := float64(s*s), 0.0
	for n := 13; n > 0; n -= 2 {
		sum = 1/float64(n) + float64(square*sum)
	}
	return float64(float64(exponent)*math.Ln2) + float64(2*s*sum)
}
