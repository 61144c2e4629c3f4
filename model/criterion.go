package model

import "math"

// Criterion is what a split lowers.
type Criterion string

// The criteria of CART (Breiman, Friedman, Olshen, Stone 1984). An empty criterion is Gini.
const (
	Gini    Criterion = "gini"
	Entropy Criterion = "entropy"
)

// measure ranks the cuts of a node. It is shared by all growers and only read. Products of floats are rounded before they are added and the logarithm is
// our own, so that every machine ranks cuts alike.
type measure struct {
	minLeaf int64
	entropy bool
	weight  float64   // of a positive row; 1 is none
	table   []float64 // n log n of small counts
}

// tableSize bounds the table of n log n: half a megabyte, which stays in cache.
const tableSize = 1 << 16

func newMeasure(cfg TrainConfig, rows int) *measure {
	m := &measure{minLeaf: int64(cfg.MinLeaf), entropy: cfg.Criterion == Entropy, weight: 1}
	if cfg.PositiveWeight != 0 {
		m.weight = cfg.PositiveWeight
	}
	if m.entropy && m.weight == 1 {
		m.table = make([]float64, min(rows+1, tableSize))
		for n := range m.table {
			m.table[n] = nLogN(float64(n))
		}
	}
	return m
}

// gain is how much a cut lowers the node's impurity, up to a factor that is the same for every cut of a node; 0 for a cut that leaves too few rows on a side
// or shares the classes out as the node does. A weight holds rows in its low half and positive rows in its high half.
//
// For Gini with n rows, P positive, and nL, pL of them left, it is (pL n - P nL)^2 / (nL nR): the difference is exact in integers.
func (m *measure) gain(left, total uint64) float64 {
	n, p := int64(uint32(total)), int64(total>>32)
	nl, pl := int64(uint32(left)), int64(left>>32)
	nr := n - nl
	if nl < m.minLeaf || nr < m.minLeaf {
		return 0
	}
	cross := pl*n - p*nl
	switch {
	case cross == 0:
		return 0
	case m.entropy:
		return max(m.information(nl, pl, nr, p-pl), 0)
	case m.weight != 1:
		return m.weighedGini(nl, pl, nr, p-pl)
	}
	d := float64(cross)
	return d * d / float64(nl*nr)
}

// weighedGini is the same with every positive row counted weight times. The cross difference only takes the weight as a factor: w (pL n - P nL), since
// with q = n - p it is pL Q - P qL.
func (m *measure) weighedGini(nl, pl, nr, pr int64) float64 {
	d := float64(m.weight * float64(pl*(nr-pr)-pr*(nl-pl)))
	left := float64(nl-pl) + float64(m.weight*float64(pl))
	right := float64(nr-pr) + float64(m.weight*float64(pr))
	return d * d / float64(left*right)
}

// information is the children's part of the information gain: with the node's entropy the same for every cut, the gain rises with
// sum over both sides of q log q + p log p - n log n. The node's own sum is taken off, so that no gain is 0.
func (m *measure) information(nl, pl, nr, pr int64) float64 {
	return m.side(nl-pl, pl) + m.side(nr-pr, pr) - m.side(nl-pl+nr-pr, pl+pr)
}

// side is q log q + p log p - n log n of q negative and p positive rows, which is at most 0.
func (m *measure) side(q, p int64) float64 {
	if m.weight != 1 {
		heavy := float64(m.weight * float64(p))
		return nLogN(float64(q)) + nLogN(heavy) - nLogN(float64(q)+heavy)
	}
	return m.counted(q) + m.counted(p) - m.counted(q+p)
}

func (m *measure) counted(n int64) float64 {
	if n < int64(len(m.table)) {
		return m.table[n]
	}
	return nLogN(float64(n))
}

// share is the probability of a node's weight.
func (m *measure) share(total uint64) float32 {
	n, p := float64(uint32(total)), float64(total>>32)
	if m.weight == 1 {
		return float32(p / n)
	}
	heavy := float64(m.weight * p)
	return float32(heavy / (n - p + heavy))
}

// nLogN is n ln n, 0 for 0, to some 1e-15 of its size. math.Log is assembly on some machines, and its bits are not promised: here
// ln m is 2 atanh((m-1)/(m+1)) for m between sqrt(1/2) and sqrt(2), by its series.
func nLogN(n float64) float64 {
	if n == 0 {
		return 0
	}
	m, e := math.Frexp(n)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	sum := 0.0
	for k := 21; k >= 1; k -= 2 {
		sum = float64(sum*z) + 1/float64(k)
	}
	log := float64(2*float64(s*sum)) + float64(float64(e)*math.Ln2)
	return float64(n * log)
}
