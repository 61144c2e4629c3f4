package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// Verdicts of a window.
const (
	valid       = "valid"
	quarantined = "quarantined"
)

func verdict(w *stream.Window) string {
	if w.Valid() {
		return valid
	}
	return quarantined
}

func (w *writer) windows(p *pass) error {
	order := w.order[:0]
	for i, v := range p.Windows {
		k, err := key(v.Start, v.Sensor.ID)
		if err != nil {
			return err
		}
		order = append(order, rank{k, i})
	}
	w.order = order
	if err := byKey(order, w.window, w.windowRows, func(q *stmt, at int) { bindWindow(q, p.Windows[at], p.Committed) }); err != nil {
		return fmt.Errorf("insert windows: %w", err)
	}
	for _, v := range p.Windows {
		if err := w.evaluate(v); err != nil {
			return err
		}
		if !v.Valid() {
			reasons, err := json.Marshal(v.Reasons)
			if err != nil {
				return fmt.Errorf("encode reasons: %w", err)
			}
			err = w.quarantine.int(v.ID()).int(int64(v.Revision)).int(v.Sensor.ID).int(v.Start).int(v.End).text(string(reasons)).text(v.Detail).run()
			if err != nil {
				return fmt.Errorf("insert quarantine of window %d: %w", v.ID(), err)
			}
		}
	}
	return w.follow(p)
}

// byKey inserts rows by their keys, as many at once as many takes. bind binds the one at a place of the batch.
func byKey(order []rank, one, many *stmt, bind func(q *stmt, at int)) error {
	slices.SortStableFunc(order, func(a, b rank) int { return cmp.Compare(a.key, b.key) })
	for len(order) > 0 {
		q, n := one, 1
		if len(order) >= together {
			q, n = many, together
		}
		for _, o := range order[:n] {
			bind(q, o.at)
		}
		if err := q.run(); err != nil {
			return fmt.Errorf("windows %d to %d: %w", order[0].key, order[n-1].key, err)
		}
		order = order[n:]
	}
	return nil
}

// reached is how far the windows of a batch bring a sensor and its asset: rows are updated once, in their order, and not once a window.
type reached struct {
	sensor, asset int64
	period        int64 // of the last window that ended last, ms
	end           int64 // of that window, ms; -1: none of them learnt
	last          int64 // event time of the newest reading, ms
	scored        int64 // start of the newest window with a prediction, ms; -1: none has one
}

// follow keeps what the windows of a batch say of their sensors and assets. Those between move nothing but where the newest prediction is.
func (w *writer) follow(p *pass) error {
	sensors := make(map[int64]int, len(p.Windows))
	all := make([]reached, 0, len(p.Windows))
	for _, v := range p.Windows {
		i, ok := sensors[v.Sensor.ID]
		if !ok {
			i = len(all)
			sensors[v.Sensor.ID] = i
			all = append(all, reached{sensor: v.Sensor.ID, asset: v.Sensor.AssetID, end: -1, scored: -1})
		}
		r := &all[i]
		if v.Valid() {
			r.scored = max(r.scored, v.Start)
		}
		if v.Between {
			continue
		}
		if v.End >= r.end {
			r.end, r.period = v.End, v.PeriodMs
		}
		r.last = max(r.last, v.Last)
	}
	slices.SortFunc(all, func(a, b reached) int { return cmp.Or(cmp.Compare(a.asset, b.asset), cmp.Compare(a.sensor, b.sensor)) })
	for i := 0; i < len(all); {
		asset, last := all[i].asset, int64(0)
		for ; i < len(all) && all[i].asset == asset; i++ {
			r := &all[i]
			last = max(last, r.last)
			if err := w.evaluated.int(r.sensor).int(r.period).int(r.last).int(r.end).int(r.scored).run(); err != nil {
				return fmt.Errorf("update sensor %d: %w", r.sensor, err)
			}
		}
		if err := w.visited.int(asset).int(last).run(); err != nil {
			return fmt.Errorf("update asset %d: %w", asset, err)
		}
	}
	return nil
}

// evaluate keeps what a window says of its readings. One between says nothing: the windows that learn have the same readings.
func (w *writer) evaluate(v *stream.Window) error {
	if v.Between {
		return nil
	}
	for _, ts := range v.Times { // a revision: its readings' flags are judged anew
		k, err := key(ts, v.Sensor.ID)
		if err != nil {
			return err
		}
		if err := w.unflag.int(k).run(); err != nil {
			return fmt.Errorf("delete flag: %w", err)
		}
	}
	for _, f := range v.Flagged {
		k, err := key(f.TS, v.Sensor.ID)
		if err != nil {
			return err
		}
		if err := w.flag.int(k).int(int64(f.Flag)).run(); err != nil {
			return fmt.Errorf("insert flag: %w", err)
		}
	}
	return nil
}

