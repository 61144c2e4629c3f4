package load

import (
	"math/bits"
	"time"
)

// Latencies is a distribution with a precision of three per cent, from a microsecond up.
type Latencies struct {
	counts [1024]uint32
	n      uint64
	max    time.Duration
}

// fine is the number of buckets that each doubling is divided into.
const fine = 32

// Add takes a latency, many times.
func (l *Latencies) Add(d time.Duration, times uint32) {
	us := uint64(max(0, d.Microseconds()))
	e := max(0, bits.Len64(us)-6)
	l.counts[min(e*fine+int(us>>e), len(l.counts)-1)] += times
	l.n += uint64(times)
	l.max = max(l.max, d)
}

// Join adds another distribution to this one.
func (l *Latencies) Join(o *Latencies) {
	for i, n := range o.counts {
		l.counts[i] += n
	}
	l.n += o.n
	l.max = max(l.max, o.max)
}

// Count is how many there are.
func (l *Latencies) Count() uint64 { return l.n }

// Max is the longest.
func (l *Latencies) Max() time.Duration { return l.max }

// Quantile gives a latency below which a share of them lies: the upper end of its bucket, so that it is never too short.
func (l *Latencies) Quantile(q float64) time.Duration {
	left := uint64(q * float64(l.n))
	for i, n := range l.counts {
		if left < uint64(n) {
			e := max(0, i/fine-1)
			return min(time.Duration(uint64(i-e*fine+1)<<e)*time.Microsecond, l.max)
		}
		left -= uint64(n)
	}
	return l.max
}
