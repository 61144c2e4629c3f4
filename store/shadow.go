package store

import (
	"fmt"

	"github.com/camrail/cidp/model"
	"github.com/ncruces/go-sqlite3"
)

// insertShadow is written with OR IGNORE as insertReading is, and what it ignores is found by counting: a second row of a window and model, or no probability.
const insertShadow = `INSERT OR IGNORE INTO shadow_prediction (window_id, revision, model_id, p_failure) VALUES `

// shadows writes what models in shadow say, behind the windows that it is of.
func (w *writer) shadows(p *pass) error {
	rows := p.Shadows
	for ; len(rows) >= chunk; rows = rows[chunk:] {
		if err := w.insertShadows(w.shadow, rows[:chunk]); err != nil {
			return err
		}
	}
	for i := range rows {
		if err := w.insertShadows(w.shadowRow, rows[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) insertShadows(q *stmt, rows []model.ShadowPrediction) error {
	for i := range rows {
		s := &rows[i]
		q.int(s.WindowID).int(int64(s.Revision)).text(s.ModelID).float(s.PFailure)
	}
	if err := q.run(); err != nil {
		return fmt.Errorf("insert shadow predictions: %w", err)
	}
	return w.inserted(len(rows), "shadow prediction")
}

// checkShadows proves: a model in shadow says something of every valid window of a batch, once, and of no other.
func (db *DB) checkShadows(b *Batch, recorded func(id string) bool) error {
	if len(b.Shadows) == 0 {
		return nil
	}
	valid := make(map[revision]bool, len(b.Predictions))
	for i := range b.Predictions {
		valid[revision{b.Predictions[i].WindowID, b.Predictions[i].Revision}] = true
	}
	said := map[string]int{}
	for i := range b.Shadows {
		s := &b.Shadows[i]
		switch {
		case !recorded(s.ModelID):
			return fmt.Errorf("check shadow prediction of window %d: model %q is not recorded", s.WindowID, s.ModelID)
		case !valid[revision{s.WindowID, s.Revision}]:
			return fmt.Errorf("check shadow prediction of window %d revision %d: the window has no prediction in the batch", s.WindowID, s.Revision)
		}
		said[s.ModelID]++
	}
	for id, n := range said {
		if n != len(b.Predictions) {
			return fmt.Errorf("check shadow predictions of model %s: %d for %d valid windows", id, n, len(b.Predictions))
		}
	}
	return nil
}

// models proves that what is in force is what the audit says, that a live forest has passed its trial, and that a model speaks only where the audit lets it.
func (v *verifier) models() error {
	err := v.find([]finding{
		{"model", "%s models are active: it must be one forest, or the rules",
			`SELECT count(*) AS n FROM model WHERE state = 'active' HAVING n <> 1`},
		{"model", "the rules' row is in state %s", `SELECT state FROM model WHERE model_id = 'rules' AND state NOT IN ('active', 'retired')`},
		{"model", "model %s is %s, its last entry of the audit says %s",
			`SELECT m.model_id, m.state, a.outcome FROM model m LEFT JOIN audit a ON a.audit_id = (SELECT max(b.audit_id) FROM audit b WHERE b.model_id = m.model_id)
			WHERE m.model_id <> 'rules' AND a.outcome IS NOT m.state`},
		{"model", "model %s is live without a trial that it passed",
			`SELECT model_id FROM model WHERE state = 'active' AND model_id <> 'rules' AND CASE WHEN json_valid(trial) THEN json_extract(trial, '$.passed') END IS NOT 1`},
		{"model", "entry %s of the audit is of model %s, which is not recorded",
			`SELECT audit_id, model_id FROM audit a WHERE model_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM model m WHERE m.model_id = a.model_id)`},
		{"model", "entry %s of the audit: %s with outcome %s cannot be",
			`SELECT audit_id, action, outcome FROM audit WHERE (model_id IS NOT NULL) <> (action IN ('activate', 'shadow', 'retire', 'start'))
			OR model_id IS NOT NULL AND outcome NOT IN ('active', 'shadow', 'retired')`},
		{"model", "predictions name model %s, which was never live",
			`SELECT model_id FROM (SELECT DISTINCT model_id FROM ai_telemetry_predictions) p WHERE model_id <> 'rules'
			AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.model_id = p.model_id AND a.outcome = 'active')`},
		{"model", "shadow predictions name model %s, which was never in shadow",
			`SELECT model_id FROM (SELECT DISTINCT model_id FROM shadow_prediction) p WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.model_id = p.model_id AND a.outcome = 'shadow')`},
		{"model", "shadow prediction of window %s revision %s by model %s: the window is not valid",
			`SELECT s.window_id, s.revision, s.model_id FROM shadow_prediction s JOIN telemetry_window w ON w.window_id = s.window_id AND w.revision = s.revision WHERE w.verdict <> 'valid'`},
	})
	if err != nil {
		return err
	}
	return v.oneActive()
}

// oneActive goes through what was asked of models, and proves that at the end of no commit two forests were live.
func (v *verifier) oneActive() error {
	active := map[string]bool{}
	var commit int64
	settle := func() {
		if len(active) > 1 {
			v.breach("model", "by the audit %d forests are live after what was asked of them before commit %d ended", len(active), commit)
		}
	}
	err := query(v.c, `SELECT model_id, outcome, commit_id FROM audit WHERE model_id IS NOT NULL ORDER BY audit_id`, func(s *sqlite3.Stmt) error {
		if at := s.ColumnInt64(2); at != commit {
			settle()
			commit = at
		}
		delete(active, s.ColumnText(0))
		if ModelState(s.ColumnText(1)) == ModelActive {
			active[s.ColumnText(0)] = true
		}
		return nil
	})
	settle()
	return err
}
