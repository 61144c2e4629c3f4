package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// ErrNoEvidence says that there is no such evidence, or none any more.
var ErrNoEvidence = errors.New("no such evidence; it may have expired")

// Evidence is one piece of evidence with all that is known of it. One of Message and Revisions is set.
type Evidence struct {
	ID        string              `json:"id"`
	State     State               `json:"state"` // of a window: of its newest revision
	Message   *QuarantinedMessage `json:"message,omitempty"`
	Raw       []byte              `json:"-"`                   // a message's payload as it was received, cut to the evidence limit
	Cut       bool                `json:"cut,omitempty"`       // it may have been longer than that
	Revisions []WindowRevision    `json:"revisions,omitempty"` // of a window, the newest first
	Audit     []AuditRow          `json:"audit"`               // the newest first
}

// WindowRevision is one revision of a window, valid or not.
type WindowRevision struct {
	QuarantinedWindow
	Verdict      string   `json:"verdict"`
	ClosedBy     string   `json:"closed_by"`
	N            int      `json:"n"`
	Expected     int      `json:"expected"`
	Completeness float64  `json:"completeness"`
	PFailure     *float64 `json:"p_failure"`
	Level        string   `json:"level,omitempty"`
}

// AuditRow is what a person did.
type AuditRow struct {
	AtMs     int64   `json:"at_ms"`
	Actor    string  `json:"actor"`
	Action   string  `json:"action"`
	Revision int     `json:"revision,omitempty"` // of the window that was put back
	Outcome  Outcome `json:"outcome"`
	Detail   string  `json:"detail"`
	Note     string  `json:"note"`
	CommitID int64   `json:"commit_id"`
}

// Evidence gives one piece of evidence, or ErrNoEvidence. A window that was never quarantined is none.
func (k *Console) Evidence(ctx context.Context, id EvidenceID) (v Evidence, err error) {
	err = k.read(ctx, "evidence", func(c *sqlite3.Conn) (err error) { v, err = readEvidence(c, id); return err })
	return v, err
}

// ReadEvidence does the same with a database, live or stopped. Other errors are those of ReadQuarantine.
func ReadEvidence(ctx context.Context, path string, id EvidenceID) (v Evidence, err error) {
	err = readOnce(ctx, path, func(c *sqlite3.Conn) (err error) { v, err = readEvidence(c, id); return err })
	return v, err
}

func readEvidence(c *sqlite3.Conn, id EvidenceID) (v Evidence, err error) {
	v = Evidence{ID: id.String(), Audit: []AuditRow{}}
	if id.Message != 0 {
		err = v.readMessage(c, id.Message)
	} else {
		err = v.readRevisions(c, id.Window)
	}
	if err != nil {
		return v, fmt.Errorf("read %s: %w", v.ID, err)
	}
	err = query(c, `SELECT at_ms, actor, action, revision, outcome, detail, note, commit_id FROM audit WHERE message_id = ? OR window_id = ? ORDER BY audit_id DESC`, func(s *sqlite3.Stmt) error {
		v.Audit = append(v.Audit, AuditRow{s.ColumnInt64(0), s.ColumnText(1), s.ColumnText(2), s.ColumnInt(3), Outcome(s.ColumnText(4)), s.ColumnText(5), s.ColumnText(6), s.ColumnInt64(7)})
		return nil
	}, id.Message, id.Window)
	if err != nil {
		return v, fmt.Errorf("read audit: %w", err)
	}
	return v, nil
}

func (v *Evidence) readMessage(c *sqlite3.Conn, id int64) error {
	err := query(c, `SELECT `+messageColumns+` FROM quarantine_message q WHERE message_id = ?`, func(s *sqlite3.Stmt) error {
		m := messageAt(s)
		v.Raw, v.Message, v.State = []byte(m.Payload), &m, m.State
		v.Cut = len(v.Raw) >= evidenceBytes
		return nil
	}, id)
	if err == nil && v.Message == nil {
		err = ErrNoEvidence
	}
	return err
}

func (v *Evidence) readRevisions(c *sqlite3.Conn, id int64) error {
	quarantinedOnce := false
	err := query(c, `SELECT w.window_id, a.site, a.asset, s.sensor, w.start_ms, w.end_ms, w.revision, q.reasons, q.detail, q.released_ms, w.sensor_id,
		CASE WHEN q.window_id IS NULL THEN '' ELSE `+windowState+` END, w.verdict, w.closed_by, w.n, w.expected, w.completeness, p.p_failure, p.level
		FROM telemetry_window w JOIN sensor s ON s.sensor_id = w.sensor_id JOIN asset a ON a.asset_id = s.asset_id
		LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision
		LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision
		WHERE w.window_id = ? ORDER BY w.revision DESC`, func(s *sqlite3.Stmt) error {
		r := WindowRevision{QuarantinedWindow: windowAt(s), Verdict: s.ColumnText(12), ClosedBy: s.ColumnText(13), N: s.ColumnInt(14), Expected: s.ColumnInt(15),
			Completeness: s.ColumnFloat(16), PFailure: optional(s, 17), Level: s.ColumnText(18)}
		if r.Verdict == valid {
			r.Reasons = json.RawMessage(`[]`)
		}
		quarantinedOnce = quarantinedOnce || r.Verdict == quarantined
		v.Revisions = append(v.Revisions, r)
		return nil
	}, id)
	if err != nil {
		return err
	}
	if !quarantinedOnce {
		return ErrNoEvidence
	}
	v.State = StateSuperseded // by a valid revision
	if newest := &v.Revisions[0]; newest.Verdict == quarantined {
		v.State = newest.State
	} else {
		for i := range v.Revisions {
			if v.Revisions[i].State == StateReleased {
				v.State = StateReleased
			}
		}
	}
	return nil
}
