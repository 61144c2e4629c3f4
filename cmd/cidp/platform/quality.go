package platform

import (
	"math"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// standingKey names a standing alert of silence or of a fail-safe.
type standingKey struct {
	rule string
	model.Place
}

// raise makes alerts of the silences and fail-safes of a batch that is about to be sealed: they are committed with it, and told after it.
func (l *line) raise(b *stream.Batch) {
	for i := range b.Silences {
		l.raiseSilence(&b.Silences[i])
	}
	for i := range b.Failsafes {
		l.raiseFailsafe(&b.Failsafes[i])
	}
}

func (l *line) raiseSilence(e *stream.Silence) {
	key := standingKey{model.RuleSilence, model.SilencePlace(e)}
	a, stands := l.standing[key]
	var t model.Transition
	switch {
	case e.Silent && !stands:
		a, t = model.RaiseSilence(e)
		l.standing[key] = a
	case !e.Silent && stands:
		a, t = model.ClearSilence(a, e)
		delete(l.standing, key)
	default:
		return
	}
	l.move(placeOf(key.Place), &a, &t, true) // who is followed is live
	l.metrics.stands(l.standing)
}

func (l *line) raiseFailsafe(f *stream.Failsafe) {
	if !f.Moved {
		return
	}
	key := standingKey{model.RuleFailsafe, model.AssetPlace(f.Site, f.Asset)}
	a, stands := l.standing[key]
	var t model.Transition
	switch {
	case f.Open && !stands:
		a, t = model.RaiseFailsafe(f)
		l.standing[key] = a
	case !f.Open && stands:
		a, t = model.ClearFailsafe(a, f)
		delete(l.standing, key)
	default:
		return
	}
	l.move(placeOf(key.Place), &a, &t, f.Live)
	l.metrics.stands(l.standing)
}

// watchHot folds a window into its sensor's data-quality alert.
func (l *line) watchHot(w *stream.Window, hold model.Hold) {
	next, a, t := l.scorer.QuarantinedHot(w, hold, l.hotOf(w.Sensor.ID))
	l.noteHot(w.Sensor.ID, next)
	if a != nil {
		l.move(w.Sensor, a, t, w.Live)
	}
}

// recallQuality gives the line its standing alerts back that no score made. Silence that is not watched for any more ends.
func (l *line) recallQuality(rec *store.Recovery, silentAfter time.Duration) error {
	for _, g := range rec.Good {
		l.noteHot(g.SensorID, model.Hot{Good: g.LastC, Until: g.End})
	}
	for i := range rec.Alerts {
		a := rec.Alerts[i]
		s := placeOfAlert(rec, &a)
		key := standingKey{a.Rule, model.Place{Site: s.Site, Asset: s.Asset, Sensor: s.Name}}
		switch a.Rule {
		case model.RuleQuarantinedHot:
			h := l.hotOf(a.SensorID)
			h.Alert = a
			l.noteHot(a.SensorID, h)
		case model.RuleFailsafe:
			l.standing[key] = a
		case model.RuleSilence:
			if silentAfter == 0 {
				a, t := model.DropSilence(a, time.Now().UnixMilli())
				l.move(s, &a, &t, true)
				continue
			}
			l.standing[key] = a
			l.windower.RestoreSilence(scopeOf(key.Place), s.Site, s.Asset, s.Name)
		}
	}
	for id, state := range rec.Failsafes {
		if err := l.windower.RestoreFailsafe(id, state); err != nil {
			return err
		}
	}
	l.metrics.stands(l.standing)
	return nil
}

// placeOfAlert gives the sensor of a stored alert, or what stands for it.
func placeOfAlert(rec *store.Recovery, a *model.Alert) *stream.Sensor {
	if a.SensorID == 0 {
		return placeOf(a.Place)
	}
	return rec.Sensors[a.SensorID-1]
}

func scopeOf(p model.Place) stream.Scope {
	switch {
	case p.Asset == model.WholeSite && p.Sensor == model.WholeSite:
		return stream.OfSite
	case p.Sensor == model.WholeAsset:
		return stream.OfAsset
	}
	return stream.OfSensor
}

// hot is a model.Hot as it is kept of each sensor: nearly none has an alert, which would be ten times as large as the rest.
type hot struct {
	good  float64
	until int64
	alert *model.Alert // nil: none
}

// hotOf gives a sensor's; that of one without windows when it is not known.
func (l *line) hotOf(sensorID int64) model.Hot {
	h, known := l.hot.get(sensorID)
	if !known {
		return model.Hot{Good: math.NaN()}
	}
	out := model.Hot{Good: h.good, Until: h.until}
	if h.alert != nil {
		out.Alert = *h.alert
	}
	return out
}

// noteHot keeps a sensor's.
func (l *line) noteHot(sensorID int64, h model.Hot) {
	kept := hot{good: h.Good, until: h.Until}
	if h.Alert.ID != "" {
		a := h.Alert
		kept.alert = &a
	}
	l.hot.set(sensorID, kept)
}
