package platform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/model"
)

// moveModel asks a running platform over its API to move a model, and gives the answer's status and text.
func moveModel(t *testing.T, p *Platform, action, id string) (r console.ModelResult, status int, text string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"id": id, "by": "ngo", "note": "in a test"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post("http://"+p.HTTPAddr()+"/api/v1/models/"+action, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	return r, res.StatusCode, string(raw)
}

// registered reads the registry over the API.
func registered(t *testing.T, p *Platform) (page console.ModelPage) {
	t.Helper()
	if text := get(t, p, "/api/v1/models"); json.Unmarshal([]byte(text), &page) != nil {
		t.Fatalf("registry: %s", text)
	}
	return page
}

// with starts with a model.
func with(t *testing.T, f *model.Forest) func(*Config) {
	t.Helper()
	path := modeltest.File(t, f)
	return func(c *Config) { c.ModelFile = path }
}

// heat publishes a minute of a bearing that grows hot, window after window, and a reading that closes it.
func heat(t *testing.T, p *Platform, client2 string, ts int64, minutes int, from float64) {
	t.Helper()
	c := client(t, p, client2)
	for m := range minutes {
		at := ts + int64(m)*60_000
		publish(t, c, sensorOne, series(at, 60, func(i int) float64 { return from + 3*float64(m) + 0.05*float64(i) + steady(i) - 45 }))
	}
	publish(t, c, sensorOne, fmt.Sprintf(`{"ts":%d,"temp_c":%.1f}`, ts+int64(minutes)*60_000+10_500, from))
}

// TestRulesSpeakAlone: a model that did not pass its trial runs in shadow, predictions are the rules', and everybody who asks is told why.
func TestRulesSpeakAlone(t *testing.T) {
	dir := t.TempDir()
	f := modeltest.Default(t, modeltest.Failed())
	p, stop := start(t, dir, with(t, f))
	ts := base()
	heat(t, p, "hot", ts, 4, 95)
	for _, q := range []struct{ sql, what string }{
		{`SELECT count(*) = 4 AND count(DISTINCT model_id) = 1 AND min(model_id) = 'rules' AND sum(p_failure = rule_score) = 4 AND min(source) = 'absolute' AND max(level) <> 'normal' FROM ai_telemetry_predictions`, "predictions are the rules'"},
		{`SELECT count(*) = 4 FROM ai_telemetry_predictions WHERE json_extract(explanation, '$[0].feature') = 'mean_c' AND json_extract(explanation, '$[0].value') > 90 AND json_extract(explanation, '$[0].contribution') = rule_score`, "the explanation is what the rule looked at"},
		{`SELECT count(*) = 4 FROM shadow_prediction WHERE model_id = '` + f.ID() + `'`, "the forest scores in shadow"},
		{`SELECT count(*) = 1 FROM alert WHERE model_id = 'rules' AND rule = 'absolute'`, "the rules raise alerts"},
		{`SELECT count(*) = 1 FROM model WHERE model_id = 'rules' AND state = 'active'`, "the rules are active"},
	} {
		if ask(t, dir, q.sql) != 1 {
			t.Errorf("not so: %s", q.what)
		}
	}
	page := registered(t, p)
	if page.Live != model.RulesID || len(page.Models) != 1 || page.Models[0].State != "shadow" || !page.Models[0].InForce || !strings.Contains(page.Models[0].Why, "missed 9 of 40") || page.Models[0].Compared.Windows != 4 {
		t.Errorf("registry: %+v", page)
	}
	for path, want := range map[string]string{
		"/api/v1/summary":          `"model":"rules"`,
		"/metrics":                 `cidp_model_info{model_id="` + f.ID() + `",state="shadow"} 1`,
		"/api/v1/models/" + f.ID(): `"passed":false`,
		"/api/v1/sensors/douala/loco-1/axle1-left": `"explanation_method":"rule"`,
		"/api/v1/models/0123456789":                "no such model",
	} {
		if text := get(t, p, path); !strings.Contains(text, want) {
			t.Errorf("%s does not say %s: %.400s", path, want, text)
		}
	}
	for _, want := range []string{`cidp_model_info{model_id="rules",state="active"} 1`, `cidp_shadow_predictions_total{model_id="` + f.ID() + `"} 4`, `cidp_shadow_disagreements_total{model_id="` + f.ID() + `"} `} {
		if m := get(t, p, "/metrics"); !strings.Contains(m, want) {
			t.Errorf("/metrics does not say %s", want)
		}
	}
	if r, status, text := moveModel(t, p, "activate", f.ID()); status != http.StatusOK || r.State != "shadow" || r.Changed || !strings.Contains(r.Why, "missed 9 of 40") {
		t.Errorf("activate: %d %s", status, text)
	}
	stop()
	verify(t, dir)
}

// TestTrialHeldLater lets a model go live that had none when it was trained, over a restart.
func TestTrialHeldLater(t *testing.T) {
	dir := t.TempDir()
	f := modeltest.Default(t, nil)
	p, stop := start(t, dir, with(t, f))
	trial := modeltest.Passed()
	trial.ModelID = f.ID()
	text, err := json.Marshal(trial)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(models.TrialPath(dir, f.ID()), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if m := registered(t, p).Models[0]; m.State != "shadow" || !strings.Contains(m.Why, "may go live") {
		t.Errorf("before it is activated: %+v", m)
	}
	if r, status, text := moveModel(t, p, "activate", f.ID()); status != http.StatusOK || r.State != "active" || !r.Changed {
		t.Fatalf("activate: %d %s", status, text)
	}
	ts := base()
	heat(t, p, "one", ts, 2, 45)
	stop()
	if err := os.Remove(models.TrialPath(dir, f.ID())); err != nil { // what counted then is recorded
		t.Fatal(err)
	}
	p, stop = start(t, dir, with(t, f))
	heat(t, p, "two", ts+180_000, 2, 45)
	if page := registered(t, p); page.Live != f.ID() || !strings.Contains(page.Why, "missed 1 of 40") {
		t.Errorf("after the restart: %+v", page)
	}
	stop()
	verify(t, dir)
	if n := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions WHERE model_id <> ?`, f.ID()); n != 0 {
		t.Errorf("%d predictions by another model", n)
	}
	if n := ask(t, dir, `SELECT count(*) FROM shadow_prediction`); n != 0 {
		t.Errorf("%d shadow predictions of the live model", n)
	}
}

// TestLostModels: what is in force and cannot be read is not used. The rules go on, the status says why, and nothing stops.
func TestLostModels(t *testing.T) {
	dir := t.TempDir()
	live, shadow := modeltest.Default(t, modeltest.Passed()), modeltest.Small(t, 1, nil)
	first := modeltest.Small(t, 2, nil)
	p, stop := start(t, dir, with(t, live))
	if err := models.Put(dir, shadow); err != nil {
		t.Fatal(err)
	}
	if _, status, text := moveModel(t, p, "shadow", shadow.ID()); status != http.StatusOK {
		t.Fatal(text)
	}
	ts := base()
	heat(t, p, "one", ts, 1, 45)
	stop()
	for _, id := range []string{live.ID(), shadow.ID()} {
		if err := os.WriteFile(models.Path(dir, id), []byte("CIDPFRST torn"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, stop = start(t, dir, with(t, first)) // which comes into shadow
	heat(t, p, "two", ts+120_000, 2, 45)
	s := p.status.now()
	if why := strings.Join(s.Reasons, " "); s.State != "degraded" || s.Model != model.RulesID || !strings.Contains(why, "the rules of physics speak alone") || !strings.Contains(why, "cut short") {
		t.Errorf("status %+v", s)
	}
	res, err := http.Get("http://" + p.HTTPAddr() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("/readyz %d: readings are taken and committed", res.StatusCode)
	}
	page := registered(t, p)
	if page.Live != model.RulesID || page.Models[0].InForce || !strings.Contains(page.Models[0].Problem, "cut short") {
		t.Errorf("registry %+v", page)
	}
	if _, status, text := moveModel(t, p, "activate", live.ID()); status != http.StatusConflict || !strings.Contains(text, "cut short") {
		t.Errorf("activate a torn file: %d %s", status, text)
	}
	if n := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions WHERE start_ms >= ? AND model_id = 'rules'`, fmt.Sprint(ts+120_000)); n != 2 {
		t.Errorf("%d windows scored by the rules, want 2", n)
	}
	for _, f := range []*model.Forest{live, shadow} { // the files come back
		if err := models.Put(dir, f); err != nil {
			t.Fatal(err)
		}
	}
	if r, status, text := moveModel(t, p, "activate", live.ID()); status != http.StatusOK || r.State != "active" || r.Changed {
		t.Errorf("activate again: %d %s", status, text)
	}
	if s := p.status.now(); s.State != "online" || s.Model != live.ID() || !strings.Contains(strings.Join(s.Reasons, ""), shadow.ID()) {
		t.Errorf("status with a shadow that is not back yet: %+v", s)
	}
	if _, status, text := moveModel(t, p, "shadow", shadow.ID()); status != http.StatusOK {
		t.Errorf("shadow again: %s", text)
	}
	if s := p.status.now(); len(s.Reasons) != 0 {
		t.Errorf("status %+v", s)
	}
	heat(t, p, "three", ts+300_000, 1, 45)
	stop()
	verify(t, dir)
	if n := ask(t, dir, `SELECT count(*) FROM ai_telemetry_predictions p WHERE start_ms >= ?1 AND model_id = ?2
		AND (SELECT count(*) FROM shadow_prediction s WHERE s.window_id = p.window_id AND s.revision = p.revision) = 2`, fmt.Sprint(ts+300_000), live.ID()); n != 1 {
		t.Errorf("%d windows by the model that is back, with both shadows, want 1", n)
	}
}

// TestTheTableSaysWhatIsInForce: the model that the program is started with is entered once; from then on people decide.
func TestTheTableSaysWhatIsInForce(t *testing.T) {
	dir := t.TempDir()
	a, b := modeltest.Small(t, 1, modeltest.Passed()), modeltest.Small(t, 2, modeltest.Passed())
	embedded, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	runs := func(change func(*Config), want string, do func(p *Platform)) {
		t.Helper()
		p, stop := start(t, dir, change)
		if page := registered(t, p); page.Live != want {
			t.Errorf("%s is live, want %s", page.Live, want)
		}
		if do != nil {
			do(p)
		}
		stop()
		verify(t, dir)
	}
	none := func(c *Config) { c.ModelFile = "" }
	first := model.RulesID
	if ok, _ := embedded.MayGoLive(); ok {
		first = embedded.ID()
	}
	runs(none, first, nil)
	entries := ask(t, dir, `SELECT count(*) FROM audit`)
	runs(none, first, nil)
	if n := ask(t, dir, `SELECT count(*) FROM audit`); n != entries || n != 1 {
		t.Errorf("%d entries after a second start, %d after the first, want 1", n, entries)
	}
	runs(with(t, a), a.ID(), nil)
	runs(with(t, b), b.ID(), nil)
	runs(with(t, a), b.ID(), func(p *Platform) { moveModel(t, p, "activate", a.ID()) })
	runs(none, a.ID(), nil)
	runs(with(t, b), a.ID(), func(p *Platform) { moveModel(t, p, "retire", a.ID()) })
	runs(none, model.RulesID, nil)
	runs(with(t, a), model.RulesID, func(p *Platform) {
		for action, want := range map[string]string{"retire": "no such model", "shadow": "no such model", "activate": "no such model"} {
			if _, status, text := moveModel(t, p, action, "0123456789abcdef"); status != http.StatusNotFound || !strings.Contains(text, want) {
				t.Errorf("%s of nothing: %d %s", action, status, text)
			}
			if _, status, text := moveModel(t, p, action, "../../etc/passwd"); status != http.StatusNotFound {
				t.Errorf("%s of a path: %d %s", action, status, text)
			}
		}
	})
	if n := ask(t, dir, `SELECT count(*) FROM audit WHERE actor = '--model' AND action = 'activate' AND outcome = 'active' AND note LIKE '%.cidpmodel'`); n != 2 {
		t.Errorf("%d entries by --model, want 2", n)
	}
}

// TestAnotherProgramsDefault: while nobody has chosen, the model that comes with a newer program takes the place of the one before.
func TestAnotherProgramsDefault(t *testing.T) {
	for name, c := range map[string]struct {
		older, newer *model.Trial
		want         string // states of the older and the newer
	}{
		"both live":        {modeltest.Passed(), modeltest.Passed(), "retired active"},
		"one had no trial": {nil, modeltest.Passed(), "retired active"},
		"neither has":      {nil, nil, "retired shadow"},
	} {
		t.Run(name, func(t *testing.T) {
			older, newer := modeltest.Small(t, 1, c.older), modeltest.Small(t, 2, c.newer)
			fresh := t.TempDir()
			for _, f := range []*model.Forest{older, newer, newer} {
				_, stop := start(t, fresh, func(c *Config) { c.ModelFile, c.embedded = "", func() (*model.Forest, error) { return f, nil } })
				stop()
			}
			verify(t, fresh)
			states := ""
			for _, f := range []*model.Forest{older, newer} {
				for _, s := range []string{"active", "shadow", "retired"} {
					if ask(t, fresh, `SELECT count(*) FROM model WHERE model_id = ?1 AND state = ?2`, f.ID(), s) == 1 {
						states += s + " "
					}
				}
			}
			if strings.TrimSpace(states) != c.want {
				t.Errorf("states %q, want %q", states, c.want)
			}
			if n := ask(t, fresh, `SELECT count(*) FROM audit WHERE action <> 'start'`); n != 0 {
				t.Errorf("%d entries of people", n)
			}
		})
	}
}

// TestTornTrial: a trial that cannot be read lets nothing go live and stops nothing; the registry says what is wrong.
func TestTornTrial(t *testing.T) {
	dir := t.TempDir()
	f := modeltest.Small(t, 1, nil)
	own := func(c *Config) { c.ModelFile, c.embedded = "", func() (*model.Forest, error) { return f, nil } }
	for _, text := range []string{"", "torn"} {
		if text != "" {
			if err := os.WriteFile(models.TrialPath(dir, f.ID()), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		p, stop := start(t, dir, own)
		if page := registered(t, p); page.Live != model.RulesID || page.Models[0].State != "shadow" || strings.Contains(page.Models[0].Why, "cannot be read") != (text != "") {
			t.Errorf("with the trial %q: %+v", text, page)
		}
		stop()
		verify(t, dir)
	}
}
