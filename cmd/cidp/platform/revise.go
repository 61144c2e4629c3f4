package platform

import (
	"fmt"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// A revision of its sensor's newest window moves the alert and is published; one of an older window is scored and stored, and nothing else: later windows stand.

// revised scores a revision, or a window that a late reading made. It answers as judge does.
func (l *line) revised(w *stream.Window) (frozen bool) {
	hold, _ := l.holds.get(w.Sensor.ID)
	if !w.Behind { // the sensor's Hot is that of its newest window's newest revision, as after a restart
		l.watchHot(w, hold)
	}
	if !w.Valid() {
		if w.Live && !w.Behind {
			l.tell(eventsPrefix, w.Sensor, model.AppendQuarantine(nil, w), false)
		}
		return hold.Level != model.Normal
	}
	before, _, err := l.holdAt(w.Sensor.ID, w.Start-1)
	var at model.Hold
	var start int64
	if err == nil {
		at, start, err = l.holdAt(w.Sensor.ID, w.Start)
	}
	if err != nil {
		l.failed = fmt.Errorf("score revision: %w", err)
		return true
	}
	switch {
	case w.Behind:
		scored, err := l.scorer.Score(w, before)
		if err != nil {
			l.log.Error().Err(err).Msg("score window")
			return true
		}
		scored.Prediction.Hold = at // what the sensor's next window needs is not moved
		b := l.filling.batch
		b.Predictions, b.Shadows = append(b.Predictions, scored.Prediction), append(b.Shadows, scored.Shadows...)
		return scored.Prediction.Level != model.Normal
	case start == w.Start: // a revision before it moved the alert: the window counts once
		hold = hold.Again(before)
	}
	return l.scored(w, hold)
}

// holdAt gives the hold after a sensor's last prediction of a window that starts at or before ts, and that window's start: from the filling pass, or from disk, where all passes before it are.
func (l *line) holdAt(sensorID, ts int64) (h model.Hold, start int64, err error) {
	h, start, _, err = l.past.Hold(sensorID, ts)
	if err != nil {
		return h, 0, err
	}
	predictions := l.filling.batch.Predictions
	if l.filling.bySensor == nil {
		l.filling.bySensor = map[int64][]int{}
	}
	for i := l.filling.indexed; i < len(predictions); i++ {
		id := predictions[i].SensorID
		l.filling.bySensor[id] = append(l.filling.bySensor[id], i)
	}
	l.filling.indexed = len(predictions)
	for _, i := range l.filling.bySensor[sensorID] {
		if p := &predictions[i]; p.Start <= ts && p.Start >= start && !p.Hold.None() {
			h, start = p.Hold, p.Start
		}
	}
	return h, start, nil
}

// holdHistory answers which hold stood after a window.
type holdHistory interface {
	Hold(sensorID, ts int64) (h model.Hold, start int64, found bool, err error)
}

// Window, Readings, Contexts and Hold look up, again and again while the disk refuses.
func (p *patientPast) Window(sensorID, ts int64) (w *stream.Window, err error) {
	err = p.retry(func() (err error) { w, err = p.Past.Window(sensorID, ts); return err })
	return w, err
}

// Readings gives what is stored of sensors in spans.
func (p *patientPast) Readings(spans []stream.Stretch) (kept []stream.Kept, err error) {
	err = p.retry(func() (err error) { kept, err = p.Past.Readings(spans); return err })
	return kept, err
}

// Contexts gives what is stored of assets in spans.
func (p *patientPast) Contexts(spans []stream.Stretch) (kept []stream.Kept, err error) {
	err = p.retry(func() (err error) { kept, err = p.Past.Contexts(spans); return err })
	return kept, err
}

// Hold gives the hold after a sensor's last prediction up to a time.
func (p *patientPast) Hold(sensorID, ts int64) (h model.Hold, start int64, found bool, err error) {
	err = p.retry(func() (err error) { h, start, found, err = p.Past.Hold(sensorID, ts); return err })
	return h, start, found, err
}

// predictionKey names a prediction within a batch, which may hold several revisions of a window.
type predictionKey struct {
	window   int64
	revision int
}

func predictions(batch *store.Batch) map[predictionKey]*model.Prediction {
	out := make(map[predictionKey]*model.Prediction, len(batch.Predictions))
	for i := range batch.Predictions {
		p := &batch.Predictions[i]
		out[predictionKey{p.WindowID, p.Revision}] = p
	}
	return out
}
