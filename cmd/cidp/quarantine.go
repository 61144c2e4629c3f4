package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// quarantineCmd is the quarantine on the command line.
type quarantineCmd struct {
	List    quarantineList    `cmd:"" help:"List what is in quarantine, the newest first."`
	Show    quarantineShow    `cmd:"" help:"Show one piece of evidence with its reasons, its payload or revisions, and what people did with it."`
	Release quarantineRelease `cmd:"" help:"Put evidence back through the running line, under the rules of now."`
}

func (quarantineCmd) Help() string {
	return `Example:
  cidp quarantine list --data database --reason future
  cidp quarantine show m17 --data database
  cidp quarantine release m17 --by "A. Mbarga" --note "clock of gateway 4 was an hour ahead"
An id is m and a number for a message, or an element of one, that was refused, and w and a number for a window that was not scored.
List and show read the database, live or stopped. Release asks the running cidp: what goes back is decoded, windowed, validated and scored
like anything else, and bad data stay where they are.`
}

// quarantineData is where the evidence lies.
type quarantineData struct {
	Data string `help:"Data folder. Its database may be live. Default ${default}." default:"database" placeholder:"DIR"`
}

func (d *quarantineData) path() string { return filepath.Join(d.Data, platform.DatabaseName) }

type quarantineList struct {
	quarantineData `embed:""`
	State          string `help:"open, released, superseded (a newer revision stands) or any." default:"open" enum:"open,released,superseded,any"`
	Reason         string `help:"Only what was refused for this reason, e.g. future or out_of_range." placeholder:"CODE"`
	Place          string `help:"Only this site, site/asset or site/asset/sensor." placeholder:"NAME"`
	Since          string `help:"Only windows that end, and messages received, from then on: RFC 3339, or how long ago, e.g. 24h." placeholder:"TIME"`
	Windows        bool   `help:"Windows alone." xor:"of"`
	Messages       bool   `help:"Messages alone." xor:"of"`
	Limit          int    `help:"How many of each." default:"50"`
	IDs            bool   `name:"ids" help:"Print the ids alone, one a line." xor:"form"`
	JSON           bool   `name:"json" help:"Print one JSON document." xor:"form"`
}

func (quarantineList) Help() string {
	return `Example:
  cidp quarantine list --data database --place douala/loco-7 --since 24h
  cidp quarantine list --reason out_of_range --windows --limit 1000 --ids | xargs cidp quarantine release --by "A. Mbarga"`
}

// since reads a time, or how long ago it was.
func since(text string, now time.Time) (ms int64, err error) {
	if text == "" {
		return 0, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago).UnixMilli(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, usageError{fmt.Errorf("since is %q: it must be a time by RFC 3339, or how long ago, e.g. 24h", text)}
	}
	return at.UnixMilli(), nil
}

func (c *quarantineList) Run(ctx context.Context, t *terminal) error {
	if c.Limit < 1 || c.Limit > 1_000_000 {
		return usageError{fmt.Errorf("limit is %d: it must be between 1 and 1000000", c.Limit)}
	}
	from, err := since(c.Since, time.Now())
	if err != nil {
		return err
	}
	f := store.QuarantineFilter{State: store.State(c.State), Reason: c.Reason, Place: c.Place, Since: from, Windows: c.Windows, Messages: c.Messages, Limit: c.Limit}
	if c.State == "any" {
		f.State = ""
	}
	q, err := store.ReadQuarantine(ctx, c.path(), f)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return json.NewEncoder(t.out).Encode(q)
	case c.IDs:
		for _, w := range q.Windows {
			fmt.Fprintln(t.out, w.ID)
		}
		for _, m := range q.Messages {
			fmt.Fprintln(t.out, m.ID)
		}
		return nil
	}
	return printQuarantine(t.out, &q, c.State)
}

func printQuarantine(out io.Writer, q *store.Quarantine, state string) error {
	fmt.Fprintf(out, "%s: %s; %s\n", state, countText(q.Matching.Windows, "window", q.Matching.WindowsByReason), countText(q.Matching.Messages, "message", q.Matching.MessagesByReason))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(q.Windows) > 0 {
		fmt.Fprintln(w, "\nID\tWINDOW ENDS\tSENSOR\tREVISION\tSTATE\tWHY")
		for _, v := range q.Windows {
			fmt.Fprintf(w, "%s\t%s\t%s/%s/%s\t%d\t%s\t%s\n", v.ID, utcText(v.EndMs), v.Site, v.Asset, v.Sensor, v.Revision, v.State, readable(v.Detail, 120))
		}
	}
	if len(q.Messages) > 0 {
		fmt.Fprintln(w, "\nID\tRECEIVED\tREASON\tTOPIC\tCLIENT\tSTATE\tWHY")
		for _, m := range q.Messages {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, utcText(m.ReceivedMs), m.Reason, readable(m.Topic, 80), readable(m.ClientID, 40), m.State, readable(m.Detail, 120))
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print quarantine: %w", err)
	}
	if more := q.Matching.Windows + q.Matching.Messages - int64(len(q.Windows)+len(q.Messages)); more > 0 {
		fmt.Fprintf(out, "\n%d more: --limit shows them\n", more)
	}
	return nil
}

