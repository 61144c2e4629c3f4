package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

const (
	start  = int64(1_700_000_040_000)
	minute = int64(60_000)
)

// small is twenty minutes of three assets with a sensor each. x fails at minute 20 and scores 0.8 from its sixth window on; y is sound and scores 0.6 in two windows; z fails at minute 15 and
// nobody sees it. A window is positive when its sensor fails within ten minutes.
func small() report.Input {
	in := report.Input{Title: "Three sensors", Model: report.Model{ID: "0123456789abcdef", Name: "<script>alert(1)</script>"}, Budget: 500, Seed: 1,
		Data:   report.Data{Source: "windows by hand", Labels: "by hand", Unit: report.Windows, Windows: 61, Quarantined: 1, HorizonMin: 10, FromMs: start, ToMs: start + 20*minute},
		Schema: []stream.Feature{{Name: "tells_all"}, {Name: "tells_nothing"}}, Predict: func(x []float64) float64 { return x[0] },
		Match: model.DefaultMatchConfig(),
		Failures: []model.Failure{
			{Site: "s", Asset: "x", Sensor: "axle1", Kind: stream.Bearing, Fault: "spall", Onset: start + 2*minute, At: start + 20*minute},
			{Site: "s", Asset: "z", Sensor: "axle1", Kind: stream.Bearing, Fault: "seal_rub", Onset: start + minute, At: start + 15*minute},
		}}
	in.Match.Lead, in.Match.AssetHours, in.Match.From, in.Match.To = 10*time.Minute, 1, start, start+20*minute+1
	forest := report.Candidate{Name: report.Forest, What: "by hand", Probability: true}
	silent := report.Candidate{Name: "absolute", What: "a rule alone"}
	for k := range int64(20) {
		for g, asset := range []string{"x", "y", "z"} {
			score := []float64{0.1, 0.05, 0.02}[g]
			switch {
			case asset == "x" && k >= 5:
				score = 0.8
			case asset == "y" && (k == 10 || k == 11):
				score = 0.6
			}
			end := k + 1
			y := uint8(0)
			if asset == "x" && end >= 10 || asset == "z" && end >= 5 && end <= 15 {
				y = 1
			}
			in.Rows = append(in.Rows, report.Row{Place: report.Place{Site: "s", Asset: asset, Sensor: "axle1"}, Kind: stream.Bearing, Start: start + k*minute, End: start + end*minute,
				X: []float64{score, 7}, Y: y, Known: asset != "z" || end <= 15, Group: int32(g)})
			forest.Scores, silent.Scores = append(forest.Scores, score), append(silent.Scores, math.NaN())
		}
	}
	warning := func(asset string, raised int64) model.Warning {
		return model.Warning{Site: "s", Asset: asset, Sensor: "axle1", Kind: stream.Bearing, Raised: start + raised*minute, Severity: model.Alarm, Source: report.Forest}
	}
	in.Line = &report.Warned{Warnings: []model.Warning{warning("x", 7), warning("y", 12)}}
	forest.Warned = in.Line
	in.Candidates = []report.Candidate{forest, silent}
	return in
}

