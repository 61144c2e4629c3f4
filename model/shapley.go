package model

import (
	"errors"
	"math"
)

// ErrNoRows says that a forest cannot be explained by Shapley values.
var ErrNoRows = errors.New("the model does not say how many training rows each node had, which exact Shapley values need: train it here or import it from scikit-learn's " +
	"arrays; its path contributions are there")

// Covered says whether the forest knows the training rows of its nodes, which Shapley values need.
func (f *Forest) Covered() bool { return f.covers != nil }

// Shapley puts the row's exact Shapley values in dst, one a feature, and gives the score they add up to with the base: score = base + sum, to about 1e-15. They are the values of
// path-dependent TreeSHAP (Lundberg, Erion and Lee, 2018): a feature that is not known takes both ways at a node, by the training rows that did. It allocates once a call,
// whatever the forest's size. A forest without training rows gives ErrNoRows; a wrong width of x or dst is an error.
//
// The way there is another: a leaf's part in the game is a product over the features on its path, and the Shapley value of a product is the integral of its multilinear
// extension's slope from 0 to 1 (Owen, 1972), a polynomial that Gauss and Legendre's rule integrates exactly with half as many points as features. The products go down the tree and
// their sums come up, so a row costs nodes times points, all factors are positive and nothing cancels, where unwinding a path loses digits in deep trees.
func (f *Forest) Shapley(dst, x []float64) (score, base float64, err error) {
	switch {
	case f.covers == nil:
		return math.NaN(), math.NaN(), ErrNoRows
	case len(x) != len(f.schema) || len(dst) != len(f.schema):
		return math.NaN(), math.NaN(), errors.New("explain row: its width is not the model's")
	}
	rule := f.rule()
	s := shapley{f: f, rule: rule, dst: dst, room: make([]float64, 3*len(rule.weight)*(f.Depth()+1))}
	s.keys.set(x)
	for i := range f.schema {
		s.share[i], s.passes[i] = 1, 1
	}
	clear(dst)
	for _, root := range f.roots {
		product, _, _ := s.at(0)
		for q := range product {
			product[q] = 1
		}
		s.walk(uint64(root), 0)
	}
	for i := range dst {
		dst[i] /= float64(len(f.roots))
	}
	return f.score(&s.keys), rule.base, nil
}

// shapley is one row on its way through the trees.
type shapley struct {
	f    *Forest
	keys rowKeys
	rule shapleyRule
	dst  []float64
	room []float64 // by depth: product, sum and inverse at each point

	// What the splits of the path on each feature do together; 1 and 1 where there is none.
	share  [maxFeatures]float64 // of the training rows let through
	passes [maxFeatures]float64 // 1: the row goes through them all, 0: it does not
}

func (s *shapley) at(depth int) (product, sum, inverse []float64) {
	k := len(s.rule.weight)
	room := s.room[3*k*depth : 3*k*(depth+1)]
	return room[:k:k], room[k : 2*k : 2*k], room[2*k : 3*k : 3*k]
}

// walk adds the part of a node's edges. At a point t of the rule, a feature's factor is (1-t) share + t passes; product holds the factors of all features of the path. It
// leaves the sum of its leaves' products, each times the leaf's value. The slope along a feature is (passes-share) sum/factor; where the path splits on it again, what
// the edge above counted for these leaves is taken off.
func (s *shapley) walk(at uint64, depth int) {
	f := s.f
	product, sum, inverse := s.at(depth)
	node := f.nodes[at]
	if isLeaf(node) {
		v := float64(f.values[at])
		for q, p := range product {
			sum[q] = p * v
		}
		return
	}
	feature, left := uint8(node), uint64(uint32(node)>>featureBits)
	goes := left + (node>>keyShift-uint64(s.keys[feature]))>>63
	share, passes, points := s.share[feature], s.passes[feature], s.rule.points
	for q, t := range points {
		inverse[q] = 1 / (float64((1-t)*share) + float64(t*passes))
		sum[q] = 0
	}
	rows := share / float64(f.covers[at])
	next, below, _ := s.at(depth + 1)
	for child := left; child <= left+1; child++ {
		through := 0.0
		if child == goes {
			through = passes
		}
		part := float64(rows * float64(f.covers[child]))
		for q, t := range points {
			next[q] = product[q] * inverse[q] * (float64((1-t)*part) + float64(t*through))
		}
		s.share[feature], s.passes[feature] = part, through
		s.walk(child, depth+1)
		moved := 0.0
		for q, t := range points {
			slope := (through-part)/(float64((1-t)*part)+float64(t*through)) - float64((passes-share)*inverse[q])
			moved += float64(float64(s.rule.weight[q]*below[q]) * slope)
			sum[q] += below[q]
		}
		s.dst[feature] += moved
	}
	s.share[feature], s.passes[feature] = share, passes
}

// shapleyRule is what every row's Shapley values of a forest share.
type shapleyRule struct {
	points, weight []float64 // of the integral from 0 to 1
	base           float64   // mean score of the training rows: what the forest says while no feature is known
}

// shapleyPoints is how many points the integral needs: a path has at most as many features as it has steps, and as there are.
func shapleyPoints(f *Forest) int { return max(1, (min(f.Depth(), len(f.schema))+1)/2) }

func newShapleyRule(f *Forest) shapleyRule {
	var r shapleyRule
	r.points, r.weight = legendre(shapleyPoints(f))
	mean := make([]float64, len(f.nodes))
	for i := len(f.nodes) - 1; i >= 0; i-- {
		mean[i] = float64(f.values[i])
		if n := f.nodes[i]; !isLeaf(n) {
			a, b := float64(f.covers[leftOf(n)]), float64(f.covers[leftOf(n)+1])
			mean[i] = (float64(a*mean[leftOf(n)]) + float64(b*mean[leftOf(n)+1])) / (a + b)
		}
	}
	for _, root := range f.roots {
		r.base += mean[root]
	}
	r.base /= float64(len(f.roots))
	return r
}

// legendre gives the points and weights of Gauss and Legendre's rule from 0 to 1: n points integrate every polynomial of degree up to 2n-1 exactly. The points of n lie between those
// of n-1, where halving finds them; nothing but the four operations is used, so that they are the same bits on every machine.
func legendre(n int) (points, weight []float64) {
	var roots []float64 // of the degree before, falling from 1 to -1
	for degree := 1; degree <= n; degree++ {
		next := make([]float64, degree)
		for i := range next {
			hi, lo := 1.0, -1.0
			if i > 0 {
				hi = roots[i-1]
			}
			if i < len(roots) {
				lo = roots[i]
			}
			positive := i%2 == 0 // the polynomial at hi, which is 1 at 1
			for {
				mid := (lo + hi) / 2
				if mid <= lo || mid >= hi {
					next[i] = mid
					break
				}
				if p, _ := legendreAt(degree, mid); p > 0 == positive {
					hi = mid
				} else {
					lo = mid
				}
			}
		}
		roots = next
	}
	for _, x := range roots {
		_, before := legendreAt(n, x)
		slope := float64(n) * before
		points, weight = append(points, (1+x)/2), append(weight, (1-x)*(1+x)/float64(slope*slope))
	}
	return points, weight
}

// legendreAt is the Legendre polynomial of a degree of 1 or more at x, and the one before it.
func legendreAt(degree int, x float64) (p, before float64) {
	p, before = x, 1
	for k := 2; k <= degree; k++ {
		p, before = (float64(float64(2*k-1)*float64(x*p))-float64(float64(k-1)*before))/float64(k), p
	}
	return p, before
}
