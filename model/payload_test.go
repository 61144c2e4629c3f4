package model_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// TestPayloads pins every byte of what goes out: names and order are in other people's systems.
func TestPayloads(t *testing.T) {
	s := sensor(stream.Bearing)
	w := window(s, 0, 70)
	w.N, w.Expected, w.Completeness, w.Revision = 57, 60, 0.95, 1
	why := []model.Contribution{{Feature: "mate_diff_c", Value: 31.5, Contribution: 0.4}, {Feature: "peer_z", Value: math.NaN(), Contribution: -0.125}}
	prediction := &model.Prediction{PFailure: 0.7125, Level: model.Alarm, Source: "forest", ModelID: "0123456789abcdef", Explanation: why}
	score := 0.5
	alert := &model.Alert{
		ID: "00ff00ff00ff00ff", State: model.Active, Severity: model.Critical, RaisedAt: w.Start, UpdatedAt: w.End + 1, PFailure: 0.7125, Value: 97.4,
		Rule: "absolute", Reason: "mean temperature 97.4 °C reaches \"alarm\"", Explanation: why, Start: w.Start, End: w.End, ModelID: "0123456789abcdef",
		Method: model.MethodTreeSHAP, Score: &score,
	}
	acked := *alert
	acked.Explanation, acked.Method, acked.Score, acked.Ack = nil, "", nil, &model.Ack{By: "ngo", At: w.End, Note: "line\nbreak"}
	moved := &model.Transition{
		AlertID: alert.ID, At: w.End, Kind: "raised", From: model.Normal, To: model.Alarm, State: model.Active, Cause: "two windows", Actor: "line",
	}
	bad := *w
	bad.Reasons, bad.Detail = []stream.Reason{stream.Gap, stream.Flatline}, "longest gap 30 s"
	const whyText = `[{"feature":"mate_diff_c","value":31.5,"contribution":0.4},{"feature":"peer_z","value":null,"contribution":-0.125}]`
	const names = `"site":"douala","asset":"loco-3301","sensor":"axle3-left"`
	const span = `"window_start":"2025-11-23T12:14:00.000Z","window_end":"2025-11-23T12:15:00.000Z"`
	for name, tt := range map[string]struct{ got, want string }{
		"risk": {string(model.AppendRisk(nil, w, prediction)),
			`{` + names + `,` + span + `,"revision":1,"p_failure":0.7125,"level":"alarm","source":"forest","model":"0123456789abcdef",` +
				`"quality":{"n":57,"expected":60,"completeness":0.95,"verdict":"valid"},"explanation":` + whyText + `,"explanation_method":"path"}`},
		"alert": {string(model.AppendAlert(nil, s, alert)),
			`{"alert_id":"00ff00ff00ff00ff",` + names + `,"state":"active","severity":"critical","raised_at":"2025-11-23T12:14:00.000Z",` +
				`"updated_at":"2025-11-23T12:15:00.001Z","p_failure":0.7125,"value":97.4,"rule":"absolute",` +
				`"reason":"mean temperature 97.4 °C reaches \"alarm\"","explanation":` + whyText + `,"explanation_method":"tree_shap","raw_score":0.5,` +
				span + `,"model":"0123456789abcdef","ack":null}`},
		"acknowledged": {string(model.AppendAlert(nil, s, &acked)),
			`{"alert_id":"00ff00ff00ff00ff",` + names + `,"state":"active","severity":"critical","raised_at":"2025-11-23T12:14:00.000Z",` +
				`"updated_at":"2025-11-23T12:15:00.001Z","p_failure":0.7125,"value":97.4,"rule":"absolute",` +
				`"reason":"mean temperature 97.4 °C reaches \"alarm\"","explanation":[],"explanation_method":null,` + span + `,"model":"0123456789abcdef",` +
				`"ack":{"by":"ngo","at":"2025-11-23T12:15:00.000Z","note":"line\u000abreak"}}`},
		"event": {string(model.AppendEvent(nil, s, moved)),
			`{"event":"alert","event_id":"962bcb02e0c463b6",` + names + `,"alert_id":"00ff00ff00ff00ff","at":"2025-11-23T12:15:00.000Z","kind":"raised",` +
				`"from":"normal","to":"alarm","state":"active","cause":"two windows","actor":"line"}`},
		"quarantine": {string(model.AppendQuarantine(nil, &bad)),
			`{"event":"quarantine","event_id":"88eefcf308643682",` + names + `,"at":"2025-11-23T12:15:00.000Z",` + span + `,"revision":1,` +
				`"reasons":["gap","flatline"],"detail":"longest gap 30 s","quality":{"n":57,"expected":60,"completeness":0.95,"verdict":"quarantined"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got  %s\nwant %s", tt.got, tt.want)
			}
			if !json.Valid([]byte(tt.got)) {
				t.Error("not JSON")
			}
		})
	}
}

// FuzzString writes any string as JSON that reads back as itself, but for bytes that are no UTF-8.
func FuzzString(f *testing.F) {
	f.Add("axle3-left")
	f.Add("\"\\\x00\x1f\x7f\n é°C \u2028 \xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		text := model.AppendString(nil, s)
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%q became %s: %v", s, text, err)
		}
		if utf8.ValidString(s) && back != s {
			t.Fatalf("%q came back as %q", s, back)
		}
	})
}

// TestRiskPhrases: what risks have in common is more than half of each, and the broker can use it.
func TestRiskPhrases(t *testing.T) {
	var pairs []string
	for _, p := range model.RiskPhrases() {
		if len(p) < 3 {
			t.Errorf("%q is too short", p)
		}
		pairs = append(pairs, p, "\x01")
	}
	if n := len(pairs) / 2; n > 31 {
		t.Errorf("there are %d", n)
	}
	w := window(sensor(stream.Bearing), 0, 70)
	w.N, w.Expected, w.Completeness = 60, 60, 1
	usual, score := 45.276165, 0.0001409410118105825
	risk := model.AppendRisk(nil, w, &model.Prediction{PFailure: 0.00002389953974631346, Source: "forest", ModelID: "0123456789abcdef", Score: &score, Explanation: []model.Contribution{
		{Feature: "mean_c", Value: 38.45428571428572, Contribution: -0.008267669922106506, Usual: &usual},
		{Feature: "last_c", Value: 38.47, Contribution: -0.007846698040766568, Usual: &usual}}})
	if left := strings.NewReplacer(pairs...).Replace(string(risk)); 2*len(left) > len(risk) {
		t.Errorf("of %d bytes %d are left: %q", len(risk), len(left), left)
	}
}

// BenchmarkAppendRisk writes a risk payload into a buffer that is used again.
func BenchmarkAppendRisk(b *testing.B) {
	w := window(sensor(stream.Bearing), 0, 70)
	p := &model.Prediction{PFailure: 0.7125, Source: "forest", ModelID: "0123456789abcdef",
		Explanation: []model.Contribution{{Feature: "mate_diff_c", Value: 31.5, Contribution: 0.4}, {Feature: "peer_z", Value: math.NaN(), Contribution: -0.1}}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = model.AppendRisk(buf[:0], w, p)
	}
}

// BenchmarkScore scores, explains and folds one window, by the rules alone, by a forest, and with forests in shadow.
func BenchmarkScore(b *testing.B) {
	forest, err := model.Default()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		live    *model.Forest
		shadows int
	}{{"rules", nil, 0}, {"forest", forest, 0}, {"shadows=1", forest, 1}, {"shadows=4", forest, 4}} {
		b.Run(c.name, func(b *testing.B) {
			scorer, err := model.NewScorer(c.live, model.DefaultRules(), model.DefaultAlertConfig())
			if err == nil {
				scorer, err = scorer.With(c.live, slices.Repeat([]*model.Forest{forest}, c.shadows))
			}
			if err != nil {
				b.Fatal(err)
			}
			w := window(sensor(stream.Bearing), 0, 0)
			w.Features = bearing(60, 25, 2)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := scorer.Score(w, model.Hold{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
