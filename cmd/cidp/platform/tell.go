package platform

import (
	"context"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// shown is an alert that stands told on a topic.
type shown struct {
	id       string
	severity model.Level
	raised   int64
	payload  []byte
}

// foremost is the alert that a topic shows of those that stand on it, as a sensor may be hot and fall silent: the most severe, then the newest.
func foremost(all []shown) *shown {
	var first *shown
	for i := range all {
		a := &all[i]
		if first == nil || a.severity > first.severity || a.severity == first.severity && (a.raised > first.raised || a.raised == first.raised && a.id < first.id) {
			first = a
		}
	}
	return first
}

// isTold says whether an alert stands told.
func (l *line) isTold(s *stream.Sensor, id string) bool {
	for _, a := range l.shown[sensorTopic(alertsPrefix, s)] {
		if a.id == id {
			return true
		}
	}
	return false
}

// note takes an alert's present state among those that stand told on its topic, and says what that shows now, nil for nothing, and whether that is news.
func (l *line) note(s *stream.Sensor, a *model.Alert) (payload []byte, news bool) {
	topic := sensorTopic(alertsPrefix, s)
	all := l.shown[topic]
	before := ""
	if f := foremost(all); f != nil {
		before = f.id
	}
	for i := range all {
		if all[i].id == a.ID {
			all = append(all[:i], all[i+1:]...)
			break
		}
	}
	if a.State != model.Cleared {
		all = append(all, shown{a.ID, a.Severity, a.RaisedAt, model.AppendAlert(nil, s, a)})
	}
	if len(all) == 0 {
		delete(l.shown, topic)
		return nil, true
	}
	l.shown[topic] = all
	f := foremost(all)
	return f.payload, f.id == a.ID || f.id != before
}

// tellAlert lays out what the topic of an alert that moved shows now; it is emptied when no alert stands there.
func (l *line) tellAlert(s *stream.Sensor, a *model.Alert) {
	if payload, news := l.note(s, a); news {
		l.tell(alertsPrefix, s, payload, true)
	}
}

// placeOf stands for the sensor of an alert that has none.
func placeOf(p model.Place) *stream.Sensor {
	return &stream.Sensor{Site: p.Site, Asset: p.Asset, Name: p.Sensor}
}

// move puts an alert's new state, and what moved it, into the batch, and tells both when it is live, or when what was told must not stand for ever.
func (l *line) move(s *stream.Sensor, a *model.Alert, t *model.Transition, live bool) {
	b := l.filling.batch
	b.Alerts = append(b.Alerts, *a)
	live = live || a.State == model.Cleared && l.isTold(s, a.ID)
	if live {
		l.tellAlert(s, a)
	}
	if t == nil {
		return
	}
	b.Transitions = append(b.Transitions, *t)
	if live {
		l.tell(eventsPrefix, s, model.AppendEvent(nil, s, t), false)
	}
}

// publishAll tells the world what is on disk, or holds it back. What is told is marked sent in the next commit: delivery is at least once.
func (l *line) publishAll(ctx context.Context) {
	for {
		select {
		case out, ok := <-l.publish:
			if !ok {
				return
			}
			l.release(ctx)
			if l.hold.on.Load() || l.hold.first != 0 { // what is older goes first
				l.withhold(out)
			} else {
				l.send(out)
			}
		case <-l.hold.free:
			l.release(ctx)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// send publishes.
func (l *line) send(out []store.Publication) {
	sent := make([]int64, 0, len(out))
	for _, p := range out {
		if err := l.broker.Publish(p.Topic, p.Payload, p.Retain); err != nil {
			l.log.Warn().Err(err).Str("topic", p.Topic).Msg("publish failed; it is tried again at the next start")
			continue
		}
		sent = append(sent, p.ID)
	}
	l.step(StepPublished)
	l.metrics.published.Add(float64(len(sent)))
	l.markSent(sent, len(out))
}

// markSent lets the next commit take publications out of the outbox, and counts those that are no longer on their way.
func (l *line) markSent(sent []int64, done int) {
	l.sentMu.Lock()
	l.sent = append(l.sent, sent...)
	l.sentMu.Unlock()
	l.unsent.Add(-int64(done))
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
