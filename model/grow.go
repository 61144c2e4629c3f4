package model

import (
	"context"
	"math/bits"
)

// tree is one grown tree, its nodes numbered from 0.
type tree struct {
	nodes  []uint64
	values []float32
	covers []uint32 // training rows at each node; nil where they are not known
}

// grower grows trees one after another. One goroutine owns it; the columns and labels are shared and only read.
//
// A row's weight is one uint64: how often the bootstrap drew it in the low half, and as much again in the high half when it is
// positive. So one addition a row and feature keeps both counts of a bin.
type grower struct {
	cols    []column
	y       []uint8
	cfg     TrainConfig
	measure *measure
	drawn   []uint32 // how often the bootstrap drew each row
	rows    []int32  // rows in the bag; a node owns a run of it
	weights []uint64 // weight of rows[i]
	restR   []int32  // room for a partition
	restW   []uint64
	order   []uint8 // features, shuffled as they are drawn
	hist    [256]uint64
	tree    tree
	splits  []uint8  // the last bin that goes left, by node: for walking by bins
	oobSum  []uint64 // out-of-bag probability of each row, summed over this grower's trees, in units of 2^-32
	oobSeen []uint32 // trees that did not see the row
}

// open is a node that is not decided yet: its run of rows and what they weigh.
type open struct {
	slot, lo, hi, depth int
	total               uint64
}

// split is a cut of a node: bins up to bin go left.
type split struct {
	feature int
	bin     uint8
	score   float64
}

func newGrower(cols []column, y []uint8, cfg TrainConfig, m *measure) *grower {
	return &grower{
		cols: cols, y: y, cfg: cfg, measure: m,
		drawn: make([]uint32, len(y)),
		restR: make([]int32, len(y)), restW: make([]uint64, len(y)),
		order:  make([]uint8, len(cols)),
		oobSum: make([]uint64, len(y)), oobSeen: make([]uint32, len(y)),
	}
}

// grow grows tree number t. The tree depends on the data, the configuration and t only.
func (g *grower) grow(ctx context.Context, t int) (tree, error) {
	rng := newDraws(g.cfg.Seed, uint64(t))
	total := g.bootstrap(rng)
	for i := range g.order {
		g.order[i] = uint8(i)
	}
	g.tree, g.splits = tree{}, g.splits[:0]
	stack := []open{{slot: g.add(1), hi: len(g.rows), total: total}}
	for len(stack) > 0 {
		if err := ctx.Err(); err != nil {
			return tree{}, err
		}
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		g.tree.values[n.slot] = g.measure.share(n.total)
		g.tree.covers[n.slot] = uint32(n.total)
		s, ok := g.bestSplit(n, rng)
		if !ok {
			g.tree.nodes[n.slot] = packLeaf(n.slot)
			continue
		}
		left := g.add(2)
		g.tree.nodes[n.slot] = packNode(s.feature, g.cols[s.feature].cuts[s.bin], left)
		g.splits[n.slot] = s.bin
		mid, weight := g.partition(n, s)
		a := open{left, n.lo, mid, n.depth + 1, weight}
		b := open{left + 1, mid, n.hi, n.depth + 1, n.total - weight}
		// The heavier child is laid out first: most rows then read nodes that lie close together.
		if uint32(a.total) >= uint32(b.total) {
			a, b = b, a
		}
		stack = append(stack, a, b)
	}
	g.outOfBag()
	return g.tree, nil
}

// add makes room for n nodes side by side and gives the first.
func (g *grower) add(n int) int {
	at := len(g.tree.nodes)
	for range n {
		g.tree.nodes = append(g.tree.nodes, 0)
		g.tree.values = append(g.tree.values, 0)
		g.tree.covers = append(g.tree.covers, 0)
		g.splits = append(g.splits, 0)
	}
	return at
}

// bootstrap draws as many rows as there are, with replacement, and gives the weight of all.
func (g *grower) bootstrap(rng draws) (total uint64) {
	clear(g.drawn)
	for range g.drawn {
		g.drawn[rng.below(uint64(len(g.drawn)))]++
	}
	g.rows, g.weights = g.rows[:0], g.weights[:0]
	for i, n := range g.drawn {
		if n == 0 {
			continue
		}
		w := uint64(n) * (1 | uint64(g.y[i])<<32)
		g.rows, g.weights = append(g.rows, int32(i)), append(g.weights, w)
		total += w
	}
	return total
}

