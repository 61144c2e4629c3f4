package model

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// maxONNX bounds an ONNX file: the largest forest that fits ours has some 60 bytes a node.
const maxONNX = 1 << 30

// ReadONNX reads a forest from an ONNX file: one TreeEnsembleClassifier of ai.onnx.ml 1 to 4 over two classes, as scikit-learn's converter and WriteONNX write
// it; beside it only Cast, Identity and ZipMap may stand. The second class is the one asked about. What would be scored otherwise here than there is refused
// in a sentence. The format does not say how probable failure was at inner nodes: a foreign file's are means of their leaves. Where nodes_hitrates hold training rows
// the means are by them; else path contributions are estimates, which the manifest says.
func ReadONNX(r io.Reader) (*Forest, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxONNX+1))
	if err != nil {
		return nil, fmt.Errorf("read ONNX: %w", err)
	}
	if len(file) > maxONNX {
		return nil, fmt.Errorf("read ONNX: the file is larger than %d GiB", maxONNX>>30)
	}
	f, err := readONNX(file)
	if err != nil {
		return nil, fmt.Errorf("read ONNX: %w", err)
	}
	return f, nil
}

func readONNX(file []byte) (*Forest, error) {
	m, err := parseONNX(file)
	if err != nil {
		return nil, err
	}
	node, width, err := m.ensemble()
	if err != nil {
		return nil, err
	}
	e := ensemble{attributes: node.attributes}
	if err := e.read(); err != nil {
		return nil, err
	}
	manifest := Manifest{Source: "ONNX of " + m.producer, Positional: true}
	if m.producer == "" {
		manifest.Source = "ONNX"
	}
	if width == 0 {
		width = e.widest + 1
	}
	if width > maxFeatures || e.widest >= width {
		return nil, fmt.Errorf("feature %d of %d inputs is read, at most %d inputs can be used", e.widest, width, maxFeatures)
	}
	if _, ok := m.metadata[metaHeader]; ok {
		h, err := e.restore(m.metadata)
		if err != nil {
			return nil, err
		}
		f, err := foreignForest(h.parts(), e.trees)
		if err == nil && h.Covers != (f.covers != nil) {
			return nil, fmt.Errorf("the metadata %s is of another forest: remove %s to read the trees as they are", metaCovers, metaHeader)
		}
		return f, err
	}
	f, err := foreignForest(parts{schema: positional(width), manifest: manifest}, e.trees)
	if err != nil {
		return nil, err
	}
	note := ""
	if f.covers == nil {
		note = "; path contributions are estimates"
	}
	return f.describe(note)
}

// ensemble finds the node that is the forest, and how wide its input is.
func (m *onnxModel) ensemble() (found *onnxNode, width int, err error) {
	makes := map[string]*onnxNode{}
	for i := range m.nodes {
		n := &m.nodes[i]
		switch {
		case n.op == "TreeEnsembleClassifier" && n.domain == onnxML && found == nil:
			found = n
		case n.op == "TreeEnsembleClassifier" && found != nil:
			return nil, 0, errors.New("the graph has more than one TreeEnsembleClassifier")
		case n.op == "Cast" || n.op == "Identity" || n.op == "ZipMap":
		default:
			return nil, 0, fmt.Errorf("the graph has a node %q, only a TreeEnsembleClassifier with Cast, Identity and ZipMap can be read", n.op)
		}
		for _, out := range n.output {
			makes[out] = n
		}
	}
	switch {
	case found == nil:
		return nil, 0, errors.New("there is no TreeEnsembleClassifier in it")
	case m.opsets[onnxML] < 1 || m.opsets[onnxML] > 4:
		return nil, 0, fmt.Errorf("it is of version %d of %s, versions 1 to 4 can be read", m.opsets[onnxML], onnxML)
	case len(found.input) != 1:
		return nil, 0, fmt.Errorf("the forest has %d inputs, not 1", len(found.input))
	}
	name := found.input[0]
	for range maxOnnxNodes {
		n := makes[name]
		if n == nil {
			break
		}
		to := n.attributes["to"]
		if len(n.input) != 1 || n.op == "Cast" && (to == nil || to.number != elemFloat && to.number != elemDouble) || n.op != "Cast" && n.op != "Identity" {
			return nil, 0, fmt.Errorf("a %s before the forest changes its inputs", n.op)
		}
		name = n.input[0]
	}
	width, ok := m.inputs[name]
	if !ok {
		return nil, 0, errors.New("the forest's input is not the graph's")
	}
	return found, width, nil
}

// ensemble reads the attributes of a TreeEnsembleClassifier.
type ensemble struct {
	attributes map[string]*onnxAttribute
	trees      []foreignTree
	ids        []nodeIDs     // of the nodes of each tree
	byID       map[int64]int // tree by its id
	widest     int           // largest feature that is read
}

