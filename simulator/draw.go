package simulator

import (
	"math/bits"
	"math/rand/v2"
)

// purpose separates the random streams of one sensor or vehicle.
type purpose uint64

const (
	forDrive purpose = iota + 1
	forVehicle
	forWeather
	forNoise
	forSensor
	forFault
	forPlan
)

// draw is one stream of random numbers. Only PCG's Uint64 is used, so that the numbers are ours on every version of the library.
type draw struct{ pcg rand.PCG }

// newDraw gives the stream of one asset, sensor and purpose under a seed. Streams of different keys are unrelated.
func newDraw(seed uint64, asset, sensor int, p purpose) draw {
	key := scramble(scramble(uint64(asset)+1) ^ scramble(uint64(sensor)<<8|uint64(p)))
	var d draw
	d.pcg.Seed(scramble(seed), key)
	return d
}

// scramble is the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit is uniform in [0, 1).
func (d *draw) unit() float64 { return float64(float64(d.pcg.Uint64()>>11) * 0x1p-53) }

// between is uniform in [lo, hi).
func (d *draw) between(lo, hi float64) float64 { return lo + float64(d.unit()*(hi-lo)) }

// below is uniform in 0 to n-1, n above 0.
func (d *draw) below(n int) int {
	hi, _ := bits.Mul64(d.pcg.Uint64(), uint64(n))
	return int(hi)
}

// chance is true with probability p.
func (d *draw) chance(p float64) bool { return d.unit() < p }

// normal is the sum of four uniforms, scaled to mean 0 and standard deviation 1; it stays within 3.47.
func (d *draw) normal() float64 {
	x := d.pcg.Uint64()
	sum := x&0xffff + x>>16&0xffff + x>>32&0xffff + x>>48
	return (float64(sum) - 131070) / 37837.22
}

// shuffle orders n elements by Fisher and Yates.
func (d *draw) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, d.below(i+1))
	}
}
