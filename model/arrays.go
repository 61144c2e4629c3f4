package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Arrays is a forest as one JSON object of scikit-learn's own arrays (sklearn.tree._tree.Tree):
//
//	{"format":"sklearn-rf-dump-1", "sklearn":"1.2.1", "n_features":6, "classes":[0,1], "n_trees":100, "feature_names":["a",...],
//	 "trees":[{"children_left":[1,-1,-1], "children_right":[2,-1,-1], "feature":[3,-2,-2], "threshold":[0.5,-2,-2], "value":[[60,40],[60,0],[0,40]]}, ...]}
//
// The second class is the one asked about. A node's value holds what each class weighs, or, one level deeper, a list of one such pair. A threshold of null is
// one that only a missing value exceeds. feature_names may be left out; other fields are skipped. A node's training rows are its weighted_n_node_samples, else what its classes
// weigh, else its n_node_samples: the first of them that is whole numbers. Unless they add up they are none.
const arraysFormat = "sklearn-rf-dump-1"

// Limits of a JSON file, unpacked: what the largest forest that fits ours may need, and what one tree of it may.
const (
	maxArrays    = 2 << 30
	maxArrayTree = 512 << 20
)

type arrayTree struct {
	Left      []int32     `json:"children_left"`
	Right     []int32     `json:"children_right"`
	Feature   []int32     `json:"feature"`
	Threshold []limit     `json:"threshold"`
	Value     []classPair `json:"value"`
	Weighted  []float64   `json:"weighted_n_node_samples"`
	Samples   []float64   `json:"n_node_samples"`
}

// limit is a threshold; null is +Inf, which JSON cannot write.
type limit float64

func (l *limit) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*l = limit(math.Inf(1))
		return nil
	}
	v, err := strconv.ParseFloat(string(text), 64)
	*l = limit(v)
	return err
}

// classPair is what the two classes weigh at a node.
type classPair [2]float64

func (c *classPair) UnmarshalJSON(text []byte) error {
	text = bytes.TrimSpace(text)
	if inner, ok := bytes.CutPrefix(text, []byte{'['}); ok {
		if inner = bytes.TrimSpace(inner); len(inner) > 0 && inner[0] == '[' { // [[a,b]]
			text = bytes.TrimSpace(bytes.TrimSuffix(inner, []byte{']'}))
		}
	}
	text = bytes.TrimSuffix(bytes.TrimPrefix(text, []byte{'['}), []byte{']'})
	first, second, ok := bytes.Cut(text, []byte{','})
	if !ok || bytes.IndexByte(second, ',') >= 0 {
		return errors.New("a node's value must be what each of two classes weighs")
	}
	for i, part := range [2][]byte{first, second} {
		v, err := strconv.ParseFloat(string(bytes.TrimSpace(part)), 64)
		if err != nil {
			return fmt.Errorf("a node's value holds %q", part)
		}
		c[i] = v
	}
	return nil
}

// ReadArrays reads a forest of scikit-learn from JSON, or one that WriteArrays wrote. Probabilities are scikit-learn's to 1e-7: thresholds are rounded down
// to float32, and a value at most the threshold goes left. Trees are read one by one, and what a file claims is believed only as it comes.
func ReadArrays(r io.Reader) (*Forest, error) {
	a := arraysReader{limit: &io.LimitedReader{R: r, N: maxArrays}, features: -1}
	a.budget = budget{r: a.limit, left: maxArrayTree}
	a.dec = json.NewDecoder(&a.budget)
	f, err := a.read()
	if err != nil {
		return nil, fmt.Errorf("read arrays: %w", err)
	}
	return f, nil
}

// budget fails a reader that gives more than is left, so that one value cannot grow without end.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("one value is larger than %d MiB", maxArrayTree>>20)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

type arraysReader struct {
	limit    *io.LimitedReader
	budget   budget
	dec      *json.Decoder
	features int // -1: not said yet
	classes  int // 0: not said yet
	sklearn  string
	names    []string
	units    []string
	manifest *Manifest
	spreads  []Distribution
	scores   *ScoreDistribution
	trees    []foreignTree
	nodes    int
}

func (a *arraysReader) read() (*Forest, error) {
	if err := a.delim('{'); err != nil {
		return nil, err
	}
	for a.dec.More() {
		key, err := a.dec.Token()
		if err != nil {
			return nil, a.broken(err)
		}
		if err := a.field(fmt.Sprint(key)); err != nil {
			return nil, err
		}
	}
	if err := a.delim('}'); err != nil {
		return nil, err
	}
	return a.forest()
}

