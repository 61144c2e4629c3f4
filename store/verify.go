package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// Report is what Verify found.
type Report struct {
	OK       bool        `json:"ok"`
	Breaches []Breach    `json:"breaches"`
	Ledger   []LedgerRow `json:"ledger"`
	Counts   Counts      `json:"counts"`
}

// Breach is one thing that does not hold: which check, and precisely what.
type Breach struct {
	Check  string `json:"check"`
	Detail string `json:"detail"`
}

// Counts are rows counted in the tables, not read from the ledger.
type Counts struct {
	Assets      int64 `json:"assets"`
	Sensors     int64 `json:"sensors"`
	Readings    int64 `json:"readings"`
	Contexts    int64 `json:"contexts"`
	Verdicts    int64 `json:"verdicts"` // of workshops, every revision
	Conflicted  int64 `json:"conflicted"`
	Windows     int64 `json:"windows"`
	Quarantined int64 `json:"quarantined"`
	Predictions int64 `json:"predictions"`
	Shadows     int64 `json:"shadow_predictions"`
	Messages    int64 `json:"quarantined_messages"`
	Late        int64 `json:"late"`
	Alerts      int64 `json:"alerts"`
	Commits     int64 `json:"commits"`
	Unsent      int64 `json:"unsent"`
}

// VerifyOption changes how Verify works.
type VerifyOption func(*verifier)

// Quick replaces SQLite's integrity check by its quick check, which does not compare indexes with their tables.
func Quick() VerifyOption { return func(v *verifier) { v.integrity = `PRAGMA quick_check` } }

// maxBreaches is how many breaches of one check are told one by one.
const maxBreaches = 20

// verifier holds one read transaction: a live database is judged as of one commit.
type verifier struct {
	c         *sqlite3.Conn
	integrity string
	report    *Report
	told      map[string]int
}

// Verify proves the integrity of the file, the ledger law and every invariant of the warehouse, live or stopped, without writing to it.
// progress, which may be nil, is told of each step. What does not hold is in the report; an error means that the check could not be
// made (ErrMissing, ErrNotDatabase, ErrNotOurs, ErrOlder, ErrNewer, or the context ended).
func Verify(ctx context.Context, path string, progress func(step string), options ...VerifyOption) (_ *Report, err error) {
	c, err := openReader(place{path: path})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeConn(c)) }()
	c.SetInterrupt(ctx)
	v := &verifier{c: c, integrity: `PRAGMA integrity_check`, told: map[string]int{}, report: &Report{Breaches: []Breach{}}}
	for _, o := range options {
		o(v)
	}
	if err := c.Exec(`BEGIN`); err != nil {
		return nil, fmt.Errorf("begin verification: %w", err)
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"schema", v.schema}, {"file integrity", v.file}, {"references", v.references}, {"verdicts", v.verdicts},
		{"readings and windows", v.scan}, {"ledger", v.ledger}, {"workshops' verdicts", v.findings}, {"alerts", v.alerts}, {"releases", v.releases}, {"models", v.models}, {"retention", v.retention}, {"outbox and sessions", v.owed}, {"configuration", v.configs},
	} {
		if progress != nil {
			progress(step.what)
		}
		err := step.do()
		if corrupt(err) {
			v.breach(step.what, "cannot be read: %v", err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("verify %s: %w", step.what, err)
		}
	}
	v.report.OK = len(v.report.Breaches) == 0
	return v.report, nil
}

// corrupt says whether an error is damage, which is a finding, and not a reason to stop.
func corrupt(err error) bool {
	return errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB)
}

func (v *verifier) breach(check, format string, args ...any) {
	v.told[check]++
	switch n := v.told[check]; {
	case n <= maxBreaches:
		v.report.Breaches = append(v.report.Breaches, Breach{check, fmt.Sprintf(format, args...)})
	case n == maxBreaches+1:
		v.report.Breaches = append(v.report.Breaches, Breach{check, fmt.Sprintf("more than %d; the rest is not listed", maxBreaches)})
	}
}