// bestSplit draws features until enough of them vary within the node, and gives the cut that lowers impurity most; the first
// drawn, lowest cut where several are equal. ok = false: the node stays a leaf.
func (g *grower) bestSplit(n open, rng draws) (best split, ok bool) {
	count, positives := uint32(n.total), n.total>>32
	if n.depth >= g.cfg.MaxDepth || int(count) < 2*g.cfg.MinLeaf || positives == 0 || positives == uint64(count) {
		return split{}, false
	}
	varied := 0
	for i := range g.order {
		if varied == g.cfg.PerNode {
			break
		}
		j := i + int(rng.below(uint64(len(g.order)-i)))
		g.order[i], g.order[j] = g.order[j], g.order[i]
		if g.tryFeature(n, int(g.order[i]), &best) {
			varied++
		}
	}
	return best, best.score > 0
}

// tryFeature improves best with the cuts of one feature. It is false when the feature has one value in the node.
func (g *grower) tryFeature(n open, feature int, best *split) (varies bool) {
	used := g.fill(g.cols[feature].bins, n)
	var left uint64 // weight of the bins before this one
	last, first := 0, true
	for word, set := range used {
		for ; set != 0; set &= set - 1 {
			bin := word<<6 | bits.TrailingZeros64(set)
			if !first {
				varies = true
				if s := g.measure.gain(left, n.total); s > best.score {
					*best = split{feature, cutBin(last, bin), s}
				}
			}
			left += g.hist[bin]
			g.hist[bin] = 0
			last, first = bin, false
		}
	}
	return varies
}

// fill adds the node's rows up by bin and says which bins hold any.
func (g *grower) fill(column []uint8, n open) (used [4]uint64) {
	rows, weights := g.rows[n.lo:n.hi], g.weights[n.lo:n.hi]
	if len(rows) < 256 {
		for i, r := range rows {
			bin := column[r]
			g.hist[bin] += weights[i]
			used[bin>>6] |= 1 << (bin & 63)
		}
		return used
	}
	for i, r := range rows {
		g.hist[column[r]] += weights[i]
	}
	for bin, w := range &g.hist {
		if w != 0 {
			used[bin>>6] |= 1 << (bin & 63)
		}
	}
	return used
}

// cutBin picks the cut between two neighbouring used bins: in the middle of the empty bins, but with all values on the left when the
// right is what is missing.
func cutBin(low, high int) uint8 {
	if high == missingBin {
		return uint8(low)
	}
	return uint8((low + high - 1) / 2)
}

// partition puts the rows that go left before those that go right, each in their order, and gives the border and the weight on the left. Every
// row is written to both sides and only one side moves on: which way a row goes is a coin toss, and a branch on it would be guessed wrong.
func (g *grower) partition(n open, s split) (mid int, left uint64) {
	column := g.cols[s.feature].bins
	rows, weights := g.rows[n.lo:n.hi], g.weights[n.lo:n.hi]
	restR, restW := g.restR[:len(rows)], g.restW[:len(rows)]
	right := 0
	for i, r := range rows {
		w, goes := weights[i], 0
		if column[r] <= s.bin {
			goes = 1
		}
		rows[mid], weights[mid] = r, w
		restR[right], restW[right] = r, w
		left += w & -uint64(goes)
		mid += goes
		right += 1 - goes
	}
	copy(rows[mid:], restR[:right])
	copy(weights[mid:], restW[:right])
	return n.lo + mid, left
}

// outOfBag scores the rows that the newest tree did not see. Integer sums make the total independent of which grower added what.
func (g *grower) outOfBag() {
	for r, n := range g.drawn {
		if n != 0 {
			continue
		}
		at := 0
		for node := g.tree.nodes[at]; !isLeaf(node); node = g.tree.nodes[at] {
			right := g.cols[featureOf(node)].bins[r] > g.splits[at]
			if at = leftOf(node); right {
				at++
			}
		}
		g.oobSum[r] += uint64(float64(float64(g.tree.values[at]) * (1 << 32)))
		g.oobSeen[r]++
	}
}
