package store

import (
	"time"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// messages plans the oldest evidence of refused messages. Its ids are in the order of receipt. The newest always stays, so that no id is given again.
func (e *expiry) messages() (func() error, error) {
	cut := e.received(e.keep.Evidence)
	var last int64
	err := e.oldest(`SELECT message_id, received_ms, reason, client_id, released_ms FROM quarantine_message WHERE message_id < (SELECT max(message_id) FROM quarantine_message) ORDER BY message_id LIMIT ?`, cut, func(s *sqlite3.Stmt) {
		last = s.ColumnInt64(0)
		from := source{s.ColumnText(3), stream.Reason(s.ColumnText(2))}
		e.sources[from]++
		e.entries[entry{expiredOf(counterRefused), string(from.reason)}]++
		if !isNull(s, 4) {
			e.entries[entry{expiredOf(counterReleased), string(from.reason)}]++
		}
	})
	if err != nil || last == 0 {
		return nil, err
	}
	return func() error {
		if err := e.exec(`DELETE FROM quarantine_message WHERE message_id <= ?`, last); err != nil {
			return err
		}
		e.out.Messages = e.w.c.Changes()
		return nil
	}, nil
}

// lates plans the oldest late readings, likewise.
func (e *expiry) lates() (func() error, error) {
	cut := e.received(e.keep.Evidence)
	var last int64
	err := e.oldest(`SELECT late_id, received_ms, reason FROM late_reading WHERE late_id < (SELECT max(late_id) FROM late_reading) ORDER BY late_id LIMIT ?`, cut, func(s *sqlite3.Stmt) {
		last = s.ColumnInt64(0)
		e.entries[entry{expiredOf(counterLate), s.ColumnText(2)}]++
	})
	if err != nil || last == 0 {
		return nil, err
	}
	return func() error {
		if err := e.exec(`DELETE FROM late_reading WHERE late_id <= ?`, last); err != nil {
			return err
		}
		e.out.Late = e.w.c.Changes()
		return nil
	}, nil
}

// received gives the receipt time before which evidence kept for d goes; 0: none does.
func (e *expiry) received(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return e.wall - d.Milliseconds()
}

// oldest calls take for the first rows that a query gives, up to the first one received at or after cut.
func (e *expiry) oldest(sql string, cut int64, take func(s *sqlite3.Stmt)) error {
	if cut <= 0 {
		return nil
	}
	err := e.query(sql, func(s *sqlite3.Stmt) error {
		if s.ColumnInt64(1) >= cut {
			return errFound
		}
		take(s)
		return nil
	}, int64(stepEvidence))
	if err == errFound {
		return nil
	}
	return err
}
