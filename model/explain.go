package model

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/camrail/cidp/stream"
)

// DefaultTop is how many contributions an explanation names.
const DefaultTop = 3

// Methods of an explanation. They are persisted and published: added to, never changed.
const (
	MethodPath     = "path"      // path contributions (Saabas): cheap, and what features share is dealt out by their place in the trees
	MethodTreeSHAP = "tree_shap" // exact Shapley values, path-dependent
	MethodRule     = "rule"      // no forest is live: what the strongest rule looked at, and its score
)

// Explanation is what moved a row's score most.
type Explanation struct {
	Method string         // MethodPath, MethodTreeSHAP or MethodRule
	Top    []Contribution // by size
	Score  *float64       // what the contributions of all features and the base add up to, where it is not the probability: the model is calibrated
}

// Contributions adds up how much each feature moved the row's probability and puts it in dst, one number a feature: down each tree's
// path, the change of value at a node goes to the feature the node reads (Saabas 2014; the same as scikit-learn's treeinterpreter). It
// gives the score, which is the probability unless the model is calibrated; base + sum of contributions = score to about 1e-15. These are path contributions, not Shapley values: features that
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
	score, top := f.explainPath(x, k)
	return f.calibrated(score), top
}

// explainPath is Explain before calibration.
func (f *Forest) explainPath(x []float64, k int) (score float64, top []Contribution) {
	var room [64]float64
	all := room[:]
	if len(f.schema) > len(room) {
		all = make([]float64, len(f.schema))
	}
	all = all[:len(f.schema)]
	if score = f.Contributions(all, x); math.IsNaN(score) {
		return score, nil
	}
	return score, f.top(all, x, k)
}

// ExplainExactly gives the k largest of a row's exact Shapley values, likewise. It is as slow as Shapley, some milliseconds.
func (f *Forest) ExplainExactly(x []float64, k int) ([]Contribution, error) {
	all := make([]float64, len(f.schema))
	if _, _, err := f.Shapley(all, x); err != nil {
		return nil, err
	}
	return f.top(all, x, k), nil
}

// top names the k largest contributions.
func (f *Forest) top(all, x []float64, k int) []Contribution {
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
		if f.usual != nil {
			top[i].Usual = f.usual[j]
		}
	}
	return top
}

// usually gives what is usual of each feature, the median of the training rows, as the shortest decimal that is that float32; nil where the model does not say.
func (p *parts) usually() []*float64 {
	if len(p.spreads) == 0 {
		return nil
	}
	out := make([]*float64, len(p.spreads))
	for i, d := range p.spreads {
		if d.Median == nil {
			continue
		}
		v, err := strconv.ParseFloat(strconv.FormatFloat(float64(*d.Median), 'g', -1, 32), 64)
		if err == nil { // it always is a number
			out[i] = &v
		}
	}
	return out
}

// explainer explains a window: by its path always, and exactly where that is asked for and the forest can.
type explainer struct {
	path   []Contribution
	score  *float64 // where it is not the probability
	forest *Forest  // nil: by its path alone
	window *stream.Window
}

// explainer gives the probability of a window, and what explains it.
func (f *Forest) explainer(w *stream.Window) (p float64, e explainer) {
	score, path := f.explainPath(w.Features[:], DefaultTop)
	e = explainer{path: path, forest: f, window: w}
	if f.Calibrated() {
		before := score // which is on the heap only here
		e.score = &before
	}
	return f.calibrated(score), e
}

// maxExact is how many points of nodes the line explains exactly, some 10 ms of work: an alert storm must not hold it up. 100 trees of depth 8 have a tenth of it. Who asks for an
// explanation gets it however large the forest.
const maxExact = 1 << 20

// quick says whether the forest is explained exactly on the line.
func (f *Forest) quick() bool {
	return f.Covered() && len(f.nodes)*shapleyPoints(f) <= maxExact
}

func (e explainer) explain(exactly bool) Explanation {
	if exactly && e.forest != nil && e.forest.quick() {
		if top, err := e.forest.ExplainExactly(e.window.Features[:], DefaultTop); err == nil { // the width is right, and the rows are there
			return Explanation{MethodTreeSHAP, top, e.score}
		}
	}
	return Explanation{MethodPath, e.path, e.score}
}
