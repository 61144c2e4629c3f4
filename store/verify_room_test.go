package store_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
)

// wornOut gives the path of a closed database in which of every kind something has expired and something is left, with publications not sent and MQTT sessions.
func wornOut(t *testing.T) string {
	t.Helper()
	l := newWorn(t, dbPath(t))
	for i, s := range traffic(0) {
		l.feed(s)
		if i%100 == 99 {
			l.commit()
		}
	}
	l.commit()
	b := batch(l.db)
	newPlant(inOrder()).extras(b)
	b.Outbox = []store.Publication{{Topic: "a", Payload: []byte("1")}, {Topic: "b", Payload: []byte("2"), Retain: true}}
	b.Sessions = &store.SessionChanges{
		Kept:     []store.Session{{Client: "c1", State: []byte("{}")}, {Client: "c2", State: []byte(`{"x":1}`)}},
		Messages: []store.SessionMessage{{ID: 7, Topic: "a", Payload: []byte("1")}, {ID: 8, Topic: "a", Payload: []byte("2")}},
		Owed:     []store.Owed{{Client: "c1", Message: 7, QoS: 1}, {Client: "c2", Message: 7, QoS: 2}, {Client: "c2", Message: 8, QoS: 1}},
	}
	count(b, 0)
	commit(t, l.db, b)
	b = batch(l.db)
	b.Outbox = []store.Publication{{Topic: "c", Payload: []byte("3")}}
	count(b, 0)
	commit(t, l.db, b)
	expire(t, l.db, store.Keep{Raw: 4*time.Minute + 25*time.Second, Windows: 7 * time.Minute, Alerts: 9 * time.Minute, ContextSpan: contextSpan()}, t0+30*minute, false)
	sql(t, l.path, `UPDATE quarantine_message SET received_ms = 1 WHERE message_id = (SELECT min(message_id) FROM quarantine_message);
		UPDATE late_reading SET received_ms = 1 WHERE late_id = (SELECT min(late_id) FROM late_reading)`)
	if e := expire(t, l.db, store.Keep{Evidence: time.Hour}, t0+30*minute, false); e.Messages != 1 || e.Late != 1 {
		t.Fatalf("expired %+v", e)
	}
	l.crash()
	return l.path
}

