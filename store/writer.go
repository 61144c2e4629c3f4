package store

import (
	"slices"
	"strings"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// chunk is how many rows one INSERT of readings takes: 100 is as fast as 1000 (research, section 2.3) and 2.3 times one at a time.
const chunk = 100

// writer is the writing connection with its prepared statements. DB.mu guards it.
type writer struct {
	c     *sqlite3.Conn
	order []rank // scratch: the order in which rows are written
	ranks []rank // scratch: of sorting it
	text  []byte // scratch: an explanation, a payload without it, or packed readings

	packFrom int // readings of a commit from which on they are packed; below 0: never
	packed   *stmt
	packedAt *packedLookup

	texts     []byte   // explanations of the batch's predictions, encoded
	explained []textAt // where in texts each lies

	begin, end *stmt // a transaction's

	reading, readingRow                    *stmt
	context, conflicted, contextConflicted *stmt
	conflictedPacked                       *stmt
	asset, assetContext, sensor            *stmt
	late, evidence, finding                *stmt
	window, windowRows                     *stmt
	flag, unflag, quarantine               *stmt
	evaluated, visited                     *stmt
	prediction, predictionRows             *stmt
	alert, transition                      *stmt
	shadow, shadowRow                      *stmt
	placed, failsafe                       *stmt
	outbox, outboxRows, sent               *stmt
	open, closed                           *stmt
	ledger, commit, newest                 *stmt

	session, sessionEnded, sessionOwed, sessionMessage *stmt
	owed, settled, unowed                              *stmt

	changed, configured    *stmt
	driftBucket, driftGone *stmt

	evidenceOf, evidenceBack, quarantineOf, quarantineBack, audit *stmt

	kept map[string]*stmt // of retention, by their text, as they are needed
}

// textAt is a part of writer.texts.
type textAt struct{ from, to int }

const insertReading = `INSERT OR IGNORE INTO reading (key, temp_m, ambient_m, speed_m, load_m, brake, seq) VALUES `

// newWriter takes over the connection. OR IGNORE keeps SQLite from opening a statement journal, which would double the cost; what it
// ignores is found by counting.
func newWriter(c *sqlite3.Conn, packFrom int) (w *writer, err error) {
	w = &writer{c: c, packFrom: packFrom}
	if w.packedAt, err = newPackedLookup(c); err != nil {
		return nil, err
	}
	row := "(?,?,?,?,?,?,?)"
	for _, p := range []struct {
		dst **stmt
		sql string
	}{
		{&w.reading, insertReading + strings.Repeat(row+",", chunk-1) + row},
		{&w.readingRow, insertReading + row},
		{&w.packed, `INSERT OR IGNORE INTO reading_packed (first, last, n, readings) VALUES (?,?,?,?)`},
		{&w.context, `INSERT OR IGNORE INTO context_reading (key, ambient_m, speed_m, load_m, brake) VALUES (?,?,?,?,?)`},
		{&w.conflicted, `INSERT OR IGNORE INTO conflicted SELECT key FROM reading WHERE key = ?`}, // it may have expired since it was looked up
		{&w.conflictedPacked, `INSERT OR IGNORE INTO conflicted VALUES (?)`},
		{&w.contextConflicted, `INSERT OR IGNORE INTO context_conflicted SELECT key FROM context_reading WHERE key = ?`},
		{&w.asset, `INSERT INTO asset (asset_id, site, asset, first_seen_ms, last_seen_ms) VALUES (?1,?2,?3,?4,?4)`},
		{&w.assetContext, `UPDATE asset SET context_ms = max(context_ms, ?2) WHERE asset_id = ?1`},
		{&w.sensor, `INSERT INTO sensor (sensor_id, asset_id, sensor, kind, position, axle, side, first_seen_ms, last_seen_ms)
			VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?8)`},
		{&w.late, `INSERT INTO late_reading (asset_id, sensor_id, ts_ms, received_ms, temp_c, ambient_c, speed_kmh, load_t, brake, seq, reason)
			VALUES (?,?,?,?,?,?,?,?,?,?,?)`},
		{&w.finding, `INSERT OR IGNORE INTO verdict (site, asset, sensor, ts_ms, revision, finding, since_ms, component, found_by, note, reference, recorded_ms)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`},
		{&w.evidence, `INSERT INTO quarantine_message (received_ms, topic, client_id, payload, element, reason, detail) VALUES (?,?,?,?,?,?,?)`},
		{&w.window, insertWindow(1)},
		{&w.windowRows, insertWindow(together)},
		{&w.flag, `INSERT OR IGNORE INTO reading_flag VALUES (?, ?)`},
		{&w.unflag, `DELETE FROM reading_flag WHERE key = ?`},
		{&w.quarantine, `INSERT INTO quarantine_window (window_id, revision, sensor_id, start_ms, end_ms, reasons, detail) VALUES (?,?,?,?,?,?,?)`},
		{&w.evaluated, `UPDATE sensor SET period_ms = CASE WHEN ?4 >= evaluated_ms THEN ?2 ELSE period_ms END, last_seen_ms = max(last_seen_ms, ?3), evaluated_ms = max(evaluated_ms, ?4),
			scored_ms = max(scored_ms, ?5) WHERE sensor_id = ?1`},
		{&w.visited, `UPDATE asset SET last_seen_ms = ?2 WHERE asset_id = ?1 AND last_seen_ms < ?2`},
		{&w.prediction, insertPrediction + values(24, 1)},
		{&w.predictionRows, insertPrediction + values(24, together)},
		{&w.shadow, insertShadow + strings.Repeat("(?,?,?,?),", chunk-1) + "(?,?,?,?)"},
		{&w.shadowRow, insertShadow + "(?,?,?,?)"},
		{&w.alert, upsertAlert},
		{&w.placed, upsertPlaced},
		{&w.failsafe, `UPDATE asset SET failsafe = ?2 WHERE asset_id = ?1`},
		{&w.transition, `INSERT INTO alert_event (alert_id, sensor_id, window_id, revision, at_ms, kind, from_severity, to_severity, state, cause, actor, recorded_ms)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`},
		{&w.outbox, insertOutbox + values(7, 1)},
		{&w.outboxRows, insertOutbox + values(7, together)},
		{&w.sent, `DELETE FROM outbox WHERE outbox_id BETWEEN ? AND ?`},
		{&w.open, `INSERT INTO open_window (sensor_id, from_ms, to_ms, times) VALUES (?, ?, ?, ?)
			ON CONFLICT (sensor_id) DO UPDATE SET from_ms = excluded.from_ms, to_ms = excluded.to_ms, times = excluded.times`},
		{&w.closed, `DELETE FROM open_window WHERE sensor_id = ?`},
		{&w.ledger, `INSERT INTO ledger VALUES (?, ?, ?) ON CONFLICT (counter, reason) DO UPDATE SET value = value + excluded.value`},
		{&w.commit, `INSERT INTO commit_log (commit_id, committed_ms, messages, received, stored, duplicate, late, refused, expired) VALUES (?,?,?,?,?,?,?,?,0)`},
		{&w.session, `INSERT INTO session VALUES (?, ?) ON CONFLICT (client_id) DO UPDATE SET state = excluded.state`},
		{&w.sessionEnded, `DELETE FROM session WHERE client_id = ?`},
		{&w.sessionOwed, `SELECT client_id, message_id FROM session_owed WHERE client_id = ?`},
		{&w.sessionMessage, `INSERT OR IGNORE INTO session_message VALUES (?, ?, ?, ?)`},
		{&w.owed, `INSERT OR IGNORE INTO session_owed VALUES (?, ?, ?)`},
		{&w.settled, `DELETE FROM session_owed WHERE client_id = ? AND message_id = ?`},
		{&w.unowed, `DELETE FROM session_message WHERE message_id = ?1 AND NOT EXISTS (SELECT 1 FROM session_owed WHERE message_id = ?1)`},
		{&w.changed, `UPDATE sensor SET kind = ?2, position = ?3, axle = ?4, side = ?5, period_ms = ?6 WHERE sensor_id = ?1`},
		{&w.configured, `INSERT INTO config_change (commit_id, at_ms, who, old_digest, new_digest, what) VALUES (?,?,?,?,?,?)`},
		{&w.driftBucket, `INSERT INTO drift_bucket VALUES (?, ?, ?) ON CONFLICT (model_id, start_ms) DO UPDATE SET counts = excluded.counts`},
		{&w.driftGone, `DELETE FROM drift_bucket WHERE model_id <> ?1 OR start_ms < ?2`},
		{&w.evidenceOf, `SELECT released_ms, reason FROM quarantine_message WHERE message_id = ?`},
		{&w.evidenceBack, `UPDATE quarantine_message SET released_ms = ?2 WHERE message_id = ?1`},
		{&w.quarantineOf, `SELECT released_ms, '' FROM quarantine_window WHERE window_id = ? AND revision = ?`},
		{&w.quarantineBack, `UPDATE quarantine_window SET released_ms = ?3 WHERE window_id = ?1 AND revision = ?2`},
		{&w.audit, `INSERT INTO audit (commit_id, at_ms, actor, action, message_id, window_id, revision, outcome, detail, note) VALUES (?,?,?,'release',?,?,?,?,?,?)`},
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.end, `COMMIT`},
		{&w.newest, `SELECT COALESCE(max(commit_id), 0) FROM commit_log`},
	} {
		if *p.dst, err = prepare(c, p.sql); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// together is how many windows, predictions or publications one INSERT takes. What a statement costs once is shared so: a prediction's list of levels (CHECK) alone is a table that SQLite makes for each statement, a
// third of what a row costs. OR FAIL: a row that cannot be is an error as ever, and no statement journal is opened for it.
const together = 16

// values writes the parameters of rows.
func values(columns, rows int) string {
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	return row + strings.Repeat(","+row, rows-1)
}

const insertPrediction = `INSERT OR FAIL INTO ai_telemetry_predictions (window_id, revision, sensor_id, start_ms, end_ms, p_failure, level, source,
	rule_score, model_id, explanation, scored_ms, hold_level, hold_above, hold_below, hold_alert, hold_worst, hold_raised_at_ms, hold_free_since_ms, hold_last_end_ms,
	hold_steady_since_ms, hold_steady_kmh, hold_rate_k_per_min, raw_score) VALUES `

const insertOutbox = `INSERT OR FAIL INTO outbox (topic, payload, retain, commit_id, window_id, revision, cut) VALUES `

func insertWindow(rows int) string {
	return `INSERT OR FAIL INTO telemetry_window (window_id, revision, sensor_id, start_ms, end_ms, n, expected, completeness, verdict, closed_by, ` +
		featureColumns("", "") + `, period_ms, last_ms, closed_ms, memory) VALUES ` + values(10+stream.NumFeatures-1+4, rows)
}

// upsertAlert takes the names from the registry, so that they cannot differ from it. A move of the line does not undo an acknowledgement.
const upsertAlert = insertAlert + `
	SELECT ?1, s.sensor_id, a.site, a.asset, s.sensor, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20
	FROM sensor s JOIN asset a ON a.asset_id = s.asset_id WHERE s.sensor_id = ?2` + moveAlert

// upsertPlaced writes an alert of a whole asset or site.
const upsertPlaced = insertAlert + ` VALUES (?1, NULL, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)` + moveAlert

const insertAlert = `INSERT INTO alert (alert_id, sensor_id, site, asset, sensor, state, severity, raised_at_ms, updated_at_ms, p_failure, value,
	rule, reason, explanation, window_id, window_start_ms, window_end_ms, model_id, ack_by, ack_at_ms, ack_note, explanation_method, raw_score)`

const moveAlert = `
	ON CONFLICT (alert_id) DO UPDATE SET state = excluded.state, severity = excluded.severity, raised_at_ms = excluded.raised_at_ms,
	updated_at_ms = excluded.updated_at_ms, p_failure = excluded.p_failure, value = excluded.value, rule = excluded.rule,
	reason = excluded.reason, explanation = excluded.explanation, explanation_method = excluded.explanation_method, raw_score = excluded.raw_score, window_id = excluded.window_id,
	window_start_ms = excluded.window_start_ms, window_end_ms = excluded.window_end_ms, model_id = excluded.model_id,
	ack_by = COALESCE(excluded.ack_by, ack_by), ack_at_ms = COALESCE(excluded.ack_at_ms, ack_at_ms), ack_note = COALESCE(excluded.ack_note, ack_note)`

// closeConn closes a connection with all its statements. What closing a statement says is what its last step said before.
func closeConn(c *sqlite3.Conn) error {
	for _, s := range slices.Collect(c.Stmts()) { // closing one moves the others
		_ = s.Close()
	}
	return c.Close()
}
