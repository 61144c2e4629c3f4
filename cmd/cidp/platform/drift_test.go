package platform

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// driftOf asks a running platform over its API, after a look.
func driftOf(t *testing.T, p *Platform) (d console.Drift, text string) {
	t.Helper()
	if err := p.drift.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	text = get(t, p, "/api/v1/drift")
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d, text
}

// TestDriftIsToldAndKept: a fleet that stands in the cold is not what the model was trained with; the API, the metrics and a restart say so alike, and a verdict lets the Brier score be told.
func TestDriftIsToldAndKept(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	if d, _ := driftOf(t, p); d.State != "unknown" || d.Windows != 0 || !strings.Contains(d.Why, "from 1000 on") {
		t.Errorf("before any window: %+v", d)
	}
	c := client(t, p, "depot")
	const sensors, minutes = 10, 125
	from := base() - 4*3_600_000
	for s := range sensors {
		var b strings.Builder
		for at := int64(0); at < minutes*60_000; at += 10_000 {
			fmt.Fprintf(&b, `,{"ts":%d,"temp_c":%.3f,"ambient_c":-30,"speed_kmh":0}`, from+at, -30+0.05*float64((at/10_000+int64(s))%7))
			if b.Len() > 100_000 || at+10_000 >= minutes*60_000 {
				publish(t, c, fmt.Sprintf("cidp/v1/telemetry/douala/loco-%d/axle1-left", s), "["+b.String()[1:]+"]")
				b.Reset()
			}
		}
	}
	d, text := driftOf(t, p)
	if d.State != "look" || d.Windows < model.DriftLeast || d.Windows != ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions`) || len(d.Features) == 0 || !strings.HasPrefix(d.Why, "spread otherwise than in training: look at ") || d.Features[8].Feature != "ambient_mean_c" || d.Features[8].State != "look" || d.Brier.State != "unknown" {
		t.Errorf("drift %s", text)
	}
	if err := p.drift.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	metrics := get(t, p, "/metrics")
	for _, want := range []string{`cidp_drift_looks_total{of="ambient_mean_c"} 1`, `cidp_drift_psi{feature="speed_mean_kmh"}`, "cidp_drift_score_psi ", fmt.Sprintf("cidp_drift_windows %d", d.Windows), "cidp_drift_brier NaN"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	stop()
	verify(t, dir)

	p, stop = start(t, dir, nil)
	if _, again := driftOf(t, p); again != text {
		t.Errorf("after a restart:\n%s\nbefore:\n%s", again, text)
	}
	c = client(t, p, "workshop")
	publish(t, c, "cidp/v1/verdicts/douala/loco-0/axle1-left", fmt.Sprintf(`{"ts":%d,"finding":"failed"}`, from+30*60_000))
	if d, text = driftOf(t, p); d.Brier.State != "unknown" || !strings.Contains(d.Brier.Why, "at 1 sensors") || len(d.Brier.Hours) == 0 || !(d.Brier.Hours[0].Brier > 0) {
		t.Errorf("with a verdict: %s", text)
	}
	read := p.drift.rightness().at
	if _, again := driftOf(t, p); again != text || !p.drift.rightness().at.Equal(read) {
		t.Error("a week of windows is read again, though nothing has changed")
	}
	publish(t, c, "cidp/v1/verdicts/douala/loco-1/axle1-left", fmt.Sprintf(`{"ts":%d,"finding":"failed"}`, from+30*60_000))
	if d, text = driftOf(t, p); !strings.Contains(d.Brier.Why, "at 2 sensors") {
		t.Errorf("with another verdict: %s", text)
	}
	stop()
	verify(t, dir)
}

// TestDriftOfAnImportedModel: one that does not say how its training data were spread is not compared, and the API says why.
func TestDriftOfAnImportedModel(t *testing.T) {
	p, _ := start(t, t.TempDir(), nil)
	forest, err := model.ReadArrays(strings.NewReader(`{"format":"sklearn-rf-dump-1","n_features":2,"classes":[0,1],"n_trees":1,
		"trees":[{"children_left":[1,-1,-1],"children_right":[2,-1,-1],"feature":[1,-2,-2],"threshold":[0.5,-2,-2],"value":[[60,40],[60,0],[0,40]]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	p.drift.follow(forest, nil)
	if d, text := driftOf(t, p); d.State != "unknown" || !strings.Contains(d.Why, "it was imported") || d.Model != forest.ID() {
		t.Errorf("drift %s", text)
	}
	if err := p.drift.look(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDriftFollowsTheModel: windows count for the model that is watched, live or in shadow; another one begins anew, the same one goes on.
func TestDriftFollowsTheModel(t *testing.T) {
	first, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	m := first.Manifest()
	m.Name = "another"
	second, err := first.WithManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	d := newDrift(defaultDriftOver, prometheus.NewRegistry(), zerolog.Nop())
	end := base()
	batch := func() *store.Batch {
		end += 60_000
		w := &stream.Window{Sensor: &stream.Sensor{ID: 1}, Start: end - 60_000, End: end}
		return &store.Batch{Batch: &stream.Batch{Windows: []*stream.Window{w}}, Predictions: []model.Prediction{{WindowID: w.ID(), ModelID: first.ID(), PFailure: 0.25}},
			Shadows: []model.ShadowPrediction{{WindowID: w.ID(), ModelID: second.ID(), PFailure: 0.75}}}
	}
	counted := func() (windows int64, squares float64) {
		r, _, _ := d.report()
		for _, h := range r.Hours {
			squares += h.Squares
		}
		return r.Windows, squares
	}
	b := batch()
	if d.fold(b); b.Drift != nil {
		t.Error("nothing is watched, and something is kept")
	}
	use := &inUse{live: first, shadows: []*model.Forest{second}}
	d.follow(use.watched(), nil)
	b = batch()
	d.fold(b)
	if b.Drift == nil || b.Drift.ModelID != first.ID() || b.Drift.Oldest == 0 || len(b.Drift.Buckets) != 1 {
		t.Errorf("kept %+v", b.Drift)
	}
	d.follow(use.watched(), nil)
	d.fold(batch())
	if n, squares := counted(); n != 2 || squares != 2*0.0625 {
		t.Errorf("%d windows, squares %v", n, squares)
	}
	use = &inUse{shadows: []*model.Forest{second}}
	d.follow(use.watched(), nil)
	b = batch()
	d.fold(b)
	if n, squares := counted(); n != 1 || squares != 0.5625 || b.Drift.ModelID != second.ID() || b.Drift.Oldest == 0 {
		t.Errorf("of the other model %d windows, squares %v, kept %+v", n, squares, b.Drift)
	}
	d.follow((&inUse{}).watched(), nil)
	if _, why, ok := d.report(); ok || !strings.Contains(why, "no model runs") {
		t.Errorf("without a model it says %q", why)
	}
}

// TestDriftMetricsFollowTheModel: what was told of one model is not told of the next, nor of none.
func TestDriftMetricsFollowTheModel(t *testing.T) {
	first, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewRegistry()
	d := newDrift(defaultDriftOver, r, zerolog.Nop())
	d.pages = func() *store.Console { return nil }
	look := func() {
		t.Helper()
		if err := d.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	count := func() {
		end := base()
		for range model.DriftLeast {
			end += 1000
			w := &stream.Window{Sensor: &stream.Sensor{ID: 1}, Start: end - 60_000, End: end}
			d.fold(&store.Batch{Batch: &stream.Batch{Windows: []*stream.Window{w}}, Predictions: []model.Prediction{{WindowID: w.ID(), ModelID: d.id, PFailure: 0.25}}})
		}
		look()
	}
	type told struct{ features, windows, score, looks float64 }
	tell := func() (out told) {
		t.Helper()
		out.score = math.NaN()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			switch m := f.GetMetric(); f.GetName() {
			case "cidp_drift_psi":
				out.features = float64(len(m))
			case "cidp_drift_windows":
				out.windows = m[0].GetGauge().GetValue()
			case "cidp_drift_score_psi":
				out.score = m[0].GetGauge().GetValue()
			case "cidp_drift_looks_total":
				for _, c := range m {
					out.looks += c.GetCounter().GetValue()
				}
			}
		}
		return out
	}
	d.follow(first, nil)
	count()
	one := tell()
	if one.features == 0 || one.windows != model.DriftLeast || math.IsNaN(one.score) || one.looks == 0 {
		t.Errorf("of the first model: %+v", one)
	}
	d.follow(nil, nil)
	look()
	if none := tell(); none.features != 0 || none.windows != 0 || !math.IsNaN(none.score) {
		t.Errorf("without a model: %+v", none)
	}
	m := first.Manifest()
	m.Name = "another"
	second, err := first.WithManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	d.follow(second, nil)
	count()
	if two := tell(); two.looks != 2*one.looks {
		t.Errorf("%v looks at the first model, %v with the second, which sees the same", one.looks, two.looks)
	}
}

// TestDriftBeginsAnew: a model that comes back is counted from then on, in memory and on disk alike, though nothing of the one between them was.
func TestDriftBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	first, second := modeltest.Default(t, modeltest.Passed()), modeltest.Small(t, 1, modeltest.Passed())
	p, stop := start(t, dir, with(t, first))
	if err := models.Put(dir, second); err != nil {
		t.Fatal(err)
	}
	ts := base() - 4*3_600_000
	heat(t, p, "one", ts, 2, 45)
	heat(t, p, "two", ts+2*3_600_000, 2, 45)
	for _, f := range []*model.Forest{second, first} {
		if _, status, text := moveModel(t, p, "activate", f.ID()); status != http.StatusOK {
			t.Fatal(text)
		}
	}
	if d, _ := driftOf(t, p); d.Windows != 0 {
		t.Errorf("%d windows of a model that comes back", d.Windows)
	}
	heat(t, p, "three", ts+3*3_600_000, 1, 45)
	d, text := driftOf(t, p)
	stop()
	verify(t, dir)
	p, _ = start(t, dir, with(t, first))
	if again, after := driftOf(t, p); d.Windows == 0 || again.Windows != d.Windows || after != text {
		t.Errorf("after a restart:\n%s\nbefore:\n%s", after, text)
	}
}
