package stream

// uncommitted remembers what was accepted but may not be on disk yet, so that Past need only know what is: the batch last taken,
// which the caller commits before it takes the next, and the batch that fills. The index is made only when somebody asks.
type uncommitted struct {
	readings map[int64]Reading // by Key
	contexts map[int64]Context // by Key of the asset
	findings map[FindingKey]Finding
	done     [2]struct { // how far the taken and the filling batch are indexed
		readings, contexts, findings int
	}
}

// index brings the maps up to date with the two batches.
func (u *uncommitted) index(batches [2]*Batch) {
	if u.readings == nil {
		u.readings, u.contexts, u.findings = map[int64]Reading{}, map[int64]Context{}, map[FindingKey]Finding{}
	}
	for i, b := range batches {
		if b == nil {
			continue
		}
		d := &u.done[i]
		for _, r := range b.Readings[d.readings:] {
			u.readings[Key(r.TS, r.SensorID)] = r.Reading
		}
		for _, c := range b.Contexts[d.contexts:] {
			u.contexts[Key(c.TS, c.AssetID)] = c.Context
		}
		for i := d.findings; i < len(b.Findings); i++ {
			u.findings[b.Findings[i].FindingKey] = b.Findings[i]
		}
		d.readings, d.contexts, d.findings = len(b.Readings), len(b.Contexts), len(b.Findings)
	}
}

// pastReading looks a reading up among the uncommitted, then in the past.
func (w *Windower) pastReading(sensorID, ts int64) (Reading, bool, error) {
	w.recent.index([2]*Batch{w.taken, w.batch})
	if r, ok := w.recent.readings[Key(ts, sensorID)]; ok {
		return r, true, nil
	}
	return w.past.Reading(sensorID, ts)
}

// pastContext does the same for a context.
func (w *Windower) pastContext(assetID, ts int64) (Context, bool, error) {
	w.recent.index([2]*Batch{w.taken, w.batch})
	if c, ok := w.recent.contexts[Key(ts, assetID)]; ok {
		return c, true, nil
	}
	return w.past.Context(assetID, ts)
}

// pastFinding does the same for a finding.
func (w *Windower) pastFinding(key FindingKey) (Finding, bool, error) {
	w.recent.index([2]*Batch{w.taken, w.batch})
	if f, ok := w.recent.findings[key]; ok {
		return f, true, nil
	}
	return w.past.Finding(key)
}
