package model

import (
	"encoding/hex"
	"fmt"
	"math"
	"sync"

	"github.com/camrail/cidp/stream"
)

// A node is one uint64: feature in the low 8 bits, its left child in the next 24, the key of its threshold in the top 32.
// Siblings are neighbours, so the right child is the left one plus 1. A leaf is its own left child with the largest key:
// every row stays there, which lets all rows take the same number of steps without a branch.
//
// A key is a float32 as a uint32 of the same order, so that a comparison is a subtraction. Missing has the largest key: it
// is above every threshold and goes right.
const (
	featureBits = 8
	keyShift    = 32
	missingKey  = math.MaxUint32
	leafKey     = math.MaxUint32
	maxNodes    = 1 << 24
	maxTrees    = 1 << 16
	maxDepth    = 255
	lanes       = 8 // trees that descend side by side
)

// Forest is a trained random forest for one yes-or-no question. It is immutable.
type Forest struct {
	parts
	groups []group
	rest   []single   // after the groups
	base   float64    // mean of the roots' values: what the forest says before it looks
	knots  knots      // of the calibration; nil: the probability is the score
	usual  []*float64 // of each feature; nil, or nil in it, where it is not known
	rule   func() shapleyRule
	sum    [32]byte
}

// parts is what a forest is made of, and what its file holds.
type parts struct {
	schema   []stream.Feature
	manifest Manifest
	roots    []uint32           // first node of each tree; a tree ends where the next begins
	nodes    []uint64           // all trees, a parent always before its children
	values   []float32          // probability of failure at each node, leaf or not
	covers   []uint32           // training rows at each node, as the bootstrap counts them; nil where an imported forest does not say
	spreads  []Distribution     // of each feature over the training rows; nil where an imported forest does not say
	scores   *ScoreDistribution // of the probabilities; nil where an imported forest does not say
}

// group is the trees that descend together.
type group struct {
	at    [lanes]uint64 // their roots
	steps int           // depth of the deepest
}

// single is a tree that is left over when the others are grouped.
type single struct {
	at    uint64
	steps int
}

// rowKeys is one row as keys, by feature.
type rowKeys [maxFeatures]uint32

// newForest checks the parts and puts them together. Every forest is made here, whether trained or read.
func newForest(p parts) (*Forest, error) {
	if err := checkSchema(p.schema); err != nil {
		return nil, err
	}
	depths, err := checkTrees(len(p.schema), p.roots, p.nodes, p.values)
	if err != nil {
		return nil, err
	}
	if err := checkCovers(p.nodes, p.covers); err != nil {
		return nil, err
	}
	if err := p.checkSpreads(); err != nil {
		return nil, err
	}
	f := &Forest{parts: p}
	f.schema = make([]stream.Feature, len(p.schema))
	for i, s := range p.schema {
		f.schema[i] = stream.Feature{Name: s.Name, Unit: s.Unit}
	}
	for first := 0; first < len(p.roots); first += lanes {
		f.group(p.roots[first:min(first+lanes, len(p.roots))], depths[first:])
	}
	for _, r := range p.roots {
		f.base += float64(p.values[r])
	}
	f.base /= float64(len(p.roots))
	if f.knots, err = p.manifest.Calibration.knots(); err != nil {
		return nil, err
	}
	f.usual = p.usually()
	f.rule = sync.OnceValue(func() shapleyRule { return newShapleyRule(f) })
	file, err := f.appendFile(nil)
	if err != nil {
		return nil, err
	}
	f.sum = [32]byte(file[len(file)-32:])
	return f, nil
}

// ID names the forest by its content: the first 16 hex digits of the SHA-256 that its file carries. It is the model_id of
// tables and payloads. 64 bits are plenty to tell a site's models apart; the file itself is proved by all 256.
func (f *Forest) ID() string { return hex.EncodeToString(f.sum[:8]) }

// Manifest says how the forest was trained. The caller must not write through its pointers.
func (f *Forest) Manifest() Manifest { return f.manifest }

// Schema gives the names and units of the inputs, in order.
func (f *Forest) Schema() []stream.Feature { return append([]stream.Feature(nil), f.schema...) }

// Trees is how many trees the forest has.
func (f *Forest) Trees() int { return len(f.roots) }

// Nodes is how many nodes its trees have, leaves included.
func (f *Forest) Nodes() int { return len(f.nodes) }

// Base is the mean probability at the roots: what explanations start from.
func (f *Forest) Base() float64 { return f.base }

// Check refuses a schema that is not the forest's own in names, units and order, and names the first difference.
func (f *Forest) Check(schema []stream.Feature) error {
	for i := range min(len(schema), len(f.schema)) {
		want, got := f.schema[i], schema[i]
		if want.Name != got.Name {
			return fmt.Errorf("check model %s: input %d is %q in the model and %q here", f.ID(), i, want.Name, got.Name)
		}
		if want.Unit != got.Unit {
			return fmt.Errorf("check model %s: input %d (%s) is in %q in the model and in %q here", f.ID(), i, want.Name, want.Unit, got.Unit)
		}
	}
	if len(schema) != len(f.schema) {
		return fmt.Errorf("check model %s: the model has %d inputs, here are %d", f.ID(), len(f.schema), len(schema))
	}
	return nil
}