// TestFiguresByHand checks every kind of figure of the JSON against ones worked out by hand.
func TestFiguresByHand(t *testing.T) {
	r, err := report.Make(small())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"data.rows": 60.0, "data.labelled": 55.0, "data.positives": 22.0, "data.failures": 2.0, "data.assets": 3.0, "data.asset_hours": 1.0,
		// 11 of the 22 positive rows score 0.8, with 4 of the 33 negative ones; 11 score lowest, with 4 negative ones: (11·(29+4/2) + 11·4/2) / (22·33)
		"candidates.0.rows.roc_auc": 0.5,
		// half of the recall at 11 of 15, half at 22 of 55
		"candidates.0.rows.pr_auc": 0.566667,
		"candidates.1.rows.brier":  nil,
		// two windows at 0.8 from minute 5 on: raised at 7, 13 minutes ahead; the false one goes above 0.6
		"candidates.0.sweep.59":                   map[string]any{"threshold": 0.6, "warned_share": 0.5, "false_rate": 1000.0, "median_lead_min": 13.0},
		"candidates.0.sweep.60":                   map[string]any{"threshold": 0.61, "warned_share": 0.5, "false_rate": 0.0, "median_lead_min": 13.0},
		"candidates.0.sweep.80.warned_share":      0.0,
		"candidates.0.at_budget.threshold":        0.61,
		"candidates.0.at_budget.confusion":        map[string]any{"true_positive": 11.0, "false_positive": 4.0, "false_negative": 11.0, "true_negative": 29.0},
		"candidates.0.configured.warned":          1.0,
		"candidates.1.rows.roc_auc":               0.5,
		"candidates.1.at_budget.figures.failures": 2.0,
		"line.all.warned":                         1.0,
		"line.all.missed":                         1.0,
		"line.all.median_lead_min":                13.0,
		"line.all.false_per_1000_asset_hours":     1000.0,
		"line.by_fault.1.name":                    "seal_rub",
		"line.by_fault.1.missed":                  1.0,
		"line.missed.0":                           map[string]any{"site": "s", "asset": "z", "sensor": "axle1", "kind": "bearing", "fault": "seal_rub", "onset_ms": float64(start + minute), "at_ms": float64(start + 15*minute), "outcome": "missed"},
		"line.false.0":                            map[string]any{"site": "s", "asset": "y", "sensor": "axle1", "kind": "bearing", "raised_ms": float64(start + 12*minute), "severity": "alarm", "source": "forest", "meaning": "sound"},
		"importance.base":                         0.566667,
		"importance.columns.1":                    map[string]any{"name": "tells_nothing", "drop": 0.0, "least": 0.0, "most": 0.0},
		"importance.columns.0.name":               "tells_all",
		"verdict": "Of 2 failures, 1 (50 %) was warned of at least 10 min ahead, with a median lead of 13 min; 0 were warned of too late and 1 not at all; 1 false alarm in 1 asset-hours, 1000 per 1,000; " +
			"with at most 500 false alarms per 1,000 asset-hours the forest alone warns of more than the best of the rules (50 % against 0 % by absolute).",
	} {
		if v := at(got, strings.Split(path, ".")); !reflect.DeepEqual(v, want) {
			t.Errorf("%s: %v, want %v", path, v, want)
		}
	}
	if drop := r.Importance.Columns[0].Drop; !(drop > 0.05) {
		t.Errorf("the column that tells all costs %v", drop)
	}
}

// at follows a path of keys and positions.
func at(v any, path []string) any {
	for _, key := range path {
		switch of := v.(type) {
		case map[string]any:
			v = of[key]
		case []any:
			i := 0
			for _, c := range key {
				i = 10*i + int(c-'0')
			}
			if i >= len(of) {
				return nil
			}
			v = of[i]
		}
	}
	return v
}

// TestTrialSaysOfHowMany: a trial leaves out windows that no rule can judge, so its figures are not those of the table beside it, and the page says so.
func TestTrialSaysOfHowMany(t *testing.T) {
	for ranked, said := range map[int]bool{40: true, 55: false} {
		in := small()
		in.Trial = &model.Trial{Why: "by hand", Rows: ranked}
		r, err := report.Make(in)
		if err != nil {
			t.Fatal(err)
		}
		var page bytes.Buffer
		if err := report.WriteHTML(&page, r); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(page.String(), "It ranks the 40 of 55 labelled windows"); got != said || r.Data.Labelled != 55 {
			t.Errorf("%d of %d windows ranked: said %v", ranked, r.Data.Labelled, got)
		}
	}
}

