package store_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

func itoa(v int64) string { return strconv.FormatInt(v, 10) }

// evidenced is a warehouse with two refused messages, of them the first longer than evidence may be, and a quarantined window.
func evidenced(t *testing.T) (db *store.DB, p *plant, w *stream.Window) {
	t.Helper()
	db = open(t, dbPath(t), store.Options{})
	p = newPlant(inOrder())
	b := batch(db)
	p.register(b)
	w = p.windowOf(0, t0, 6, stream.OutOfRange)
	b.Windows = append(b.Windows, w)
	for n := range int64(12) {
		b.Readings = append(b.Readings, stream.Stored{SensorID: w.Sensor.ID, Reading: readingAt(0, t0+n*10_000)})
	}
	b.Opened = append(b.Opened, stream.Open{SensorID: w.Sensor.ID, From: t0 + minute})
	b.Refusals = append(b.Refusals,
		stream.Refusal{Reason: stream.Future, Received: t0 + 5, Topic: stream.TelemetryTopic("douala", "loco-1", "axle1-left"), Client: "c", Payload: []byte(`{"ts":1}`), Element: -1, Detail: "ahead"},
		stream.Refusal{Reason: stream.TooLarge, Received: t0 + 6, Topic: stream.ContextTopic("douala", "loco-2"), Client: "c\x1b[2J", Payload: []byte(strings.Repeat("\xff", 5000)), Element: -1, Detail: "large"})
	count(b, 0)
	commit(t, db, b)
	return db, p, w
}

// released is a batch that puts the first message and the window back.
func released(db *store.DB, p *plant, w *stream.Window, reasons ...stream.Reason) *store.Batch {
	b := batch(db)
	next := p.windowOf(0, w.Start, 6, reasons...)
	next.Revision = w.Revision + 1
	b.Windows = append(b.Windows, next)
	outcome := store.OutcomeQuarantined
	if next.Valid() {
		b.Predictions = append(b.Predictions, predictionOf(next, 0.1, 0))
		outcome = store.OutcomeReleased
	}
	b.Releases = []store.Release{
		{At: t0 + 99, Actor: "ngo", Note: "clock", Message: 1, Outcome: store.OutcomeReleased, Detail: "1 duplicate"},
		{At: t0 + 99, Actor: "ngo", Message: 2, Outcome: store.OutcomeKept, Detail: "still"},
		{At: t0 + 99, Actor: "ngo", Window: w.ID(), Revision: w.Revision, Outcome: outcome, Detail: "revision"},
	}
	count(b, 1)
	return b
}

// TestReleaseIsCommittedWithWhatCameOfIt: the marks, the audit and the ledger are of one commit, a repeat of it writes nothing twice, and evidence goes back once.
func TestReleaseIsCommittedWithWhatCameOfIt(t *testing.T) {
	db, p, w := evidenced(t)
	before := digest(t, db.Path())
	k, err := db.Console()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}()
	b := released(db, p, w)
	commit(t, db, b)
	commit(t, db, b) // as after an answer that was lost
	holds(t, db.Path())
	if got := rows(t, db.Path(), `SELECT audit_id, commit_id, at_ms, actor, message_id, window_id = `+itoa(w.ID())+`, revision, outcome, note FROM audit WHERE model_id IS NULL`); !slices.Equal(got, []string{
		"2|2|" + itoa(t0+99) + "|ngo|1|||released|clock", "3|2|" + itoa(t0+99) + "|ngo|2|||kept|", "4|2|" + itoa(t0+99) + "|ngo||1|1|released|"}) {
		t.Errorf("audit %q", got)
	}
	if got := rows(t, db.Path(), `SELECT counter, reason, value FROM ledger WHERE counter IN ('released', 'audit')`); !slices.Equal(got, []string{"audit|active|1", "audit|kept|1", "audit|released|2", "released|future|1"}) {
		t.Errorf("ledger %q", got)
	}
	for id, want := range map[string]store.State{"m1": store.StateReleased, "m2": store.StateOpen, store.EvidenceID{Window: w.ID()}.String(): store.StateReleased} {
		parsed, err := store.ParseEvidenceID(id)
		if err != nil {
			t.Fatal(err)
		}
		e, err := k.Evidence(t.Context(), parsed)
		if err != nil || e.State != want || len(e.Audit) != 1 || e.Cut != (id == "m2") {
			t.Errorf("%s: %+v, %v", id, e, err)
		}
		if e.Revisions != nil && (len(e.Revisions) != 2 || e.Revisions[0].Verdict != "valid" || e.Revisions[0].PFailure == nil || e.Revisions[1].ReleasedMs != t0+99) {
			t.Errorf("%s: %+v", id, e.Revisions)
		}
	}
	if _, err := k.Evidence(t.Context(), store.EvidenceID{Message: 9}); !errors.Is(err, store.ErrNoEvidence) {
		t.Errorf("no evidence: %v", err)
	}
	if _, err := k.Evidence(t.Context(), store.EvidenceID{Window: 9}); !errors.Is(err, store.ErrNoEvidence) {
		t.Errorf("no window: %v", err)
	}
	if got := digest(t, db.Path()); got == before {
		t.Error("the window that was released is still in the digest")
	}
	again := batch(db)
	again.Releases = b.Releases[:1]
	if err := db.Commit(again); !errors.Is(err, store.ErrFatal) || !strings.Contains(err.Error(), "released before") {
		t.Errorf("released twice: %v", err)
	}
}

