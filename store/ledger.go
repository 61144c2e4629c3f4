package store

import (
	"fmt"
	"time"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// Counters of the ledger. The first seven are the law's; the others count what the console shows without scanning.
const (
	counterReceived   = "received"          // reason: ""
	counterStored     = "stored"            // telemetry, context, verdict
	counterDuplicate  = "duplicate"         // duplicate
	counterLate       = "late"              // late
	counterRefused    = "refused"           // the reason
	counterExpired    = "expired"           // telemetry, context
	counterOver       = "evidence_over_cap" // the reason
	counterWindow     = "window"            // valid, quarantined
	counterQuarantine = "quarantine"        // the window's reasons, each
	counterAlert      = "alert"             // the transition's kind
	counterReleased   = "released"          // messages put back, by the reason they were refused for
	counterAudit      = "audit"             // the outcome
	counterShadow     = "shadow"            // the model in shadow
)

// expiredOf names the counter of what retention took of another counter's rows, reason by reason: late, refused, window, quarantine, alert, shadow. What it took of the stored is
// counterExpired.
func expiredOf(counter string) string { return counterExpired + "_" + counter }

const (
	ofTelemetry = "telemetry"
	ofContext   = "context"
	ofVerdict   = "verdict"
)

// LedgerRow is one total.
type LedgerRow struct {
	Counter string `json:"counter"`
	Reason  string `json:"reason"`
	Value   int64  `json:"value"`
}

func readLedger(c *sqlite3.Conn) (rows []LedgerRow, err error) {
	err = query(c, `SELECT counter, reason, value FROM ledger ORDER BY counter, reason`, func(s *sqlite3.Stmt) error {
		rows = append(rows, LedgerRow{s.ColumnText(0), s.ColumnText(1), s.ColumnInt64(2)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return rows, nil
}

type entry struct{ counter, reason string }

// count adds the batch to the ledger.
func (w *writer) count(p *pass) error {
	n := &p.Count
	totals := map[entry]int64{
		{counterReceived, ""}:                        n.Received,
		{counterStored, ofTelemetry}:                 n.Stored,
		{counterStored, ofContext}:                   n.StoredContext,
		{counterStored, ofVerdict}:                   n.StoredFinding,
		{counterDuplicate, string(stream.Duplicate)}: n.Duplicate,
	}
	for reason, v := range n.RefusedByReason {
		totals[entry{counterRefused, string(reason)}] += v
	}
	for reason, v := range p.over {
		totals[entry{counterOver, string(reason)}] += v
	}
	for i := range p.Late {
		totals[entry{counterLate, string(p.Late[i].Reason)}]++
	}
	for _, v := range p.Windows {
		totals[entry{counterWindow, verdict(v)}]++
		for _, reason := range v.Reasons {
			totals[entry{counterQuarantine, string(reason)}]++
		}
	}
	for reason, v := range p.released {
		totals[entry{counterReleased, reason}] += v
	}
	for i := range p.Releases {
		totals[entry{counterAudit, string(p.Releases[i].Outcome)}]++
	}
	auditOf(totals, p.Models)
	for i := range p.Shadows {
		totals[entry{counterShadow, p.Shadows[i].ModelID}]++
	}
	for i := range p.Transitions {
		totals[entry{counterAlert, p.Transitions[i].Kind}]++
	}
	return w.add(totals)
}

// add adds to the ledger.
func (w *writer) add(totals map[entry]int64) error {
	for e, v := range totals {
		if v == 0 {
			continue
		}
		if err := w.ledger.text(e.counter).text(e.reason).int(v).run(); err != nil {
			return err
		}
	}
	return nil
}

// log adds the batch to commit_log and folds old rows when it is time.
func (w *writer) log(p *pass) error {
	if p.onlySent() {
		return nil
	}
	n := &p.Count
	err := w.commit.int(p.ID).int(p.Committed).int(p.Messages).int(n.Received).int(n.Stored + n.StoredContext + n.StoredFinding).
		int(n.Duplicate).int(n.Late).int(n.Refused).run()
	if err != nil {
		return err
	}
	if p.fold {
		p.more, err = fold(w.c, p.Committed)
	}
	return err
}

const (
	foldEvery = time.Hour
	foldAfter = 24 * time.Hour
	foldRows  = 5000 // at once, so that no commit waits long for it: some 5 ms
)

// fold moves up to foldRows of the oldest rows of commit_log that are older than foldAfter into the totals of their day. The newest row
// always stays: it holds the last commit's id.
func fold(c *sqlite3.Conn, now int64) (more bool, err error) {
	oldest, err := queryInt(c, `SELECT COALESCE(min(commit_id), 0) FROM commit_log WHERE committed_ms < ?`, now-foldAfter.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("find old commits: %w", err)
	}
	newest, err := queryInt(c, `SELECT COALESCE(max(commit_id), 0) FROM commit_log`)
	if err != nil {
		return false, fmt.Errorf("find old commits: %w", err)
	}
	end, cutoff := min(oldest+foldRows, newest), now-foldAfter.Milliseconds()
	err = execArgs(c, `INSERT INTO commit_total
		SELECT committed_ms - committed_ms % 86400000 AS day, count(*), sum(messages), sum(received), sum(stored), sum(duplicate), sum(late), sum(refused), sum(expired)
		FROM commit_log WHERE commit_id < ?1 AND committed_ms < ?2 GROUP BY day
		ON CONFLICT (day_ms) DO UPDATE SET commits = commits + excluded.commits, messages = messages + excluded.messages,
		received = received + excluded.received, stored = stored + excluded.stored, duplicate = duplicate + excluded.duplicate,
		late = late + excluded.late, refused = refused + excluded.refused, expired = expired + excluded.expired`, end, cutoff)
	if err != nil {
		return false, fmt.Errorf("fold commits: %w", err)
	}
	if err := execArgs(c, `DELETE FROM commit_log WHERE commit_id < ?1 AND committed_ms < ?2`, end, cutoff); err != nil {
		return false, fmt.Errorf("fold commits: %w", err)
	}
	return c.Changes() == foldRows, nil
}