// roomDamages maps what someone did to a database that has forgotten to the breach that tells of it.
var roomDamages = []struct{ name, sql, want string }{
	{"lost reading", `DELETE FROM reading WHERE key = (SELECT min(key) FROM reading)`, "stored by commit_log"},
	{"lost reading of a window that is whole", `DELETE FROM reading WHERE key = (SELECT w.start_ms << 20 | w.sensor_id FROM telemetry_window w
		WHERE w.start_ms >= (SELECT value FROM meta WHERE name = 'raw_expired_ms') AND w.sensor_id = 1 ORDER BY w.start_ms LIMIT 1)`, "the table holds"},
	{"reading too many in an expired window", `UPDATE telemetry_window SET n = 0 WHERE start_ms < (SELECT value FROM meta WHERE name = 'raw_expired_ms')`, "n is 0, the table holds"},
	{"expired too few", `UPDATE commit_log SET expired = expired - 1 WHERE commit_id = (SELECT max(commit_id) FROM commit_log)`, "expired by commit_log"},
	{"expired by one and not the other", `UPDATE ledger SET value = value - 1 WHERE counter = 'expired' AND reason = 'telemetry'; UPDATE ledger SET value = value + 1 WHERE counter = 'expired' AND reason = 'context'`, "stored telemetry by the ledger"},
	{"fewer than none", `UPDATE commit_log SET expired = -1 WHERE commit_id = 1`, "commit 1: -1 have expired"},
	{"fewer than none in a day", `INSERT INTO commit_total VALUES (1, 0, 0, 0, 0, 0, 0, 0, -2)`, "day that begins at 1: -2 have expired"},
	{"ledger below none", `UPDATE ledger SET value = -3 WHERE counter = 'expired_window' AND reason = 'quarantined'; INSERT OR IGNORE INTO ledger VALUES ('expired_window', 'quarantined', -3)`, "the ledger counts expired_window quarantined: -3"},
	{"nothing is known to have expired", `DELETE FROM meta WHERE name = 'raw_expired_ms'`, "readings have expired by the ledger"},
	{"lost old window", `CREATE TEMP TABLE w AS SELECT min(window_id) AS id FROM telemetry_window WHERE start_ms > 0; DELETE FROM ai_telemetry_predictions WHERE window_id = (SELECT id FROM w); DELETE FROM telemetry_window WHERE window_id = (SELECT id FROM w)`, "window valid by the ledger"},
	{"lost late reading", `DELETE FROM late_reading WHERE late_id = (SELECT max(late_id) FROM late_reading)`, "rows in late_reading or expired"},
	{"lost evidence", `DELETE FROM quarantine_message WHERE message_id = (SELECT max(message_id) FROM quarantine_message)`, "in quarantine_message, over the evidence cap or expired"},
	{"lost cleared alert", `DELETE FROM alert_event WHERE alert_id = (SELECT min(alert_id) FROM alert); DELETE FROM alert WHERE alert_id = (SELECT min(alert_id) FROM alert)`, "in alert_event or expired"},
	{"alert's window is gone", `UPDATE alert SET window_id = 77`, "refers to window 77, which does not exist"},
	{"flag of an expired reading", `INSERT INTO reading_flag VALUES ((1700000040000 << 20) | 1, 3)`, "flag of sensor 1 at 1700000040000 refers to a reading"},
	{"publication of a commit that never was", `UPDATE outbox SET commit_id = 1 << 40 WHERE topic = 'c'`, "which is not recorded"},
	{"publication with an id that never was", `UPDATE outbox SET outbox_id = 1000 WHERE topic = 'c'`, "publication 1000 has an id that was never given: the highest is 3"},
	{"publications out of order", `UPDATE outbox SET commit_id = 1 WHERE topic = 'c'`, "publication 3 of commit 1 comes after one of commit"},
	{"publication to nowhere", `UPDATE outbox SET topic = '' WHERE topic = 'a'`, "publication 1 has no topic"},
	{"lost session", `DELETE FROM session WHERE client_id = 'c1'`, "message 7 is owed to c1, who has no session"},
	{"lost message", `DELETE FROM session_message WHERE message_id = 8`, "c2 is owed message 8, which does not exist"},
	{"message of nobody", `DELETE FROM session_owed WHERE message_id = 8`, "message 8 is kept and nobody is owed it"},
	{"owed at no quality", `UPDATE session_owed SET qos = 3 WHERE message_id = 8`, "message 8 is owed to c2 at QoS 3"},
	{"session torn", `UPDATE session SET state = '{"x' WHERE client_id = 'c2'`, "session of c2 cannot be read"},
}

func TestVerifyRoomDamage(t *testing.T) {
	singleRows(t)
	path := wornOut(t)
	holds(t, path)
	for _, counter := range []string{"expired", "expired_window", "expired_alert", "expired_refused", "expired_late"} {
		if n := one(t, path, `SELECT COALESCE(sum(value), 0) FROM ledger WHERE counter = '`+counter+`'`); n == "0" {
			t.Errorf("%s is 0: the test shows too little", counter)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range roomDamages {
		t.Run(d.name, func(t *testing.T) {
			path := damaged(t, whole, d.sql)
			r := verify(t, path)
			for _, b := range r.Breaches {
				if strings.Contains(b.Detail, d.want) {
					return
				}
			}
			t.Errorf("no breach says %q: %v", d.want, r.Breaches)
		})
	}
}

// TestVerifyWhileForgetting: a live database is judged as of one moment, whatever goes meanwhile.
func TestVerifyWhileForgetting(t *testing.T) {
	l := newWorn(t, dbPath(t))
	keep := store.Keep{Raw: 3 * time.Minute, Windows: 5 * time.Minute, Alerts: 5 * time.Minute, Evidence: time.Minute, ContextSpan: contextSpan()}
	done := make(chan error)
	go func() {
		for range 8 {
			r, err := store.Verify(context.Background(), l.path, nil)
			if err == nil && !r.OK {
				t.Errorf("breaches: %v", r.Breaches)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i, s := range traffic(0) {
		l.feed(s)
		if i%20 == 19 {
			l.commit()
			expire(t, l.db, keep, s.reading.TS, i%40 == 19)
		}
	}
	l.commit()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	holds(t, l.path)
}