// TestReleaseOfWhatExpired marks nothing, and is on record.
func TestReleaseOfWhatExpired(t *testing.T) {
	db, p, w := evidenced(t)
	b := batch(db)
	b.Releases = []store.Release{{At: 1, Actor: "ngo", Message: 77, Outcome: store.OutcomeReleased}}
	count(b, 0)
	commit(t, db, b)
	holds(t, db.Path())
	commit(t, db, released(db, p, w))
	sum := expire(t, db, store.Keep{Evidence: time.Minute}, t0+time.Hour.Milliseconds(), false)
	if sum.Messages != 1 { // the newest stays
		t.Errorf("%d messages expired", sum.Messages)
	}
	if got := one(t, db.Path(), `SELECT value FROM ledger WHERE counter = 'expired_released' AND reason = 'future'`); got != "1" {
		t.Errorf("expired_released %s", got)
	}
	holds(t, db.Path())
}

// TestReleaseThatContradictsItself is refused whole.
func TestReleaseThatContradictsItself(t *testing.T) {
	for name, change := range map[string]func(b *store.Batch, w *stream.Window){
		"neither message nor window": func(b *store.Batch, _ *stream.Window) { b.Releases[0].Message = 0 },
		"both":                       func(b *store.Batch, w *stream.Window) { b.Releases[0].Window = w.ID() },
		"twice":                      func(b *store.Batch, _ *stream.Window) { b.Releases = append(b.Releases, b.Releases[0]) },
		"no revision":                func(b *store.Batch, _ *stream.Window) { b.Releases[2].Revision = 7 },
		"another outcome":            func(b *store.Batch, _ *stream.Window) { b.Releases[2].Outcome = store.OutcomeQuarantined },
	} {
		t.Run(name, func(t *testing.T) {
			db, p, w := evidenced(t)
			b := released(db, p, w)
			change(b, w)
			if err := db.Commit(b); !errors.Is(err, store.ErrFatal) {
				t.Errorf("committed: %v", err)
			}
			holds(t, db.Path())
		})
	}
}

// TestVerifyReleases: every way in which marks, audit and ledger can disagree is found.
func TestVerifyReleases(t *testing.T) {
	for _, d := range []struct{ name, sql, want string }{
		{"a mark without audit", `UPDATE quarantine_message SET released_ms = 5 WHERE message_id = 2`, "message 2 was released at 5, and the audit does not say by whom"},
		{"a mark at another time", `UPDATE quarantine_message SET released_ms = 5 WHERE message_id = 1`, "message 1 was released at 5, and the audit does not say by whom"},
		{"a mark taken away", `UPDATE quarantine_message SET released_ms = NULL WHERE message_id = 1`, "message 1 was released, its row says that it was not"},
		{"a window's mark taken away", `UPDATE quarantine_window SET released_ms = NULL`, "was released, its row says that it was not"},
		{"a window's mark moved", `UPDATE quarantine_window SET released_ms = 5`, "was released at 5, and the audit does not say by whom"},
		{"released twice", `INSERT INTO audit SELECT 9, commit_id, at_ms, actor, action, message_id, window_id, revision, outcome, detail, note, NULL FROM audit WHERE audit_id = 2`, "message 1 was released 2 times"},
		{"an entry added", `INSERT INTO audit VALUES (9, 1, 0, 'x', 'release', 2, NULL, NULL, 'kept', '', '', NULL)`, "audit kept by the ledger"},
		{"an entry taken away", `DROP TRIGGER audit_stays; DELETE FROM audit WHERE audit_id = 3`, "audit kept by the ledger"},
		{"another outcome", `DROP TRIGGER audit_stands; UPDATE audit SET outcome = 'quarantined' WHERE audit_id = 4`, "is not what it says became of it"},
		{"a commit to come", `DROP TRIGGER audit_stands; UPDATE audit SET commit_id = 99 WHERE audit_id = 4`, "entry 4 of the audit is of commit 99, which did not happen"},
		{"the ledger", `UPDATE ledger SET value = 7 WHERE counter = 'released'`, "7 released future by the ledger"},
	} {
		t.Run(d.name, func(t *testing.T) {
			db, p, w := evidenced(t)
			commit(t, db, released(db, p, w))
			path := db.Path()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			sql(t, path, d.sql)
			r := verify(t, path)
			if !slices.ContainsFunc(r.Breaches, func(b store.Breach) bool { return strings.Contains(b.Detail, d.want) }) {
				t.Errorf("no breach says %q: %v", d.want, r.Breaches)
			}
		})
	}
}

