package platform

import (
	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/store"
)

// lastingSessions reads what MQTT clients are to find again.
func (p *Platform) lastingSessions() (*broker.Sessions, error) {
	kept, err := p.db.Sessions()
	if err != nil {
		return nil, err
	}
	out := &broker.Sessions{}
	for _, s := range kept.Sessions {
		out.Sessions = append(out.Sessions, broker.Session(s))
	}
	for _, m := range kept.Messages {
		out.Messages = append(out.Messages, broker.SessionMessage(m))
	}
	for _, o := range kept.Owed {
		out.Owed = append(out.Owed, broker.Owed(o))
	}
	return out, nil
}

// sessionChanges puts what the broker noted of sessions into the warehouse's words; nil when it is nothing.
func sessionChanges(c broker.SessionChanges) *store.SessionChanges {
	if c.Empty() {
		return nil
	}
	out := &store.SessionChanges{Ended: c.Ended}
	for _, s := range c.Kept {
		out.Kept = append(out.Kept, store.Session(s))
	}
	for _, m := range c.Messages {
		out.Messages = append(out.Messages, store.SessionMessage(m))
	}
	for _, o := range c.Owed {
		out.Owed = append(out.Owed, store.Owed(o))
	}
	for _, o := range c.Settled {
		out.Settled = append(out.Settled, store.Owed(o))
	}
	return out
}
