package stream

import (
	"fmt"
	"time"
)

// accept takes one good element. A reason says that it is refused after all; duplicates and late ones are counted here.
func (w *Windower) accept(src *source, e *Element, received int64, mono time.Duration) (Reason, string, error) {
	if reason, detail := w.cfg.untimely(src.what, e.TS, received); reason != "" {
		return reason, detail, nil
	}
	switch src.what {
	case findings:
		return w.acceptFinding(src, *e.Finding)
	case contexts:
		return w.acceptContext(src, Context{TS: e.TS, Conditions: e.Conditions}, received, mono)
	}
	return w.acceptReading(src, e.Reading, received, mono)
}

// maxSensors is how many sensors a Key has room for.
const maxSensors = 1<<SensorBits - 1

func (w *Windower) acceptReading(src *source, r Reading, received int64, mono time.Duration) (Reason, string, error) {
	s := src.sensor
	if s == nil {
		if len(w.sensors) >= w.most {
			return UnknownTopic, fmt.Sprintf("the registry is full: %d sensors", w.most), nil
		}
		s = w.newSensor(src, r.TS)
	}
	if r.TS < s.frontier {
		return w.behind(s, r, received, mono)
	}
	i, fresh := s.pending.insert(r)
	if !fresh {
		if s.pending.at(i).Reading == r {
			w.batch.Count.Duplicate++
			return "", "", nil
		}
		s.pending.dispute(i)
		if s.hop != nil {
			w.reachBack(s, r.TS, stands)
		}
		w.batch.Conflicted = append(w.batch.Conflicted, Stored{SensorID: s.ID, Reading: r})
		return Conflict, conflictDetail, nil
	}
	if i == 0 { // the sensor's next window may end earlier
		s.asset.waits = waits{}
	}
	w.batch.Count.Stored++
	if w.batch.Readings == nil {
		w.batch.Readings = w.room()
	}
	w.batch.Readings = append(w.batch.Readings, Stored{SensorID: s.id, Reading: r})
	if i == 0 || !s.told.covers(r.TS) {
		w.touch(s)
		s.fresh++
	}
	if s.hop != nil {
		w.reachBack(s, r.TS, arrived)
	}
	if !w.releasing {
		w.heard(s, r.TS, mono)
	}
	s.advance(r.TS)
	s.behind = s.asset.advance(r.TS, w.disorder) && !w.releasing || s.behind
	if s.newest >= s.edge || s.newest-w.disorder >= s.mark {
		s.lookNext(w)
		w.look(s.asset)
	}
	return "", "", nil
}

// advance moves the sensor's newest event time, and with it its watermark.
func (s *sensorState) advance(ts int64) {
	if !s.known || ts > s.newest {
		s.known, s.newest = true, ts
	}
}

// lookNext notes when it is next worth to look for windows to close: when the sensor goes on beyond a possible end, and when its watermark does.
func (s *sensorState) lookNext(w *Windower) {
	s.edge, s.mark = next(s.newest, s.asset.step), next(s.newest-w.disorder, s.asset.step)
}

// advance moves the asset's newest event time and says whether a reading came farther behind it than disorder.
func (a *assetState) advance(ts, disorder int64) (behind bool) {
	behind = ts < a.newest-disorder
	a.newest = max(a.newest, ts)
	return behind
}

const conflictDetail = "another value is already stored for this time; the first is kept and neither feeds a window"

// behind classes a reading before its sensor's last closed window: known already, in dispute, in time to revise a window, or late.
func (w *Windower) behind(s *sensorState, r Reading, received int64, mono time.Duration) (Reason, string, error) {
	old, found, err := w.pastReading(s.ID, r.TS)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("look up reading: %w", err)
	case found && old == r:
		w.batch.Count.Duplicate++
		return "", "", nil
	case found:
		w.batch.Conflicted = append(w.batch.Conflicted, Stored{SensorID: s.ID, Reading: r})
		if s.hop != nil {
			s.hop.disputed(r.TS)
		}
		if w.inTime(s, r.TS) {
			w.late = append(w.late, lateAt{sensor: s, ts: r.TS, why: stands, next: s.openFrom()})
		} else {
			w.revised.forget(s.ID, r.TS)
		}
		return Conflict, conflictDetail, nil
	case w.inTime(s, r.TS):
		w.acceptLate(s, r, mono)
		return "", "", nil
	}
	s.behind = s.behind || r.TS < s.asset.newest-w.disorder
	w.batch.Count.Late++
	w.batch.Late = append(w.batch.Late, LateReading{AssetID: s.AssetID, SensorID: s.ID, Received: received, Reading: r, Reason: Late})
	return "", "", nil
}

// next gives the first multiple of base above v.
func next(v, base int64) int64 { return floor(v, base) + base }

// floor gives the last multiple of base at or below v.
func floor(v, base int64) int64 {
	q := v / base
	if v%base < 0 {
		q--
	}
	return q * base
}

// touch notes that the open readings of a sensor have changed.
func (w *Windower) touch(s *sensorState) {
	if !s.dirty {
		s.dirty = true
		w.dirty = append(w.dirty, s)
	}
}
