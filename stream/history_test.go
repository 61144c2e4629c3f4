package stream_test

import (
	"slices"

	"github.com/camrail/cidp/stream"
)

// Window, Readings and Contexts make a disk a stream.History.
func (d *disk) Window(sensorID, ts int64) (found *stream.Window, err error) {
	for _, w := range d.windows {
		if w.Sensor.ID == sensorID && w.Start <= ts && (found == nil || w.Start > found.Start) {
			found = w
		}
	}
	return found, nil
}

func (d *disk) Readings(spans []stream.Stretch) (out []stream.Kept, err error) {
	for key, r := range d.readings {
		if ts, id := stream.SplitKey(key); asks(spans, id, ts) {
			out = append(out, stream.Kept{ID: id, Reading: r, Conflicted: d.disputed[key]})
		}
	}
	return out, nil
}

func (d *disk) Contexts(spans []stream.Stretch) (out []stream.Kept, err error) {
	for key, c := range d.contexts {
		if ts, id := stream.SplitKey(key); asks(spans, id, ts) {
			out = append(out, stream.Kept{ID: id, Reading: stream.Reading{TS: c.TS, Conditions: c.Conditions}, Conflicted: d.disputedC[key]})
		}
	}
	return out, nil
}

func asks(spans []stream.Stretch, id, ts int64) bool {
	return slices.ContainsFunc(spans, func(s stream.Stretch) bool { return s.ID == id && ts >= s.From && ts < s.To })
}

// standing says whether a window is one whose readings all came to be in dispute after it had closed: it stands, where none would have been made.
func (d *disk) standing(w *stream.Window) bool {
	for key := range d.readings {
		if ts, id := stream.SplitKey(key); id == w.Sensor.ID && ts >= w.Start && ts < w.End && !d.disputed[key] {
			return false
		}
	}
	return true
}

// window takes a window: a later revision in the place of the one before it, another where its sensor has none at that time. windows holds the newest revisions.
func (d *disk) window(w *stream.Window) {
	d.t.Helper()
	if w.Between != stream.IsBetween(w.Memory) {
		d.t.Fatalf("window %d of sensor %s: between is %v, its memory %x", w.Start, w.Sensor.Name, w.Between, w.Memory)
	}
	last := d.last[w.Sensor.ID]
	if w.Behind != (last != nil && last.Start > w.Start || w.Between && d.newest[w.Sensor.ID] > w.Start) {
		d.t.Fatalf("window %d of sensor %s revision %d: behind is %v", w.Start, w.Sensor.Name, w.Revision, w.Behind)
	}
	for i, o := range d.windows {
		switch {
		case o.Sensor.ID != w.Sensor.ID || o.End <= w.Start || w.End <= o.Start || (w.Between || o.Between) && o.Start != w.Start:
			continue
		case o.Start != w.Start || o.End != w.End || w.Revision != o.Revision+1:
			d.t.Fatalf("window %d of sensor %s overlaps another or is no next revision: %s%s", w.Start, w.Sensor.Name, tell(o), tell(w))
		}
		d.windows[i] = w
		if !w.Between && last.Start == w.Start {
			d.last[w.Sensor.ID] = w
		}
		d.revised++
		return
	}
	if w.Revision != 0 {
		d.t.Fatalf("window %d of sensor %s has revision %d and none before it", w.Start, w.Sensor.Name, w.Revision)
	}
	if w.Between {
		d.newest[w.Sensor.ID] = max(d.newest[w.Sensor.ID], w.Start)
	} else if last == nil || w.Start > last.Start {
		d.last[w.Sensor.ID] = w
	}
	d.windows = append(d.windows, w)
}
