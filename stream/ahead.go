package stream

// A fleet does not fit a processor's caches: with 100,000 sensors a reading waited, one after another, for its topic's place in the table, for the sensor, and for its last row.
// Expect has the waits of many readings overlap.

// ahead is what the next messages are of.
type ahead struct {
	next   []expected
	at     int   // position of the next message's
	warmed int64 // what was read on the way: the compiler must not leave the reading out
}

type expected struct {
	topic  string
	hash   uint64
	source *source // nil: not known when it was asked
}

// Expect names the topics of the next messages, in the order in which they will be fed: some tens at a time, since what is read ahead must still be near when its message comes. It changes no
// result. It is fastest where a message is fed with the very string that was named here.
func (w *Windower) Expect(topics []string) {
	a := &w.ahead
	a.next, a.at = a.next[:0], 0
	sum := int64(0)
	for _, topic := range topics {
		if topic != "" {
			sum += int64(topic[0]) + int64(topic[len(topic)-1])
		}
	}
	for _, topic := range topics {
		h := w.sources.hash(topic)
		a.next = append(a.next, expected{topic: topic, hash: h})
		sum += int64(w.sources.first(h).hash)
	}
	for i := range a.next {
		e := &a.next[i]
		if e.source = w.sources.like(e.hash); e.source != nil {
			sum += int64(len(e.source.topic))
		}
	}
	for i := range a.next {
		e := &a.next[i]
		if e.source != nil && e.source.topic != e.topic {
			e.source = w.sources.find(e.hash, e.topic)
		}
		if e.source != nil {
			sum += e.source.sensor.touchAhead()
		}
	}
	for i := range a.next {
		if src := a.next[i].source; src != nil {
			sum += src.sensor.pending.touchAhead()
		}
	}
	a.warmed += sum
}

// touchAhead reads from each line of memory of a sensor that its next reading will need.
func (s *sensorState) touchAhead() int64 {
	return s.newest + int64(s.pending.room) + s.quiet.rhythm.last + int64(s.clock.lags[0]) + s.told.to + s.asset.newest
}

// touchAhead reads the end of the open readings, where the next one goes.
func (p *pending) touchAhead() (sum int64) {
	if n := len(p.all); n > 0 {
		sum = int64(p.all[n-1].after)
	}
	if n := len(p.conds); n > 0 {
		sum += int64(p.conds[n-1][9])
	}
	return sum
}

// take gives what the next message's topic was found to mean, nil when it was not expected, or not known then.
func (a *ahead) take(topic string) *source {
	if a.at >= len(a.next) {
		return nil
	}
	e := &a.next[a.at]
	if e.topic != topic { // something else came
		a.at = len(a.next)
		return nil
	}
	a.at++
	return e.source
}