func (e *ensemble) read() error {
	for _, list := range []string{"base_values", "base_values_as_tensor"} {
		for _, v := range e.floats(list, "") {
			if v != 0 {
				return fmt.Errorf("it has %s, which a random forest does not", list)
			}
		}
	}
	if a := e.attributes["post_transform"]; a != nil && a.text != "" && a.text != "NONE" {
		return fmt.Errorf("its scores go through %q, so it is no random forest", a.text)
	}
	if n := len(e.ints("classlabels_int64s")) + len(e.strings("classlabels_strings")); n != 2 {
		return fmt.Errorf("it tells %d classes apart, only a question of yes or no can be scored", n)
	}
	if err := e.readNodes(); err != nil {
		return err
	}
	if err := e.readLeaves(); err != nil {
		return err
	}
	return nil
}

func (e *ensemble) ints(name string) []int64 {
	if a := e.attributes[name]; a != nil {
		return a.ints
	}
	return nil
}

func (e *ensemble) strings(name string) []string {
	if a := e.attributes[name]; a != nil {
		return a.strings
	}
	return nil
}

// floats is a list of floats, or the tensor that stands for it from ai.onnx.ml 3 on.
func (e *ensemble) floats(name, tensor string) []float64 {
	if a := e.attributes[name]; a != nil && len(a.floats) > 0 {
		return a.floats
	}
	if a := e.attributes[tensor]; a != nil && tensor != "" {
		return a.floats
	}
	return nil
}

// nodeIDs finds a tree's nodes by their ids, which usually are 0, 1, 2, ...
type nodeIDs struct {
	ids   []int64
	index map[int64]int32 // made when an id is not its place
}

func (n *nodeIDs) find(id int64) (int32, bool) {
	if n.index == nil && id >= 0 && id < int64(len(n.ids)) && n.ids[id] == id {
		return int32(id), true
	}
	if n.index == nil {
		n.index = make(map[int64]int32, len(n.ids))
		for i, id := range n.ids {
			n.index[id] = int32(i)
		}
	}
	at, ok := n.index[id]
	return at, ok
}

func (e *ensemble) readNodes() error {
	treeIDs, nodeIDList, features := e.ints("nodes_treeids"), e.ints("nodes_nodeids"), e.ints("nodes_featureids")
	modes, values := e.strings("nodes_modes"), e.floats("nodes_values", "nodes_values_as_tensor")
	yes, no, missing := e.ints("nodes_truenodeids"), e.ints("nodes_falsenodeids"), e.ints("nodes_missing_value_tracks_true")
	hits := e.floats("nodes_hitrates", "nodes_hitrates_as_tensor")
	n := len(treeIDs)
	if n == 0 || n > maxNodes {
		return fmt.Errorf("%d nodes, from 1 to %d can be used", n, maxNodes)
	}
	for _, l := range []int{len(nodeIDList), len(features), len(modes), len(values), len(yes), len(no)} {
		if l != n {
			return fmt.Errorf("its lists of nodes differ in length: %d and %d", n, l)
		}
	}
	if len(missing) != 0 && len(missing) != n {
		return fmt.Errorf("its lists of nodes differ in length: %d and %d", n, len(missing))
	}
	place, err := e.placeNodes(treeIDs, nodeIDList)
	if err != nil {
		return err
	}
	for i := range n {
		t := &e.trees[place[i].tree]
		at := place[i].node
		if modes[i] == "LEAF" {
			continue
		}
		tracks := len(missing) != 0 && missing[i] != 0
		threshold, swapped, err := branch(modes[i], values[i], tracks)
		if err != nil {
			return fmt.Errorf("tree %d, node %d: %w", treeIDs[i], nodeIDList[i], err)
		}
		left, right := yes[i], no[i]
		if swapped {
			left, right = right, left
		}
		ids := &e.ids[place[i].tree]
		l, okL := ids.find(left)
		r, okR := ids.find(right)
		if !okL || !okR || features[i] < 0 || features[i] >= maxFeatures {
			return fmt.Errorf("tree %d, node %d: it reads feature %d and leads to nodes %d and %d, which cannot be", treeIDs[i], nodeIDList[i], features[i], left, right)
		}
		t.left[at], t.right[at], t.feature[at], t.threshold[at] = l, r, int32(features[i]), threshold
		e.widest = max(e.widest, int(features[i]))
	}
	if len(hits) == n {
		e.readHits(place, hits)
	}
	for i := range e.trees {
		if err := rootFirst(&e.trees[i], &e.ids[i]); err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
	}
	return nil
}

// readHits takes the hit rates of the nodes as training rows where they look like that: whole numbers. Many writers put 1 everywhere.
func (e *ensemble) readHits(place []treeNode, hits []float64) {
	of := make([][]float64, len(e.trees))
	for i, p := range place {
		of[p.tree] = append(of[p.tree], hits[i]) // nodes were placed in this order
	}
	for t, list := range of {
		if len(list) > 1 || list[0] >= 2 { // of a single node, 1 says nothing
			e.trees[t].cover = wholeRows(len(list), func(i int) float64 { return list[i] })
		}
	}
}

type treeNode struct{ tree, node int32 }

