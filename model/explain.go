package model

import (
	"cmp"
	"math"
	"slices"
)

// DefaultTop is how many contributions an explanation names.
const DefaultTop = 3

// Contributions adds up how much each feature moved the row's probability and puts it in dst, one number a feature: down each tree's
// path, the change of value at a node goes to the feature the node reads (Saabas 2014; the same as scikit-learn's treeinterpreter). It
// gives the probability; base + sum of contributions = probability to about 1e-15. These are path contributions, not Shapley values: features that
// share a signal share it by their place in the trees. A wrong width of x or dst gives NaN and leaves dst.
func (f *Forest) Contributions(dst, x []float64) float64 {
	if len(x) != len(f.schema) || len(dst) != len(f.schema) {
		return math.NaN()
	}
	var keys rowKeys
	keys.set(x)
	clear(dst)
	var sum float64
	for _, root := range f.roots {
		at := uint64(root)
		node, value := f.nodes[at], float64(f.values[at])
		for !isLeaf(node) {
			at = uint64(uint32(node)>>featureBits) + (node>>keyShift-uint64(keys[uint8(node)]))>>63
			next := float64(f.values[at])
			dst[uint8(node)] += next - value
			node, value = f.nodes[at], next
		}
		sum += value
	}
	for i := range dst {
		dst[i] /= float64(len(f.roots))
	}
	return sum / float64(len(f.roots))
}

// Explain gives the probability of a row, the same bits as Predict, and its k largest contributions by size, with the values that made
// them; equal sizes in schema order; features that moved nothing are left out.
func (f *Forest) Explain(x []float64, k int) (float64, []Contribution) {
	var room [64]float64
	all := room[:]
	if len(f.schema) > len(room) {
		all = make([]float64, len(f.schema))
	}
	all = all[:len(f.schema)]
	p := f.Contributions(all, x)
	if math.IsNaN(p) {
		return p, nil
	}
	var ranked [maxFeatures]uint8
	order := ranked[:0]
	for i, c := range all {
		if c != 0 {
			order = append(order, uint8(i))
		}
	}
	slices.SortStableFunc(order, func(a, b uint8) int {
		return cmp.Compare(math.Abs(all[b]), math.Abs(all[a]))
	})
	order = order[:min(max(k, 0), len(order))]
	top := make([]Contribution, len(order))
	for i, j := range order {
		top[i] = Contribution{Feature: f.schema[j].Name, Value: x[j], Contribution: all[j]}
	}
	return p, top
}
