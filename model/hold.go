package model

import (
	"math"
	"time"

	"github.com/camrail/cidp/stream"
)

// Hold is what the next window's level and alert need of a sensor's past windows. It folds over valid windows in event-time
// order and is stored with each prediction, every field of it.
type Hold struct {
	Level       Level   // the level after hysteresis
	Above       int     // consecutive windows at alarm or more
	Below       int     // consecutive windows at normal while an alert is open
	AlertID     string  // the open alert, empty when none
	Worst       Level   // severity of the open alert
	RaisedAt    int64   // when the open alert was raised, event time, ms; 0 when none
	FreeSince   int64   // brakes: since when windows without a gap saw no braking, event time, ms; 0: braking, or not known
	LastEnd     int64   // end of the window before, event time, ms
	SteadySince int64   // since when windows without a gap ran at a steady speed, event time, ms; 0: standing, or not known
	SteadyKmh   float64 // the speed of the first of them; 0 with SteadySince 0
	Rate        float64 // how fast the temperature has risen since, K/min: exponentially weighted mean of the slopes (Roberts 1959), which begins at 0
}

// NoHold stands for the hold of a window that moves none: one between of a sensor that hops.
func NoHold() Hold { return Hold{LastEnd: -1} }

// None says whether it is the hold of such a window.
func (h *Hold) None() bool { return h.LastEnd < 0 }

// Follow gives the hold after a valid window whose level and alert are nobody's concern: what the rules need of the past, and no more.
func (h Hold) Follow(w *stream.Window) Hold {
	h.follow(w)
	return h
}

// A vehicle stands below standingKmh. Its speed is steady while windows' means lie within steadyKmh of the first one's. rateMs is the time constant of the rate: minutes,
// since one window's slope is noise, and a healthy bearing rises for a minute or two whenever a train pulls away.
const (
	standingKmh = 5.0
	steadyKmh   = 15.0
	rateMs      = 3 * 60_000
)

// follow keeps since when there was no braking and a steady speed. A gap between valid windows may hide both braking and a stop, and so may a window without
// such readings.
func (h *Hold) follow(w *stream.Window) {
	gap := w.Start > h.LastEnd // one that overlaps the window before hides nothing
	h.LastEnd = w.End
	if w.Sensor.Kind == stream.Brake {
		switch {
		case w.Features[stream.FBrakeShare] != 0: // NaN too
			h.FreeSince = 0
		case h.FreeSince == 0 || gap:
			h.FreeSince = w.Start
		}
	}
	speed, slope := w.Features[stream.FSpeed], w.Features[stream.FSlope]
	switch {
	case !(speed >= standingKmh) || math.IsNaN(slope):
		h.SteadySince, h.SteadyKmh, h.Rate = 0, 0, 0
		return
	case gap || h.SteadySince == 0 || !(math.Abs(speed-h.SteadyKmh) <= steadyKmh):
		h.SteadySince, h.SteadyKmh, h.Rate = w.Start, speed, 0
	}
	length := float64(w.End - w.Start)
	share := length / (length + rateMs)
	h.Rate += float64(share * (slope - h.Rate))
}

// unbraked is how long no braking has been seen at the end of w, steady how long its speed has been steady. h is the hold after w.
func (h *Hold) unbraked(w *stream.Window) time.Duration { return since(h.FreeSince, w) }
func (h *Hold) steady(w *stream.Window) time.Duration   { return since(h.SteadySince, w) }

func since(ms int64, w *stream.Window) time.Duration {
	if ms == 0 {
		return 0
	}
	return time.Duration(w.End-ms) * time.Millisecond
}