// schema compares what the program's queries rest on.
func (v *verifier) schema() error {
	missing, err := missingFeatures(v.c)
	if err != nil {
		return err
	}
	for _, name := range missing {
		v.breach("schema", "telemetry_window has no column %s", name)
	}
	recorded, err := queryInt(v.c, `SELECT max(version) FROM migration`)
	if err != nil {
		return err
	}
	if recorded != schemaVersion() {
		v.breach("schema", "user_version is %d, the newest recorded migration is %d", schemaVersion(), recorded)
	}
	for _, name := range []string{"window_ms", "disorder_ms", "created_ms"} {
		if _, err := meta(v.c, name); err != nil {
			v.breach("schema", "setting %s is missing", name)
		}
	}
	return nil
}

func (v *verifier) file() error {
	if err := v.log(); err != nil {
		return err
	}
	return query(v.c, v.integrity, func(s *sqlite3.Stmt) error {
		if text := s.ColumnText(0); text != "ok" {
			v.breach("integrity", "%s", text)
		}
		return nil
	})
}

// log finds commits that SQLite passes over because the write-ahead log before them is damaged. A log that is being written may look so, but not
// twice at the same place.
func (v *verifier) log() error {
	path := v.c.Filename("main").String()
	good, lost, err := scanLog(path)
	if err != nil || lost < 2 {
		return err
	}
	again, lost, err := scanLog(path)
	if err == nil && lost > 1 && again == good {
		v.breach("integrity", "the write-ahead log is wrong from frame %d on, and %d commits that lie behind it cannot be read", good+1, lost)
	}
	return err
}

// finding is a query whose every row is a breach, told by a format with the row's columns as text.
type finding struct{ check, format, sql string }