func (a *arraysReader) field(key string) error {
	a.budget.left = maxArrayTree
	switch key {
	case "trees":
		return a.readTrees()
	case "n_features":
		return a.decode(key, &a.features)
	case "classes":
		var classes []any
		err := a.decode(key, &classes)
		a.classes = len(classes)
		if err == nil && a.classes != 2 {
			return fmt.Errorf("the forest tells %d classes apart, only a question of yes or no can be scored", a.classes)
		}
		return err
	case "sklearn":
		return a.decode(key, &a.sklearn)
	case "feature_names":
		return a.decode(key, &a.names)
	case "feature_units":
		return a.decode(key, &a.units)
	case "manifest":
		return a.decode(key, &a.manifest)
	case "distributions":
		return a.decode(key, &a.spreads)
	case "score_distribution":
		return a.decode(key, &a.scores)
	default:
		var skipped json.RawMessage
		return a.decode(key, &skipped)
	}
}

func (a *arraysReader) decode(key string, into any) error {
	if err := a.dec.Decode(into); err != nil {
		return fmt.Errorf("field %q: %w", key, a.broken(err))
	}
	return nil
}

func (a *arraysReader) delim(want json.Delim) error {
	got, err := a.dec.Token()
	if err != nil {
		return a.broken(err)
	}
	if got != want {
		return fmt.Errorf("%v where %q should be", got, want.String())
	}
	return nil
}

// broken says what an error of the decoder means.
func (a *arraysReader) broken(err error) error {
	switch {
	case a.limit.N <= 0:
		return fmt.Errorf("the file is larger than %d GiB unpacked", maxArrays>>30)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the file is cut short")
	}
	return err
}

func (a *arraysReader) readTrees() error {
	if err := a.delim('['); err != nil {
		return err
	}
	for a.dec.More() {
		a.budget.left = maxArrayTree
		var t arrayTree
		if err := a.dec.Decode(&t); err != nil {
			return fmt.Errorf("tree %d: %w", len(a.trees), a.broken(err))
		}
		tree, err := t.foreign()
		if err != nil {
			return fmt.Errorf("tree %d: %w", len(a.trees), err)
		}
		a.trees = append(a.trees, tree)
		if a.nodes += len(t.Left); len(a.trees) > maxTrees || a.nodes > maxNodes {
			return fmt.Errorf("more than %d trees or %d nodes", maxTrees, maxNodes)
		}
	}
	return a.delim(']')
}

// foreign turns class weights into probabilities and rounds thresholds.
func (t *arrayTree) foreign() (foreignTree, error) {
	out := foreignTree{left: t.Left, right: t.Right, feature: t.Feature,
		threshold: make([]float32, len(t.Threshold)), value: make([]float32, len(t.Value))}
	for i, v := range t.Threshold {
		out.threshold[i] = RoundDown(float64(v))
	}
	for i, v := range t.Value {
		if !(v[0] >= 0 && v[1] >= 0 && v[0]+v[1] > 0) || math.IsInf(v[0]+v[1], 0) {
			return out, fmt.Errorf("node %d: its classes weigh %v and %v", i, v[0], v[1])
		}
		out.value[i] = float32(v[1] / (v[0] + v[1]))
	}
	out.cover = t.rows()
	return out, nil
}

// rows finds the training rows of the nodes; nil where nothing says them.
func (t *arrayTree) rows() []uint32 {
	weighed := func(i int) float64 { return t.Value[i][0] + t.Value[i][1] }
	if rows := wholeRows(len(t.Weighted), func(i int) float64 { return t.Weighted[i] }); rows != nil {
		return rows
	}
	if len(t.Value) > 0 && weighed(0) >= 2 { // else they are shares
		if rows := wholeRows(len(t.Value), weighed); rows != nil {
			return rows
		}
	}
	return wholeRows(len(t.Samples), func(i int) float64 { return t.Samples[i] })
}

// forest puts together what was read.
func (a *arraysReader) forest() (*Forest, error) {
	switch {
	case len(a.trees) == 0:
		return nil, errors.New("there are no trees in it")
	case a.features < 0:
		return nil, errors.New("it does not say n_features")
	case a.features == 0 || a.features > maxFeatures:
		return nil, fmt.Errorf("%d features, from 1 to %d can be used", a.features, maxFeatures)
	case a.classes == 0:
		return nil, errors.New("it does not say classes")
	case a.names != nil && len(a.names) != a.features || a.units != nil && len(a.units) != a.features:
		return nil, fmt.Errorf("%d names and %d units for %d features", len(a.names), len(a.units), a.features)
	}
	p := parts{schema: positional(a.features), spreads: a.spreads, scores: a.scores}
	p.manifest = Manifest{Source: "scikit-learn " + a.sklearn, Positional: a.names == nil}
	if a.sklearn == "" {
		p.manifest.Source = "arrays"
	}
	for i := range p.schema {
		if a.names != nil {
			p.schema[i].Name = a.names[i]
		}
		if a.units != nil {
			p.schema[i].Unit = a.units[i]
		}
	}
	if a.manifest != nil {
		p.manifest = *a.manifest
	}
	f, err := foreignForest(p, a.trees)
	if err != nil || a.manifest != nil {
		return f, err
	}
	return f.describe("")
}

