package model_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
)

func mustONNX(tb testing.TB, f *model.Forest) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := f.WriteONNX(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func mustArrays(tb testing.TB, f *model.Forest) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := f.WriteArrays(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// comesBack exports the forest in both forms and reads it again: the same model, to the bit.
func comesBack(t *testing.T, f *model.Forest, rows [][]float64) {
	t.Helper()
	fromONNX, err := model.ReadONNX(bytes.NewReader(mustONNX(t, f)))
	if err != nil {
		t.Fatal(err)
	}
	fromArrays, err := model.ReadArrays(bytes.NewReader(mustArrays(t, f)))
	if err != nil {
		t.Fatal(err)
	}
	for form, got := range map[string]*model.Forest{"ONNX": fromONNX, "JSON": fromArrays} {
		if got.ID() != f.ID() {
			t.Errorf("through %s model %s came back as %s", form, f.ID(), got.ID())
		}
		for _, x := range rows {
			if a, b := f.Predict(x), got.Predict(x); a != b {
				t.Fatalf("through %s: %v became %v", form, a, b)
			}
		}
	}
}

// TestOwnForestsComeBack: forests with missing values, of one node, of many features, with names and units and a manifest.
func TestOwnForestsComeBack(t *testing.T) {
	named := mustTrain(t, fleet(800, 1), small())
	rows := fleet(300, 2).X
	for _, x := range rows[:50] {
		x[3] = math.NaN()
	}
	comesBack(t, named, rows)
	cfg := small()
	cfg.Trees, cfg.HeldOut = 7, &model.Evaluation{Rows: 3, ROCAUC: 0.25}
	comesBack(t, mustTrain(t, noisy(900, 7, 1), cfg), noisy(300, 7, 2).X)
	cfg.MinLeaf = 400
	comesBack(t, mustTrain(t, noisy(700, 2, 1), cfg), noisy(10, 2, 2).X)
	comesBack(t, mustTrain(t, noisy(400, 256, 1), small()), noisy(10, 256, 2).X)

	missing := model.Dataset{Schema: numbered(1)} // its thresholds are +Inf
	for i := range 60 {
		missing.X, missing.Y = append(missing.X, []float64{[]float64{1, math.NaN()}[i%2]}), append(missing.Y, uint8(i%2))
	}
	f := mustTrain(t, missing, small())
	comesBack(t, f, [][]float64{{1}, {math.NaN()}, {math.Inf(1)}})
	if p := f.Predict([]float64{math.NaN()}); p < 0.9 {
		t.Errorf("a missing value has probability %v", p)
	}
}

// handArrays is a forest of two trees in scikit-learn's arrays, whose second tree has its nodes in another order than ours.
const handArrays = `{"format": "sklearn-rf-dump-1", "sklearn": "1.2.1", "n_features": 3, "classes": [0, 1], "n_trees": 2, "other": {"a": [1, {}]}, "trees": [
{"children_left": [1, -1, -1], "children_right": [2, -1, -1], "feature": [2, -2, -2], "threshold": [0.1, -2.0, -2.0], "value": [[50, 50], [[40, 0]], [ [ 10.0 , 30 ] ]]},
{"children_left": [3, -1, -1, -1, 1], "children_right": [4, -1, -1, -1, 2], "feature": [0, -2, -2, -2, 1], "threshold": [16777217, -2, -2, -2, -0.5], "value": [[3, 1], [1, 3], [0, 2], [1, 0], [1, 5]]}]}`

func TestArraysByHand(t *testing.T) {
	f, err := model.ReadArrays(strings.NewReader(handArrays))
	if err != nil {
		t.Fatal(err)
	}
	tenth := math.Nextafter32(0.1, 0) // 0.1 is rounded down: float32(0.1) is above it
	for _, tt := range []struct {
		x    []float64
		want float64
	}{
		{[]float64{0, 0, float64(tenth)}, 0}, {[]float64{0, 0, 0.1}, 0.375}, {[]float64{16777217, 0, 0}, 0}, {[]float64{16777218, 0, 0}, 0.5},
		{[]float64{2e7, -0.5, 1}, 0.75}, {[]float64{2e7, math.NaN(), 1}, 0.875},
	} {
		if got := f.Predict(tt.x); got != tt.want {
			t.Errorf("row %v: %v, want %v", tt.x, got, tt.want)
		}
	}
	if m := f.Manifest(); !m.Positional || m.Trees != 2 || m.MaxDepth != 2 || f.Schema()[2].Name != "x2" || !strings.Contains(m.Source, "1.2.1") {
		t.Errorf("manifest %+v, schema %v", m, f.Schema())
	}
	if got := f.Base(); got != 0.375 {
		t.Errorf("base %v, the roots' values are 0.5 and 0.25", got)
	}
	comesBack(t, f, [][]float64{{1, 2, 3}})
	g, err := f.Rename([]string{"a", "b", "c"})
	if err != nil || g.Manifest().Positional || g.Schema()[1].Name != "b" {
		t.Errorf("renamed: %v", err)
	}
	comesBack(t, g, [][]float64{{1, 2, 3}})
	_, err = f.Rename([]string{"a", "b", "b"})
	mustFail(t, err, "b is named twice")
	_, err = f.Rename([]string{"a"})
	mustFail(t, err, "1 names for 3 inputs")
}

func TestArraysRefuse(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(handArrays, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(handArrays, old, new, 1)
	}
	for name, tt := range map[string]struct{ text, says string }{
		"empty":              {"", "cut short"},
		"a list":             {"[1]", "where \"{\" should be"},
		"cut":                {handArrays[:300], "cut short"},
		"no end":             {handArrays[:len(handArrays)-1], "cut short"},
		"no trees":           {`{"n_features":1,"classes":[0,1],"trees":[]}`, "no trees"},
		"trees no list":      {`{"trees":7}`, `where "[" should be`},
		"no features":        {change(`"n_features": 3, `, ""), "n_features"},
		"many features":      {change(`"n_features": 3`, `"n_features": 3000000000`), "features"},
		"257 features":       {change(`"n_features": 3`, `"n_features": 257`), "from 1 to 256"},
		"too few features":   {change(`"n_features": 3`, `"n_features": 2`), "feature 2 of 2"},
		"no classes":         {change(`"classes": [0, 1], `, ""), "classes"},
		"three classes":      {change(`[0, 1]`, `[0, 1, 2]`), "3 classes"},
		"three values":       {change(`[50, 50]`, `[50, 50, 1]`), "two classes"},
		"one value":          {change(`[50, 50]`, `[50]`), "two classes"},
		"no weight":          {change(`[50, 50]`, `[0, 0]`), "weigh 0 and 0"},
		"negative weight":    {change(`[50, 50]`, `[-1, 3]`), "weigh -1 and 3"},
		"infinite":           {change(`[50, 50]`, `[1e999, 3]`), "1e999"},
		"text":               {change(`[50, 50]`, `["a", 3]`), "holds"},
		"threshold text":     {change(`0.1`, `"0.1"`), "invalid syntax"},
		"short threshold":    {change(`0.1, -2.0, -2.0`, `0.1, -2.0`), "differ in length"},
		"child beyond":       {change(`[3, -1, -1, -1, 1]`, `[3, -1, -1, -1, 9]`), "child 9 of 5"},
		"one child":          {change(`[3, -1, -1, -1, 1]`, `[3, -1, -1, -1, -1]`), "child -1"},
		"loop":               {change(`[3, -1, -1, -1, 1]`, `[3, -1, -1, -1, 0]`), "reached twice"},
		"two parents":        {change(`[3, -1, -1, -1, 1]`, `[3, -1, -1, -1, 3]`), "reached twice"},
		"unreached":          {change(`"children_left": [1, -1, -1], "children_right": [2, -1, -1]`, `"children_left": [-1, -1, -1], "children_right": [-1, -1, -1]`), "2 of its 3 nodes are not reached"},
		"feature 300":        {change(`[2, -2, -2]`, `[300, -2, -2]`), "feature 300"},
		"feature -2":         {change(`[2, -2, -2]`, `[-2, -2, -2]`), "feature -2"},
		"names":              {change(`"n_trees": 2`, `"feature_names": ["a"]`), "1 names"},
		"same names":         {change(`"n_trees": 2`, `"feature_names": ["a", "b", "a"]`), "a is named twice"},
		"a number too large": {change(`[1, -1, -1]`, `[1e30, -1, -1]`), "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := model.ReadArrays(strings.NewReader(tt.text))
			if f != nil {
				t.Error("there is a forest beside the error")
			}
			mustFail(t, err, "read arrays: ", tt.says)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

// TestONNXRefuses damages an export by replacing bytes of the same length, or leaves parts out.
func TestONNXRefuses(t *testing.T) {
	whole := mustONNX(t, tinyForest(t))
	swap := func(old, new string) []byte {
		if len(old) != len(new) || !bytes.Contains(whole, []byte(old)) {
			t.Fatalf("cannot put %q for %q", new, old)
		}
		return bytes.Replace(whole, []byte(old), []byte(new), 1)
	}
	for name, tt := range map[string]struct {
		file []byte
		says string
	}{
		"empty":            {nil, "no TreeEnsembleClassifier"},
		"text":             {[]byte("these are notes, not a model"), "not a protocol buffers message"},
		"cut":              {whole[:len(whole)/2], "not a protocol buffers message"},
		"another operator": {swap("TreeEnsembleClassifier", "TreeEnsembleRegressors"), `a node "TreeEnsembleRegressors"`},
		"another domain":   {swap("ai.onnx.ml", "ai.onnx.xx"), "can be read"},
		"another version":  {swap("\x0aai.onnx.ml\x10\x01", "\x0aai.onnx.ml\x10\x05"), "version 5"},
		"logistic":         {swap("\x22\x04NONE", "\x22\x04LOGI"), `"LOGI"`},
		"one class":        {swap("classlabels_int64s\x40\x00\x40\x01", "classlabels_int64s\x40\x00\x18\x01"), "1 classes"},
		"equality":         {swap("BRANCH_LEQ", "BRANCH_EQU"), `"BRANCH_EQU"`},
		"another side":     {swap("BRANCH_LEQ", "BRANCH_GTE"), "missing value"},
		"other votes":      {swap("class_weights\x3d", "class_weightz\x3d"), "differ in length"},
		"no modes":         {swap("nodes_modes", "nodes_mores"), "differ in length"},
		"header":           {swap(`{"features"`, `["features"`), "cidp.header is not what it should be"},
		"another forest":   {swap(`"trees":3`, `"trees":4`), "another forest"},
		"rows gone":        {swap("cidp.covers\x12", "cidp.coverz\x12"), "another forest"},
		"no base64":        {swap("cidp.values\x12", "cidp.valuez\x12"), "another forest"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := model.ReadONNX(bytes.NewReader(tt.file))
			if f != nil {
				t.Error("there is a forest beside the error")
			}
			mustFail(t, err, "read ONNX: ", tt.says)
		})
	}
}

// TestONNXWithoutOurMetadata reads an export as if another program had written it: the standard's part alone gives the probabilities.
func TestONNXWithoutOurMetadata(t *testing.T) {
	f := mustTrain(t, noisy(2000, 6, 1), small())
	file := bytes.Replace(mustONNX(t, f), []byte("cidp.header"), []byte("other.names"), 1)
	g, err := model.ReadONNX(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range noisy(500, 6, 2).X {
		if a, b := f.Predict(x), g.Predict(x); math.Abs(a-b) > 1e-7 {
			t.Fatalf("row %v: %v and %v", x, a, b)
		}
	}
	if m := g.Manifest(); !m.Positional || strings.Contains(m.Source, "estimates") || g.Nodes() != f.Nodes() || math.Abs(g.Base()-f.Base()) > 1e-7 {
		t.Errorf("manifest %+v, %d nodes of %d, base %v of %v", m, g.Nodes(), f.Nodes(), g.Base(), f.Base())
	}
	if !slices.Equal(model.Covers(g), model.Covers(f)) {
		t.Error("the hit rates are not the training rows")
	}
	g, err = model.ReadONNX(bytes.NewReader(bytes.Replace(file, []byte("nodes_hitrates"), []byte("nodes_hitratez"), 1)))
	if err != nil || model.Covers(g) != nil || !strings.Contains(g.Manifest().Source, "estimates") {
		t.Errorf("without hit rates: %v, manifest %+v", err, g.Manifest())
	}
	dst := make([]float64, 6) // inner values are estimates, but they still add up
	x := noisy(1, 6, 2).X[0]
	sum := g.Base()
	p := g.Contributions(dst, x)
	for _, c := range dst {
		sum += c
	}
	if math.Abs(sum-p) > 1e-9 {
		t.Errorf("contributions add up to %v, the probability is %v", sum, p)
	}
}

// wireNode builds an ONNX file around attributes, as other writers do: packed lists, tensors of doubles, texts as labels, one class weighed.
func wireNode(attributes ...[]byte) []byte {
	node := model.AppendBytes(nil, 1, []byte("casted"))
	node = model.AppendBytes(node, 2, []byte("label"))
	node = model.AppendBytes(node, 2, []byte("scores"))
	node = model.AppendBytes(node, 4, []byte("TreeEnsembleClassifier"))
	node = model.AppendBytes(node, 7, []byte("ai.onnx.ml"))
	for _, a := range attributes {
		node = model.AppendBytes(node, 5, a)
	}
	cast := model.AppendBytes(model.AppendBytes(nil, 1, []byte("X")), 2, []byte("casted"))
	cast = model.AppendBytes(cast, 4, []byte("Cast"))
	cast = model.AppendBytes(cast, 5, append(model.AppendBytes(nil, 1, []byte("to")), 0x18, 1))
	zip := model.AppendBytes(model.AppendBytes(nil, 1, []byte("scores")), 4, []byte("ZipMap"))
	graph := model.AppendBytes(model.AppendBytes(model.AppendBytes(nil, 1, cast), 1, node), 1, zip)
	graph = model.AppendBytes(graph, 11, model.AppendBytes(nil, 1, []byte("X")))
	file := model.AppendBytes(nil, 7, graph)
	return model.AppendBytes(file, 8, append(model.AppendBytes(nil, 1, []byte("ai.onnx.ml")), 0x10, 3))
}

func ints(name string, v ...uint64) []byte {
	var list []byte
	for _, n := range v {
		list = binary.AppendUvarint(list, n)
	}
	return model.AppendBytes(model.AppendBytes(nil, 1, []byte(name)), 8, list)
}

func texts(name string, v ...string) []byte {
	a := model.AppendBytes(nil, 1, []byte(name))
	for _, s := range v {
		a = model.AppendBytes(a, 9, []byte(s))
	}
	return a
}

func doubles(name string, v ...float64) []byte {
	tensor := []byte{0x10, 11}
	var list []byte
	for _, f := range v {
		list = binary.LittleEndian.AppendUint64(list, math.Float64bits(f))
	}
	return model.AppendBytes(model.AppendBytes(nil, 1, []byte(name)), 5, model.AppendBytes(tensor, 9, list))
}

// foreign is a tree with its root last and node ids of its own, all comparisons, in ai.onnx.ml 3 form.
func foreignONNX() []byte {
	return wireNode(
		ints("nodes_treeids", 4, 4, 4, 4, 4, 4, 4), ints("nodes_nodeids", 10, 11, 12, 13, 14, 15, 16),
		ints("nodes_featureids", 0, 0, 0, 0, 0, 1, 0), texts("nodes_modes", "LEAF", "LEAF", "LEAF", "LEAF", "BRANCH_GTE", "BRANCH_LT", "BRANCH_LEQ"),
		doubles("nodes_values_as_tensor", 0, 0, 0, 0, 2, 5, 0.1), ints("nodes_missing_value_tracks_true", 0, 0, 0, 0, 1, 0, 0),
		ints("nodes_truenodeids", 0, 0, 0, 0, 10, 12, 15), ints("nodes_falsenodeids", 0, 0, 0, 0, 11, 13, 14),
		ints("class_treeids", 4, 4, 4, 4), ints("class_nodeids", 10, 11, 12, 13), ints("class_ids", 0, 0, 0, 0),
		doubles("class_weights_as_tensor", 0.125, 0.25, 0.5, 1), texts("classlabels_strings", "sound", "fails"))
}

func TestONNXOfOthers(t *testing.T) {
	f, err := model.ReadONNX(bytes.NewReader(foreignONNX()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ a, b, want float64 }{
		{0.05, 4.9, 0.5}, {0.05, 5, 1}, {0.05, math.NaN(), 1}, {0.1, 0, 0.25}, {1.99, 0, 0.25}, {2, 0, 0.125}, {math.NaN(), 0, 0.125},
	} {
		if got := f.Predict([]float64{tt.a, tt.b}); got != tt.want {
			t.Errorf("%v, %v: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
	if len(f.Schema()) != 2 {
		t.Errorf("%d inputs", len(f.Schema()))
	}
}

func FuzzReadArrays(f *testing.F) {
	f.Add([]byte(handArrays))
	f.Add(mustArrays(f, tinyForest(f)))
	f.Add([]byte(`{"n_features":1,"classes":[0,1],"trees":[{"children_left":[-1],"children_right":[-1],"feature":[-2],"threshold":[null],"value":[[1,1]]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		forest, err := model.ReadArrays(bytes.NewReader(text))
		readOrRefused(t, forest, err)
	})
}

func FuzzReadONNX(f *testing.F) {
	f.Add(mustONNX(f, tinyForest(f)))
	f.Add(foreignONNX())
	f.Add([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, file []byte) {
		forest, err := model.ReadONNX(bytes.NewReader(file))
		readOrRefused(t, forest, err)
	})
}

// readOrRefused: what is read scores, and is the same after an export.
func readOrRefused(t *testing.T, f *model.Forest, err error) {
	if (f == nil) == (err == nil) {
		t.Fatalf("forest %v, error %v", f, err)
	}
	if f == nil {
		return
	}
	row := make([]float64, len(f.Schema()))
	if p := f.Predict(row); !(p >= 0 && p <= 1) || p != f.Walk(row) {
		t.Fatalf("probability %v, walk %v", p, f.Walk(row))
	}
	comesBack(t, f, [][]float64{row})
}

// TestHostileSizes: files that claim much and hold little cost little.
func TestHostileSizes(t *testing.T) {
	for name, read := range map[string]func() error{
		"a length of 4 GiB": func() error {
			_, err := model.ReadONNX(bytes.NewReader([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f}))
			return err
		},
		"a node id of 2^62": func() error {
			_, err := model.ReadONNX(bytes.NewReader(wireNode(ints("nodes_treeids", 1<<62), ints("nodes_nodeids", 1<<62), ints("nodes_featureids", 1<<62),
				texts("nodes_modes", "LEAF"), doubles("nodes_values_as_tensor", 1), ints("nodes_truenodeids", 1<<62), ints("nodes_falsenodeids", 1<<62),
				ints("class_treeids", 9), ints("class_nodeids", 1<<40), ints("class_ids", 0), doubles("class_weights_as_tensor", 1), ints("classlabels_int64s", 0, 1))))
			return err
		},
		"a width of 2^31": func() error {
			_, err := model.ReadArrays(strings.NewReader(strings.Replace(handArrays, `"n_features": 3`, `"n_features": 2147483647`, 1)))
			return err
		},
		"trees without end": func() error {
			_, err := model.ReadArrays(strings.NewReader(`{"trees":[` + strings.Repeat(`{},`, 1000)))
			return err
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read()
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if err == nil || allocated > 1<<20 {
			t.Errorf("%s: %d bytes, error %v", name, allocated, err)
		}
	}
}

// TestOthersReadOurONNX lets the reference implementation's checker judge an export, and Python score it by the standard's attributes alone.
func TestOthersReadOurONNX(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, where python3-onnx puts itself
	if err := exec.Command(python, "-c", "import onnx, numpy").Run(); err != nil {
		if os.Getenv("CIDP_REQUIRE_PEERS") == "1" {
			t.Fatal("python3-onnx is not installed, and CIDP_REQUIRE_PEERS=1")
		}
		t.Skip("python3-onnx is not installed")
	}
	f := mustTrain(t, noisy(2000, 6, 1), small())
	rows := noisy(200, 6, 2).X
	dir := t.TempDir()
	path := filepath.Join(dir, "forest.onnx")
	if err := os.WriteFile(path, mustONNX(t, f), 0o644); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, x := range rows {
		fmt.Fprintln(&text, strings.Trim(fmt.Sprint(x), "[]"))
	}
	cmd := exec.Command(python, filepath.Join("testdata", "score_onnx.py"), path)
	cmd.Stdin = &text
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var theirs []float64
	if err := json.Unmarshal(out, &theirs); err != nil || len(theirs) != len(rows) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, x := range rows {
		if p := f.Predict(x); math.Abs(p-theirs[i]) > 1e-6 {
			t.Fatalf("row %v: %v here, %v there", x, p, theirs[i])
		}
	}
}
