package stream

import (
	"fmt"
	"slices"
)

// History answers for whole stretches of what is stored: a late reading's window is made anew from it. A Past that is no History takes no late readings: all that comes
// behind its sensor's last closed window is late. It is asked when a batch is taken, and need know only what was committed by then; an error is fatal.
type History interface {
	// Window gives the newest revision of the sensor's last window that starts at or before ts, nil when there is none. Its Sensor and Flagged may be missing.
	Window(sensorID, ts int64) (*Window, error)
	// Readings gives the stored readings of the spans' sensors within them, each once, in any order; more of these sensors does no harm.
	Readings(spans []Stretch) ([]Kept, error)
	// Contexts does the same for the contexts of assets.
	Contexts(spans []Stretch) ([]Kept, error)
}

// Stretch is a half-open stretch of event time, ms, of one sensor or asset.
type Stretch struct{ ID, From, To int64 }

// Kept is a stored reading of a sensor, or a context of an asset, and whether its value is in dispute.
type Kept struct {
	ID         int64
	Reading    // of a context: Temp and Seq are zero
	Conflicted bool
}

// stored gathers what is known of some stretches: what the history has, and what the batches hold that are not committed yet.
type stored struct {
	readings map[int64][]entry        // by sensor, in event-time order
	contexts map[int64][]contextEntry // by asset, likewise
}

// gather gets together what windows are made of: what is held of those made before, the rest from the history.
func (w *Windower) gather(plans []revisionPlan) (*stored, error) {
	out := &stored{readings: map[int64][]entry{}, contexts: map[int64][]contextEntry{}}
	var sensors, assets []Stretch
	for _, p := range plans {
		id, asset := p.sensor.ID, p.sensor.AssetID
		h, ok := w.revised.of(id, p.start, p.end)
		if !ok || p.released || p.between { // who asks may know of something that came otherwise
			h = revisedWindow{}
			sensors = append(sensors, Stretch{id, p.start, p.end})
			assets = append(assets, Stretch{asset, p.start - contextAge, p.end})
		}
		out.readings[id] = append(out.readings[id], h.entries...)
		out.contexts[asset] = append(out.contexts[asset], h.contexts...)
	}
	if err := w.read(out, sensors, assets); err != nil {
		return nil, err
	}
	for _, b := range []*Batch{w.taken, w.batch} {
		if b != nil {
			out.add(b)
		}
	}
	for _, p := range plans {
		id, asset := p.sensor.ID, p.sensor.AssetID
		out.readings[id] = inOrder(out.readings[id], func(e *entry) (int64, *bool) { return e.TS, &e.conflicted })
		out.contexts[asset] = inOrder(out.contexts[asset], func(e *contextEntry) (int64, *bool) { return e.TS, &e.conflicted })
	}
	return out, nil
}

// read adds what the history has in spans of sensors and of assets.
func (w *Windower) read(out *stored, sensors, assets []Stretch) error {
	if len(sensors) == 0 {
		return nil
	}
	kept, err := w.history.Readings(sensors)
	if err != nil {
		return fmt.Errorf("read stored readings: %w", err)
	}
	for i := range kept {
		k := &kept[i]
		out.readings[k.ID] = append(out.readings[k.ID], entry{k.Reading, k.Conflicted})
	}
	if kept, err = w.history.Contexts(assets); err != nil {
		return fmt.Errorf("read stored contexts: %w", err)
	}
	for i := range kept {
		k := &kept[i]
		out.contexts[k.ID] = append(out.contexts[k.ID], contextEntry{Context{k.TS, k.Conditions}, k.Conflicted})
	}
	return nil
}

// add takes what a batch holds of the sensors and assets asked for. What is in dispute comes once more, marked.
func (k *stored) add(b *Batch) {
	for i := range b.Readings {
		r := &b.Readings[i]
		if of, asked := k.readings[r.SensorID]; asked {
			k.readings[r.SensorID] = append(of, entry{Reading: r.Reading})
		}
	}
	for i := range b.Conflicted {
		r := &b.Conflicted[i]
		if of, asked := k.readings[r.SensorID]; asked {
			k.readings[r.SensorID] = append(of, entry{r.Reading, true})
		}
	}
	for i := range b.Contexts {
		c := &b.Contexts[i]
		if of, asked := k.contexts[c.AssetID]; asked {
			k.contexts[c.AssetID] = append(of, contextEntry{Context: c.Context})
		}
	}
	for i := range b.ConflictedContexts {
		c := &b.ConflictedContexts[i]
		if of, asked := k.contexts[c.AssetID]; asked {
			k.contexts[c.AssetID] = append(of, contextEntry{c.Context, true})
		}
	}
}

// inOrder sorts by time and leaves one of each time, the first that came: in dispute when any of them was.
func inOrder[E any](all []E, of func(*E) (ts int64, conflicted *bool)) []E {
	slices.SortStableFunc(all, func(a, b E) int {
		x, _ := of(&a)
		y, _ := of(&b)
		return compare(x, y)
	})
	out := all[:0]
	for i := range all {
		ts, disputed := of(&all[i])
		if n := len(out); n > 0 {
			if last, mark := of(&out[n-1]); last == ts {
				*mark = *mark || *disputed
				continue
			}
		}
		out = append(out, all[i])
	}
	return out
}

// within gives the part of sorted entries in [from, to).
func within(all []entry, from, to int64) []entry {
	at := func(ts int64) int {
		i, _ := slices.BinarySearchFunc(all, ts, func(e entry, ts int64) int { return compare(e.TS, ts) })
		return i
	}
	return all[at(from):at(to)]
}
