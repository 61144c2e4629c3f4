package stream

import (
	"fmt"
	"time"
)

// A restart gives the windower back what it knew: assets and sensors in id order, then the contexts and readings that are in no closed window yet, by the same
// code as live ones, then Settle. Only what was committed comes back, so that a crash leaves the state of the last commit.

// RestoreAsset gives back an asset. Its contexts from contextsFrom on follow with RestoreContext.
func (w *Windower) RestoreAsset(a Asset, contextsFrom int64) error {
	if a.ID != int64(len(w.assets)+1) {
		return fmt.Errorf("restore asset %s/%s: id %d does not follow %d", a.Site, a.Name, a.ID, len(w.assets))
	}
	s := &assetState{Asset: a}
	w.addAsset(s)
	s.context.cut = contextsFrom
	return nil
}

// RestoreSensor gives back a sensor with the end and the memory of its last closed window; windowEnd is 0 when there is none yet.
func (w *Windower) RestoreSensor(sensor Sensor, windowEnd int64, memory []byte) error {
	if sensor.ID != int64(len(w.sensors)+1) || sensor.AssetID < 1 || sensor.AssetID > int64(len(w.assets)) {
		return fmt.Errorf("restore sensor %s/%s/%s: id %d of asset %d does not fit", sensor.Site, sensor.Asset, sensor.Name, sensor.ID, sensor.AssetID)
	}
	s := &sensorState{Sensor: &sensor}
	a := w.assets[sensor.AssetID-1]
	w.addSensor(s, a)
	if *s.Sensor != sensor {
		defer func() { w.batch.Changed = append(w.batch.Changed, s.change(&sensor, s.period)) }()
	}
	if windowEnd == 0 {
		return nil
	}
	k, err := s.recall(memory)
	if err != nil {
		return fmt.Errorf("restore sensor %s/%s/%s: %w", sensor.Site, sensor.Asset, sensor.Name, err)
	}
	s.frontier, s.made, s.last = windowEnd, windowEnd, k.Last
	s.advance(k.Last)
	a.advance(k.Last, 0)
	a.setJointEnd(k.Nominal, windowEnd)
	return nil
}

// RestoreReading gives back a stored reading that is in no closed window yet.
func (w *Windower) RestoreReading(sensorID int64, r Reading, conflicted bool) error {
	if sensorID < 1 || sensorID > int64(len(w.sensors)) {
		return fmt.Errorf("restore reading: sensor %d is not known", sensorID)
	}
	s := w.sensors[sensorID-1]
	if r.TS < s.frontier {
		return nil
	}
	i, fresh := s.pending.insert(r)
	if !fresh {
		return fmt.Errorf("restore reading: sensor %d has two at %d", sensorID, r.TS)
	}
	if conflicted {
		s.pending.dispute(i)
	}
	s.advance(r.TS)
	s.asset.advance(r.TS, 0)
	return nil
}

// RestoreContext gives back a stored context.
func (w *Windower) RestoreContext(assetID int64, c Context, conflicted bool) error {
	if assetID < 1 || assetID > int64(len(w.assets)) {
		return fmt.Errorf("restore context: asset %d is not known", assetID)
	}
	a := w.assets[assetID-1]
	k := &a.context
	if n := len(k.kept); n > 0 && k.kept[n-1].TS >= c.TS {
		return fmt.Errorf("restore context: asset %d has %d out of order", assetID, c.TS)
	}
	if c.TS >= k.cut {
		k.kept = append(k.kept, contextEntry{Context: c, conflicted: conflicted})
	}
	k.known, k.newest = true, c.TS
	a.advance(c.TS, 0)
	return nil
}

// RestoreClosed gives back a closed window that another sensor of its asset has open readings in or before: their windows are compared with it. It
// follows the readings; mean is NaN when the window has none, stored is what was stored with it as its memory.
func (w *Windower) RestoreClosed(sensorID, start, end int64, mean float64, valid bool, stored []byte) error {
	if sensorID < 1 || sensorID > int64(len(w.sensors)) {
		return fmt.Errorf("restore window: sensor %d is not known", sensorID)
	}
	s := w.sensors[sensorID-1]
	if IsBetween(stored) { // Settle looks for those itself
		return nil
	}
	var m memory
	if err := m.decode(stored); err != nil {
		return fmt.Errorf("restore window of %s/%s/%s: %w", s.Site, s.Asset, s.Name, err)
	}
	s.asset.setJointEnd(m.Nominal, end)
	if m.Cut == 0 {
		slope, verdict := m.Gauge.asMate(valid)
		s.asset.remember(append(s.asset.closed, mateWindow(s, start, end, mean, slope, verdict, &m)))
	}
	return nil
}

// unknownStride stands for the steps in which a sensor sends, ms, after a restart: what it has open waits for ten minutes, so that one that sends a
// batch every ten minutes loses nothing. It falls with each message.
const unknownStride = 200_000

// Settle ends a restart: silence is counted from mono on. Windows that are due by event time close: those that were put off, and after a plain stop none.
func (w *Windower) Settle(mono time.Duration, wall int64) {
	w.received = wall
	for _, s := range w.sensors {
		s.mono = mono
		if s.known {
			s.lookNext(w)
		}
		if s.pending.len() > 0 {
			s.told = told{from: s.pending.ts(0)}
			s.pace.stride = unknownStride
		}
	}
	w.settleSilence(mono)
	w.reopen()
	for _, a := range w.assets {
		if k := &a.context; k.known {
			k.mono = mono
			k.mark = next(k.newest-w.disorder, a.step)
		}
		if a.moved || a.step != w.base { // what is due is so by the new lengths: nobody held it back. Which hop was in force before is not known
			w.closeDue(a, -1)
			a.moved = false
		}
		w.hold(a)
		w.closeDue(a, -1)
	}
}

// Longest is the longest window that any sensor of an asset closes next; with ContextSpan it says which contexts are still needed.
func Longest(cfg Config, period time.Duration) time.Duration {
	w := Windower{base: cfg.Window.Milliseconds()}
	s := sensorState{period: period.Milliseconds()}
	return time.Duration(w.length(&s)) * time.Millisecond
}
