package stream

// Introduce makes a sensor known before its first reading.
func (w *Windower) Introduce(topic string, ts int64) {
	src := w.source(topic)
	if src.sensor == nil {
		w.newSensor(src, ts)
	}
}

// StepWatermarks moves the watermark of every sensor to ts, as if each had sent a reading at ts and the disorder: no reading before ts is to come. What ends by ts closes, by the
// rules of due.go and close.go as they are. A window that nobody sent anything for counts as closed too: what comes for it is late, as in engines whose watermark is one for all keys.
func (w *Windower) StepWatermarks(ts int64) {
	for _, a := range w.assets {
		for _, s := range a.sensors {
			s.advance(ts + w.disorder)
			a.advance(ts+w.disorder, 0)
		}
		w.closeDue(a, -1)
		for _, s := range a.sensors {
			if end := floor(ts, w.base); s.from(end) == 0 {
				s.frontier = max(s.frontier, end)
			}
		}
	}
}

// WatermarkOf gives the watermark of a sensor that has sent something.
func (w *Windower) WatermarkOf(topic string) (ts int64, ok bool) {
	src := w.source(topic)
	if src.sensor == nil || !src.sensor.known {
		return 0, false
	}
	return src.sensor.newest - w.disorder, true
}
