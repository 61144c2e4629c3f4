package model

import (
	"math/bits"
	"math/rand/v2"
)

// draws is one seeded sequence of random numbers. Only the raw words of the generator are used, so that the sequence stays
// the same whatever the standard library does to its derived draws. One goroutine owns it.
type draws struct{ pcg *rand.PCG }

// newDraws starts stream number stream of a seed. Streams of one seed are unrelated: both words are mixed first.
func newDraws(seed, stream uint64) draws {
	return draws{rand.NewPCG(mix(seed), mix(^stream))}
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below draws a number in [0, n) without bias, n at least 1 (Lemire, ACM TOMACS 29, 2019: multiply and reject).
func (d draws) below(n uint64) uint64 {
	hi, lo := bits.Mul64(d.pcg.Uint64(), n)
	if lo < n {
		for reject := -n % n; lo < reject; {
			hi, lo = bits.Mul64(d.pcg.Uint64(), n)
		}
	}
	return hi
}
