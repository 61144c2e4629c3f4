package platform

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/model"
)

// Drift gives how the model's windows are spread beside its training data, and how right it was.
func (v *view) Drift(ctx context.Context) (console.Drift, error) {
	d := v.p.drift
	r, why, ok := d.report()
	out := console.Drift{State: string(model.DriftUnknown), Why: why, Model: r.ModelID, SpanS: int64(d.span / time.Second), Needed: model.DriftLeast,
		WatchAt: model.PSIWatch, LookAt: model.PSILook, Score: console.DriftFigure{State: string(model.DriftUnknown), PSI: console.Missing(), Missing: console.Missing(), MissingTraining: console.Missing()},
		Brier: console.BrierTrend{State: string(model.DriftUnknown)}}
	if !ok {
		return out, nil
	}
	out.From, out.To, out.Windows = console.Time(r.From), console.Time(r.To), r.Windows
	out.Score = driftFigure(&r.Score)
	for i := range r.Features {
		out.Features = append(out.Features, driftFigure(&r.Features[i]))
	}
	m := d.rightness()
	_, state, brier := brierState(m)
	out.Brier = console.BrierTrend{State: string(state), Why: brier}
	if m != nil && m.told > 0 {
		out.Brier.Since = console.Time(m.trend.Risen)
		for _, h := range m.trend.Hours {
			out.Brier.Hours = append(out.Brier.Hours, console.BrierHour{At: console.Time(h.Start), Windows: h.Windows, Brier: console.Figure(h.Brier)})
		}
	}
	worst, words := driftState(&r)
	if state == model.DriftLook {
		worst, words = state, words+"; "+brier
	}
	out.State, out.Why = string(worst), words
	return out, nil
}

func driftFigure(f *model.DriftFigure) console.DriftFigure {
	return console.DriftFigure{Feature: f.Name, PSI: console.Figure(f.PSI), State: string(f.State), Missing: console.Figure(f.Missing), MissingTraining: console.Figure(f.MissingTraining)}
}

// driftState gives the worst state of features and score, in a sentence.
func driftState(r *model.DriftReport) (model.DriftState, string) {
	if r.Windows < model.DriftLeast {
		return model.DriftUnknown, fmt.Sprintf("%d windows are counted, from %d on they can be compared with training", r.Windows, model.DriftLeast)
	}
	named := map[model.DriftState][]string{}
	features := slices.SortedStableFunc(slices.Values(r.Features), func(a, b model.DriftFigure) int { return cmp.Compare(b.PSI, a.PSI) }) // those that moved most first
	for _, f := range features {
		named[f.State] = append(named[f.State], f.Name)
	}
	if s := r.Score.State; s != model.DriftSteady {
		named[s] = append(named[s], ofScore)
	}
	for _, s := range []struct {
		state model.DriftState
		words string
	}{{model.DriftLook, "spread otherwise than in training: look at "}, {model.DriftWatch, "spread a little otherwise than in training: "}} {
		if names := named[s.state]; len(names) > 0 {
			return s.state, s.words + few(names)
		}
	}
	return model.DriftSteady, "features and score are spread as in training"
}

// few names at most four.
func few(names []string) string {
	const most = 4
	if len(names) > most+1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// brierState gives the newest hourly Brier score, NaN where there is none, and whether it has risen, in a sentence. nil: it was not measured yet.
func brierState(m *measured) (newest float64, state model.DriftState, why string) {
	if m == nil {
		return math.NaN(), model.DriftUnknown, "how right the model was is being looked at"
	}
	t, told := &m.trend, m.told
	switch n := len(t.Hours); {
	case told == 0:
		return math.NaN(), model.DriftUnknown, "no workshop has told anything of this time: nothing says how right the model was"
	case n == 0:
		return math.NaN(), model.DriftUnknown, "no hour is old enough to know how right the model was"
	default:
		newest = t.Hours[n-1].Brier
	}
	if t.Risen != 0 {
		return newest, model.DriftLook, "the model is less right since about " + time.UnixMilli(t.Risen).UTC().Format("2006-01-02 15:04") + " UTC"
	}
	if n := len(t.Hours); n <= model.BrierHours {
		return newest, model.DriftUnknown, fmt.Sprintf("how right the model was is known of %d hours, by what was found at %d sensors; from %d on a rise can be told", n, told, model.BrierHours+1)
	}
	return newest, model.DriftSteady, fmt.Sprintf("the model is as right as it was, by what is known of %d sensors", told)
}
