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
	cover       []uint32  // training rows at the node; nil where they are not known
	leavesOnly  bool      // only the leaves' values are known: an inner node gets the mean of its children's, by their training rows where those are known
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
	if !t.covered() {
		t.cover = nil
	}
	out := t.place(order)
	if t.leavesOnly {
		out.average()
	}
	return out, nil
}

// average gives every inner node the mean of its children, by their training rows where those are known: then it is the mean of the rows below it.
func (t *tree) average() {
	exact := make([]float64, len(t.values))
	for i := len(t.nodes) - 1; i >= 0; i-- {
		exact[i] = float64(t.values[i])
		if n := t.nodes[i]; !isLeaf(n) {
			left, right := leftOf(n), leftOf(n)+1
			a, b := 1.0, 1.0
			if t.covers != nil {
				a, b = float64(t.covers[left]), float64(t.covers[right])
			}
			exact[i] = (float64(a*exact[left]) + float64(b*exact[right])) / (a + b)
			t.values[i] = float32(exact[i])
		}
	}
}

// covered says whether the training rows of every node are those of its children together. Other numbers of a foreign file mean something else.
func (t *foreignTree) covered() bool {
	if len(t.cover) != len(t.left) {
		return false
	}
	for i, left := range t.left {
		if t.cover[i] == 0 || left >= 0 && uint64(t.cover[left])+uint64(t.cover[t.right[i]]) != uint64(t.cover[i]) {
			return false
		}
	}
	return true
}

// wholeRows reads a tree's counts of rows; nil where one is none.
func wholeRows(n int, of func(i int) float64) []uint32 {
	if n == 0 {
		return nil
	}
	out := make([]uint32, n)
	for i := range out {
		v := of(i)
		if !(v >= 1 && v <= maxRows) || v != math.Trunc(v) {
			return nil
		}
		out[i] = uint32(v)
	}
	return out
}

// place gives every node its place.
func (t *foreignTree) place(order []int32) tree {
	out := tree{nodes: make([]uint64, len(order)), values: make([]float32, len(order))}
	if t.cover != nil {
		out.covers = make([]uint32, len(order))
	}
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
	if f.cover != nil {
		t.covers[to] = f.cover[from]
	}
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
	p := f.parts
	p.schema = make([]stream.Feature, len(names))
	for i, name := range names {
		p.schema[i].Name = name
	}
	p.manifest.Positional = false
	out, err := newForest(p)
	if err != nil {
		return nil, fmt.Errorf("name inputs: %w", err)
	}
	return out, nil
}

// WithManifest is the same forest with another manifest, and so another id.
func (f *Forest) WithManifest(m Manifest) (*Forest, error) {
	p := f.parts
	p.manifest = m
	out, err := newForest(p)
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
	for _, t := range f.rest {
		depth = max(depth, t.steps)
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
func foreignForest(p parts, trees []foreignTree) (*Forest, error) {
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
	return assemble(p, laid)
}

// describe says in the manifest how large the forest is, where its file said nothing of it, and adds a note to its source.
func (f *Forest) describe(note string) (*Forest, error) {
	m := f.manifest
	m.Trees, m.MaxDepth, m.Source = f.Trees(), f.Depth(), m.Source+note
	return f.WithManifest(m)
}
