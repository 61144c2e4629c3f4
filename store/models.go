package store

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// ModelInfo is a model's row: what scored the predictions that name it.
type ModelInfo struct {
	ID        string // content hash
	Name      string
	TrainedMs int64
	Features  string // JSON: names and units in order
	Metrics   string // JSON
}

// PutModel records a model and makes it the active one; the one that was active is retired. Predictions may name it from then on.
// Recording the same model again only makes it active.
func (db *DB) PutModel(m ModelInfo) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return err
	}
	if m.ID == "" {
		return errors.New("record model: it has no id")
	}
	active, err := queryInt(db.w.c, `SELECT count(*) FROM model WHERE model_id = ? AND state = 'active'`, m.ID)
	switch {
	case err != nil:
		return classify(fmt.Errorf("look up model: %w", err))
	case active == 1: // nothing to write: a start must not need room on the disk
		db.models[m.ID] = true
		return nil
	}
	err = db.transact(func(w *writer) error {
		if err := w.c.Exec(`UPDATE model SET state = 'retired' WHERE state = 'active'`); err != nil {
			return fmt.Errorf("retire model: %w", err)
		}
		err := execArgs(w.c, `INSERT INTO model VALUES (?, ?, ?, ?, ?, 'active') ON CONFLICT (model_id) DO UPDATE SET state = 'active'`,
			m.ID, m.Name, m.TrainedMs, m.Features, m.Metrics)
		if err != nil {
			return fmt.Errorf("record model: %w", err)
		}
		return nil
	})
	if err == nil {
		db.models[m.ID] = true
	}
	return err
}

func loadModels(c *sqlite3.Conn) (map[string]bool, error) {
	models := map[string]bool{}
	err := query(c, `SELECT model_id FROM model`, func(s *sqlite3.Stmt) error { models[s.ColumnText(0)] = true; return nil })
	if err != nil {
		return nil, fmt.Errorf("read models: %w", err)
	}
	return models, nil
}
