package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/user"
	"strings"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/store"
)

type quarantineRelease struct {
	IDs      []string `arg:"" name:"id" help:"m and a number, or w and a number, as list prints them."`
	HTTP     string   `name:"http" help:"Address of the running platform's console." default:"127.0.0.1:8080" placeholder:"ADDR"`
	By       string   `help:"Who asks; kept in the audit. Default the user of this machine." placeholder:"NAME"`
	Note     string   `help:"Why; kept in the audit." placeholder:"TEXT"`
	User     string   `help:"User of the console, where the platform has any." placeholder:"NAME"`
	Password string   `help:"Password of that user: better given as CIDP_PASSWORD." placeholder:"TEXT"`
	JSON     bool     `name:"json" help:"Print one JSON document."`
}

func (quarantineRelease) Help() string {
	return `Example:
  cidp quarantine release m17 m18 w1853881212928000017 --by "A. Mbarga" --note "limits of the new bearings"
Mend the cause first: a running cidp reads a changed sensors file within some seconds, and says so in its log.
A message is decoded and fed anew; lateness does not bound it. A window is judged anew from its readings, under the limits of now: what is valid
then supersedes it and is scored. What was said of it by other sensors (peer_disagreement, sensor_drift, fouling, swapped) stands. Nothing is scored
by force. Exit 0 when all of it went back, now or before; 1 when some of it stays in quarantine.`
}

// releaseTimeout is how long the platform may take: it answers when the release is on disk.
const releaseTimeout = 30 * time.Second

// releaseAtOnce is how many ids go into one request.
const releaseAtOnce = 50

func (c *quarantineRelease) Run(ctx context.Context, t *terminal) error {
	for _, id := range c.IDs {
		if _, err := store.ParseEvidenceID(id); err != nil {
			return usageError{err}
		}
	}
	by := c.By
	if by == "" && c.User == "" {
		who, err := user.Current()
		if err != nil || who.Username == "" {
			return usageError{errors.New("--by must name who asks: the user of this machine is not known")}
		}
		by = who.Username
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
	address := consoleAddress(c.HTTP)
	body, err := json.Marshal(struct {
		IDs  []string `json:"ids"`
		By   string   `json:"by"`
		Note string   `json:"note"`
	}{ids, by, c.Note})
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/api/v1/quarantine/release", bytes.NewReader(body))
	if err != nil {
		return nil, usageError{fmt.Errorf("http is %q: it must be an address such as 127.0.0.1:8080", c.HTTP)}
	}
	req.Header.Set("Content-Type", "application/json")
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no platform answers at %s: start cidp run, or name its console with --http; a release goes through the running line: %w", address, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", address, err)
	}
	var answer struct {
		Results []console.ReleaseResult `json:"results"`
		Error   string                  `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("what answers at %s is no cidp: %s", address, readable(cmp.Or(strings.TrimSpace(string(text)), res.Status), 200))
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the platform at %s: %s", address, readable(cmp.Or(answer.Error, res.Status), 0))
	}
	return answer.Results, nil
}

// consoleAddress is where a console that listens on an address is reached from here.
func consoleAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
