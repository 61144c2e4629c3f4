package broker

import (
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
)

// registry knows the session of every client and which connection, if any, may use it. Sessions begin and end under its lock, so that what is noted of
// a client's sessions is noted in their order. It is taken before a session's.
type registry struct {
	shared *shared

	mu       sync.Mutex
	holders  map[string]*conn // from CONNECT until nothing works for the connection any more
	sessions map[string]*session
	stopping bool // no delayed will is armed any more
}

func newRegistry(sh *shared) *registry {
	return &registry{shared: sh, holders: map[string]*conn{}, sessions: map[string]*session{}}
}

// hold makes c the only connection of its client, or gives the one that is in its way.
func (r *registry) hold(c *conn) (inTheWay *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.holders[c.clientID]; other != nil && other != c {
		return other
	}
	r.holders[c.clientID] = c
	return nil
}

// release undoes hold.
func (r *registry) release(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders[c.clientID] == c {
		delete(r.holders, c.clientID)
	}
}

// open gives the client's session, a new one unless it is resumed, and the one that ended thereby.
func (r *registry) open(id string, resume bool, t terms) (s, ended *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.sessions[id]
	if resume && old != nil {
		old.renew(t)
		return old, nil
	}
	if old != nil {
		old.finish()
	}
	s = newSession(id, r.shared)
	s.renew(t)
	r.sessions[id] = s
	return s, old
}

// restore takes in a session from before the restart.
func (r *registry) restore(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[s.id] = s
}

// get gives the session of a client, nil when it has none.
func (r *registry) get(id string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[id]
}

// end forgets a session.
func (r *registry) end(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.id] == s {
		delete(r.sessions, s.id)
	}
	s.finish()
}

// expire forgets the session of a client that stays away, and gives it; nil when the client is back.
func (r *registry) expire(cl *mqtt.Client) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[cl.ID]
	if s == nil || r.holders[cl.ID] != nil {
		return nil
	}
	delete(r.sessions, cl.ID)
	s.finish()
	return s
}

// list gives all sessions.
func (r *registry) list() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*session, 0, len(r.sessions))
	for _, s := range r.sessions {
		all = append(all, s)
	}
	return all
}

// len gives the number of sessions.
func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}
