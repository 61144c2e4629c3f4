package store

import (
	"fmt"
	"slices"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// maxID bounds sensor and asset ids: they share an integer with the time.
const maxID = 1<<stream.SensorBits - 1

// onlySent says whether the batch has nothing to tell but which publications went out and who is owed what: it takes no commit id.
func (b *Batch) onlySent() bool {
	s := b.Batch
	c := s.Count
	rows := len(s.Assets) + len(s.Sensors) + len(s.Readings) + len(s.Contexts) + len(s.Findings) + len(s.Conflicted) + len(s.ConflictedContexts) +
		len(s.Late) + len(s.Refusals) + len(s.Windows) + len(s.Opened) + len(s.Changed) + len(b.Predictions) + len(b.Alerts) + len(b.Transitions) + len(b.Outbox)
	return rows == 0 && b.Config == nil && len(b.Releases) == 0 && len(b.Models) == 0 && s.Messages == 0 && c.Received == 0 && c.Duplicate == 0
}

// check finds what would make the tables disagree with the ledger or with each other. Received is not compared: it is counted apart from the rest,
// so that Verify has something to prove.
func (db *DB) check(b *Batch) error {
	s := b.Batch
	for _, n := range []struct {
		what          string
		counted, rows int64
	}{
		{"stored readings", s.Count.Stored, int64(len(s.Readings))},
		{"stored contexts", s.Count.StoredContext, int64(len(s.Contexts))},
		{"stored verdicts", s.Count.StoredFinding, int64(len(s.Findings))},
		{"late readings", s.Count.Late, int64(len(s.Late))},
		{"refusals", s.Count.Refused, int64(len(s.Refusals))},
	} {
		if n.counted != n.rows {
			return fmt.Errorf("check batch: it counts %d %s and holds %d", n.counted, n.what, n.rows)
		}
	}
	if err := checkRefusals(s); err != nil {
		return err
	}
	if err := checkReleases(b); err != nil {
		return err
	}
	if err := db.checkMoves(b.Models); err != nil {
		return err
	}
	recorded := func(id string) bool {
		return db.models[id] || slices.ContainsFunc(b.Models, func(m ModelMove) bool { return m.Model.ID == id })
	}
	if err := db.checkShadows(b, recorded); err != nil {
		return err
	}
	return checkPredictions(b, recorded)
}

// checkReleases proves that each release names one piece of evidence, each piece goes back once, and a window that does has its next revision in the batch.
func checkReleases(b *Batch) error {
	if len(b.Releases) == 0 {
		return nil
	}
	became := make(map[revision]Outcome, len(b.Windows))
	for _, w := range b.Windows {
		became[revision{w.ID(), w.Revision}] = OutcomeQuarantined
		if w.Valid() {
			became[revision{w.ID(), w.Revision}] = OutcomeReleased
		}
	}
	seen := map[Release]bool{}
	for i := range b.Releases {
		r := &b.Releases[i]
		which := Release{Message: r.Message, Window: r.Window, Revision: r.Revision}
		switch {
		case (r.Message == 0) == (r.Window == 0):
			return fmt.Errorf("check release: message %d and window %d: it must be one of them", r.Message, r.Window)
		case !r.back():
		case seen[which]:
			return fmt.Errorf("check release: message %d or window %d revision %d goes back twice", r.Message, r.Window, r.Revision)
		case r.Window != 0 && became[revision{r.Window, r.Revision + 1}] != r.Outcome:
			return fmt.Errorf("check release: window %d revision %d is %s, and its next revision in the batch says %q", r.Window, r.Revision, r.Outcome, became[revision{r.Window, r.Revision + 1}])
		}
		seen[which] = seen[which] || r.back()
	}
	return nil
}

func checkRefusals(s *stream.Batch) error {
	held := map[stream.Reason]int64{}
	for i := range s.Refusals {
		held[s.Refusals[i].Reason]++
	}
	for reason, n := range s.Count.RefusedByReason {
		if held[reason] != n {
			return fmt.Errorf("check batch: it counts %d refusals as %s and holds %d", n, reason, held[reason])
		}
		delete(held, reason)
	}
	for reason, n := range held {
		return fmt.Errorf("check batch: it counts 0 refusals as %s and holds %d", reason, n)
	}
	return nil
}

type revision struct {
	window int64
	number int
}

// checkPredictions proves: one prediction for every valid window, none for another, by a model that is recorded.
func checkPredictions(b *Batch, recorded func(id string) bool) error {
	scored := make(map[revision]int, len(b.Predictions))
	for i := range b.Predictions {
		p := &b.Predictions[i]
		scored[revision{p.WindowID, p.Revision}]++
		if p.Level > model.Critical || p.Hold.Level > model.Critical || p.Hold.Worst > model.Critical {
			return fmt.Errorf("check prediction of window %d: level %d, %d or %d is not known", p.WindowID, p.Level, p.Hold.Level, p.Hold.Worst)
		}
		if !recorded(p.ModelID) {
			return fmt.Errorf("check prediction of window %d: model %q is not recorded", p.WindowID, p.ModelID)
		}
	}
	for _, w := range b.Windows {
		id := revision{w.ID(), w.Revision}
		if n := scored[id]; w.Valid() != (n == 1) {
			return fmt.Errorf("check window %d revision %d: valid is %t and it has %d predictions", id.window, id.number, w.Valid(), n)
		}
		delete(scored, id)
	}
	for id := range scored {
		return fmt.Errorf("check prediction of window %d revision %d: the window is not in the batch", id.window, id.number)
	}
	for i := range b.Alerts {
		if a := &b.Alerts[i]; a.Severity > model.Critical {
			return fmt.Errorf("check alert %s: severity %d is not known", a.ID, a.Severity)
		}
	}
	for i := range b.Transitions {
		if t := &b.Transitions[i]; t.From > model.Critical || t.To > model.Critical {
			return fmt.Errorf("check transition of alert %s: level %d or %d is not known", t.AlertID, t.From, t.To)
		}
	}
	return nil
}