// TestPageStandsAlone: the page is well-formed, the same each time, fetches nothing, and says in words what its plots and tables are.
func TestPageStandsAlone(t *testing.T) {
	var pages [2]bytes.Buffer
	for i := range pages {
		r, err := report.Make(small())
		if err != nil {
			t.Fatal(err)
		}
		if err := report.WriteHTML(&pages[i], r); err != nil {
			t.Fatal(err)
		}
	}
	page := pages[0].String()
	if page != pages[1].String() {
		t.Error("the same input gave two pages")
	}
	for _, bad := range []string{"http:", "https:", "src=", "url(", "<link", "<script", "@import", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for open, with := range map[string]string{`<svg viewBox="0 0 380`: "<desc ", "<table>": "<caption>"} {
		if n, m := strings.Count(page, open), strings.Count(page, with); n == 0 || n != m {
			t.Errorf("%d of %s, %d of %s", n, open, m, with)
		}
	}
	for _, want := range []string{"&lt;script&gt;", "Of 2 failures, 1 (50 %)", "What the figures do not say", "ROC curve", "Precision and recall", "Reliability", "Lead time", "False alarms by threshold",
		"Warned in time against false alarms", "Single columns", "s/z/axle1", "s/y/axle1", "2023-11-14 22:29:00", "seal rub", "prefers-color-scheme:dark", "@media print"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
	}
}

// TestTableHasNoAlerts: rows without event time have curves, a confusion within the budget, and nothing of alerts.
func TestTableHasNoAlerts(t *testing.T) {
	in := small()
	in.Match, in.Line, in.Failures, in.Budget = model.MatchConfig{}, nil, nil, 130 // of 33 negative rows: 4
	in.Data = report.Data{Source: "a table", Unit: report.Rows}
	r, err := report.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	want := report.Confusion{TruePositive: 11, FalsePositive: 4, FalseNegative: 11, TrueNegative: 29}
	f := r.Candidates[0]
	if f.AtBudget == nil || f.AtBudget.Confusion != want || f.AtBudget.WarnedShare != 0.5 || f.AtBudget.FalseRate != 121.212121 || len(f.Sweep) != 0 || r.Line != nil {
		t.Errorf("%+v", f.AtBudget)
	}
	if !strings.HasPrefix(r.Verdict, "On 55 rows of 3 assets, 22 of them positive, the average precision is 0.567 and the ROC area 0.500") {
		t.Error(r.Verdict)
	}
	var page bytes.Buffer
	if err := report.WriteHTML(&page, r); err != nil || strings.Contains(page.String(), "What it misses") {
		t.Errorf("%v", err)
	}
	in.Budget = 1 // none: no threshold parts the 4 negative rows at the top from the positive ones
	if r, err = report.Make(in); err != nil || r.Candidates[0].AtBudget != nil {
		t.Errorf("%v, %+v", err, r.Candidates[0].AtBudget)
	}
}

// TestOneClassIsSaid: where nothing can be ranked, that is what is said.
func TestOneClassIsSaid(t *testing.T) {
	in := small()
	for i := range in.Rows {
		in.Rows[i].Y = 0
	}
	r, err := report.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Candidates[0]; f.Rows != nil || f.ROC != nil || r.Importance != nil || f.Reliability == nil {
		t.Errorf("%+v", f)
	}
	var page bytes.Buffer
	if err := report.WriteHTML(&page, r); err != nil {
		t.Fatal(err)
	}
	in.Failures = nil
	if r, err = report.Make(in); err != nil || !strings.HasPrefix(r.Verdict, "No failure lies within the time observed") {
		t.Errorf("%v, %v", err, r)
	}
}

func TestInputThatDoesNotFitIsRefused(t *testing.T) {
	for want, spoil := range map[string]func(in *report.Input){
		"there is no row":                  func(in *report.Input) { in.Rows = nil },
		"nobody scored":                    func(in *report.Input) { in.Candidates = nil },
		"forest has 59 scores for 60":      func(in *report.Input) { in.Candidates[0].Scores = in.Candidates[0].Scores[1:] },
		"row 3 has 1 values":               func(in *report.Input) { in.Rows[3].X = []float64{1} },
		"a budget of 0":                    func(in *report.Input) { in.Budget = 0 },
		"fails at":                         func(in *report.Input) { in.Failures[0].At = start },
		"row 0 has probability 2":          func(in *report.Input) { in.Candidates[0].Scores[0] = 2 },
		"a fault of a sensor has no failu": func(in *report.Input) { in.Failures[0].OfSensor = true },
	} {
		in := small()
		spoil(&in)
		if _, err := report.Make(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
