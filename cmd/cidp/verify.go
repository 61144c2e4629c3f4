package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/camrail/cidp/store"
)

type verifyCmd struct {
	DB     string `arg:"" name:"db" help:"The database, e.g. database/industrial_dwh.sqlite. It may be live."`
	JSON   bool   `name:"json" help:"Print one JSON document."`
	Digest bool   `help:"Print the SHA-256 of the logical content alone on the last line."`
}

func (verifyCmd) Help() string {
	return `Example:
  cidp verify database/industrial_dwh.sqlite --digest
Exit 0 when everything holds, 1 with a line for each breach. Two databases fed the same readings with the same configuration and model have
the same digest.`
}

func (c *verifyCmd) Run(ctx context.Context, t *terminal) error {
	report, err := store.Verify(ctx, c.DB, func(step string) {
		if t.tty {
			fmt.Fprintf(t.err, "\r\x1b[K%s", step)
		}
	})
	if t.tty {
		fmt.Fprint(t.err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	digest, note := "", ""
	if c.Digest {
		if digest, err = store.Digest(ctx, c.DB); err != nil {
			return err
		}
		gone := store.Forget(report.Ledger) // evidence is in no digest
		if n := store.Sum(report.Ledger).Expired + gone.Windows + gone.Transitions; n > 0 {
			note = fmt.Sprintf("%d rows have expired; the digest covers what is left and need not agree with that of a database that kept all", n)
		}
	}
	if c.JSON {
		if err := json.NewEncoder(t.out).Encode(struct {
			*store.Report
			Digest string `json:"digest,omitempty"`
			Note   string `json:"digest_note,omitempty"`
		}{report, digest, note}); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	} else {
		for _, b := range report.Breaches {
			fmt.Fprintf(t.out, "breach: %s: %s\n", b.Check, b.Detail)
		}
		printTotals(t.out, report)
		if note != "" {
			fmt.Fprintf(t.err, "note: %s\n", note)
		}
		if digest != "" {
			fmt.Fprintln(t.out, digest)
		}
	}
	if !report.OK {
		return exitStatus(exitFailed)
	}
	return nil
}

// printTotals writes what was counted in a few lines.
func printTotals(w io.Writer, r *store.Report) {
	t := store.Sum(r.Ledger)
	c := r.Counts
	fmt.Fprintf(w, "received %d = stored %d + duplicate %d + late %d + refused %d\n", t.Received, t.Stored, t.Duplicate, t.Late, t.Refused)
	verdicts := ""
	if c.Verdicts > 0 {
		verdicts = fmt.Sprintf(" + %d verdicts", c.Verdicts)
	}
	fmt.Fprintf(w, "stored %d = %d readings + %d contexts%s + %d expired\n", t.Stored, c.Readings, c.Contexts, verdicts, t.Expired)
	fmt.Fprintf(w, "%d windows: %d with a prediction, %d quarantined; %d alerts\n", c.Windows, c.Predictions, c.Quarantined, c.Alerts)
	if f := store.Forget(r.Ledger); f != (store.Forgotten{}) {
		fmt.Fprintf(w, "expired besides: %d windows, %d alert transitions, %d refused messages, %d late readings\n", f.Windows, f.Transitions, f.Messages, f.Late)
	}
	if r.OK {
		fmt.Fprintln(w, "everything holds")
	} else {
		fmt.Fprintf(w, "%d breaches\n", len(r.Breaches))
	}
}
