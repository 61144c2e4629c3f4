package simulator

import "math"

// sine gives sin(2 pi turns) within 0.0002, by the fifth-order polynomial of Hastings, Approximations for Digital Computers
// (1955). The same bits come out on every architecture, which math.Sin does not promise.
func sine(turns float64) float64 {
	x := turns - math.Floor(turns) // 0 to 1
	z := float64(4 * x)            // quarter turns
	switch {
	case z > 3:
		z -= 4
	case z > 1:
		z = 2 - z
	}
	zz := float64(z * z)
	p := -0.6432292 + float64(zz*0.0727102)
	return float64(z * (1.5706268 + float64(zz*p)))
}

// maxSpeed bounds the speed in the table of v^0.7, in km/h.
const maxSpeed = 160

// powers is v^0.7 for v = 0 to maxSpeed km/h in steps of 1 km/h.
type powers [maxSpeed + 2]float64

// newPowers makes the table. x^0.7 = x^0.5 x^0.2, the fifth root by Newton's method.
func newPowers() *powers {
	var p powers
	for i := 1; i < len(p); i++ {
		x := float64(i)
		p[i] = float64(math.Sqrt(x) * fifthRoot(x))
	}
	return &p
}

func fifthRoot(x float64) float64 {
	y := 1 + (x-1)/40 // above 0 and within a small factor of the root for x up to maxSpeed
	for range 40 {
		y4 := float64(y * y * y * y)
		y = (float64(4*y) + x/y4) / 5
	}
	return y
}

// at interpolates v^0.7, v in km/h clamped to the table.
func (p *powers) at(v float64) float64 {
	v = min(max(v, 0), maxSpeed)
	i := int(v)
	return p[i] + float64((v-float64(i))*(p[i+1]-p[i]))
}

// quantum rounds v to the grid of step thousandths: quantum(v, 10) has a resolution of 0.01.
func quantum(v float64, step int64) int64 {
	return int64(math.Round(float64(v*1000)/float64(step))) * step
}
