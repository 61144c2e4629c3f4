package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
)

// must runs a command that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errOut := cidp(t, args...)
	if code != 0 {
		t.Fatalf("cidp %s: exit %d: %s", strings.Join(args, " "), code, errOut)
	}
	return out
}

// refused runs a command that has to fail with one line.
func refused(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	got, _, errOut := cidp(t, args...)
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	if last := lines[len(lines)-1]; got != code || !strings.Contains(last, says) || !strings.HasPrefix(last, "cidp: ") {
		t.Errorf("cidp %s: exit %d, want %d; stderr %q, want %q", strings.Join(args, " "), got, code, errOut, says)
	}
}

// predictions asks for the probabilities of a table.
func predictions(t *testing.T, modelFile, rows string, more ...string) predicted {
	t.Helper()
	var p predicted
	if err := json.Unmarshal([]byte(must(t, append([]string{"model", "predict", "--model", modelFile, "--rows", rows, "--json"}, more...)...)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// assets is a table of 40 assets with 30 rows each, half of which heat up towards their failure; cycle and left are what a careless table brings along.
func assets(t *testing.T, dir, name string, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 3))
	var b strings.Builder
	b.WriteString("rise,noise,asset,cycle,left,fails\n")
	for a := range 40 {
		for k := range 30 {
			fails := a%2 == 0 && k >= 20
			rise := rng.NormFloat64()
			if fails {
				rise += 2
			}
			noise := fmt.Sprintf("%.4f", rng.NormFloat64())
			if k%11 == 3 {
				noise = ""
			}
			fmt.Fprintf(&b, "%.4f,%s,a%d,%d,%d,%t\n", rise, noise, a, k, 200-k-a, fails)
		}
	}
	return writeFile(t, dir, name, b.String())
}

func TestTrainOnATable(t *testing.T) {
	dir := t.TempDir()
	table, test, out := assets(t, dir, "train.csv", 1), assets(t, dir, "test.csv", 2), filepath.Join(dir, "m.cidpmodel")
	args := []string{"train", "--csv", table, "--label", "fails", "--group", "asset", "--test", test, "--trees", "30", "--out", out, "--json"}
	var said trained
	if err := json.Unmarshal([]byte(must(t, args...)), &said); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(said.Features, []string{"rise", "noise"}) || len(said.LeftOut) != 2 || !strings.Contains(strings.Join(said.LeftOut, " "), "--keep cycle") {
		t.Errorf("features %q, left out %q", said.Features, said.LeftOut)
	}
	m := said.Manifest
	if m.Folds == nil || m.Folds.Split != model.ByGroup || len(m.Folds.Folds) != 5 || m.Folds.Pooled.Groups != 40 || m.HeldOut == nil || m.RowOOB == nil ||
		m.HeldOut.ROCAUC < 0.8 || m.HeldOut.Groups != 40 || m.Groups != 40 || said.TrainSeconds <= 0 {
		t.Errorf("manifest %+v", m)
	}
	// The saved file gives the figure again.
	p := predictions(t, out, test, "--label", "fails")
	if p.Evaluation == nil || p.Evaluation.PRAUC != m.HeldOut.PRAUC || p.Evaluation.ROCAUC != m.HeldOut.ROCAUC || p.Model != said.Model {
		t.Errorf("predict measures %+v, training said %+v", p.Evaluation, m.HeldOut)
	}
	if lines := strings.Fields(must(t, "model", "predict", "--model", out, "--rows", test)); len(lines) != 1200 || lines[7] != fmt.Sprint(p.P[7]) {
		t.Errorf("%d lines, the eighth %q for %v", len(lines), lines[7], p.P[7])
	}
	if shown := must(t, "model", "show", out); !strings.Contains(shown, said.Model) || !strings.Contains(shown, "by name: rise noise") {
		t.Errorf("show says %s", shown)
	}
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	must(t, append(args, "--threads", "1")...)
	if after, err := os.ReadFile(out); err != nil || string(after) != string(before) {
		t.Errorf("on one thread the file is another (%v)", err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	days := "day,x,y\n"
	for i := range 400 {
		x := rng.NormFloat64()
		days += fmt.Sprintf("2024-01-%02d 0%d:00:00,%.4f,%d\n", 1+i*29/400, i%9, x, min(max(int(x+rng.NormFloat64()), 0), 1))
	}
	byTime := must(t, "train", "--csv", writeFile(t, dir, "days.csv", days), "--label", "y", "--time", "day", "--gap", "3600000", "--trees", "10", "--out", out)
	if !strings.Contains(byTime, "folds by time: ROC-AUC") || !strings.Contains(byTime, "out of bag by row (flatters") {
		t.Errorf("by time it says %s", byTime)
	}
}

func TestTrainRefusesWhatFlatters(t *testing.T) {
	dir := t.TempDir()
	table, out := assets(t, dir, "train.csv", 1), filepath.Join(dir, "m.cidpmodel")
	train := func(more ...string) []string {
		return append([]string{"train", "--csv", table, "--out", out, "--trees", "5"}, more...)
	}
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	leaky := strings.ReplaceAll(strings.ReplaceAll(strings.Replace(string(text), "fails\n", "fails,found\n", 1), ",true\n", ",true,1\n"), ",false\n", ",false,0\n")
	leak := writeFile(t, dir, "leak.csv", leaky)
	words := writeFile(t, dir, "words.csv", strings.Replace(string(text), ",a3,1,", ",a3,one,", 1))

	refused(t, 2, "a random split of rows is refused", train("--label", "fails")...)
	refused(t, 2, "--split row is refused", train("--label", "fails", "--group", "asset", "--split", "row")...)
	refused(t, 2, "--split hunch is not known", train("--label", "fails", "--group", "asset", "--split", "hunch")...)
	refused(t, 2, "needs --time", train("--label", "fails", "--group", "asset", "--split", "time")...)
	refused(t, 2, "needs --label", train("--group", "asset")...)
	refused(t, 2, "give it with --csv", "train", "--label", "fails", "--group", "asset")
	refused(t, 1, `there is no column "fault"`, train("--label", "fault", "--group", "asset")...)
	refused(t, 1, `there is no column "asst"`, train("--label", "fails", "--group", "asset", "--drop", "asst")...)
	refused(t, 1, `"a0" is not a number; leave the column out with --drop`, train("--label", "fails", "--time", "cycle")...)
	refused(t, 1, "line 2: label", train("--label", "rise", "--group", "asset")...)
	refused(t, 1, "5 groups do not make 9 folds", "train", "--csv", writeFile(t, dir, "few.csv", "x,g,y\n"+strings.Repeat("1,a,0\n2,b,1\n3,c,0\n2,d,1\n1,e,0\n", 9)),
		"--label", "y", "--group", "g", "--folds", "9", "--out", out)
	table = leak
	refused(t, 1, `the column "found" tells the label exactly`, train("--label", "fails", "--group", "asset")...)
	must(t, train("--label", "fails", "--group", "asset", "--drop", "found")...)
	must(t, train("--label", "fails", "--group", "asset", "--keep", "found")...)
	table = words
	refused(t, 1, `line 93, column "cycle": "one" is not a number`, train("--label", "fails", "--group", "asset")...)
	table = filepath.Join(dir, "none.csv")
	refused(t, 1, "none.csv: the file does not exist", train("--label", "fails", "--group", "asset")...)

	// With the caller's word rows may be parted at random.
	table = assets(t, dir, "train.csv", 1)
	if out := must(t, train("--label", "fails", "--split", "row", "--independent-rows", "--drop", "asset")...); !strings.Contains(out, "folds by row") {
		t.Errorf("%s", out)
	}
}

// elsewhere is a forest of two inputs without names: the first decides, then the second.
const elsewhere = `{"format":"sklearn-rf-dump-1","sklearn":"1.2.1","n_features":2,"classes":[0,1],"n_trees":1,"trees":[{"children_left":[1,-1,3,-1,-1],
"children_right":[2,-1,4,-1,-1],"feature":[0,-2,1,-2,-2],"threshold":[0.5,-2,7,-2,-2],"value":[[3,1],[4,0],[1,1],[1,3],[3,1]]}]}`

func TestModelsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, "model", "import", writeFile(t, dir, "forest.json", elsewhere), "--out", at("m"))
	want := []float64{0, 0.75, 0.25}
	for name, text := range map[string]string{
		"no header": "0,9\n1,7\n1,7.5\n", "any header": "a,b\n0,9\n1,7\n1,7.5\n", "own header": "x1,note,x0\n9,?,0\n7,?,1\n7.5,?,1\n", "missing": "a,b\n0,\n1,7\n,NaN\n",
	} {
		if p := predictions(t, at("m"), writeFile(t, dir, "rows.csv", text)).P; !slices.Equal(p, want) {
			t.Errorf("%s: %v", name, p)
		}
	}
	for _, form := range []string{"e.onnx", "e.json", "e.json.gz", "e.onnx.gz"} {
		must(t, "model", "export", at("m"), "--out", at(form))
		must(t, "model", "import", at(form), "--out", at("back"))
		a, errA := os.ReadFile(at("m"))
		b, errB := os.ReadFile(at("back"))
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("through %s the model is another (%v, %v)", form, errA, errB)
		}
	}
	must(t, "model", "import", at("forest.json"), "--out", at("named"), "--names", "temp,load", "--name", "trial")
	if p := predictions(t, at("named"), writeFile(t, dir, "rows.csv", "load,temp\n9,0\n7,1\n7.5,1\n")).P; !slices.Equal(p, want) {
		t.Errorf("by name: %v", p)
	}
	var s shown
	if err := json.Unmarshal([]byte(must(t, "model", "show", at("named"), "--json")), &s); err != nil || s.Manifest.Name != "trial" || s.Features[1].Name != "load" ||
		!strings.Contains(s.Manifest.Source, "scikit-learn 1.2.1, file of SHA-256 ") || s.Nodes != 5 || s.Depth != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if out := must(t, "model", "show"); !strings.Contains(out, "over_ambient") && !strings.Contains(out, "inputs, by name: kind") {
		t.Errorf("the default model: %s", out)
	}
	predict := func(modelFile, rows string) []string {
		return []string{"model", "predict", "--model", modelFile, "--rows", writeFile(t, dir, "rows.csv", rows)}
	}
	refused(t, 1, "by position and the file has 3 columns", predict(at("m"), "a,b,c\n1,2,3\n")...)
	refused(t, 1, `no column "load"`, predict(at("named"), "temp,lod\n1,2\n")...)
	refused(t, 1, "no header", predict(at("named"), "1,2\n")...)
	refused(t, 1, `line 3, field 2: "x" is not a number`, predict(at("m"), "a,b\n1,2\n1,x\n")...)
	refused(t, 1, "line 3", predict(at("m"), "a,b\n1,2\n1\n")...)
	refused(t, 1, "the file is empty", predict(at("m"), "")...)
	refused(t, 1, "does not exist", "model", "predict", "--model", at("none"), "--rows", at("rows.csv"))
	refused(t, 1, "not a CIDP model file", "model", "show", at("forest.json"))
	refused(t, 1, "already", "model", "import", at("m"), "--out", at("x"))
	refused(t, 1, "not a protocol buffers message", "model", "import", writeFile(t, dir, "notes.txt", "these are notes"), "--out", at("x"))
	refused(t, 1, "cut short", "model", "import", writeFile(t, dir, "cut.json", elsewhere[:90]), "--out", at("x"))
	refused(t, 2, `cannot be written as "pmml"`, "model", "export", at("m"), "--out", at("e.pmml"))
	for _, command := range []string{"import", "export", "show", "predict"} {
		if out := must(t, "model", command, "--help"); !strings.Contains(out, "Example:") {
			t.Errorf("model %s --help: %q", command, out)
		}
	}
}

