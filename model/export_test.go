package model

import (
	"encoding/json"
	"math"

	"github.com/camrail/cidp/stream"
)

// Walk is a slow reference of Predict: it reads each node back into plain numbers and compares floats.
func (f *Forest) Walk(x []float64) float64 {
	var sum float64
	for _, root := range f.roots {
		at := int(root)
		for !isLeaf(f.nodes[at]) {
			node := f.nodes[at]
			v, t := float32(x[featureOf(node)]), threshold(keyOf(node))
			at = leftOf(node)
			if !(v <= t) { // missing goes right
				at++
			}
		}
		sum += float64(f.values[at])
	}
	return f.calibrated(sum / float64(len(f.roots)))
}

// Threshold is a node's feature and threshold.
type Threshold struct {
	Feature int
	Value   float32
}

// Thresholds lists what every inner node asks.
func (f *Forest) Thresholds() (out []Threshold) {
	for _, n := range f.nodes {
		if !isLeaf(n) {
			out = append(out, Threshold{featureOf(n), threshold(keyOf(n))})
		}
	}
	return out
}

// Key and ThresholdOf are the two halves of the node's threshold.
func Key(v float64) uint32           { return key(v) }
func ThresholdOf(key uint32) float32 { return threshold(key) }

// CutBins and Between show the binning.
func CutBins(sorted []float32) (uppers, cuts []float32) { return cutBins(sorted) }
func Between(lo, hi float32) float32                    { return between(lo, hi) }

// Draws gives the first n bounded draws of a stream.
func Draws(seed, stream, below uint64, n int) []uint64 {
	d := newDraws(seed, stream)
	out := make([]uint64, n)
	for i := range out {
		out[i] = d.below(below)
	}
	return out
}

// RootSplit is the split that the trainer puts at the root of tree 0 with every feature tried, and the bag it saw.
func RootSplit(d Dataset, cfg TrainConfig) (feature int, cut float32, bag []uint32, ok bool) {
	cfg.Trees, cfg.MaxDepth, cfg.PerNode = 1, 1, len(d.Schema)
	cols := make([]column, len(d.Schema))
	for j := range cols {
		cols[j] = binColumn(d.X, j)
	}
	g := newGrower(cols, d.Y, cfg, newMeasure(cfg, len(d.Y)))
	rng := newDraws(cfg.Seed, 0)
	total := g.bootstrap(rng)
	for i := range g.order {
		g.order[i] = uint8(i)
	}
	s, ok := g.bestSplit(open{hi: len(g.rows), total: total}, rng)
	if !ok {
		return 0, 0, g.drawn, false
	}
	return s.feature, cols[s.feature].cuts[s.bin], g.drawn, true
}

// FileHeader is the offset of the header's JSON in a file, and its length's.
const (
	FileHead   = fileHead
	FileTail   = fileTail
	MaxContent = maxContent
)

// Content takes a model file's content apart.
func Content(file []byte) []byte { return file[fileHead : len(file)-fileTail] }

// Rebuild makes a forest from raw parts, as a file with a right checksum would.
func Rebuild(schema []stream.Feature, roots []uint32, nodes []uint64, values []float32) (*Forest, error) {
	return newForest(parts{schema: schema, roots: roots, nodes: nodes, values: values})
}

// PackNode and PackLeaf make raw nodes.
func PackNode(feature int, threshold float32, left int) uint64 {
	return packNode(feature, threshold, left)
}
func PackLeaf(self int) uint64 { return packLeaf(self) }

// AppendBytes writes a field of bytes.
func AppendBytes(dst []byte, id int, v []byte) []byte { return appendBytes(dst, id, v) }

// NLogN is n ln n.
func NLogN(n float64) float64 { return nLogN(n) }

// RuleLevel and RuleScore show one limit.
func (l Limit) RuleLevel(v float64, held Level) Level { return l.level(v, held) }
func (l Limit) RuleScore(v float64) float64           { return l.score(v) }

// AppendString is the writer of JSON strings.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

var _ json.Marshaler = Contribution{}

// Covers are the training rows at the nodes.
func Covers(f *Forest) []uint32 { return f.covers }

// RebuildCovered is Rebuild with training rows.
func RebuildCovered(schema []stream.Feature, roots []uint32, nodes []uint64, values []float32, covers []uint32) (*Forest, error) {
	return newForest(parts{schema: schema, roots: roots, nodes: nodes, values: values, covers: covers})
}

// Legendre is the rule of an integral from 0 to 1.
func Legendre(n int) (points, weight []float64) { return legendre(n) }

// Expected is what the forest says of a row of which some features are known: at a node on another, both ways are taken, by the training rows.
func Expected(f *Forest, x []float64, known func(feature int) bool) float64 {
	var at func(i int) float64
	at = func(i int) float64 {
		n := f.nodes[i]
		if isLeaf(n) {
			return float64(f.values[i])
		}
		left := leftOf(n)
		if known(featureOf(n)) {
			if v := x[featureOf(n)]; math.IsNaN(v) || float32(v) > threshold(keyOf(n)) {
				left++
			}
			return at(left)
		}
		a, b := float64(f.covers[left]), float64(f.covers[left+1])
		return (a*at(left) + b*at(left+1)) / (a + b)
	}
	var sum float64
	for _, root := range f.roots {
		sum += at(int(root))
	}
	return sum / float64(len(f.roots))
}

// Isotonic fits a map, and Map maps a score.
func Isotonic(p []float64, y []uint8) []Point { return isotonic(p, y) }
func Map(k []Point, score float64) float64    { return knots(k).at(score) }
