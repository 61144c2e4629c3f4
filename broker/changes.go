package broker

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Session is one client's session as it is to be found again after a restart. State is JSON that only this package reads.
type Session struct {
	Client string
	State  []byte
}

// SessionMessage is an output that one or more clients are owed. Its ID is above those of all messages that any client is still owed, over restarts too.
type SessionMessage struct {
	ID      int64
	Topic   string
	Payload []byte
	Retain  bool
}

// Owed is a client's claim to a message.
type Owed struct {
	Client  string
	Message int64
	QoS     byte
}

// Sessions is what Config.Restore gives back: all that SessionChanges ever told, applied.
type Sessions struct {
	Sessions []Session
	Messages []SessionMessage
	Owed     []Owed
}

// SessionChanges is what changed about lasting sessions. It is to be applied in the order of its fields.
type SessionChanges struct {
	Ended    []string         // client ids; what they were owed goes with them
	Kept     []Session        // new or changed
	Messages []SessionMessage // those that Owed names
	Owed     []Owed           // by client, then message
	Settled  []Owed           // acknowledged, or given up; QoS is 0
}

// Empty says whether nothing changed.
func (c *SessionChanges) Empty() bool {
	return len(c.Ended)+len(c.Kept)+len(c.Messages)+len(c.Owed)+len(c.Settled) == 0
}

