package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/camrail/cidp/stream"
)

// Hot is what the data-quality alert of a quarantined hot window needs of a sensor's past windows. It folds over all its windows in event-time order, and over the revisions of the
// newest. A restart makes it of the standing alert and of the newest window with a temperature.
type Hot struct {
	Alert Alert   // standing; ID empty: none
	Good  float64 // last cleaned temperature of a window, degC; NaN while there is none
	Until int64   // end of that window, event time, ms
}

// goodFor is how long a temperature of an earlier window says something of a window that has none of its own, ms: components cool in a quarter of an hour and more.
const goodFor = int64(15 * 60 * 1000)

// QuarantinedHot folds one window into a sensor's Hot. A quarantined window whose last good reading is at or above the watch limit of the kind's rule on the absolute temperature
// raises an alert: it is not scored, and a hot part must not go unseen because its sensor is in doubt. The last good reading is the last cleaned one of the window. Where
// the window has none, or its rate is not physical, it is the one before, for a quarter of an hour. The severity is that of the limit reached, and never falls; the alert is
// cleared by the next valid window. The zero Hold and a Hot with Good NaN are a sensor's first.
func (s *Scorer) QuarantinedHot(w *stream.Window, held Hold, h Hot) (Hot, *Alert, *Transition) {
	good, known := w.Features[stream.FLast], !math.IsNaN(w.Features[stream.FLast]) && !slices.Contains(w.Reasons, stream.RateOfChange)
	switch {
	case known:
		h.Good, h.Until = good, w.End
	case w.Start-h.Until > goodFor:
		h.Good = math.NaN()
	}
	var t Transition
	if w.Valid() {
		if h.Alert.ID == "" {
			return h, nil, nil
		}
		a := h.Alert
		a, t = clearAlert(a, w.End, fmt.Sprintf("a valid window again, mean temperature %s °C", number(w.Features[stream.FMean])))
		h.Alert = Alert{}
		return h, moveIn(w, &a, &t), &t
	}
	level, limit := s.rules.warm(w, held, h.Good)
	if level == Normal {
		return h, nil, nil
	}
	codes := make([]string, len(w.Reasons))
	for i, r := range w.Reasons {
		codes[i] = string(r)
	}
	reason := fmt.Sprintf("last good readings %s °C, %s limit %s °C, window quarantined: %s", number(h.Good), level, number(limit), strings.Join(codes, ", "))
	a, moved := h.Alert, true
	switch {
	case a.ID == "":
		a, t = newAlert(RuleQuarantinedHot, w.Sensor.ID, Place{w.Sensor.Site, w.Sensor.Asset, w.Sensor.Name}, level, w.End, reason)
		if w.Revision > 0 { // one before it may have raised an alert that another cleared
			a.ID = nameHash("alert", RuleQuarantinedHot, w.Sensor.Site, w.Sensor.Asset, w.Sensor.Name, strconv.FormatInt(w.End, 10), strconv.Itoa(w.Revision))
			t.AlertID = a.ID
		}
	case level > a.Severity:
		t = Transition{AlertID: a.ID, SensorID: a.SensorID, At: w.End, Kind: KindSeverity, From: a.Severity, To: level, State: Active,
			Cause: fmt.Sprintf("level rises from %s to %s: %s", a.Severity, level, reason), Actor: ActorLine}
		a.Severity = level
	default:
		moved = false
	}
	a.Value, a.Reason, a.UpdatedAt = h.Good, reason, w.End
	out := moveIn(w, &a, &t)
	if h.Alert = a; !moved {
		return h, out, nil
	}
	return h, out, &t
}

// moveIn notes the window that moved an alert.
func moveIn(w *stream.Window, a *Alert, t *Transition) *Alert {
	a.WindowID, a.Start, a.End = w.ID(), w.Start, w.End
	t.WindowID, t.Revision = w.ID(), w.Revision
	return a
}

// warm gives the level that a temperature reaches by the absolute limits of a window's kind, and that limit. held is the hold of the valid windows before: a limit that waits for
// time without braking does so here too.
func (r Rules) warm(w *stream.Window, held Hold, v float64) (Level, float64) {
	held.follow(w)
	for _, l := range r.of(w.Sensor.Kind) {
		if l.Rule != RuleAbsolute || math.IsNaN(v) || l.Unbraked > 0 && held.unbraked(w) < l.Unbraked {
			continue
		}
		if level := l.level(v, Normal); level > Normal {
			return level, l.at(level)
		}
	}
	return Normal, 0
}
