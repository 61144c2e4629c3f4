package model

import (
	"fmt"
	"math"
)

// checkTrees proves that the nodes are what scoring takes for granted, whoever made them: trees laid one after another, parents
// before children, every node reached exactly once, features and thresholds that exist. It gives the depth of each tree.
func checkTrees(features int, roots []uint32, nodes []uint64, values []float32) ([]int, error) {
	switch {
	case len(roots) == 0 || len(roots) > maxTrees:
		return nil, fmt.Errorf("%d trees, from 1 to %d are allowed", len(roots), maxTrees)
	case len(nodes) > maxNodes:
		return nil, fmt.Errorf("%d nodes, at most %d are allowed", len(nodes), maxNodes)
	case len(values) != len(nodes):
		return nil, fmt.Errorf("%d nodes but %d values", len(nodes), len(values))
	case roots[0] != 0:
		return nil, fmt.Errorf("the first tree starts at node %d, not at 0", roots[0])
	}
	for i, v := range values {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("node %d has value %v, not a probability", i, v)
		}
	}
	depths := make([]int, len(roots))
	levels := make([]uint16, len(nodes)) // level of each node from 1; 0: not reached
	for t, root := range roots {
		end := len(nodes)
		if t+1 < len(roots) {
			end = int(roots[t+1])
		}
		if int(root) >= end || end > len(nodes) {
			return nil, fmt.Errorf("tree %d spans nodes %d to %d of %d", t, root, end, len(nodes))
		}
		depth, err := checkTree(features, int(root), end, nodes, levels)
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", t, err)
		}
		depths[t] = depth
	}
	return depths, nil
}

func checkTree(features, root, end int, nodes []uint64, levels []uint16) (depth int, err error) {
	levels[root] = 1
	for i := root; i < end; i++ {
		level, node := levels[i], nodes[i]
		if level == 0 {
			return 0, fmt.Errorf("node %d has no parent", i)
		}
		depth = max(depth, int(level)-1)
		if isLeaf(node) {
			if node != packLeaf(i) {
				return 0, fmt.Errorf("leaf %d does not point to itself", i)
			}
			continue
		}
		left := leftOf(node)
		switch k := keyOf(node); {
		case left <= i || left+1 >= end:
			return 0, fmt.Errorf("node %d has children at %d, outside of its tree", i, left)
		case levels[left] != 0 || levels[left+1] != 0:
			return 0, fmt.Errorf("node %d has children at %d that have another parent", i, left)
		case featureOf(node) >= features:
			return 0, fmt.Errorf("node %d reads feature %d of %d", i, featureOf(node), features)
		case math.IsNaN(float64(threshold(k))) || key(float64(threshold(k))) != k:
			return 0, fmt.Errorf("node %d has no number as its threshold", i)
		case level > maxDepth:
			return 0, fmt.Errorf("node %d is deeper than %d", i, maxDepth)
		}
		levels[left], levels[left+1] = level+1, level+1
	}
	return depth, nil
}

// checkCovers proves that every node's training rows are those of its children together. No covers at all are fine.
func checkCovers(nodes []uint64, covers []uint32) error {
	if covers == nil {
		return nil
	}
	if len(covers) != len(nodes) {
		return fmt.Errorf("%d nodes but the training rows of %d", len(nodes), len(covers))
	}
	for i, n := range nodes {
		if covers[i] == 0 || covers[i] > maxRows {
			return fmt.Errorf("node %d has %d training rows, from 1 to %d can be", i, covers[i], maxRows)
		}
		if left := leftOf(n); !isLeaf(n) && covers[left]+covers[left+1] != covers[i] {
			return fmt.Errorf("node %d has %d training rows, its children have %d and %d", i, covers[i], covers[left], covers[left+1])
		}
	}
	return nil
}
