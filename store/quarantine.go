package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// EvidenceID names one piece of evidence: m and the id of a message, or w and the id of a window.
type EvidenceID struct {
	Message int64 // 0: a window
	Window  int64 // 0: a message
}

// ParseEvidenceID reads what String writes.
func ParseEvidenceID(text string) (EvidenceID, error) {
	if len(text) > 1 && text[1] >= '0' && text[1] <= '9' {
		id, err := strconv.ParseInt(text[1:], 10, 64)
		switch {
		case err != nil || id <= 0:
		case text[0] == 'm':
			return EvidenceID{Message: id}, nil
		case text[0] == 'w':
			return EvidenceID{Window: id}, nil
		}
	}
	return EvidenceID{}, fmt.Errorf("%q names no evidence: m and a number is a message, w and a number is a window", text)
}

func (id EvidenceID) String() string {
	if id.Message != 0 {
		return "m" + strconv.FormatInt(id.Message, 10)
	}
	return "w" + strconv.FormatInt(id.Window, 10)
}

// State is whether evidence is still in quarantine.
type State string

// States.
const (
	StateOpen       State = "open"       // in quarantine
	StateReleased   State = "released"   // a person put it back
	StateSuperseded State = "superseded" // a window of which there is a newer revision: later readings made it
)

// QuarantineFilter says what of the quarantine is asked for. The zero value is all of it.
type QuarantineFilter struct {
	State    State  // empty: any
	Reason   string // empty: any
	Place    string // site, site/asset or site/asset/sensor; empty: any
	Since    int64  // windows that end, and messages received, from then on, ms
	Windows  bool   // windows, and no messages unless Messages is set too; neither is both
	Messages bool
	Limit    int // of each; 0: 50
	Newest   int // so many of each are looked through, the newest first; 0: all
}

func (f *QuarantineFilter) wants(windows bool) bool {
	if windows {
		return f.Windows || !f.Messages
	}
	return f.Messages || !f.Windows
}

// Quarantine is what was refused: totals by reason, and the newest of each kind.
type Quarantine struct {
	WindowsByReason  []LedgerRow          `json:"windows_by_reason"`  // since the database was made
	MessagesByReason []LedgerRow          `json:"messages_by_reason"` // likewise
	Matching         Matching             `json:"matching"`
	Windows          []QuarantinedWindow  `json:"windows"`
	Messages         []QuarantinedMessage `json:"messages"`
}

// Matching counts what a filter lets through, without its limit. A window counts under each of its reasons.
type Matching struct {
	Windows          int64            `json:"windows"`
	Messages         int64            `json:"messages"`
	WindowsByReason  map[string]int64 `json:"windows_by_reason"`
	MessagesByReason map[string]int64 `json:"messages_by_reason"`
}

// QuarantinedWindow is a window that was not scored, and why.
type QuarantinedWindow struct {
	ID         string          `json:"id"`
	WindowID   int64           `json:"window_id"`
	Site       string          `json:"site"`
	Asset      string          `json:"asset"`
	Sensor     string          `json:"sensor"`
	StartMs    int64           `json:"start_ms"`
	EndMs      int64           `json:"end_ms"`
	Revision   int             `json:"revision"`
	Reasons    json.RawMessage `json:"reasons"`
	Detail     string          `json:"detail"`
	ReleasedMs int64           `json:"released_ms,omitempty"` // 0: it was not
	State      State           `json:"state"`
	SensorID   int64           `json:"-"`
}

