package model_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/camrail/cidp/model"
)

func TestContributionsAddUp(t *testing.T) {
	f := mustTrain(t, noisy(2000, 10, 1), model.DefaultTrainConfig())
	dst := make([]float64, 10)
	for _, x := range noisy(500, 10, 2).X {
		p := f.Contributions(dst, x)
		sum := f.Base()
		for _, c := range dst {
			sum += c
		}
		if p != f.Predict(x) || math.Abs(sum-p) > 1e-9 {
			t.Fatalf("row %v: base and contributions make %v, probability %v", x, sum, p)
		}
		_, top := f.Explain(x, 3)
		if len(top) != 3 {
			t.Fatalf("%d contributions", len(top))
		}
		for i, c := range top {
			if i > 0 && math.Abs(c.Contribution) > math.Abs(top[i-1].Contribution) {
				t.Fatalf("not by size: %v", top)
			}
			j := int(c.Feature[1] - '0')
			if c.Contribution != dst[j] || math.Float64bits(c.Value) != math.Float64bits(x[j]) {
				t.Fatalf("%+v, but feature %d has value %v and contribution %v", c, j, x[j], dst[j])
			}
			dst[j] = 0
		}
		for j, rest := range dst {
			if math.Abs(rest) > math.Abs(top[2].Contribution) {
				t.Fatalf("feature %d with %v is not among %v", j, rest, top)
			}
		}
	}
}

func TestExplanationNamesWhatMatters(t *testing.T) {
	// Only x1 says anything.
	d := model.Dataset{Schema: numbered(3)}
	for i := range 300 {
		d.X = append(d.X, []float64{5, float64(i % 30), 5})
		d.Y = append(d.Y, label(i%30 > 20))
	}
	f := mustTrain(t, d, small())
	p, top := f.Explain([]float64{5, 29, 5}, 3)
	if len(top) != 1 || top[0].Feature != "x1" || top[0].Value != 29 || math.Abs(f.Base()+top[0].Contribution-p) > 1e-9 {
		t.Errorf("probability %v from base %v is explained by %+v", p, f.Base(), top)
	}
	if _, none := f.Explain([]float64{5, 29, 5}, 0); len(none) != 0 {
		t.Errorf("0 contributions wanted, got %v", none)
	}
}

func TestContributionAsJSON(t *testing.T) {
	in := []model.Contribution{{Feature: "peer_z", Value: math.NaN(), Contribution: 0.25}, {Feature: "mean_c", Value: 81.5, Contribution: -1e-7}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"feature":"peer_z","value":null,"contribution":0.25},{"feature":"mean_c","value":81.5,"contribution":-1e-07}]`
	if string(text) != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
	if own := string(model.AppendExplanation(nil, in)); own != want {
		t.Errorf("AppendExplanation gives %s", own)
	}
	var out []model.Contribution
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if len(out) != 2 || !math.IsNaN(out[0].Value) || out[0].Contribution != 0.25 || out[1] != in[1] {
		t.Errorf("came back as %+v", out)
	}
	mustFail(t, json.Unmarshal([]byte(`[{"value":"hot"}]`), &out), "read contribution")
}
