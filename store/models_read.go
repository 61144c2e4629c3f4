package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/camrail/cidp/model"
	"github.com/ncruces/go-sqlite3"
)

// ErrNoModel says that the registry has no such model.
var ErrNoModel = errors.New("no such model in the registry")

// RegisteredModel is a model's row with what was asked of it, and how one in shadow compares with what is live.
type RegisteredModel struct {
	ModelInfo
	Audit   []AuditRow // the newest first, at most 50
	Compare Comparison // windows 0: nothing to compare
}

// Comparison is how a model in shadow differs from what was live in the same windows, over the last day of event time, as far as the newest comparedRows rows reach.
type Comparison struct {
	Windows  int64   // revisions of windows, those between included
	Differ   int64   // where the probabilities fall into different levels, without hysteresis
	MeanDiff float64 // of the probabilities, without sign
}

const (
	comparedRows = 20_000 // of all models in shadow: a tenth of a second, for which a page keeps the log from beginning anew
	comparedMs   = 24 * 60 * 60 * 1000
	auditRows    = 50
)

// Models reads the registry, what is live first, then shadows, each by id. cuts say where levels begin.
func (k *Console) Models(ctx context.Context, cuts model.AlertConfig) (rows []RegisteredModel, err error) {
	err = k.read(ctx, "models", func(c *sqlite3.Conn) (err error) { rows, err = readRegistry(c, cuts); return err })
	return rows, err
}

// ReadModels does the same with a database, live or stopped. Errors are those of ReadQuarantine.
func ReadModels(ctx context.Context, path string, cuts model.AlertConfig) (rows []RegisteredModel, err error) {
	err = readOnce(ctx, path, func(c *sqlite3.Conn) (err error) { rows, err = readRegistry(c, cuts); return err })
	return rows, err
}

func readRegistry(c *sqlite3.Conn, cuts model.AlertConfig) ([]RegisteredModel, error) {
	infos, err := readModels(c)
	if err != nil {
		return nil, err
	}
	compared, err := compare(c, cuts)
	if err != nil {
		return nil, fmt.Errorf("compare shadows: %w", err)
	}
	rows := []RegisteredModel{}
	for _, state := range []ModelState{ModelActive, ModelShadow, ModelRetired} {
		for _, m := range infos {
			if m.State != state {
				continue
			}
			r := RegisteredModel{ModelInfo: m, Compare: compared[m.ID]}
			err := query(c, `SELECT at_ms, actor, action, outcome, detail, note, commit_id FROM audit WHERE model_id = ? ORDER BY audit_id DESC LIMIT ?`, func(s *sqlite3.Stmt) error {
				r.Audit = append(r.Audit, AuditRow{AtMs: s.ColumnInt64(0), Actor: s.ColumnText(1), Action: s.ColumnText(2), Outcome: Outcome(s.ColumnText(3)),
					Detail: s.ColumnText(4), Note: s.ColumnText(5), CommitID: s.ColumnInt64(6)})
				return nil
			}, m.ID, int64(auditRows))
			if err != nil {
				return nil, fmt.Errorf("read audit: %w", err)
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// compare sets the newest shadow predictions against the predictions of the same windows. Both tables lead with the window's time.
func compare(c *sqlite3.Conn, cuts model.AlertConfig) (map[string]Comparison, error) {
	const level = `(%[1]s.p_failure >= ?3) + (%[1]s.p_failure >= ?4) + (%[1]s.p_failure >= ?5)`
	newest, err := queryInt(c, `SELECT max(window_id) FROM shadow_prediction`)
	if err != nil {
		return nil, err
	}
	out := map[string]Comparison{}
	err = query(c, `SELECT s.model_id, count(*), sum(`+fmt.Sprintf(level, "s")+` <> `+fmt.Sprintf(level, "p")+`), avg(abs(s.p_failure - p.p_failure))
		FROM (SELECT * FROM shadow_prediction WHERE window_id > ?1 ORDER BY window_id DESC, revision DESC, model_id DESC LIMIT ?2) s
		JOIN ai_telemetry_predictions p ON p.window_id = s.window_id AND p.revision = s.revision GROUP BY s.model_id`, func(s *sqlite3.Stmt) error {
		out[s.ColumnText(0)] = Comparison{s.ColumnInt64(1), s.ColumnInt64(2), s.ColumnFloat(3)}
		return nil
	}, newest-keyFloor(comparedMs), int64(comparedRows), cuts.Watch, cuts.Alarm, cuts.Critical)
	return out, err
}
