package store

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// Outcome is what became of evidence that a person asked to have put back. Codes are persisted: they are added to, never changed.
type Outcome string

// Outcomes. All but Kept put the evidence back: it is marked as released, and is not released again.
const (
	OutcomeReleased    Outcome = "released"    // readings of it were taken, or its window is valid by now
	OutcomeRefused     Outcome = "refused"     // a message that is refused again, and is new evidence
	OutcomeQuarantined Outcome = "quarantined" // a window of which a new revision is quarantined too
	OutcomeKept        Outcome = "kept"        // it stays as it was: the rules of now say the same
)

// Release is one piece of evidence that a person asked to have put back, with what became of it in the batch that it is committed with.
type Release struct {
	At      int64 // wall clock, ms
	Actor   string
	Note    string
	Message int64 // its id; 0: a window
	Window  int64 // its id; 0: a message
	// Revision of the window that was put back; the next one, in the same batch, is what became of it.
	Revision int
	Outcome  Outcome
	Detail   string // in words
}

// back says whether the evidence went back.
func (r *Release) back() bool { return r.Outcome != OutcomeKept }

// releases marks what was put back and records who did it.
func (w *writer) releases(p *pass) error {
	for i := range p.Releases {
		r := &p.Releases[i]
		if err := w.release(p, r); err != nil {
			return err
		}
		q := w.audit.int(p.ID).int(r.At).text(cutText(r.Actor))
		if r.Message != 0 {
			q = q.int(r.Message).null().null()
		} else {
			q = q.null().int(r.Window).int(int64(r.Revision))
		}
		if err := q.text(string(r.Outcome)).text(cutText(r.Detail)).text(cutText(r.Note)).run(); err != nil {
			return fmt.Errorf("insert audit: %w", err)
		}
	}
	return nil
}

// release marks one. What is no longer there has expired since it was asked for: then there is nothing to mark.
func (w *writer) release(p *pass, r *Release) error {
	if !r.back() {
		return nil
	}
	var found, before bool
	var reason string
	see := func(s *sqlite3.Stmt) error {
		found, before, reason = true, !isNull(s, 0), s.ColumnText(1)
		return nil
	}
	q := w.evidenceOf
	if r.Message == 0 {
		q = w.quarantineOf.int(r.Window).int(int64(r.Revision))
	} else {
		q.int(r.Message)
	}
	if err := q.each(see); err != nil {
		return fmt.Errorf("look up evidence: %w", err)
	}
	switch {
	case !found:
		return nil
	case before:
		return fatalf("release message %d or window %d revision %d: it was released before", r.Message, r.Window, r.Revision)
	case r.Message == 0:
		return w.quarantineBack.int(r.Window).int(int64(r.Revision)).int(r.At).run()
	}
	if p.released == nil {
		p.released = map[string]int64{}
	}
	p.released[reason]++
	return w.evidenceBack.int(r.Message).int(r.At).run()
}

// releases proves that what was put back says so, once, and who did it, and that it became what the audit says.
func (v *verifier) releases() error {
	const back = `a.outcome <> 'kept'`
	return v.find([]finding{
		{"release", "message %s was released at %s, and the audit does not say by whom",
			`SELECT message_id, released_ms FROM quarantine_message q WHERE released_ms IS NOT NULL AND NOT EXISTS
			(SELECT 1 FROM audit a WHERE a.message_id = q.message_id AND ` + back + ` AND a.at_ms = q.released_ms)`},
		{"release", "window %s revision %s was released at %s, and the audit does not say by whom",
			`SELECT window_id, revision, released_ms FROM quarantine_window q WHERE released_ms IS NOT NULL AND NOT EXISTS
			(SELECT 1 FROM audit a WHERE a.window_id = q.window_id AND a.revision = q.revision AND ` + back + ` AND a.at_ms = q.released_ms)`},
		{"release", "the audit says that message %s was released, its row says that it was not",
			`SELECT a.message_id FROM audit a JOIN quarantine_message q ON q.message_id = a.message_id WHERE ` + back + ` AND q.released_ms IS NULL`},
		{"release", "the audit says that window %s revision %s was released, its row says that it was not",
			`SELECT a.window_id, a.revision FROM audit a JOIN quarantine_window q ON q.window_id = a.window_id AND q.revision = a.revision WHERE ` + back + ` AND q.released_ms IS NULL`},
		{"release", "message %s was released %s times",
			`SELECT message_id, count(*) AS n FROM audit a WHERE message_id IS NOT NULL AND ` + back + ` GROUP BY message_id HAVING n > 1`},
		{"release", "window %s revision %s was released %s times",
			`SELECT window_id, revision, count(*) AS n FROM audit a WHERE window_id IS NOT NULL AND ` + back + ` GROUP BY window_id, revision HAVING n > 1`},
		{"release", "the audit says that window %s revision %s was released, and revision %s is not what it says became of it",
			`SELECT a.window_id, a.revision, a.revision + 1 FROM audit a WHERE a.window_id IS NOT NULL AND ` + back + `
			AND EXISTS (SELECT 1 FROM telemetry_window w WHERE w.window_id = a.window_id AND w.revision = a.revision)
			AND NOT EXISTS (SELECT 1 FROM telemetry_window w WHERE w.window_id = a.window_id AND w.revision = a.revision + 1
			AND w.verdict = CASE a.outcome WHEN 'released' THEN 'valid' ELSE 'quarantined' END)`},
		{"release", "entry %s of the audit is of commit %s, which did not happen",
			`SELECT audit_id, commit_id FROM audit WHERE commit_id < 1 OR commit_id > (SELECT COALESCE(max(commit_id), 0) FROM commit_log) + (model_id IS NOT NULL)`}, // a model may have been moved while no line ran
	})
}
