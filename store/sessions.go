package store

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// SessionChanges is what changed about MQTT clients that asked to be remembered. It is applied in the order of its fields.
type SessionChanges struct {
	Ended    []string         // client ids; what they were owed goes with them
	Kept     []Session        // new or changed
	Messages []SessionMessage // named by Owed
	Owed     []Owed           // what a client is to get
	Settled  []Owed           // what it has acknowledged, or lost its claim to; QoS is not looked at
}

// Empty says whether there is nothing to write.
func (c *SessionChanges) Empty() bool {
	return c == nil || len(c.Ended)+len(c.Kept)+len(c.Messages)+len(c.Owed)+len(c.Settled) == 0
}

// Session is one client's session. The warehouse does not look into its state.
type Session struct {
	Client string
	State  []byte // JSON
}

// SessionMessage is what one or more clients are owed. Its ID is above those of all messages kept before it, as far as they are kept still.
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

// Sessions is all that Commit was told of sessions.
type Sessions struct {
	Sessions []Session        // by client id
	Messages []SessionMessage // by id
	Owed     []Owed           // by client id, then message id
}

// Sessions reads what MQTT clients are to find again after a restart.
func (db *DB) Sessions() (_ *Sessions, err error) {
	c, err := openReader(db.place())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeConn(c)) }()
	if err := c.Exec(`BEGIN`); err != nil {
		return nil, fmt.Errorf("begin reading sessions: %w", err)
	}
	out := &Sessions{}
	for _, q := range []struct {
		sql string
		row func(s *sqlite3.Stmt)
	}{
		{`SELECT client_id, state FROM session ORDER BY client_id`, func(s *sqlite3.Stmt) {
			out.Sessions = append(out.Sessions, Session{s.ColumnText(0), []byte(s.ColumnText(1))})
		}},
		{`SELECT message_id, topic, payload, retain FROM session_message ORDER BY message_id`, func(s *sqlite3.Stmt) {
			out.Messages = append(out.Messages, SessionMessage{s.ColumnInt64(0), s.ColumnText(1), s.ColumnBlob(2, nil), s.ColumnBool(3)})
		}},
		{`SELECT client_id, message_id, qos FROM session_owed ORDER BY client_id, message_id`, func(s *sqlite3.Stmt) {
			out.Owed = append(out.Owed, Owed{s.ColumnText(0), s.ColumnInt64(1), byte(s.ColumnInt(2))})
		}},
	} {
		if err := query(c, q.sql, func(s *sqlite3.Stmt) error { q.row(s); return nil }); err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
	}
	return out, nil
}

// sessions writes what changed. A message that nobody is owed any more goes.
func (w *writer) sessions(p *pass) error {
	c := p.Sessions
	if c.Empty() {
		return nil
	}
	for _, id := range c.Ended {
		if err := w.freed(w.sessionOwed.text(id)); err != nil {
			return err
		}
		if err := w.sessionEnded.text(id).run(); err != nil {
			return fmt.Errorf("delete session of %q: %w", id, err)
		}
	}
	for _, s := range c.Kept {
		if err := w.session.text(s.Client).text(string(s.State)).run(); err != nil {
			return fmt.Errorf("keep session of %q: %w", s.Client, err)
		}
	}
	for i := range c.Messages {
		m := &c.Messages[i]
		retain := int64(0)
		if m.Retain {
			retain = 1
		}
		if err := w.sessionMessage.int(m.ID).text(m.Topic).blob(m.Payload).int(retain).run(); err != nil {
			return fmt.Errorf("keep message %d: %w", m.ID, err)
		}
	}
	for _, o := range c.Owed {
		if err := w.owed.text(o.Client).int(o.Message).int(int64(o.QoS)).run(); err != nil {
			return fmt.Errorf("owe message %d to %q: %w", o.Message, o.Client, err)
		}
	}
	for _, o := range c.Settled {
		if err := w.settled.text(o.Client).int(o.Message).run(); err != nil {
			return fmt.Errorf("settle message %d of %q: %w", o.Message, o.Client, err)
		}
		if err := w.unowed.int(o.Message).run(); err != nil {
			return fmt.Errorf("delete message %d: %w", o.Message, err)
		}
	}
	return nil
}

// freed takes away a client's claims, and the messages that nobody else has a claim to.
func (w *writer) freed(claims *stmt) error {
	var ids []Owed
	err := claims.each(func(s *sqlite3.Stmt) error {
		ids = append(ids, Owed{Client: s.ColumnText(0), Message: s.ColumnInt64(1)})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is owed: %w", err)
	}
	for _, o := range ids {
		if err := w.settled.text(o.Client).int(o.Message).run(); err != nil {
			return fmt.Errorf("settle message %d of %q: %w", o.Message, o.Client, err)
		}
		if err := w.unowed.int(o.Message).run(); err != nil {
			return fmt.Errorf("delete message %d: %w", o.Message, err)
		}
	}
	return nil
}
