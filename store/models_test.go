package store_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

const shadowID = "fedcba9876543210"

// compared gives a batch that follows the scenario: it closes minute m, and a model comes into shadow with it and scores every window.
func compared(db *store.DB, m int64) *store.Batch {
	p := newPlant(inOrder())
	b := batch(db)
	for _, o := range append(p.raw(m+1), p.close(m)...) {
		o(b)
	}
	b.Alerts, b.Transitions = nil, nil // the alert of the scenario is cleared
	b.Models = []store.ModelMove{moved(shadowID, store.ModelShadow)}
	for i := range b.Predictions {
		v := &b.Predictions[i]
		v.Level, v.Hold = model.Normal, model.Hold{}
		b.Shadows = append(b.Shadows, model.ShadowPrediction{WindowID: v.WindowID, Revision: v.Revision, ModelID: shadowID, PFailure: v.PFailure})
	}
	count(b, 0)
	return b
}

// shadowed is the scenario with that behind it, where the model in shadow differs in one window.
func shadowed(t *testing.T) (db *store.DB) {
	t.Helper()
	db = open(t, filled(t), store.Options{})
	b := compared(db, minutes-1)
	b.Shadows[0].PFailure = 0.9
	commit(t, db, b)
	commit(t, db, b) // as after an answer that was lost
	return db
}

