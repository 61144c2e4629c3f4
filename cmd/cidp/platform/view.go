package platform

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// view is what the console reads: the board for what changes each second, the warehouse for the rest.
type view struct{ p *Platform }

// errStarting says that there is nothing to read yet.
var errStarting = errors.New("the warehouse is being recovered")

func (v *view) pages() (*store.Console, error) {
	if pages := v.p.pages.Load(); pages != nil {
		return pages, nil
	}
	return nil, errStarting
}

// newestAlerts is how many alerts the page shows.
const newestAlerts = 30

// Snapshot gives the whole present state.
func (v *view) Snapshot(ctx context.Context) (console.Snapshot, error) {
	var s console.Snapshot
	now := v.p.status.now()
	s.Status = console.Status{State: now.State, Reasons: now.Reasons, Version: now.Version, Model: now.Model, Since: console.TimeOf(now.Since)}
	pages, err := v.pages()
	if err != nil {
		return s, err
	}
	sum, err := pages.Summary(ctx)
	if err != nil {
		return s, err
	}
	totals := store.Sum(sum.Ledger)
	s.Ledger, s.Quarantine = ledger(totals), quarantine(totals)
	s.Counts = console.Counts{Assets: sum.Assets, Sensors: sum.Sensors, Windows: sum.Windows, Quarantined: sum.Quarantined,
		Predictions: sum.Predictions, AlertsActive: sum.AlertsOpen}
	if s.Alerts, err = v.Alerts(ctx, newestAlerts); err != nil {
		return s, err
	}
	v.p.board.show(&s)
	return s, nil
}

// ledger says what became of everything, and whether the law holds.
func ledger(t store.Totals) console.Ledger {
	return console.Ledger{Received: t.Received, Stored: t.Stored, Duplicate: t.Duplicate, Late: t.Late, Refused: t.Refused,
		RefusedByReason: t.RefusedByReason, Holds: t.Holds()}
}

func quarantine(t store.Totals) console.Quarantine {
	return console.Quarantine{WindowsByReason: t.QuarantinedByReason, MessagesByReason: t.RefusedByReason}
}

// Sensor gives a sensor's newest windows.
func (v *view) Sensor(ctx context.Context, site, asset, sensor string, limit int) (console.SensorDetail, error) {
	d := console.SensorDetail{Site: site, Asset: asset, Sensor: sensor}
	pages, err := v.pages()
	if err != nil {
		return d, err
	}
	info, err := pages.Sensor(ctx, site, asset, sensor)
	if err != nil {
		return d, err
	}
	if info == nil {
		return d, console.ErrNotFound
	}
	d.Kind, d.PeriodMs, d.Clock = info.Kind, info.PeriodMs, v.p.clocks.of(info.SensorID)
	rows, err := pages.SensorHistory(ctx, site, asset, sensor, limit)
	if err != nil {
		return d, err
	}
	for _, h := range rows {
		w := console.SensorWindow{
			WindowID: h.WindowID, Revision: h.Revision, WindowStart: console.Time(h.StartMs), WindowEnd: console.Time(h.EndMs),
			N: h.N, Expected: h.Expected, Completeness: console.Figure(h.Completeness), Verdict: h.Verdict, Reasons: texts(h.Reasons), Detail: h.Detail,
			MeanC: figure(h.MeanC), MinC: figure(h.MinC), MaxC: figure(h.MaxC), AmbientC: figure(h.AmbientC),
			PFailure: figure(h.PFailure), Level: h.Level, Source: h.Source, Model: h.ModelID, Explanation: explanation(h.Explanation),
		}
		switch {
		case len(w.Explanation) == 0:
		case w.Model == model.RulesID:
			w.Method = model.MethodRule
		default:
			w.Method = model.MethodPath
		}
		d.Windows = append(d.Windows, w)
	}
	return d, v.register(ctx, pages, &d)
}

// texts reads a JSON array of texts; what is none gives none.
func texts(raw json.RawMessage) []string {
	var out []string
	if len(raw) == 0 || json.Unmarshal(raw, &out) != nil {
		return nil
	}
	return out
}

func explanation(raw json.RawMessage) []console.Contribution {
	var rows []model.Contribution
	if len(raw) == 0 || json.Unmarshal(raw, &rows) != nil {
		return nil
	}
	out := make([]console.Contribution, len(rows))
	for i, c := range rows {
		out[i] = console.Contribution{Feature: c.Feature, Value: console.Figure(c.Value), Contribution: console.Figure(c.Contribution), Text: c.Text()}
	}
	return out
}

// Alerts gives the alerts that moved last.
func (v *view) Alerts(ctx context.Context, limit int) ([]console.Alert, error) {
	pages, err := v.pages()
	if err != nil {
		return nil, err
	}
	rows, err := pages.Alerts(ctx, min(limit, math.MaxInt32))
	if err != nil {
		return nil, err
	}
	out := make([]console.Alert, 0, len(rows))
	for _, a := range rows {
		out = append(out, console.Alert{
			AlertID: a.AlertID, Site: a.Site, Asset: a.Asset, Sensor: a.Sensor, State: a.State, Severity: a.Severity,
			RaisedAt: console.Time(a.RaisedAtMs), UpdatedAt: console.Time(a.UpdatedAtMs), PFailure: figure(a.PFailure), Value: figure(a.Value),
			Rule: a.Rule, Reason: a.Reason, Explanation: explanation(a.Explanation), Method: a.Method,
			WindowStart: console.Time(a.WindowStartMs), WindowEnd: console.Time(a.WindowEndMs), Model: a.Model,
		})
	}
	return out, nil
}
