package store

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

const readRawExpired = `SELECT value FROM meta WHERE name = ?`

// expiredBefore gives the event time before which readings may have expired, 0 when none has.
func expiredBefore(c *sqlite3.Conn) (int64, error) {
	at, err := queryInt(c, readRawExpired, rawExpired)
	if err != nil {
		return 0, fmt.Errorf("read setting %s: %w", rawExpired, err)
	}
	return at, nil
}

// retention proves that what expired is counted in a way that can be, and that nothing kept refers to what is gone.
func (v *verifier) retention() error {
	before, err := expiredBefore(v.c)
	if err != nil {
		return err
	}
	if n := v.total(counterExpired, ofTelemetry); (n > 0) != (before > 0) {
		v.breach("retention", "%d readings have expired by the ledger, and those before event time %d by the setting %s", n, before, rawExpired)
	}
	return v.find([]finding{
		{"retention", "commit %s: %s have expired, fewer than none",
			`SELECT commit_id, expired FROM commit_log WHERE expired < 0`},
		{"retention", "commits of the day that begins at %s: %s have expired, fewer than none",
			`SELECT day_ms, expired FROM commit_total WHERE expired < 0`},
		{"retention", "the ledger counts %s %s: %s",
			`SELECT counter, reason, value FROM ledger WHERE value < 0`},
		{"retention", "alert %s refers to window %s, which does not exist",
			`SELECT alert_id, window_id FROM alert a WHERE window_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM telemetry_window w WHERE w.window_id = a.window_id AND w.sensor_id = a.sensor_id)`},
	})
}

// owed proves that what is still to be told is whole: publications not yet sent, and what MQTT clients that were absent are to find.
func (v *verifier) owed() error {
	return v.find([]finding{
		{"outbox", "publication %s is of commit %s, which is not recorded",
			`SELECT outbox_id, commit_id FROM outbox WHERE commit_id < 1 OR commit_id > (SELECT COALESCE(max(commit_id), 0) FROM commit_log)`},
		{"outbox", "publication %s has an id that was never given: the highest is %s",
			`SELECT outbox_id, COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0) FROM outbox
			WHERE outbox_id < 1 OR outbox_id > COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)`},
		{"outbox", "publication %s of commit %s comes after one of commit %s",
			`SELECT outbox_id, commit_id, before FROM (SELECT outbox_id, commit_id, max(commit_id) OVER (ORDER BY outbox_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM outbox)
			WHERE commit_id < before`},
		{"outbox", "publication %s: the explanation of window %s revision %s, which it leaves out, is not there",
			`SELECT outbox_id, window_id, revision FROM outbox o WHERE window_id IS NOT NULL AND (cut IS NULL OR cut < 0 OR cut > length(payload)
			OR NOT EXISTS (SELECT 1 FROM ai_telemetry_predictions p WHERE p.window_id = o.window_id AND p.revision = o.revision))`},
		{"outbox", "publication %s has no topic",
			`SELECT outbox_id FROM outbox WHERE topic = ''`},
		{"session", "message %s is owed to %s, who has no session",
			`SELECT message_id, client_id FROM session_owed o WHERE NOT EXISTS (SELECT 1 FROM session s WHERE s.client_id = o.client_id)`},
		{"session", "%s is owed message %s, which does not exist",
			`SELECT client_id, message_id FROM session_owed o WHERE NOT EXISTS (SELECT 1 FROM session_message m WHERE m.message_id = o.message_id)`},
		{"session", "message %s is owed to %s at QoS %s: it would be 1 or 2",
			`SELECT message_id, client_id, qos FROM session_owed WHERE qos NOT IN (1, 2)`},
		{"session", "message %s is kept and nobody is owed it",
			`SELECT message_id FROM session_message m WHERE NOT EXISTS (SELECT 1 FROM session_owed o WHERE o.message_id = m.message_id)`},
		{"session", "session of %s cannot be read: its state is no JSON",
			`SELECT client_id FROM session WHERE NOT json_valid(state)`},
	})
}