// TestAuditIsOnlyAddedTo by whoever writes with SQLite.
func TestAuditIsOnlyAddedTo(t *testing.T) {
	db, p, w := evidenced(t)
	commit(t, db, released(db, p, w))
	c, err := sqlite3.Open(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, text := range []string{`UPDATE audit SET actor = 'nobody'`, `DELETE FROM audit`} {
		if err := c.Exec(text); err == nil || !strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestQuarantineFilter: what is asked for comes, the newest first, and is counted without the limit.
func TestQuarantineFilter(t *testing.T) {
	db, p, w := evidenced(t)
	commit(t, db, released(db, p, w, stream.Gap))
	for _, c := range []struct {
		f    store.QuarantineFilter
		want string
	}{
		{store.QuarantineFilter{}, "W2 W1 m2 m1"},
		{store.QuarantineFilter{State: store.StateOpen}, "W2 m2"},
		{store.QuarantineFilter{State: store.StateReleased}, "W1 m1"},
		{store.QuarantineFilter{Reason: "gap"}, "W2"},
		{store.QuarantineFilter{Reason: "future"}, "m1"},
		{store.QuarantineFilter{Windows: true}, "W2 W1"},
		{store.QuarantineFilter{Messages: true, Limit: 1}, "m2 +1"},
		{store.QuarantineFilter{Place: "douala"}, "W2 W1 m2 m1"},
		{store.QuarantineFilter{Place: "douala/loco-1"}, "W2 W1 m1"},
		{store.QuarantineFilter{Place: "douala/loco-1/axle1-left"}, "W2 W1 m1"},
		{store.QuarantineFilter{Place: "douala/loco-2"}, "m2"},
		{store.QuarantineFilter{Place: "douala/loco"}, ""},
		{store.QuarantineFilter{Since: t0 + 6}, "W2 W1 m2"},
		{store.QuarantineFilter{Since: t0 + 90_000_000}, ""},
	} {
		q, err := store.ReadQuarantine(t.Context(), db.Path(), c.f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range q.Windows {
			got = append(got, "W"+itoa(int64(v.Revision)))
		}
		for _, m := range q.Messages {
			got = append(got, m.ID)
		}
		if more := q.Matching.Windows + q.Matching.Messages - int64(len(got)); more > 0 {
			got = append(got, "+"+itoa(more))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: got %v, want %s", c.f, got, c.want)
		}
		counted := int64(0)
		for _, n := range q.Matching.MessagesByReason {
			counted += n
		}
		if counted != q.Matching.Messages {
			t.Errorf("%+v: %+v", c.f, q.Matching)
		}
	}
}

func FuzzParseEvidenceID(f *testing.F) {
	for _, seed := range []string{"m1", "w1853881212928000017", "m", "w-1", "m+1", "m01", "m99999999999999999999", "x1", "w1@2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := store.ParseEvidenceID(text)
		if err != nil {
			return
		}
		again, err := store.ParseEvidenceID(id.String())
		if err != nil || again != id || (id.Message > 0) == (id.Window > 0) {
			t.Errorf("%q is %+v and again %+v, %v", text, id, again, err)
		}
	})
}
