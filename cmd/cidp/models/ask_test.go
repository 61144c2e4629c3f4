package models_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// TestPlan walks through what may be asked of models, and what comes of it.
func TestPlan(t *testing.T) {
	data := t.TempDir()
	ids := map[string]string{}
	for i, name := range []string{"good", "better", "failed", "untried", "more", "most"} {
		trial := map[string]*model.Trial{"failed": modeltest.Failed(), "untried": nil}
		tr, odd := trial[name]
		if !odd {
			tr = modeltest.Passed()
		}
		f := modeltest.Small(t, uint64(i), tr)
		if err := models.Put(data, f); err != nil {
			t.Fatal(err)
		}
		ids[name] = f.ID()
	}
	r := models.NewRegistry(nil)
	state := func() string {
		var out []string
		for _, s := range []store.ModelState{store.ModelActive, store.ModelShadow} {
			for _, id := range r.In(s) {
				for name, known := range ids {
					if known == id {
						out = append(out, name+" "+string(s))
					}
				}
			}
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	for i, step := range []struct{ action, name, why, state string }{
		{store.ActionRetire, "good", "no such model", ""},
		{store.ActionActivate, "untried", "it has had no trial", "untried shadow"},
		{store.ActionActivate, "untried", "it has had no trial", "untried shadow"},
		{store.ActionShadow, "untried", "already", "untried shadow"},
		{store.ActionActivate, "good", "missed 1 of 40", "good active, untried shadow"},
		{store.ActionActivate, "good", "already", "good active, untried shadow"},
		{store.ActionActivate, "failed", "missed 9 of 40", "failed shadow, good active, untried shadow"},
		{store.ActionActivate, "better", "missed 1 of 40", "better active, failed shadow, untried shadow"},
		{store.ActionShadow, "better", "told to nobody", "better shadow, failed shadow, untried shadow"},
		{store.ActionShadow, "good", "told to nobody", "better shadow, failed shadow, good shadow, untried shadow"},
		{store.ActionShadow, "more", "4 models run in shadow already", "better shadow, failed shadow, good shadow, untried shadow"},
		{store.ActionActivate, "good", "missed 1 of 40", "better shadow, failed shadow, good active, untried shadow"},
		{store.ActionRetire, "failed", "scores nothing", "better shadow, good active, untried shadow"},
		{store.ActionRetire, "failed", "already", "better shadow, good active, untried shadow"},
		{store.ActionRetire, "good", "scores nothing", "better shadow, untried shadow"},
	} {
		ask := models.Ask{Action: step.action, ID: ids[step.name], Actor: "ngo", At: int64(i)}
		if err := ask.Load(data); err != nil {
			t.Fatal(err)
		}
		moves, answer, err := r.Plan(&ask)
		why := answer.Why
		if err != nil {
			why = err.Error()
		}
		before := state()
		r.Apply(moves)
		after := state()
		if !strings.Contains(why, step.why) || after != step.state {
			t.Errorf("%d, %s %s: %q and %q, want %q and %q", i, step.action, step.name, why, after, step.why, step.state)
		}
		if m, _ := r.Of(ids[step.name]); err == nil && (answer.State != m.State || answer.Changed != (before != after)) {
			t.Errorf("%d: answer %+v, row %s", i, answer, m.State)
		}
		for _, m := range moves {
			if m.Actor != "ngo" || m.Detail == "" || m.At != int64(i) {
				t.Errorf("%d: entry %+v", i, m)
			}
		}
		if (errors.Is(err, models.ErrUnknown)) != (i == 0) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if m, _ := r.Of(ids["good"]); !strings.Contains(m.Trial, `"passed":true`) || m.Name == "" || m.Features == "" || m.Metrics == "" {
		t.Errorf("row %s", fmt.Sprintf("%+v", m)[:200])
	}
}