func (v *verifier) find(findings []finding) error {
	for _, f := range findings {
		err := query(v.c, f.sql+` LIMIT 1000`, func(s *sqlite3.Stmt) error {
			args := make([]any, s.ColumnCount())
			for i := range args {
				args[i] = s.ColumnText(i)
			}
			v.breach(f.check, f.format, args...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// references finds rows that refer to what is not there. The file's own foreign keys are not trusted: other tools write with them off.
func (v *verifier) references() error {
	return v.find([]finding{
		{"reference", "sensor %s refers to asset %s, which does not exist",
			`SELECT sensor_id, asset_id FROM sensor s WHERE NOT EXISTS (SELECT 1 FROM asset a WHERE a.asset_id = s.asset_id)`},
		{"reference", "window %s revision %s refers to sensor %s, which does not exist",
			`SELECT window_id, revision, sensor_id FROM telemetry_window w WHERE NOT EXISTS (SELECT 1 FROM sensor s WHERE s.sensor_id = w.sensor_id)`},
		{"reference", "late reading %s refers to sensor %s or asset %s, which does not exist",
			`SELECT late_id, sensor_id, asset_id FROM late_reading l WHERE NOT EXISTS (SELECT 1 FROM asset a WHERE a.asset_id = l.asset_id)
			OR (sensor_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sensor s WHERE s.sensor_id = l.sensor_id))`},
		{"reference", "open window refers to sensor %s, which does not exist",
			`SELECT sensor_id FROM open_window o WHERE NOT EXISTS (SELECT 1 FROM sensor s WHERE s.sensor_id = o.sensor_id)`},
		{"reference", "prediction of window %s revision %s names model %s, which is not recorded",
			`SELECT window_id, revision, model_id FROM ai_telemetry_predictions p WHERE NOT EXISTS (SELECT 1 FROM model m WHERE m.model_id = p.model_id)`},
		{"reference", "shadow prediction of window %s revision %s by model %s: the window or the model does not exist",
			`SELECT window_id, revision, model_id FROM shadow_prediction p WHERE NOT EXISTS (SELECT 1 FROM model m WHERE m.model_id = p.model_id)
			OR NOT EXISTS (SELECT 1 FROM telemetry_window w WHERE w.window_id = p.window_id AND w.revision = p.revision)`},
		{"reference", "drift from %s on is of model %s, which is not recorded",
			`SELECT start_ms, model_id FROM drift_bucket d WHERE NOT EXISTS (SELECT 1 FROM model m WHERE m.model_id = d.model_id)`},
		{"reference", "flag of sensor %s at %s: the reading is in no closed window",
			`SELECT f.key & 1048575, f.key >> 20 FROM reading_flag f JOIN sensor s ON s.sensor_id = f.key & 1048575 WHERE f.key >> 20 >= s.evaluated_ms`},
		{"reference", "dispute of asset %s at %s refers to a context that does not exist",
			`SELECT key & 1048575, key >> 20 FROM context_conflicted x WHERE NOT EXISTS (SELECT 1 FROM context_reading c WHERE c.key = x.key)`},
	})
}

// verdicts proves that every window revision has exactly one verdict, that a valid one has its prediction and a quarantined one its reasons.
func (v *verifier) verdicts() error {
	const mismatch = `SELECT t.window_id, t.revision FROM %s t WHERE NOT EXISTS (SELECT 1 FROM telemetry_window w WHERE w.window_id = t.window_id
		AND w.revision = t.revision AND w.sensor_id = t.sensor_id AND w.start_ms = t.start_ms AND w.end_ms = t.end_ms)`
	return v.find([]finding{
		{"verdict", "window %s revision %s is valid and has no prediction",
			`SELECT window_id, revision FROM telemetry_window w WHERE verdict = 'valid' AND NOT EXISTS
			(SELECT 1 FROM ai_telemetry_predictions p WHERE p.window_id = w.window_id AND p.revision = w.revision)`},
		{"verdict", "window %s revision %s is quarantined and has a prediction",
			`SELECT window_id, revision FROM ai_telemetry_predictions p WHERE EXISTS
			(SELECT 1 FROM telemetry_window w WHERE w.window_id = p.window_id AND w.revision = p.revision AND w.verdict = 'quarantined')`},
		{"verdict", "window %s revision %s is quarantined and no reason is recorded",
			`SELECT window_id, revision FROM telemetry_window w WHERE verdict = 'quarantined' AND NOT EXISTS
			(SELECT 1 FROM quarantine_window q WHERE q.window_id = w.window_id AND q.revision = w.revision AND CASE WHEN json_valid(q.reasons) THEN json_array_length(q.reasons) > 0 END)`},
		{"verdict", "window %s revision %s is valid and is in quarantine",
			`SELECT window_id, revision FROM quarantine_window q WHERE EXISTS
			(SELECT 1 FROM telemetry_window w WHERE w.window_id = q.window_id AND w.revision = q.revision AND w.verdict = 'valid')`},
		{"verdict", "prediction of window %s revision %s fits no window", fmt.Sprintf(mismatch, "ai_telemetry_predictions")},
		{"verdict", "prediction of window %s revision %s begins after scored_ms of its sensor",
			`SELECT p.window_id, p.revision FROM ai_telemetry_predictions p JOIN sensor s ON s.sensor_id = p.sensor_id WHERE p.start_ms > s.scored_ms`},
		{"verdict", "quarantine of window %s revision %s fits no window", fmt.Sprintf(mismatch, "quarantine_window")},
		{"window", "window %s revision %s: its id is not its start and sensor, or it does not start before it ends",
			`SELECT window_id, revision FROM telemetry_window WHERE window_id <> (start_ms << 20 | sensor_id) OR start_ms >= end_ms`},
		{"window", "window %s: revision %s follows none",
			`SELECT window_id, revision FROM telemetry_window w WHERE revision > (SELECT min(revision) FROM telemetry_window m WHERE m.window_id = w.window_id)
			AND NOT EXISTS (SELECT 1 FROM telemetry_window p WHERE p.window_id = w.window_id AND p.revision = w.revision - 1)`},
	})
}
