package store

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// logTotals are the sums of commit_log and commit_total.
type logTotals struct{ commits, received, stored, duplicate, late, refused, expired int64 }

// ledger proves the ledger law from commit_log and the tables, commit by commit and in sum, and then that the ledger's totals say the same.
func (v *verifier) ledger() error {
	const law = ` WHERE received <> stored + duplicate + late + refused`
	err := v.find([]finding{
		{"ledger", "commit %s: received %s is not stored %s + duplicate %s + late %s + refused %s",
			`SELECT commit_id, received, stored, duplicate, late, refused FROM commit_log` + law},
		{"ledger", "commits of the day that begins at %s: received %s is not stored %s + duplicate %s + late %s + refused %s",
			`SELECT day_ms, received, stored, duplicate, late, refused FROM commit_total` + law},
	})
	if err != nil {
		return err
	}
	var t logTotals
	err = query(v.c, `SELECT sum(n), sum(received), sum(stored), sum(duplicate), sum(late), sum(refused), sum(expired) FROM (
		SELECT count(*) AS n, sum(received) AS received, sum(stored) AS stored, sum(duplicate) AS duplicate, sum(late) AS late, sum(refused) AS refused, sum(expired) AS expired FROM commit_log
		UNION ALL SELECT sum(commits), sum(received), sum(stored), sum(duplicate), sum(late), sum(refused), sum(expired) FROM commit_total)`,
		func(s *sqlite3.Stmt) error {
			t = logTotals{s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2), s.ColumnInt64(3), s.ColumnInt64(4), s.ColumnInt64(5), s.ColumnInt64(6)}
			return nil
		})
	if err != nil {
		return err
	}
	last, err := queryInt(v.c, `SELECT COALESCE(max(commit_id), 0) FROM commit_log`)
	if err != nil {
		return err
	}
	v.equal("commits are recorded", t.commits, "is the last commit's id", last)
	v.report.Counts.Commits = t.commits
	if v.report.Ledger, err = readLedger(v.c); err != nil {
		return err
	}
	if err := v.countTables(); err != nil {
		return err
	}
	v.compareTables(t)
	return v.compareReasons()
}

// equal reports two figures that should be one.
func (v *verifier) equal(whatA string, a int64, whatB string, b int64) {
	if a != b {
		v.breach("ledger", "%d %s, %d %s", a, whatA, b, whatB)
	}
}

// countTables counts what the ordered scan did not.
func (v *verifier) countTables() error {
	n := &v.report.Counts
	for _, t := range []struct {
		dst *int64
		sql string
	}{
		{&n.Assets, `SELECT count(*) FROM asset`}, {&n.Sensors, `SELECT count(*) FROM sensor`},
		{&n.Windows, `SELECT count(*) FROM telemetry_window`}, {&n.Quarantined, `SELECT count(*) FROM quarantine_window`},
		{&n.Predictions, `SELECT count(*) FROM ai_telemetry_predictions`}, {&n.Shadows, `SELECT count(*) FROM shadow_prediction`}, {&n.Messages, `SELECT count(*) FROM quarantine_message`},
		{&n.Late, `SELECT count(*) FROM late_reading`}, {&n.Alerts, `SELECT count(*) FROM alert`}, {&n.Unsent, `SELECT count(*) FROM outbox`},
		{&n.Verdicts, `SELECT count(*) FROM verdict`},
		{&n.Conflicted, `SELECT (SELECT count(*) FROM conflicted) + (SELECT count(*) FROM context_conflicted)`},
	} {
		var err error
		if *t.dst, err = queryInt(v.c, t.sql); err != nil {
			return fmt.Errorf("count rows: %w", err)
		}
	}
	return nil
}

// total gives a counter's total, of one reason or of all ("*").
func (v *verifier) total(counter, reason string) (sum int64) {
	for _, row := range v.report.Ledger {
		if row.Counter == counter && (reason == "*" || row.Reason == reason) {
			sum += row.Value
		}
	}
	return sum
}

func (v *verifier) compareTables(t logTotals) {
	n := &v.report.Counts
	v.equal("received by commit_log", t.received, "stored, duplicate, late and refused by commit_log", t.stored+t.duplicate+t.late+t.refused)
	v.equal("stored by commit_log", t.stored, "readings, contexts and verdicts in the tables or expired", n.Readings+n.Contexts+n.Verdicts+t.expired)
	v.equal("late by commit_log", t.late, "rows in late_reading or expired", n.Late+v.total(expiredOf(counterLate), "*"))
	v.equal("refused by commit_log", t.refused, "rows in quarantine_message, over the evidence cap or expired",
		n.Messages+v.total(counterOver, "*")+v.total(expiredOf(counterRefused), "*"))
	for _, l := range []struct {
		counter string
		want    int64
	}{
		{counterReceived, t.received}, {counterStored, t.stored}, {counterDuplicate, t.duplicate}, {counterLate, t.late},
		{counterRefused, t.refused}, {counterExpired, t.expired},
	} {
		v.equal(l.counter+" by the ledger", v.total(l.counter, "*"), l.counter+" by commit_log", l.want)
	}
	v.equal("stored telemetry by the ledger", v.total(counterStored, ofTelemetry), "readings in the table or expired", n.Readings+v.total(counterExpired, ofTelemetry))
	v.equal("stored context by the ledger", v.total(counterStored, ofContext), "contexts in the table or expired", n.Contexts+v.total(counterExpired, ofContext))
	v.equal("stored verdicts by the ledger", v.total(counterStored, ofVerdict), "verdicts in the table", n.Verdicts)
}

// compareReasons compares the ledger with what each counter's rows say, reason by reason.
func (v *verifier) compareReasons() error {
	for _, t := range []struct {
		counter, over, what string
		sql                 string
	}{
		{counterRefused, counterOver, "in quarantine_message or over the evidence cap", `SELECT reason, count(*) FROM quarantine_message GROUP BY reason`},
		{counterWindow, "", "in telemetry_window", `SELECT verdict, count(*) FROM telemetry_window GROUP BY verdict`},
		{counterQuarantine, "", "in quarantine_window", `SELECT r.value, count(*) FROM quarantine_window q, json_each(CASE WHEN json_valid(q.reasons) THEN q.reasons ELSE '[]' END) r GROUP BY r.value`},
		{counterAlert, "", "in alert_event", `SELECT kind, count(*) FROM alert_event GROUP BY kind`},
		{counterReleased, "", "released in quarantine_message", `SELECT reason, count(*) FROM quarantine_message WHERE released_ms IS NOT NULL GROUP BY reason`},
		{counterAudit, "", "in audit", `SELECT outcome, count(*) FROM audit GROUP BY outcome`},
		{counterShadow, "", "in shadow_prediction", `SELECT model_id, count(*) FROM shadow_prediction GROUP BY model_id`},
		{counterLate, "", "in late_reading", `SELECT reason, count(*) FROM late_reading GROUP BY reason`},
	} {
		rows := map[string]int64{}
		err := query(v.c, t.sql, func(s *sqlite3.Stmt) error { rows[s.ColumnText(0)] = s.ColumnInt64(1); return nil })
		if err != nil {
			return err
		}
		for _, row := range v.report.Ledger {
			if row.Counter == t.counter {
				v.equal(t.counter+" "+row.Reason+" by the ledger", row.Value, t.what+" or expired",
					rows[row.Reason]+v.total(t.over, row.Reason)+v.total(expiredOf(t.counter), row.Reason))
				delete(rows, row.Reason)
			}
		}
		for reason, n := range rows {
			v.equal(t.counter+" "+reason+" by the ledger", 0, t.what, n)
		}
	}
	return nil
}
