package platform

import (
	"fmt"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// between scores a window that overlaps those that learn, and moves nothing: its readings count where they learn. Its level is the one that stands, its probability its own. What is
// told of it is its risk, or that it is quarantined.
func (l *line) between(w *stream.Window) {
	told := w.Live && !w.Behind
	if !w.Valid() {
		if told {
			l.tell(eventsPrefix, w.Sensor, model.AppendQuarantine(nil, w), false)
		}
		return
	}
	hold, _ := l.holds.get(w.Sensor.ID)
	if w.Revision > 0 || w.Behind || w.ClosedBy == stream.ByLate {
		var err error
		if hold, _, err = l.holdAt(w.Sensor.ID, w.Start); err != nil {
			l.failed = fmt.Errorf("score revision: %w", err)
			return
		}
	}
	scored, err := l.scorer.Score(w, hold)
	if err != nil { // only a quarantined window is refused, and this one is valid
		l.log.Error().Err(err).Msg("score window")
		return
	}
	p := scored.Prediction
	p.Level, p.Hold = hold.Level, model.NoHold()
	b := l.filling.batch
	b.Predictions, b.Shadows = append(b.Predictions, p), append(b.Shadows, scored.Shadows...)
	if told {
		l.tell(riskPrefix, w.Sensor, model.AppendRisk(nil, w, &p), true)
	}
}
