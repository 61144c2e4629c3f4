package store

import (
	"errors"
	"fmt"

	"github.com/camrail/cidp/model"
	"github.com/ncruces/go-sqlite3"
)

// ModelState says whether a model is in force. States are persisted.
type ModelState string

// States of a model. The row of the rules of physics (model.RulesID) is active while no forest is, and retired otherwise.
const (
	ModelActive  ModelState = "active"  // it is live: predictions are made in its name
	ModelShadow  ModelState = "shadow"  // it scores every window beside what is live, and is told to nobody
	ModelRetired ModelState = "retired" // it scores nothing
)

// Actions on models in the audit.
const (
	ActionActivate = "activate"
	ActionShadow   = "shadow"
	ActionRetire   = "retire"
	ActionStart    = "start" // the program did it by itself, at its start
)

// ModelInfo is a model's row.
type ModelInfo struct {
	ID        string // content hash
	Name      string
	TrainedMs int64
	Features  string // JSON: names and units in order
	Metrics   string // JSON: the training manifest
	Trial     string // JSON: the trial that was counted when it was moved last; empty: none
	State     ModelState
}

// ModelMove is what was asked of a model, with its state from then on. It is an entry of the audit.
type ModelMove struct {
	Model  ModelInfo // of a known model ID and State do; a Trial replaces the one before
	At     int64     // wall clock, ms
	Action string
	Actor  string
	Detail string // in words
	Note   string
}

// MoveModels writes what was asked of models in a transaction of its own, while no line runs: it is in force from the next commit on. A line puts it into a Batch.
func (db *DB) MoveModels(moves []ModelMove) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return err
	}
	if err := db.checkMoves(moves); err != nil {
		return err
	}
	err := db.transact(func(w *writer) error {
		if err := w.move(moves, db.last.Load()+1); err != nil {
			return err
		}
		return w.add(auditOf(map[entry]int64{}, moves))
	})
	if err == nil {
		db.know(moves)
	}
	return err
}

// Models reads every model's row but the rules', by id.
func (db *DB) Models() (rows []ModelInfo, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return nil, err
	}
	return readModels(db.w.c)
}

func readModels(c *sqlite3.Conn) (rows []ModelInfo, err error) {
	err = query(c, `SELECT model_id, name, trained_ms, features, metrics, trial, state FROM model WHERE model_id <> ? ORDER BY model_id`, func(s *sqlite3.Stmt) error {
		rows = append(rows, ModelInfo{s.ColumnText(0), s.ColumnText(1), s.ColumnInt64(2), s.ColumnText(3), s.ColumnText(4), s.ColumnText(5), ModelState(s.ColumnText(6))})
		return nil
	}, model.RulesID)
	if err != nil {
		return nil, fmt.Errorf("read models: %w", err)
	}
	return rows, nil
}

// Chosen says whether anybody has ever said which model is to be in force, and not only the program by itself.
func (db *DB) Chosen() (bool, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return false, err
	}
	n, err := queryInt(db.w.c, `SELECT count(*) FROM audit WHERE model_id IS NOT NULL AND action <> ?`, ActionStart)
	if err != nil {
		return false, fmt.Errorf("read audit: %w", err)
	}
	return n > 0, nil
}

// checkMoves finds what would make the registry contradict itself.
func (db *DB) checkMoves(moves []ModelMove) error {
	active := 0
	for i := range moves {
		m := &moves[i]
		switch {
		case m.Model.ID == "" || m.Model.ID == model.RulesID:
			return fmt.Errorf("move model %q: that is no model", m.Model.ID)
		case m.Model.Name == "" && !db.models[m.Model.ID]:
			return fmt.Errorf("move model %s: it is not recorded", m.Model.ID)
		case m.Model.State == ModelActive:
			active++
		case m.Model.State != ModelShadow && m.Model.State != ModelRetired:
			return fmt.Errorf("move model %s: state %q is not known", m.Model.ID, m.Model.State)
		}
	}
	if active > 1 {
		return errors.New("move models: two of them would be active")
	}
	return nil
}

// know remembers which models may be named.
func (db *DB) know(moves []ModelMove) {
	for i := range moves {
		db.models[moves[i].Model.ID] = true
	}
}

// moves writes what was asked of models in a batch, before anything that they score.
func (w *writer) moves(p *pass) error { return w.move(p.Models, p.ID) }

// move writes the rows and the audit. One active model at most is the law.
func (w *writer) move(moves []ModelMove, commit int64) error {
	if len(moves) == 0 {
		return nil
	}
	for i := range moves {
		m := &moves[i]
		err := execArgs(w.c, `INSERT INTO model (model_id, name, trained_ms, features, metrics, trial, state) VALUES (?, ?, ?, ?, ?, NULLIF(?, ''), ?)
			ON CONFLICT (model_id) DO UPDATE SET state = excluded.state, trial = COALESCE(excluded.trial, trial)`,
			m.Model.ID, m.Model.Name, m.Model.TrainedMs, m.Model.Features, m.Model.Metrics, m.Model.Trial, string(m.Model.State))
		if err != nil {
			return fmt.Errorf("write model %s: %w", m.Model.ID, err)
		}
		err = execArgs(w.c, `INSERT INTO audit (commit_id, at_ms, actor, action, outcome, detail, note, model_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			commit, m.At, cutText(m.Actor), m.Action, string(m.Model.State), cutText(m.Detail), cutText(m.Note), m.Model.ID)
		if err != nil {
			return fmt.Errorf("insert audit: %w", err)
		}
	}
	const forests = `(SELECT count(*) FROM model WHERE state = 'active' AND model_id <> ?1)`
	active, err := queryInt(w.c, `SELECT `+forests, model.RulesID)
	if err != nil {
		return fmt.Errorf("count active models: %w", err)
	}
	if active > 1 {
		return fatalf("move models: %d are active", active)
	}
	if err := execArgs(w.c, `UPDATE model SET state = CASE `+forests+` WHEN 0 THEN 'active' ELSE 'retired' END WHERE model_id = ?1`, model.RulesID); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

// auditOf counts the entries of moves for the ledger.
func auditOf(totals map[entry]int64, moves []ModelMove) map[entry]int64 {
	for i := range moves {
		totals[entry{counterAudit, string(moves[i].Model.State)}]++
	}
	return totals
}

func loadModels(c *sqlite3.Conn) (map[string]bool, error) {
	models := map[string]bool{}
	err := query(c, `SELECT model_id FROM model`, func(s *sqlite3.Stmt) error { models[s.ColumnText(0)] = true; return nil })
	if err != nil {
		return nil, fmt.Errorf("read models: %w", err)
	}
	return models, nil
}
