package platform

import (
	"bytes"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// Topics of what the line tells the world (contract, section 2).
const (
	riskPrefix   = "cidp/v1/risk/"
	alertsPrefix = "cidp/v1/alerts/"
	eventsPrefix = "cidp/v1/events/"
	statusTopic  = "cidp/v1/status"
)

func sensorTopic(prefix string, s *stream.Sensor) string {
	return prefix + s.Site + "/" + s.Asset + "/" + s.Name
}

// judge scores a closed window, moves its sensor's alert and lays out what is to be published once it is committed. It runs within the windower, in
// closing order. The sensor's baseline stands still while its level is not normal.
func (l *line) judge(w *stream.Window) (frozen bool) {
	l.filling.windows++
	if w.Between {
		l.between(w)
		return false
	}
	if w.Revision > 0 || w.Behind {
		return l.revised(w)
	}
	hold, _ := l.holds.get(w.Sensor.ID)
	l.watchHot(w, hold)
	if !w.Valid() {
		if w.Live {
			l.tell(eventsPrefix, w.Sensor, model.AppendQuarantine(nil, w), false)
		}
		return hold.Level != model.Normal
	}
	return l.scored(w, hold)
}

// scored scores a valid window that is its sensor's newest, after a hold.
func (l *line) scored(w *stream.Window, hold model.Hold) (frozen bool) {
	b := l.filling.batch
	scored, err := l.scorer.Score(w, hold)
	if err != nil { // only a quarantined window is refused, and this one is valid
		l.log.Error().Err(err).Msg("score window")
		return true
	}
	l.holds.set(w.Sensor.ID, scored.Prediction.Hold)
	b.Predictions, b.Shadows = append(b.Predictions, scored.Prediction), append(b.Shadows, scored.Shadows...)
	if scored.Alert != nil {
		b.Alerts = append(b.Alerts, *scored.Alert)
	}
	b.Transitions = append(b.Transitions, scored.Transitions...)
	switch a := scored.Alert; {
	case w.Live:
		l.tellScored(w, &scored)
	case a != nil && a.State == model.Cleared && l.isTold(w.Sensor, a.ID):
		l.tellAlert(w.Sensor, a) // history, but what was told as live must not stand for ever
	}
	return scored.Prediction.Level != model.Normal
}

// tellScored lays out the risk, the alert's present state and its transitions.
func (l *line) tellScored(w *stream.Window, s *model.Scored) {
	l.payload = model.AppendRisk(l.payload[:0], w, &s.Prediction)
	if l.tell(riskPrefix, w.Sensor, bytes.Clone(l.payload), true) { // it waits in the outbox: no longer than it is
		b := l.filling.batch
		told := &b.Outbox[len(b.Outbox)-1]
		told.WindowID, told.Revision = s.Prediction.WindowID, s.Prediction.Revision
	}
	if s.Alert != nil {
		l.tellAlert(w.Sensor, s.Alert)
	}
	for i := range s.Transitions {
		l.tell(eventsPrefix, w.Sensor, model.AppendEvent(nil, w.Sensor, &s.Transitions[i]), false)
	}
}

// tell puts a message into the outbox, unless nothing is told.
func (l *line) tell(prefix string, s *stream.Sensor, payload []byte, retain bool) bool {
	if l.atHand {
		return false
	}
	b := l.filling.batch
	b.Outbox = append(b.Outbox, store.Publication{Topic: sensorTopic(prefix, s), Payload: payload, Retain: retain})
	return true
}