// TestGoldenForestsThroughTheCommands imports and scores each golden forest as a user would.
func TestGoldenForestsThroughTheCommands(t *testing.T) {
	sequential(t)
	files, err := filepath.Glob(filepath.Join(shared(t, "vectors/forest"), "*_rf_*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden forests: %v", err)
	}
	dir := t.TempDir()
	for _, path := range files {
		name, _, _ := strings.Cut(filepath.Base(path), "_rf_")
		in, done, err := openPlain(shared(t, "vectors/forest/"+name+"_test_rows.json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		var rows struct {
			Rows  [][]float64 `json:"rows"`
			Proba []float64   `json:"proba1"`
		}
		err = json.NewDecoder(in).Decode(&rows)
		done()
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, x := range rows.Rows {
			text.WriteString(strings.ReplaceAll(strings.Trim(fmt.Sprint(x), "[]"), " ", ",") + "\n")
		}
		must(t, "model", "import", path, "--out", filepath.Join(dir, "m"))
		p := predictions(t, filepath.Join(dir, "m"), writeFile(t, dir, "rows.csv", text.String())).P
		if len(p) != len(rows.Proba) {
			t.Fatalf("%s: %d probabilities for %d rows", path, len(p), len(rows.Proba))
		}
		for i := range p {
			if math.Abs(p[i]-rows.Proba[i]) > 1e-6 {
				t.Fatalf("%s, row %d: %v, scikit-learn %v", path, i, p[i], rows.Proba[i])
			}
		}
	}
}

// TestRealEnginesThroughTheCommands is the measure: trained on run-to-failure data of 100 engines, tested on 100 others.
func TestRealEnginesThroughTheCommands(t *testing.T) {
	sequential(t)
	train, test := shared(t, "data/cmapss/thermal_windows_train.csv.gz"), shared(t, "data/cmapss/thermal_windows_test.csv.gz")
	out := filepath.Join(t.TempDir(), "engines.cidpmodel")
	var said trained
	if err := json.Unmarshal([]byte(must(t, "train", "--csv", train, "--label", "fails_within_30", "--group", "u", "--test", test, "--out", out, "--json")), &said); err != nil {
		t.Fatal(err)
	}
	if len(said.Features) != 18 || slices.Contains(said.Features, "t") || slices.Contains(said.Features, "rul") {
		t.Errorf("features %q", said.Features)
	}
	p := predictions(t, out, test, "--label", "fails_within_30")
	if p.Evaluation.PRAUC < 0.84 || p.Evaluation.PRAUC != said.Manifest.HeldOut.PRAUC {
		t.Errorf("predict says PR-AUC %v, training %v, at least 0.84 is wanted", p.Evaluation.PRAUC, said.Manifest.HeldOut.PRAUC)
	}
	t.Logf("unseen engines: %+v; folds by engine: %+v", *p.Evaluation, said.Manifest.Folds.Pooled)
}
