package stream

import "time"

// FeedReading takes one reading that is decoded already: training and backtests spare themselves the JSON. Everything else is as in Feed, but that a refusal has no
// payload and that the steps in which a device sends are not noted: a caller without a network has none. Its clock is.
func (w *Windower) FeedReading(topic string, r Reading, received int64, mono time.Duration) (Reason, error) {
	return w.feedElement(topic, Element{Reading: r, Index: -1}, received, mono)
}

// FeedContext takes one context that is decoded already.
func (w *Windower) FeedContext(topic string, c Context, received int64, mono time.Duration) (Reason, error) {
	return w.feedElement(topic, Element{Reading: Reading{TS: c.TS, Conditions: c.Conditions}, Index: -1}, received, mono)
}

func (w *Windower) feedElement(topic string, e Element, received int64, mono time.Duration) (Reason, error) {
	if w.failed != nil {
		return "", w.failed
	}
	m := Message{Topic: topic, Received: received}
	w.received = received
	src := w.source(topic)
	w.batch.Messages++
	w.batch.Count.Received++
	if src.reason != "" {
		w.refuse(m, src.reason, src.detail, nil, -1)
		return src.reason, nil
	}
	reason, detail, err := w.accept(src, &e, received, mono)
	if err == nil && reason != "" {
		w.refuse(m, reason, detail, nil, -1)
	}
	if src.sensor != nil {
		w.noteClock(src.sensor, e.TS, received)
	}
	return reason, err
}
