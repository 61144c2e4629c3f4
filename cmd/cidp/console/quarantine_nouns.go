package console

import (
	"context"
	"errors"
)

// Releaser puts evidence back through the line. Its methods are called from several goroutines at once.
type Releaser interface {
	// Evidence gives one piece of evidence, or ErrNotFound.
	Evidence(ctx context.Context, id string) (Evidence, error)
	// Release answers when what came of it is on disk, one result for each id in order. Nothing of it happened with ErrNotFound and ErrNotReady; after another error it may yet
	// happen, and asking again tells.
	Release(ctx context.Context, r ReleaseRequest) ([]ReleaseResult, error)
}

// ErrNotReady is what Releaser.Release returns, wrapped or not, while nothing is taken and committed.
var ErrNotReady = errors.New("not ready")

// QuarantineFilter says what of the quarantine is asked for.
type QuarantineFilter struct {
	State    string // "open", "released", "superseded"; empty: any
	Reason   string // empty: any
	Place    string // site, site/asset or site/asset/sensor; empty: any
	Since    Time   // windows that end, and messages received, from then on
	Windows  bool   // windows alone
	Messages bool   // messages alone; neither is both
	Limit    int    // of each
}

// QuarantinePage is the newest of what was refused, with the evidence.
type QuarantinePage struct {
	Quarantine                      // since the database was made
	Matching   Matching             `json:"matching"`
	Windows    []QuarantinedWindow  `json:"windows"`
	Messages   []QuarantinedMessage `json:"messages"`
}

// Matching counts what the filter lets through, without its limit, among the newest 100,000 windows and messages.
type Matching struct {
	Windows  int64 `json:"windows"`
	Messages int64 `json:"messages"`
	Quarantine
}

// QuarantinedWindow is one window that was not scored.
type QuarantinedWindow struct {
	ID          string   `json:"id"`               // "w" and its window_id
	WindowID    int64    `json:"window_id,string"` // text: it does not fit into JavaScript's numbers
	Revision    int      `json:"revision"`
	Site        string   `json:"site"`
	Asset       string   `json:"asset"`
	Sensor      string   `json:"sensor"`
	WindowStart Time     `json:"window_start"`
	WindowEnd   Time     `json:"window_end"`
	Reasons     []string `json:"reasons"`
	Detail      string   `json:"detail"`
	State       string   `json:"state"`       // "open", "released", "superseded"
	ReleasedAt  Time     `json:"released_at"` // null: it was not
}

// QuarantinedMessage is one message, or one element of one, that was refused.
type QuarantinedMessage struct {
	ID         string  `json:"id"` // "m" and its message_id
	MessageID  int64   `json:"message_id,string"`
	ReceivedAt Time    `json:"received_at"`
	Topic      string  `json:"topic"`
	Client     string  `json:"client"`
	Payload    Payload `json:"payload"`
	Element    int     `json:"element"` // position in an array, -1 for the whole message
	Reason     string  `json:"reason"`
	Detail     string  `json:"detail"`
	State      string  `json:"state"`       // "open" or "released"
	ReleasedAt Time    `json:"released_at"` // null: it was not
}

// Evidence is one piece of evidence with all that is known of it. One of Message and Revisions is set.
type Evidence struct {
	ID        string              `json:"id"`
	State     string              `json:"state"`
	Message   *QuarantinedMessage `json:"message,omitempty"`
	Cut       bool                `json:"cut,omitempty"`     // the message may have been longer than what is kept of it
	Refused   string              `json:"refused,omitempty"` // why nothing of the message would be taken by now; empty: something would
	Revisions []WindowRevision    `json:"revisions,omitempty"`
	Audit     []AuditEntry        `json:"audit"` // the newest first
}

// WindowRevision is one revision of a window, valid or not.
type WindowRevision struct {
	QuarantinedWindow
	Verdict      string `json:"verdict"` // "valid" or "quarantined"
	ClosedBy     string `json:"closed_by"`
	N            int    `json:"n"`
	Expected     int    `json:"expected"`
	Completeness Figure `json:"completeness"`
	PFailure     Figure `json:"p_failure"` // NaN without a prediction
	Level        string `json:"level"`     // empty without a prediction
}

// AuditEntry is what a person did.
type AuditEntry struct {
	At       Time   `json:"at"`
	Actor    string `json:"actor"`
	Action   string `json:"action"`
	Revision int    `json:"revision"` // of the window that was put back
	Outcome  string `json:"outcome"`
	Detail   string `json:"detail"`
	Note     string `json:"note"`
}

// ReleaseRequest asks to have evidence put back.
type ReleaseRequest struct {
	IDs   []string
	Actor string
	Note  string
}

// ReleaseResult is what became of one piece of evidence.
type ReleaseResult struct {
	ID        string   `json:"id"`
	Outcome   string   `json:"outcome"` // "released", "refused", "quarantined", "kept": the codes of the table audit
	Already   bool     `json:"already"` // it went back before, or is valid anyway: nothing was done
	By        string   `json:"by,omitempty"`
	At        Time     `json:"at"`
	Detail    string   `json:"detail"`
	Stored    int64    `json:"stored"`
	Duplicate int64    `json:"duplicate"`
	Late      int64    `json:"late"`
	Refused   int64    `json:"refused"`
	Revision  int      `json:"revision"` // of a window, the newest
	Reasons   []string `json:"reasons"`  // why it is still refused or quarantined
}
