package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/store"
)

type quarantineRelease struct {
	IDs      []string `arg:"" name:"id" help:"m and a number, or w and a number, as list prints them."`
	askFlags `embed:""`
	JSON     bool `name:"json" help:"Print one JSON document."`
}

func (quarantineRelease) Help() string {
	return `Example:
  cidp quarantine release m17 m18 w1853881212928000017 --by "A. Mbarga" --note "limits of the new bearings"
Mend the cause first: a running cidp reads a changed sensors file within some seconds, and says so in its log.
A message is decoded and fed anew; lateness does not bound it. A window is judged anew from its readings, under the limits of now: what is valid
then supersedes it and is scored. What was said of it by other sensors (peer_disagreement, sensor_drift, fouling, swapped) stands. Nothing is scored
by force. Exit 0 when all of it went back, now or before; 1 when some of it stays in quarantine.`
}

// releaseAtOnce is how many ids go into one request.
const releaseAtOnce = 50

func (c *quarantineRelease) Run(ctx context.Context, t *terminal) error {
	for _, id := range c.IDs {
		if _, err := store.ParseEvidenceID(id); err != nil {
			return usageError{err}
		}
	}
	by, err := c.who()
	if err != nil {
		return err
	}
	results := []console.ReleaseResult{}
	var failed error
	for rest := c.IDs; len(rest) > 0 && failed == nil; {
		n := min(len(rest), releaseAtOnce)
		var some []console.ReleaseResult
		if some, failed = c.ask(ctx, rest[:n], by); failed == nil {
			results, rest = append(results, some...), rest[n:]
		}
	}
	if err := c.print(t, results); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	for i := range results {
		if results[i].Outcome != string(store.OutcomeReleased) {
			return exitStatus(exitFailed)
		}
	}
	return nil
}

func (c *quarantineRelease) print(t *terminal, results []console.ReleaseResult) error {
	if c.JSON {
		return json.NewEncoder(t.out).Encode(struct {
			Results []console.ReleaseResult `json:"results"`
		}{results})
	}
	for i := range results {
		r := &results[i]
		text := r.Outcome
		if r.Already {
			text = "already " + r.Outcome
			if r.By != "" {
				text += fmt.Sprintf(" by %s at %s", r.By, utcText(int64(r.At)))
			}
		}
		if _, err := fmt.Fprintf(t.out, "%s: %s: %s\n", r.ID, text, readable(r.Detail, 0)); err != nil {
			return fmt.Errorf("print results: %w", err)
		}
	}
	return nil
}

// ask sends one request to the running platform.
func (c *quarantineRelease) ask(ctx context.Context, ids []string, by string) ([]console.ReleaseResult, error) {
	var answer struct {
		Results []console.ReleaseResult `json:"results"`
	}
	err := c.send(ctx, http.MethodPost, "/api/v1/quarantine/release", struct {
		IDs  []string `json:"ids"`
		By   string   `json:"by"`
		Note string   `json:"note"`
	}{ids, by, c.Note}, &answer)
	return answer.Results, err
}