// QuarantinedMessage is a message, or an element of one, that was refused. Payload is the evidence, cut to its limit.
type QuarantinedMessage struct {
	ID         string `json:"id"`
	MessageID  int64  `json:"message_id"`
	ReceivedMs int64  `json:"received_ms"`
	Topic      string `json:"topic"`
	ClientID   string `json:"client_id"`
	Payload    string `json:"payload"`
	Element    int    `json:"element"`
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`
	ReleasedMs int64  `json:"released_ms,omitempty"` // 0: it was not
	State      State  `json:"state"`
}

// pageRows is how many windows, and messages, the console looks through: a million would take seconds.
const pageRows = 100_000

// Quarantine gives the totals by reason and the newest windows and messages that a filter lets through, among the newest pageRows of each.
func (k *Console) Quarantine(ctx context.Context, f QuarantineFilter) (v Quarantine, err error) {
	f.Newest = pageRows
	err = k.read(ctx, "quarantine", func(c *sqlite3.Conn) (err error) { v, err = readQuarantine(c, f); return err })
	return v, err
}

// ReadQuarantine does the same with a database, live or stopped. An error is ErrMissing, ErrNotDatabase, ErrNotOurs, ErrOlder, ErrNewer, or one of the disk.
func ReadQuarantine(ctx context.Context, path string, f QuarantineFilter) (v Quarantine, err error) {
	err = readOnce(ctx, path, func(c *sqlite3.Conn) (err error) { v, err = readQuarantine(c, f); return err })
	return v, err
}

// readOnce lends f a connection of its own inside one read transaction.
func readOnce(ctx context.Context, path string, f func(c *sqlite3.Conn) error) (err error) {
	c, err := openReader(place{path: path})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeConn(c)) }()
	c.SetInterrupt(ctx)
	if err := c.Exec(`BEGIN`); err != nil {
		return fmt.Errorf("begin reading: %w", err)
	}
	return f(c)
}

// The filters as SQL: ?1 reason, ?2 since, ?3 state, ?4 place, ?5 how many rows. windowState and messageState give the state of a row q.
const (
	windowState = `CASE WHEN q.released_ms IS NOT NULL THEN 'released'
		WHEN EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = q.window_id AND n.revision > q.revision) THEN 'superseded' ELSE 'open' END`
	fromWindows = ` FROM (SELECT * FROM quarantine_window ORDER BY window_id DESC, revision DESC LIMIT ?5) q JOIN sensor s ON s.sensor_id = q.sensor_id JOIN asset a ON a.asset_id = s.asset_id
		WHERE (?1 = '' OR EXISTS (SELECT 1 FROM json_each(q.reasons) r WHERE r.value = ?1)) AND q.end_ms >= ?2 AND (?3 = '' OR ` + windowState + ` = ?3)
		AND (?4 = '' OR ?4 IN (a.site, a.site || '/' || a.asset, a.site || '/' || a.asset || '/' || s.sensor))`
	messageState = `CASE WHEN q.released_ms IS NOT NULL THEN 'released' ELSE 'open' END`
	fromMessages = ` FROM (SELECT * FROM quarantine_message ORDER BY message_id DESC LIMIT ?5) q WHERE (?1 = '' OR q.reason = ?1) AND q.received_ms >= ?2 AND (?3 = '' OR ` + messageState + ` = ?3)
		AND (?4 = '' OR q.topic IN ('` + stream.TelemetryPrefix + `' || ?4, '` + stream.ContextPrefix + `' || ?4, '` + stream.VerdictPrefix + `' || ?4)
		OR substr(q.topic, 1, length(?4) + ` + telemetryLength + ` + 1) = '` + stream.TelemetryPrefix + `' || ?4 || '/'
		OR substr(q.topic, 1, length(?4) + ` + contextLength + ` + 1) = '` + stream.ContextPrefix + `' || ?4 || '/'
		OR substr(q.topic, 1, length(?4) + ` + verdictLength + ` + 1) = '` + stream.VerdictPrefix + `' || ?4 || '/')`
	telemetryLength = `18` // of stream.TelemetryPrefix
	contextLength   = `16` // of stream.ContextPrefix
	verdictLength   = `17` // of stream.VerdictPrefix
)

func readQuarantine(c *sqlite3.Conn, f QuarantineFilter) (v Quarantine, err error) {
	v = Quarantine{WindowsByReason: []LedgerRow{}, MessagesByReason: []LedgerRow{}, Windows: []QuarantinedWindow{}, Messages: []QuarantinedMessage{},
		Matching: Matching{WindowsByReason: map[string]int64{}, MessagesByReason: map[string]int64{}}}
	ledger, err := readLedger(c)
	if err != nil {
		return v, err
	}
	for _, row := range ledger {
		switch row.Counter {
		case counterQuarantine:
			v.WindowsByReason = append(v.WindowsByReason, row)
		case counterRefused:
			v.MessagesByReason = append(v.MessagesByReason, row)
		}
	}
	args := []any{f.Reason, f.Since, string(f.State), strings.Trim(f.Place, "/"), orDefault(f.Newest, -1)}
	if f.wants(true) {
		if err := v.readWindows(c, f.Limit, args); err != nil {
			return v, err
		}
	}
	if f.wants(false) {
		return v, v.readMessages(c, f.Limit, args)
	}
	return v, nil
}

func (v *Quarantine) readWindows(c *sqlite3.Conn, limit int, args []any) (err error) {
	if v.Matching.Windows, err = queryInt(c, `SELECT count(*)`+fromWindows, args...); err != nil {
		return fmt.Errorf("count windows: %w", err)
	}
	err = query(c, `SELECT r.value, count(*) FROM (SELECT q.reasons`+fromWindows+`) w, json_each(w.reasons) r GROUP BY r.value`, func(s *sqlite3.Stmt) error {
		v.Matching.WindowsByReason[s.ColumnText(0)] = s.ColumnInt64(1)
		return nil
	}, args...)
	if err != nil {
		return fmt.Errorf("count windows: %w", err)
	}
	return query(c, `SELECT `+windowColumns+fromWindows+` ORDER BY q.window_id DESC, q.revision DESC LIMIT ?6`, func(s *sqlite3.Stmt) error {
		v.Windows = append(v.Windows, windowAt(s))
		return nil
	}, append(args, orDefault(limit, 50))...)
}

const windowColumns = `q.window_id, a.site, a.asset, s.sensor, q.start_ms, q.end_ms, q.revision, q.reasons, q.detail, q.released_ms, q.sensor_id, ` + windowState

func windowAt(s *sqlite3.Stmt) QuarantinedWindow {
	w := QuarantinedWindow{WindowID: s.ColumnInt64(0), Site: s.ColumnText(1), Asset: s.ColumnText(2), Sensor: s.ColumnText(3), StartMs: s.ColumnInt64(4), EndMs: s.ColumnInt64(5),
		Revision: s.ColumnInt(6), Reasons: rawJSON(s, 7), Detail: s.ColumnText(8), ReleasedMs: s.ColumnInt64(9), SensorID: s.ColumnInt64(10), State: State(s.ColumnText(11))}
	w.ID = EvidenceID{Window: w.WindowID}.String()
	return w
}

func (v *Quarantine) readMessages(c *sqlite3.Conn, limit int, args []any) error {
	err := query(c, `SELECT q.reason, count(*)`+fromMessages+` GROUP BY q.reason`, func(s *sqlite3.Stmt) error {
		v.Matching.MessagesByReason[s.ColumnText(0)] = s.ColumnInt64(1)
		v.Matching.Messages += s.ColumnInt64(1)
		return nil
	}, args...)
	if err != nil {
		return fmt.Errorf("count messages: %w", err)
	}
	return query(c, `SELECT `+messageColumns+fromMessages+` ORDER BY q.message_id DESC LIMIT ?6`, func(s *sqlite3.Stmt) error {
		m := messageAt(s)
		m.Payload = cutText(m.Payload)
		v.Messages = append(v.Messages, m)
		return nil
	}, append(args, orDefault(limit, 50))...)
}

const messageColumns = `q.message_id, q.received_ms, q.topic, q.client_id, q.payload, q.element, q.reason, q.detail, q.released_ms, ` + messageState

// messageAt reads a row of messageColumns; the payload is whole, and need not be text.
func messageAt(s *sqlite3.Stmt) QuarantinedMessage {
	m := QuarantinedMessage{MessageID: s.ColumnInt64(0), ReceivedMs: s.ColumnInt64(1), Topic: s.ColumnText(2), ClientID: s.ColumnText(3), Payload: string(s.ColumnRawBlob(4)),
		Element: s.ColumnInt(5), Reason: s.ColumnText(6), Detail: s.ColumnText(7), ReleasedMs: s.ColumnInt64(8), State: State(s.ColumnText(9))}
	m.ID = EvidenceID{Message: m.MessageID}.String()
	return m
}