// TestShadowsAreCommittedWithTheirWindows: rows, counts and the audit are of one commit, a repeat of it writes nothing twice, and what differs is seen.
func TestShadowsAreCommittedWithTheirWindows(t *testing.T) {
	db := shadowed(t)
	holds(t, db.Path())
	for _, c := range []struct{ sql, want string }{
		{`SELECT count(*), count(DISTINCT window_id), min(model_id) FROM shadow_prediction`, "6|6|" + shadowID},
		{`SELECT value FROM ledger WHERE counter = 'shadow' AND reason = '` + shadowID + `'`, "6"},
		{`SELECT a.action, a.outcome, a.commit_id = (SELECT max(commit_id) FROM commit_log), m.state FROM audit a JOIN model m USING (model_id) WHERE model_id = '` + shadowID + `'`, "shadow|shadow|1|shadow"},
		{`SELECT group_concat(model_id || ' ' || state, ', ') FROM (SELECT * FROM model ORDER BY model_id)`, modelID + " active, " + shadowID + " shadow, rules retired"},
	} {
		if got := one(t, db.Path(), c.sql); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
	rows, err := store.ReadModels(t.Context(), db.Path(), model.DefaultAlertConfig())
	if err != nil || len(rows) != 2 || rows[0].ID != modelID || rows[1].ID != shadowID {
		t.Fatalf("%v: %+v", err, rows)
	}
	if c := rows[1].Compare; c.Windows != 6 || c.Differ != 1 || !(c.MeanDiff > 0.05 && c.MeanDiff < 0.16) {
		t.Errorf("compared: %+v", c)
	}
	if a := rows[1].Audit; len(a) != 1 || a[0].Actor != "ngo" || a[0].Action != store.ActionShadow {
		t.Errorf("audit: %+v", a)
	}
}

// TestShadowsAreInNoDigest: what nobody is told changes no content.
func TestShadowsAreInNoDigest(t *testing.T) {
	db := shadowed(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	with := digest(t, db.Path())
	sql(t, db.Path(), `DELETE FROM shadow_prediction`)
	if without := digest(t, db.Path()); without != with {
		t.Error("shadow predictions are in the digest")
	}
}

// TestMovesLeaveOneActive goes through what may be asked, and ends with the rules alone.
func TestMovesLeaveOneActive(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	const a, b = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	states := func(want string) {
		t.Helper()
		if got := one(t, db.Path(), `SELECT group_concat(substr(model_id, 1, 5) || ' ' || state, ', ') FROM (SELECT * FROM model WHERE model_id <> '`+modelID+`' ORDER BY model_id)`); got != want {
			t.Errorf("states %q, want %q", got, want)
		}
		holds(t, db.Path())
	}
	states("rules retired")
	for _, step := range []struct {
		moves []store.ModelMove
		want  string // states, or the error
		fails bool
	}{
		{moves: []store.ModelMove{moved(a, store.ModelShadow)}, want: "aaaaa shadow, rules retired"},
		{moves: []store.ModelMove{moved(a, store.ModelActive)}, want: "2 are active", fails: true},
		{moves: []store.ModelMove{moved(modelID, store.ModelRetired)}, want: "aaaaa shadow, rules active"},
		{moves: []store.ModelMove{moved(a, store.ModelActive)}, want: "aaaaa active, rules retired"},
		{moves: []store.ModelMove{moved(a, store.ModelActive), moved(b, store.ModelActive)}, want: "two of them would be active", fails: true},
		{moves: []store.ModelMove{moved(a, store.ModelRetired), moved(b, store.ModelActive)}, want: "aaaaa retired, bbbbb active, rules retired"},
		{moves: []store.ModelMove{moved(b, store.ModelShadow)}, want: "aaaaa retired, bbbbb shadow, rules active"},
		{moves: []store.ModelMove{moved(model.RulesID, store.ModelRetired)}, want: "that is no model", fails: true},
		{moves: []store.ModelMove{{Model: store.ModelInfo{ID: "c", State: store.ModelShadow}}}, want: "it is not recorded", fails: true},
		{moves: []store.ModelMove{{Model: store.ModelInfo{ID: b, State: "new"}}}, want: `state "new" is not known`, fails: true},
	} {
		err := db.MoveModels(step.moves)
		if step.fails {
			if err == nil || !strings.Contains(err.Error(), step.want) {
				t.Errorf("%v: %v", step.moves, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		states(step.want)
	}
	if chosen, err := db.Chosen(); err != nil || !chosen {
		t.Errorf("chosen: %t, %v", chosen, err)
	}
}

// TestCommitRefusesShadows: every model in shadow says something of every valid window, and of no other.
func TestCommitRefusesShadows(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *store.Batch)
		want   string
	}{
		"one window short":    {func(b *store.Batch) { b.Shadows = b.Shadows[1:] }, "5 for 6 valid windows"},
		"a window twice":      {func(b *store.Batch) { b.Shadows[0] = b.Shadows[1] }, "insert shadow prediction: 1 of 1 rows"},
		"of no valid window":  {func(b *store.Batch) { b.Shadows[0].Revision = 7 }, "the window has no prediction in the batch"},
		"of an unknown model": {func(b *store.Batch) { b.Shadows[0].ModelID = "nobody" }, `model "nobody" is not recorded`},
		"no probability":      {func(b *store.Batch) { b.Shadows[0].PFailure = 1.5 }, "insert shadow prediction: 1 of 1 rows"},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, filled(t), store.Options{})
			b := compared(db, minutes-1)
			c.change(b)
			if err := db.Commit(b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			holds(t, db.Path())
			if n := one(t, db.Path(), `SELECT count(*) FROM model WHERE model_id = '`+shadowID+`'`); n != "0" {
				t.Error("the model is recorded without its batch")
			}
		})
	}
}

// TestShadowsExpireWithTheirWindows, and are counted.
func TestShadowsExpireWithTheirWindows(t *testing.T) {
	db := shadowed(t)
	commit(t, db, compared(db, minutes)) // its windows are the newest, and stay
	late := time.UnixMilli(t0 + 40*minute)
	for range 50 {
		out, err := db.Expire(t.Context(), store.Keep{Raw: time.Minute, Windows: time.Minute}, late, false)
		if err != nil {
			t.Fatal(err)
		}
		if !out.More {
			break
		}
	}
	left := one(t, db.Path(), `SELECT (SELECT count(*) FROM shadow_prediction) + (SELECT value FROM ledger WHERE counter = 'expired_shadow'), (SELECT value FROM ledger WHERE counter = 'expired_shadow') > 0`)
	if left != "12|1" {
		t.Errorf("left and expired %s, want 12|1", left)
	}
	holds(t, db.Path())
}

// TestVerifyModels: every way in which rows, audit and predictions can disagree is found.
func TestVerifyModels(t *testing.T) {
	db := shadowed(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	const stands, stays = `DROP TRIGGER audit_stands; `, `DROP TRIGGER audit_stays; `
	for _, c := range []struct{ name, sql, want string }{
		{"two active", `UPDATE model SET state = 'active'`, "3 models are active"},
		{"none active", `UPDATE model SET state = 'retired'`, "0 models are active"},
		{"rules in shadow", `UPDATE model SET state = 'shadow' WHERE model_id = 'rules'`, "the rules' row is in state shadow"},
		{"a state of its own", `UPDATE model SET state = 'retired' WHERE state = 'shadow'`, "model " + shadowID + " is retired, its last entry of the audit says shadow"},
		{"nobody asked", stays + `DELETE FROM audit WHERE model_id = '` + shadowID + `'`, "its last entry of the audit says "},
		{"no trial", `UPDATE model SET trial = NULL`, "model " + modelID + " is live without a trial that it passed"},
		{"a trial not passed", `UPDATE model SET trial = '{"passed":false}'`, "is live without a trial that it passed"},
		{"an entry of nobody", stands + `UPDATE audit SET model_id = 'x' WHERE model_id = '` + shadowID + `'`, "is of model x, which is not recorded"},
		{"an outcome that cannot be", stands + `UPDATE audit SET outcome = 'kept' WHERE model_id = '` + shadowID + `'`, "shadow with outcome kept cannot be"},
		{"an action without a model", stands + `UPDATE audit SET model_id = NULL WHERE model_id = '` + shadowID + `'`, "shadow with outcome shadow cannot be"},
		{"never live", stands + `UPDATE audit SET outcome = 'retired' WHERE model_id = '` + modelID + `'`, "predictions name model " + modelID + ", which was never live"},
		{"never in shadow", stands + `UPDATE audit SET outcome = 'retired' WHERE model_id = '` + shadowID + `'`, "shadow predictions name model " + shadowID + ", which was never in shadow"},
		{"two live in the audit", stands + `UPDATE audit SET outcome = 'active' WHERE model_id = '` + shadowID + `'`, "by the audit 2 forests are live"},
		{"a commit to come", stands + `UPDATE audit SET commit_id = 99 WHERE model_id = '` + shadowID + `'`, "of commit 99, which did not happen"},
		{"a shadow lost", `DELETE FROM shadow_prediction WHERE window_id = (SELECT min(window_id) FROM shadow_prediction)`, "6 shadow " + shadowID + " by the ledger, 5 in shadow_prediction"},
		{"a shadow of nothing", `UPDATE shadow_prediction SET revision = 9 WHERE window_id = (SELECT min(window_id) FROM shadow_prediction)`, "the window or the model does not exist"},
		{"a shadow of a quarantined window", `INSERT INTO shadow_prediction SELECT window_id, revision, '` + shadowID + `', 0.5 FROM quarantine_window`, "the window is not valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := store.Verify(t.Context(), damaged(t, whole, c.sql), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(report.Breaches, func(b store.Breach) bool { return strings.Contains(b.Detail, c.want) }) {
				t.Errorf("no breach says %q: %v", c.want, report.Breaches)
			}
		})
	}
}

// TestModelsFromBeforeTrials: what was live without a trial runs in shadow until the next start, and the audit says what it was.
func TestModelsFromBeforeTrials(t *testing.T) {
	path := dbPath(t)
	firstRelease(t, path)
	sql(t, path, `INSERT INTO model VALUES ('aaaaaaaaaaaaaaaa', 'default', 0, '[]', '{}', 'active')`)
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := one(t, path, `SELECT group_concat(model_id || ' ' || state, ', ') FROM (SELECT * FROM model ORDER BY model_id)`); got != "aaaaaaaaaaaaaaaa shadow, old retired, rules active" {
		t.Errorf("states %q", got)
	}
	if got := one(t, path, `SELECT group_concat(model_id || ' ' || action || ' ' || outcome, ', ') FROM (SELECT * FROM audit ORDER BY audit_id)`); got !=
		"aaaaaaaaaaaaaaaa start active, aaaaaaaaaaaaaaaa start shadow, old start active, old start retired" {
		t.Errorf("audit %q", got)
	}
	if chosen, err := db.Chosen(); err != nil || chosen {
		t.Errorf("chosen: %t, %v", chosen, err)
	}
	holds(t, path)
}