// countText counts by reason, the most frequent first.
func countText(n int64, what string, by map[string]int64) string {
	if n != 1 {
		what += "s"
	}
	text := fmt.Sprintf("%d %s", n, what)
	reasons := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		if by[a] != by[b] {
			return int(by[b] - by[a])
		}
		return strings.Compare(a, b)
	})
	for i, r := range reasons {
		reasons[i] = fmt.Sprintf("%s %d", r, by[r])
	}
	if len(reasons) > 0 {
		text += " (" + strings.Join(reasons, ", ") + ")"
	}
	return text
}

func utcText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// readable makes outside text safe for a terminal and shortens it to so many characters; 0: not.
func readable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '\u00b7'
		}
		return r
	}, s)
	if most > 0 && utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most-1]) + "\u2026"
	}
	return s
}

type quarantineShow struct {
	quarantineData `embed:""`
	ID             string `arg:"" help:"m and a number, or w and a number, as list prints it."`
	JSON           bool   `name:"json" help:"Print one JSON document."`
}

func (quarantineShow) Help() string {
	return `Example:
  cidp quarantine show w1853881212928000017 --data database --json`
}

func (c *quarantineShow) Run(ctx context.Context, t *terminal) error {
	id, err := store.ParseEvidenceID(c.ID)
	if err != nil {
		return usageError{err}
	}
	e, err := store.ReadEvidence(ctx, c.path(), id)
	if errors.Is(err, store.ErrNoEvidence) {
		return fmt.Errorf("%w: cidp quarantine list --state any shows what there is", err)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(e)
	}
	if e.Message != nil {
		printMessage(t.out, &e)
	} else {
		printRevisions(t.out, &e)
	}
	for _, a := range e.Audit {
		fmt.Fprintf(t.out, "%s %s asked to %s it: %s, %s%s\n", utcText(a.AtMs), a.Actor, a.Action, a.Outcome, a.Detail, noteText(a.Note))
	}
	return nil
}

func noteText(note string) string {
	if note == "" {
		return ""
	}
	return "; note: " + note
}

func printMessage(out io.Writer, e *store.Evidence) {
	m := e.Message
	what := "a whole message"
	if m.Element >= 0 {
		what = fmt.Sprintf("element %d of an array", m.Element)
	}
	fmt.Fprintf(out, "%s: %s, received %s on %s from client %s\n%s: %s: %s\n", m.ID, what, utcText(m.ReceivedMs), readable(m.Topic, 0), readable(m.ClientID, 0), m.State, m.Reason, readable(m.Detail, 0))
	size := fmt.Sprintf("%d bytes", len(e.Raw))
	if e.Cut {
		size = fmt.Sprintf("the first %d bytes", len(e.Raw))
	}
	if utf8.Valid(e.Raw) {
		fmt.Fprintf(out, "payload, %s: %s\n", size, readable(string(e.Raw), 0))
	} else {
		fmt.Fprintf(out, "payload, %s, no text, in hex digits: %x\n", size, e.Raw)
	}
	if m.State != store.StateOpen {
		return
	}
	cfg := stream.DefaultConfig()
	reason, detail := stream.Recheck(stream.Message{Topic: m.Topic, Payload: e.Raw, Received: time.Now().UnixMilli()}, &cfg)
	switch {
	case reason == "" && m.Reason == string(stream.Conflict):
		fmt.Fprintln(out, "it can be read; as long as the other value stands it conflicts with that again")
	case reason == "":
		fmt.Fprintf(out, "it could be released now: cidp quarantine release %s\n", m.ID)
	default:
		fmt.Fprintf(out, "it would be refused now, by the default rules: %s: %s\n", reason, readable(detail, 0))
	}
}

func printRevisions(out io.Writer, e *store.Evidence) {
	w := &e.Revisions[0]
	fmt.Fprintf(out, "%s: the window of %s/%s/%s from %s to %s\n", e.ID, w.Site, w.Asset, w.Sensor, utcText(w.StartMs), utcText(w.EndMs))
	for _, r := range e.Revisions {
		fmt.Fprintf(out, "revision %d, %d of %d readings, closed by %s: ", r.Revision, r.N, r.Expected, r.ClosedBy)
		switch {
		case r.PFailure != nil:
			fmt.Fprintf(out, "valid, %s, probability of failure %.3f\n", r.Level, *r.PFailure)
		case r.Verdict == "valid":
			fmt.Fprintln(out, "valid")
		default:
			fmt.Fprintf(out, "quarantined, %s: %s\n", r.State, r.Detail)
		}
	}
	if e.State == store.StateOpen {
		fmt.Fprintf(out, "after a fix of the rules it may be judged anew: cidp quarantine release %s\n", e.ID)
	}
}
