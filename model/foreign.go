package model

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/camrail/cidp/stream"
)

// foreignTree is a tree as other programs write it: nodes in any order, the root first. Nothing in it is trusted.
type foreignTree struct {
	left, right []int32 // -1: a leaf
	feature     []int32
	threshold   []float32 // x <= threshold goes left
	value       []float32 // probability of failure at the node
	leavesOnly  bool      // only the leaves' values are known: an inner node gets the mean of its children's
}

// add appends a leaf for the caller to change, and gives its number.
func (t *foreignTree) add() int {
	t.left, t.right = append(t.left, -1), append(t.right, -1)
	t.feature, t.threshold, t.value = append(t.feature, 0), append(t.threshold, 0), append(t.value, 0)
	return len(t.left) - 1
}

// lay lays the tree out as our nodes. A tree that already lies as ours do keeps its order, so that what was exported comes back the same; any other
// gets the child with more descendants first.
func (t *foreignTree) lay() (tree, error) {
	order, err := t.walk()
	if err != nil {
		return tree{}, err
	}
	out := t.place(order)
	for i := len(out.nodes) - 1; i >= 0 && t.leavesOnly; i-- {
		if n := out.nodes[i]; !isLeaf(n) {
			out.values[i] = float32((float64(out.values[leftOf(n)]) + float64(out.values[leftOf(n)+1])) / 2)
		}
	}
	return out, nil
}

// place gives every node its place.
func (t *foreignTree) place(order []int32) tree {
	out := tree{nodes: make([]uint64, len(order)), values: make([]float32, len(order))}
	if t.ours() {
		for i := range order {
			out.put(i, t, i, int(t.left[i]))
		}
		return out
	}
	size := make([]int32, len(order))
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		size[i] = 1
		if t.left[i] >= 0 {
			size[i] += size[t.left[i]] + size[t.right[i]]
		}
	}
	type step struct{ from, to int }
	next, stack := 1, []step{{0, 0}}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		out.put(s.to, t, s.from, next)
		if t.left[s.from] < 0 {
			continue
		}
		l, r := step{int(t.left[s.from]), next}, step{int(t.right[s.from]), next + 1}
		next += 2
		if size[l.from] >= size[r.from] {
			l, r = r, l
		}
		stack = append(stack, l, r)
	}
	return out
}

// put makes node `to` of node `from`, with its children at left.
func (t *tree) put(to int, f *foreignTree, from, left int) {
	t.values[to] = f.value[from]
	if f.left[from] < 0 {
		t.nodes[to] = packLeaf(to)
		return
	}
	t.nodes[to] = packNode(int(f.feature[from]), f.threshold[from], left)
}

// ours says whether siblings are neighbours after their parent.
func (t *foreignTree) ours() bool {
	for i, left := range t.left {
		if left >= 0 && (int(left) <= i || t.right[i] != left+1) {
			return false
		}
	}
	return true
}

// walk lists the nodes, parents first, and proves that they are one tree.
func (t *foreignTree) walk() ([]int32, error) {
	n := len(t.left)
	if n == 0 {
		return nil, errors.New("it has no nodes")
	}
	if len(t.right) != n || len(t.feature) != n || len(t.threshold) != n || len(t.value) != n {
		return nil, fmt.Errorf("its arrays differ in length: %d, %d, %d, %d and %d", n, len(t.right), len(t.feature), len(t.threshold), len(t.value))
	}
	seen := make([]bool, n)
	order := make([]int32, 1, n)
	seen[0] = true
	for k := 0; k < len(order); k++ {
		i := order[k]
		left, right := t.left[i], t.right[i]
		if left < 0 && right < 0 {
			continue
		}
		for _, c := range [2]int32{left, right} {
			if c < 0 || int(c) >= n {
				return nil, fmt.Errorf("node %d has child %d of %d nodes", i, c, n)
			}
			if seen[c] {
				return nil, fmt.Errorf("node %d is reached twice", c)
			}
			seen[c] = true
			order = append(order, c)
		}
		if t.feature[i] < 0 || t.feature[i] >= maxFeatures {
			return nil, fmt.Errorf("node %d reads feature %d, at most %d features can be used", i, t.feature[i], maxFeatures)
		}
		if math.IsNaN(float64(t.threshold[i])) {
			return nil, fmt.Errorf("node %d has no number as its threshold", i)
		}
	}
	if len(order) != n {
		return nil, fmt.Errorf("%d of its %d nodes are not reached", n-len(order), n)
	}
	return order, nil
}

// RoundDown is the largest float32 that is at most v: a float32 is at most v exactly when it is at most RoundDown(v).
func RoundDown(v float64) float32 {
	f := float32(v)
	if float64(f) > v {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

// probability rounds a leaf's probability, and forgives the last bits of a sum.
func probability(v float64) (float32, error) {
	const slack = 1e-5
	if !(v >= -slack && v <= 1+slack) {
		return 0, fmt.Errorf("%v is not a probability", v)
	}
	return float32(min(max(v, 0), 1)), nil
}

// positional names inputs that have no names: x0, x1, ...
func positional(n int) []stream.Feature {
	schema := make([]stream.Feature, n)
	for i := range schema {
		schema[i].Name = "x" + strconv.Itoa(i)
	}
	return schema
}

// Rename gives the forest's inputs names of their own, in order, with no units.
func (f *Forest) Rename(names []string) (*Forest, error) {
	if len(names) != len(f.schema) {
		return nil, fmt.Errorf("name inputs: %d names for %d inputs", len(names), len(f.schema))
	}
	schema := make([]stream.Feature, len(names))
	for i, name := range names {
		schema[i].Name = name
	}
	m := f.manifest
	m.Positional = false
	out, err := newForest(schema, m, f.roots, f.nodes, f.values)
	if err != nil {
		return nil, fmt.Errorf("name inputs: %w", err)
	}
	return out, nil
}

// WithManifest is the same forest with another manifest, and so another id.
func (f *Forest) WithManifest(m Manifest) (*Forest, error) {
	out, err := newForest(f.schema, m, f.roots, f.nodes, f.values)
	if err != nil {
		return nil, fmt.Errorf("describe model: %w", err)
	}
	return out, nil
}

// Depth is the number of steps to the deepest leaf.
func (f *Forest) Depth() (depth int) {
	for _, g := range f.groups {
		depth = max(depth, g.steps)
	}
	return depth
}

// treeEnd is where tree t ends.
func (f *Forest) treeEnd(t int) int {
	if t+1 < len(f.roots) {
		return int(f.roots[t+1])
	}
	return len(f.nodes)
}

// foreignForest puts trees of another program together as a forest.
func foreignForest(schema []stream.Feature, m Manifest, trees []foreignTree) (*Forest, error) {
	total := 0
	for i := range trees {
		if total += len(trees[i].left); total > maxNodes {
			return nil, fmt.Errorf("more than %d nodes", maxNodes)
		}
	}
	laid := make([]tree, len(trees))
	for i := range trees {
		t, err := trees[i].lay()
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		laid[i] = t
		trees[i] = foreignTree{} // half the memory
	}
	f, err := assemble(schema, m, laid)
	if err != nil {
		return nil, err
	}
	m.Trees, m.MaxDepth = f.Trees(), f.Depth()
	return f.WithManifest(m)
}