// SessionChanges gives what changed about lasting sessions since the last call, as net changes: a message that was owed and settled meanwhile is not
// among them. Whatever Publish returned for before this call is owed here, or in an earlier call, to every absent or slow client that is to get it.
// The caller puts it on disk whole and calls Acknowledge, if only with no messages, after that and before the next call: an Acknowledge says that
// what the last SessionChanges gave is on disk, and new subscriptions are confirmed to their clients then. It is empty without Config.Restore.
func (b *Broker) SessionChanges() SessionChanges {
	b.routing.mu.Lock() // a message is owed to all or to nobody yet
	clients, messages := b.changes.take()
	b.routing.mu.Unlock()
	var out SessionChanges
	for _, id := range slices.Sorted(maps.Keys(clients)) {
		e := clients[id]
		if e.ended {
			out.Ended = append(out.Ended, id)
		}
		if e.kept != nil {
			out.Kept = append(out.Kept, Session{Client: id, State: e.kept.state()})
		}
		for _, message := range slices.Sorted(maps.Keys(e.owed)) {
			out.Owed = append(out.Owed, Owed{Client: id, Message: message, QoS: e.owed[message]})
		}
		for _, message := range slices.Sorted(maps.Keys(e.settled)) {
			out.Settled = append(out.Settled, Owed{Client: id, Message: message})
		}
	}
	for id, m := range messages {
		out.Messages = append(out.Messages, SessionMessage{ID: id, Topic: m.topic, Payload: m.payload, Retain: m.retain})
	}
	slices.SortFunc(out.Messages, func(a, b SessionMessage) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// SessionsChanged has a token when SessionChanges has something worth a commit of its own. Sessions and subscriptions are told at once, because a client
// may wait for that; messages owed and settled after lazily, because most are acknowledged at once. It may turn out to be nothing.
func (b *Broker) SessionsChanged() <-chan struct{} { return b.changes.changed }

// lazily is how long messages owed or settled wait for somebody else's commit.
const lazily = 200 * time.Millisecond

// changeLog holds the net changes of lasting sessions since they were last taken: never more than what sessions hold now and what the disk was last
// told of them. Its lock is the innermost of all. A log that is off notes nothing.
type changeLog struct {
	on      bool
	changed chan struct{} // holds one token

	mu       sync.Mutex
	clients  map[string]*clientChanges
	messages map[int64]*newMessage // named by an owed below
	lazy     bool                  // the timer that tells of messages runs

	noted, taken, safe uint64        // changes of sessions ever noted, taken, and on disk
	advanced           chan struct{} // closed and replaced when safe moves; nil while nobody waits
}

// clientChanges are those of one client id, in the order of SessionChanges.
type clientChanges struct {
	ended   bool     // the session that the disk knows
	kept    *session // the present one, when it changed
	owed    map[int64]byte
	settled map[int64]struct{} // owed on disk
}

// newMessage is a message that is not on disk yet.
type newMessage struct {
	*outgoing
	claims int
}

func (l *changeLog) init(on bool) {
	l.on = on
	l.changed = make(chan struct{}, 1)
	l.clients, l.messages = map[string]*clientChanges{}, map[int64]*newMessage{}
}

func (l *changeLog) tell() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// tellLazily tells in a while. The lock is held.
func (l *changeLog) tellLazily() {
	if l.lazy {
		return
	}
	l.lazy = true
	time.AfterFunc(lazily, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lazy = false
		if len(l.clients) > 0 {
			l.tell()
		}
	})
}

// of gives the changes of a client. The lock is held.
func (l *changeLog) of(id string) *clientChanges {
	e := l.clients[id]
	if e == nil {
		e = &clientChanges{}
		l.clients[id] = e
	}
	return e
}

// tidy forgets a client without changes. The lock is held.
func (l *changeLog) tidy(id string, e *clientChanges) {
	if !e.ended && e.kept == nil && len(e.owed) == 0 && len(e.settled) == 0 {
		delete(l.clients, id)
	}
}

// keep notes that a session is new or changed, and gives the number of the change.
func (l *changeLog) keep(s *session) uint64 {
	if !l.on {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(s.id).kept = s
	l.noted++
	l.tell()
	return l.noted
}

// end notes that a session lasts no longer. What was noted of it before is void.
func (l *changeLog) end(s *session) {
	if !l.on {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(s.id)
	for id := range e.owed {
		l.unclaim(id)
	}
	e.kept, e.owed, e.settled = nil, nil, nil
	if s.onDisk {
		s.onDisk, e.ended = false, true
		l.tell()
	}
	l.tidy(s.id, e)
}

// owe notes that a client is to get a message.
func (l *changeLog) owe(client string, o *outgoing, qos byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(client)
	if e.owed == nil {
		e.owed = map[int64]byte{}
	}
	e.owed[o.message] = qos
	m := l.messages[o.message]
	if m == nil {
		m = &newMessage{outgoing: o}
		l.messages[o.message] = m
	}
	m.claims++
	l.tellLazily()
}

// settle notes that a client is owed a message no more.
func (l *changeLog) settle(client string, message int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of(client)
	if _, fresh := e.owed[message]; fresh {
		delete(e.owed, message)
		l.unclaim(message)
		l.tidy(client, e)
		return
	}
	if e.settled == nil {
		e.settled = map[int64]struct{}{}
	}
	e.settled[message] = struct{}{}
	l.tellLazily()
}

// unclaim forgets a message that nobody else is owed. The lock is held.
func (l *changeLog) unclaim(message int64) {
	m := l.messages[message]
	if m.claims--; m.claims == 0 {
		delete(l.messages, message)
	}
}

// take gives what was noted and begins anew.
func (l *changeLog) take() (map[string]*clientChanges, map[int64]*newMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clients, messages := l.clients, l.messages
	if len(clients) == 0 {
		if l.safe == l.taken { // nothing is on its way to the disk either
			l.advance(l.noted)
		}
		l.taken = l.noted
		return nil, nil
	}
	l.clients, l.messages = map[string]*clientChanges{}, map[int64]*newMessage{}
	for _, e := range clients {
		if e.kept != nil {
			e.kept.onDisk = true
		}
	}
	l.taken = l.noted
	return clients, messages
}

// confirm says that what was taken is on disk.
func (l *changeLog) confirm() {
	if !l.on {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(l.taken)
}

// advance lets those go on who waited for changes up to this one. The lock is held.
func (l *changeLog) advance(safe uint64) {
	l.safe = safe
	if l.advanced != nil {
		close(l.advanced)
		l.advanced = nil
	}
}

// wait waits until the change with this number is on disk, and is false when gone closes or patience ends first.
func (l *changeLog) wait(due uint64, gone <-chan struct{}, patience time.Duration) bool {
	if due == 0 {
		return true
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	l.mu.Lock()
	for l.safe < due {
		if l.advanced == nil {
			l.advanced = make(chan struct{})
		}
		advanced := l.advanced
		l.mu.Unlock()
		select {
		case <-advanced:
		case <-gone:
			return false
		case <-limit.C:
			return false
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
	return true
}