func bindWindow(q *stmt, v *stream.Window, committed int64) {
	q.int(v.ID()).int(int64(v.Revision)).int(v.Sensor.ID).int(v.Start).int(v.End).
		int(int64(v.N)).int(int64(v.Expected)).float(v.Completeness).text(verdict(v)).text(string(v.ClosedBy))
	for i, f := range v.Features {
		if i != stream.FCompleteness {
			q.float(f)
		}
	}
	q.int(v.PeriodMs).int(v.Last).int(committed).blob(v.Memory)
}

func (w *writer) predictions(p *pass) error {
	order := w.order[:0]
	for i := range p.Predictions {
		order = append(order, rank{p.Predictions[i].WindowID, i})
	}
	w.order = order
	w.texts, w.explained = w.texts[:0], slices.Grow(w.explained[:0], len(order))[:len(order)]
	err := byKey(order, w.prediction, w.predictionRows, func(q *stmt, at int) {
		from := len(w.texts)
		w.texts = model.AppendExplanation(w.texts, p.Predictions[at].Explanation)
		w.explained[at] = textAt{from, len(w.texts)}
		bindPrediction(q, &p.Predictions[at], w.texts[from:], p.Committed)
	})
	if err != nil {
		return fmt.Errorf("insert predictions: %w", err)
	}
	return nil
}

func bindPrediction(q *stmt, v *model.Prediction, explanation []byte, committed int64) {
	h := &v.Hold
	q.int(v.WindowID).int(int64(v.Revision)).int(v.SensorID).int(v.Start).int(v.End).
		float(v.PFailure).text(v.Level.String()).text(v.Source).float(v.RuleScore).text(v.ModelID).
		text(string(explanation)).int(committed).
		text(h.Level.String()).int(int64(h.Above)).int(int64(h.Below)).text(h.AlertID).text(h.Worst.String()).
		int(h.RaisedAt).int(h.FreeSince).int(h.LastEnd).int(h.SteadySince).float(h.SteadyKmh).float(h.Rate).optional(v.Score)
}

// failsafes keeps the state of assets' fail-safes, so that a restart changes no verdict.
func (w *writer) failsafes(p *pass) error {
	for i := range p.Failsafes {
		f := &p.Failsafes[i]
		if err := w.failsafe.int(f.AssetID).int(f.State).run(); err != nil {
			return fmt.Errorf("update asset %d: %w", f.AssetID, err)
		}
		if w.c.Changes() != 1 {
			return fatalf("update asset %d: it is not registered", f.AssetID)
		}
	}
	if p.Withhold != 0 {
		return setMeta(w.c, metaWithheld, p.Withhold)
	}
	return nil
}

// metaWithheld is the setting that holds Batch.Withhold.
const metaWithheld = "withheld"

func (w *writer) alerts(p *pass) error {
	for i := range p.Alerts {
		a := &p.Alerts[i]
		w.text = model.AppendExplanation(w.text[:0], a.Explanation)
		q := w.alert
		if a.SensorID == 0 {
			q = w.placed.text(a.ID).text(a.Place.Site).text(a.Place.Asset).text(a.Place.Sensor)
		} else {
			q.text(a.ID).int(a.SensorID)
		}
		q.text(string(a.State)).text(a.Severity.String()).int(a.RaisedAt).int(a.UpdatedAt).
			float(a.PFailure).float(a.Value).text(a.Rule).text(a.Reason).text(string(w.text)).
			when(a.WindowID != 0, a.WindowID).int(a.Start).int(a.End).text(a.ModelID)
		if a.Ack != nil {
			q.text(a.Ack.By).int(a.Ack.At).text(a.Ack.Note)
		} else {
			q.null().null().null()
		}
		if err := q.text(a.Method).optional(a.Score).run(); err != nil {
			return fmt.Errorf("insert alert %s: %w", a.ID, err)
		}
		if w.c.Changes() != 1 {
			return fatalf("insert alert %s: sensor %d is not registered", a.ID, a.SensorID)
		}
	}
	for i := range p.Transitions {
		t := &p.Transitions[i]
		windowed := t.WindowID != 0
		err := w.transition.text(t.AlertID).when(t.SensorID != 0, t.SensorID).when(windowed, t.WindowID).when(windowed, int64(t.Revision)).int(t.At).text(t.Kind).
			text(t.From.String()).text(t.To.String()).text(string(t.State)).text(t.Cause).text(t.Actor).int(p.Committed).run()
		if err != nil {
			return fmt.Errorf("insert transition of alert %s: %w", t.AlertID, err)
		}
	}
	return nil
}