// placeNodes gives every node its tree, in the order that trees first come, and its place in it.
func (e *ensemble) placeNodes(treeIDs, nodeIDList []int64) ([]treeNode, error) {
	e.byID = map[int64]int{}
	place := make([]treeNode, len(treeIDs))
	for i, id := range treeIDs {
		t, ok := e.byID[id]
		if !ok {
			if t = len(e.trees); t >= maxTrees {
				return nil, fmt.Errorf("more than %d trees", maxTrees)
			}
			e.byID[id] = t
			e.trees, e.ids = append(e.trees, foreignTree{leavesOnly: true}), append(e.ids, nodeIDs{})
		}
		place[i] = treeNode{int32(t), int32(e.trees[t].add())}
		e.ids[t].ids = append(e.ids[t].ids, nodeIDList[i])
	}
	return place, nil
}

// branch turns a comparison into a threshold that at most goes left of; swapped says that the false child is the left one. Missing values must go right.
func branch(mode string, value float64, missingTrue bool) (threshold float32, swapped bool, err error) {
	threshold = RoundDown(value)
	switch mode {
	case "BRANCH_LEQ", "BRANCH_GT":
	case "BRANCH_LT", "BRANCH_GTE":
		if math.IsInf(value, -1) {
			return 0, false, fmt.Errorf("%s %v can never be", mode, value)
		}
		if float64(threshold) == value {
			threshold = math.Nextafter32(threshold, float32(math.Inf(-1)))
		}
	default:
		return 0, false, fmt.Errorf("it compares by %q, which cannot be read", mode)
	}
	swapped = mode == "BRANCH_GT" || mode == "BRANCH_GTE"
	if swapped != missingTrue {
		return 0, false, fmt.Errorf("it sends a missing value to the lower side (%s, missing tracks true: %t); here it always goes to the upper", mode, missingTrue)
	}
	return threshold, swapped, nil
}

// rootFirst moves the node that no other leads to to the front.
func rootFirst(t *foreignTree, ids *nodeIDs) error {
	child := make([]bool, len(t.left))
	for i := range t.left {
		if t.left[i] >= 0 {
			child[t.left[i]], child[t.right[i]] = true, true
		}
	}
	if !child[0] {
		return nil
	}
	for root := range child {
		if child[root] {
			continue
		}
		for _, list := range [][]int32{t.left, t.right} {
			list[0], list[root] = list[root], list[0]
			for i, c := range list {
				switch int(c) {
				case 0:
					list[i] = int32(root)
				case root:
					list[i] = 0
				}
			}
		}
		t.feature[0], t.feature[root] = t.feature[root], t.feature[0]
		t.threshold[0], t.threshold[root] = t.threshold[root], t.threshold[0]
		if t.cover != nil {
			t.cover[0], t.cover[root] = t.cover[root], t.cover[0]
		}
		ids.ids[0], ids.ids[root] = ids.ids[root], ids.ids[0]
		ids.index = nil
		return nil
	}
	return errors.New("it has no root")
}

// readLeaves adds up what the leaves weigh. Where only one class is weighed it is the second one (ONNX Runtime reads it so); else each leaf must share out one
// vote among the trees.
func (e *ensemble) readLeaves() error {
	trees, nodes, classes := e.ints("class_treeids"), e.ints("class_nodeids"), e.ints("class_ids")
	weights := e.floats("class_weights", "class_weights_as_tensor")
	if len(trees) != len(nodes) || len(trees) != len(classes) || len(trees) != len(weights) || len(trees) == 0 {
		return fmt.Errorf("its lists of leaves differ in length: %d, %d, %d and %d", len(trees), len(nodes), len(classes), len(weights))
	}
	single := true
	for _, c := range classes {
		if c != 0 && c != 1 {
			return fmt.Errorf("a leaf weighs class %d of 2", c)
		}
		single = single && c == classes[0]
	}
	votes := make([][][2]float64, len(e.trees))
	for i := range votes {
		votes[i] = make([][2]float64, len(e.trees[i].left))
	}
	for i := range trees {
		t, ok := e.byID[trees[i]]
		if !ok {
			return fmt.Errorf("a leaf of tree %d, which has no nodes", trees[i])
		}
		at, ok := e.ids[t].find(nodes[i])
		if !ok || e.trees[t].left[at] >= 0 {
			return fmt.Errorf("node %d of tree %d weighs classes but is no leaf", nodes[i], trees[i])
		}
		c := classes[i]
		if single {
			c = 1
		}
		votes[t][at][c] += weights[i]
	}
	for t := range e.trees {
		for i, v := range votes[t] {
			if e.trees[t].left[i] >= 0 {
				continue
			}
			n := float64(len(e.trees))
			p, err := probability(v[1] * n)
			if err != nil || !single && !(math.Abs(float64((v[0]+v[1])*n)-1) < 1e-3) {
				return fmt.Errorf("tree %d, leaf %d: weights %v and %v do not share out one vote among %v trees", t, e.ids[t].ids[i], v[0], v[1], n)
			}
			e.trees[t].value[i] = p
		}
	}
	return nil
}