// WriteArrays writes the forest for an audit, as ReadArrays reads it: nothing is left out, and a forest that comes back is the same file.
func (f *Forest) WriteArrays(w io.Writer) error {
	head := struct {
		Format   string   `json:"format"`
		Features int      `json:"n_features"`
		Classes  [2]int   `json:"classes"`
		Trees    int      `json:"n_trees"`
		Rule     string   `json:"rule"`
		Model    string   `json:"model_id"`
		Names    []string `json:"feature_names,omitempty"`
		Units    []string `json:"feature_units,omitempty"`
		Manifest Manifest `json:"manifest"`

		Spreads []Distribution     `json:"distributions,omitempty"`
		Scores  *ScoreDistribution `json:"score_distribution,omitempty"`
	}{arraysFormat, len(f.schema), [2]int{0, 1}, len(f.roots),
		"x cast to float32; go left iff x[feature] <= threshold, a missing value never is; leaf proba = value[1]/sum(value); forest proba = mean over trees",
		f.ID(), nil, nil, f.manifest, f.spreads, f.scores}
	for _, s := range f.schema {
		if !f.manifest.Positional {
			head.Names = append(head.Names, s.Name)
		}
		head.Units = append(head.Units, s.Unit)
	}
	text, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("write arrays: %w", err)
	}
	text = append(text[:len(text)-1], `,"trees":[`...)
	for t := range f.roots {
		if t > 0 {
			text = append(text, ',')
		}
		text = f.appendArrays(append(text, '\n'), int(f.roots[t]), f.treeEnd(t))
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("write arrays: %w", err)
		}
		text = text[:0]
	}
	if _, err := w.Write(append(text, "\n]}\n"...)); err != nil {
		return fmt.Errorf("write arrays: %w", err)
	}
	return nil
}

// appendArrays writes one tree; -2 marks what a leaf does not have, as scikit-learn does.
func (f *Forest) appendArrays(dst []byte, root, end int) []byte {
	list := func(name string, one func(dst []byte, i int) []byte) {
		dst = append(append(append(dst, '"'), name...), `":[`...)
		for i := root; i < end; i++ {
			if i > root {
				dst = append(dst, ',')
			}
			dst = one(dst, i)
		}
		dst = append(dst, ']')
	}
	inner := func(leaf int64, of func(node uint64) int64) func(dst []byte, i int) []byte {
		return func(dst []byte, i int) []byte {
			if isLeaf(f.nodes[i]) {
				return strconv.AppendInt(dst, leaf, 10)
			}
			return strconv.AppendInt(dst, of(f.nodes[i]), 10)
		}
	}
	dst = append(dst, '{')
	list("children_left", inner(-1, func(n uint64) int64 { return int64(leftOf(n) - root) }))
	dst = append(dst, ',')
	list("children_right", inner(-1, func(n uint64) int64 { return int64(leftOf(n) + 1 - root) }))
	dst = append(dst, ',')
	list("feature", inner(-2, func(n uint64) int64 { return int64(featureOf(n)) }))
	dst = append(dst, ',')
	list("threshold", func(dst []byte, i int) []byte {
		t := float64(threshold(keyOf(f.nodes[i])))
		switch {
		case isLeaf(f.nodes[i]):
			return append(dst, "-2"...)
		case math.IsInf(t, 1):
			return append(dst, "null"...)
		}
		return strconv.AppendFloat(dst, t, 'g', -1, 64)
	})
	dst = append(dst, ',')
	list("value", func(dst []byte, i int) []byte {
		p := float64(f.values[i])
		dst = strconv.AppendFloat(append(dst, '['), 1-p, 'g', -1, 64)
		return append(strconv.AppendFloat(append(dst, ','), p, 'g', -1, 64), ']')
	})
	if f.covers != nil {
		dst = append(dst, ',')
		list("weighted_n_node_samples", func(dst []byte, i int) []byte { return strconv.AppendUint(dst, uint64(f.covers[i]), 10) })
	}
	return append(dst, '}')
}