// Predict gives the probability of failure of one row, 0 to 1: the mean over the trees, summed in float64 in their order. Values are
// rounded to float32 first; a value goes left when it is at most the threshold, NaN goes right. Where the model is calibrated, that mean is the score and goes through the
// calibration's map. It does not allocate. A row of another width than the schema has no probability: NaN.
func (f *Forest) Predict(x []float64) float64 {
	if len(x) != len(f.schema) {
		return math.NaN()
	}
	var keys rowKeys
	keys.set(x)
	return f.calibrated(f.score(&keys))
}

// Calibrated says whether probabilities go through a map. Explanations are of the score before it.
func (f *Forest) Calibrated() bool { return f.knots != nil }

func (f *Forest) calibrated(score float64) float64 {
	if f.knots == nil || math.IsNaN(score) {
		return score
	}
	return f.knots.at(score)
}

// PredictBatch appends the probability of each row to dst. Rows are scored one by one: a row of a default forest keeps the machine
// as busy as a block of rows would (see DESIGN.md).
func (f *Forest) PredictBatch(dst []float64, rows [][]float64) []float64 {
	for _, x := range rows {
		dst = append(dst, f.Predict(x))
	}
	return dst
}

// group has trees descend together, or one by one where they are too few.
func (f *Forest) group(roots []uint32, depths []int) {
	if len(roots) < lanes {
		for i, r := range roots {
			f.rest = append(f.rest, single{uint64(r), depths[i]})
		}
		return
	}
	var g group
	for i, r := range roots {
		g.at[i] = uint64(r)
		g.steps = max(g.steps, depths[i])
	}
	f.groups = append(f.groups, g)
}

// score takes eight trees down together. Each step of one tree waits for memory; eight of them fill the wait. The lanes are written one after another, not side by side: the compiler then
// keeps most of the eight places in registers. They are written here and not in a function of their own, whose arguments and results would go through memory.
func (f *Forest) score(keys *rowKeys) float64 {
	var sum float64
	nodes, values := f.nodes, f.values
	for k := range f.groups {
		t := &f.groups[k]
		a, b, c, d, e, f, g, h := t.at[0], t.at[1], t.at[2], t.at[3], t.at[4], t.at[5], t.at[6], t.at[7]
		for steps := t.steps; steps > 0; steps-- {
			n := nodes[a]
			a = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
			n = nodes[b]
			b = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
			n = nodes[c]
			c = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
			n = nodes[d]
			d = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
			n = nodes[e]
			e = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
			n = nodes[f]
			f = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
			n = nodes[g]
			g = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
			n = nodes[h]
			h = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
		}
		sum += float64(values[a])
		sum += float64(values[b])
		sum += float64(values[c])
		sum += float64(values[d])
		sum += float64(values[e])
		sum += float64(values[f])
		sum += float64(values[g])
		sum += float64(values[h])
	}
	for _, t := range f.rest {
		a := t.at
		for range t.steps {
			n := nodes[a]
			a = uint64(uint32(n)>>featureBits) + (n>>keyShift-uint64(keys[uint8(n)]))>>63
		}
		sum += float64(values[a])
	}
	return sum / float64(len(f.roots))
}

func (k *rowKeys) set(x []float64) {
	for i, v := range x[:min(len(x), maxFeatures)] {
		k[i] = key(v)
	}
}

// cast rounds a value to float32, and both zeros to the positive one, so that equal numbers have equal keys.
func cast(v float64) float32 { return float32(v) + 0 }

// key maps a value to an integer of the same order.
func key(v float64) uint32 {
	if math.IsNaN(v) {
		return missingKey
	}
	b := math.Float32bits(cast(v))
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

// threshold undoes key.
func threshold(k uint32) float32 {
	if k>>31 == 1 {
		return math.Float32frombits(k ^ 1<<31)
	}
	return math.Float32frombits(^k)
}

func packNode(feature int, threshold float32, left int) uint64 {
	return uint64(key(float64(threshold)))<<keyShift | uint64(left)<<featureBits | uint64(feature)
}

func packLeaf(self int) uint64 { return leafKey<<keyShift | uint64(self)<<featureBits }

func isLeaf(node uint64) bool { return keyOf(node) == leafKey }

func featureOf(node uint64) int { return int(uint8(node)) }

func keyOf(node uint64) uint32 { return uint32(node >> keyShift) }

// leftOf is the node's left child; a leaf's is itself.
func leftOf(node uint64) int { return int(uint32(node) >> featureBits) }
