package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
)

// explainedRows asks what moved the rows of a table.
func explainedRows(t *testing.T, args ...string) (rows []explainedRow, missing string) {
	t.Helper()
	var out struct {
		Model   string         `json:"model"`
		Missing string         `json:"tree_shap_missing"`
		Rows    []explainedRow `json:"rows"`
	}
	if err := json.Unmarshal([]byte(must(t, append(append([]string{"model", "explain"}, args...), "--json")...)), &out); err != nil {
		t.Fatal(err)
	}
	return out.Rows, out.Missing
}

// TestExplainRows: both explanations of a row add up to its score, each under its name, also where the model is calibrated.
func TestExplainRows(t *testing.T) {
	sequential(t)
	dir := t.TempDir()
	table, plain, mapped := assets(t, dir, "train.csv", 1), filepath.Join(dir, "m.cidpmodel"), filepath.Join(dir, "c.cidpmodel")
	train := []string{"train", "--csv", table, "--label", "fails", "--group", "asset", "--trees", "20", "--positive-weight", "9"}
	must(t, append(train, "--out", plain, "--calibrate", "off")...)
	if said := must(t, append(train, "--out", mapped)...); !strings.Contains(said, "calibration applied: it lowers the Brier score") {
		t.Errorf("training says %s", said)
	}
	shown := must(t, "model", "show", mapped)
	for _, want := range []string{"calibration, isotonic by group: applied", "reliability before: Brier", "reliability after: Brier", "told 0.0 to 0.1:"} {
		if !strings.Contains(shown, want) {
			t.Errorf("show does not say %q", want)
		}
	}
	if shown := must(t, "model", "show", plain); strings.Contains(shown, "reliability before") || strings.Contains(shown, "not known:") {
		t.Errorf("show says %s", shown)
	}
	scores, p := predictions(t, plain, table).P, predictions(t, mapped, table).P
	rows, missing := explainedRows(t, "--model", mapped, "--rows", table)
	if len(rows) != 1200 || missing != "" {
		t.Fatalf("%d rows; %q", len(rows), missing)
	}
	for i, r := range rows {
		if r.Row != i+1 || r.PFailure != p[i] || r.RawScore == nil || *r.RawScore != scores[i] || len(r.Said) != 2 {
			t.Fatalf("row %d: %+v, probability %v, score %v", i+1, r, p[i], scores[i])
		}
		for k, method := range []string{model.MethodPath, model.MethodTreeSHAP} {
			sum := r.Said[k].Base
			for _, part := range r.Said[k].Top {
				sum += part.Contribution
			}
			if r.Said[k].Method != method || math.Abs(sum-scores[i]) > 1e-9 {
				t.Fatalf("row %d: %s adds up to %v, the score is %v", i+1, r.Said[k].Method, sum, scores[i])
			}
		}
	}
	one, _ := explainedRows(t, "--model", plain, "--rows", table, "--row", "25", "--top", "1")
	if len(one) != 1 || one[0].Row != 25 || one[0].RawScore != nil || len(one[0].Said[0].Top) != 1 || !strings.Contains(one[0].Said[0].Top[0].Text, ", usual ") {
		t.Errorf("row 25: %+v", one)
	}
	text := must(t, "model", "explain", "--model", mapped, "--rows", table, "--row", "25")
	for _, want := range []string{"row 25: failure probability", "score before calibration", "path contributions (path), from", "Shapley values (tree_shap), from", "[rise]"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q: %s", want, text)
		}
	}
	refused(t, 2, "there is no row 1201", "model", "explain", "--model", plain, "--rows", table, "--row", "1201")
}

// TestExplainWithoutRows: a forest that does not know its training rows is explained by its paths, and says why not exactly.
func TestExplainWithoutRows(t *testing.T) {
	dir := t.TempDir()
	json := writeFile(t, dir, "f.json", `{"n_features":1,"classes":[0,1],"trees":[{"children_left":[1,-1,-1],"children_right":[2,-1,-1],"feature":[0,-2,-2],"threshold":[0.5,-2,-2],"value":[[0.5,0.5],[1,0],[0,1]]}]}`)
	out, rows := filepath.Join(dir, "f.cidpmodel"), writeFile(t, dir, "rows.csv", "x0\n1\n")
	code, _, said := cidp(t, "model", "import", json, "--out", out)
	if code != 0 || !strings.Contains(said, "not in the file: training rows of the nodes") {
		t.Errorf("import: exit %d, %q", code, said)
	}
	if shown := must(t, "model", "show", out); !strings.Contains(shown, "not known: training rows of the nodes") {
		t.Errorf("show says %s", shown)
	}
	got, missing := explainedRows(t, "--model", out, "--rows", rows)
	if len(got) != 1 || len(got[0].Said) != 1 || got[0].Said[0].Method != model.MethodPath || !strings.Contains(missing, "training rows") {
		t.Errorf("%+v; %q", got, missing)
	}
}

// TestTrainingStops: a cancelled training says so in one line and writes nothing.
func TestTrainingStops(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "m.cidpmodel")
	table := assets(t, dir, "train.csv", 1)
	for _, args := range [][]string{{"train", "--out", out}, {"train", "--csv", table, "--label", "fails", "--group", "asset", "--trees", "60000", "--out", out}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var o, e bytes.Buffer
		code := Main(ctx, args, &o, &e)
		lines := strings.Split(strings.TrimSpace(e.String()), "\n")
		if code != 1 || lines[len(lines)-1] != "cidp: training was stopped; no model was written" {
			t.Errorf("exit %d, %q", code, e.String())
		}
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("there is a model: %v", err)
	}
}
