package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

type backtestCmd struct {
	Files   []string `arg:"" optional:"" name:"file" help:"CSV or NDJSON files, optionally .gz; several are merged by event time."`
	From    string   `help:"Take what this warehouse accepted in the place of files." placeholder:"DB"`
	Data    string   `help:"Data folder for the database that is filled. What an earlier backtest left there is replaced, anything else is left alone. Default ${default}." default:"database/backtest" placeholder:"DIR"`
	Model   string   `help:"Model file; default the embedded one." placeholder:"FILE"`
	Sensors string   `name:"sensors-file" aliases:"sensors" help:"Sensor registry (cidp sensors --help); default sensors.toml in the data folder, when it is there." placeholder:"FILE"`

	reportFlags `embed:""`
	rowFlags    `embed:""`
	streamFlags `embed:""`
}

func (backtestCmd) Help() string {
	return `Example:
  cidp backtest readings.csv.gz --asset rig1 --time ts_ms --temp ts1_c,ts2_c
The line without a network: windows, verdicts, predictions and alerts are those that cidp run makes of cidp replay of the same file with the same configuration, and
cidp verify --digest says so. Nothing is published. As after a stop, the windows that nothing has closed by the end of the readings stay open.`
}

// backtested is what a backtest has done; --json prints it.
type backtested struct {
	Database    string           `json:"database"`
	Rows        int64            `json:"rows"`      // of the files
	Malformed   int64            `json:"malformed"` // of them, skipped
	Received    int64            `json:"received"`
	Stored      int64            `json:"stored"`
	Duplicate   int64            `json:"duplicate"`
	Late        int64            `json:"late"`
	Refused     int64            `json:"refused"`
	Windows     int64            `json:"windows"`
	Quarantined int64            `json:"quarantined"`
	ByReason    map[string]int64 `json:"quarantined_by_reason"`
	Predictions int64            `json:"predictions"`
	Alerts      int64            `json:"alerts"`
	LedgerHolds bool             `json:"ledger_holds"`
	Report      *report.Report   `json:"report,omitempty"` // with --truth
}

// given is where the line takes its messages from.
type given interface {
	platform.Source
	counts() rowCounts
	failed() error // why it ended early, nil when it did not
	close()
}

func (c *backtestCmd) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	cfg, err := c.config(t)
	if err != nil {
		return err
	}
	if c.Truth != "" { // what is wrong with it is told before the work
		if _, err := openTruth(c.Truth); err != nil {
			return fmt.Errorf("read %s: %w", c.Truth, err)
		}
	}
	from, err := c.open(ctx, t)
	if err != nil {
		return err
	}
	defer from.close()
	if err := freshFolder(c.Data, "backtest"); err != nil {
		return err
	}
	if err := pass(ctx, cfg, from); err != nil {
		return err
	}
	sum, err := c.gather(ctx, from)
	if err != nil {
		return err
	}
	if c.Truth != "" {
		if sum.Report, err = c.foreseen(ctx, t, *cfg.Rules, sum.Database); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(t.out, sum)
	}
	if err := sum.print(t); err != nil || sum.Report == nil {
		return err
	}
	return c.tell(t, sum.Report)
}

// foreseen holds the alerts that the line raised against the truth.
func (c *backtestCmd) foreseen(ctx context.Context, t *terminal, rules model.Rules, database string) (*report.Report, error) {
	forest, err := openForest(c.Model)
	if err != nil {
		return nil, err
	}
	source := "backtest of " + filepath.Base(c.From)
	if c.From == "" {
		names := make([]string, len(c.Files))
		for i, f := range c.Files {
			names[i] = filepath.Base(f)
		}
		source = "backtest of " + listed(names)
	}
	r, err := c.warehouse(ctx, t, evaluation{forest: forest, rules: rules, path: database, source: source, told: (*store.Archive).Warnings})
	if err != nil {
		return nil, err
	}
	if c.reportFlags.Report != "" {
		err = writeReport(c.reportFlags.Report, r)
	}
	return r, err
}

func (c *backtestCmd) check() error {
	switch {
	case (c.From == "") == (len(c.Files) == 0):
		return errors.New("a backtest needs readings: name files, or a warehouse with --from")
	case c.From != "" && sameFile(warehousePath(c.From), filepath.Join(c.Data, platform.DatabaseName)):
		return fmt.Errorf("%s is the database that the backtest would replace: choose another folder with --data", c.From)
	case c.reportFlags.Report != "" && c.Truth == "":
		return errors.New("--report needs --truth: without what failed, nothing is right or wrong")
	}
	return c.reportFlags.check()
}

// sameFile says whether two paths are one file.
func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// config makes the platform's configuration of the flags. How fast the readings come says nothing, so nobody is silent or waited for.
func (c *backtestCmd) config(t *terminal) (platform.Config, error) {
	s, err := c.streamFlags.config(t)
	if err != nil {
		return platform.Config{}, err
	}
	s.SilentAfter = 0
	if err := s.Validate(); err != nil {
		return platform.Config{}, usageError{err}
	}
	rules, err := t.settings.applyRules()
	if err != nil {
		return platform.Config{}, usageError{err}
	}
	cfg := platform.Config{Data: c.Data, Stream: s, CommitEvery: backtestCommit, ModelFile: c.Model, Rules: &rules, Version: version, Log: t.log.Level(zerolog.WarnLevel)}
	cfg.SensorsFile, cfg.SensorsMust = sensorsPath(c.Sensors, c.Data)
	if _, _, err := readSensors(cfg.SensorsFile, cfg.SensorsMust, s); err != nil {
		return platform.Config{}, usageError{err}
	}
	return cfg, nil
}

// backtestCommit is the shortest time between two commits: nobody waits for an answer, so that most hold as much as a pass may.
const backtestCommit = time.Second

func (c *backtestCmd) open(ctx context.Context, t *terminal) (given, error) {
	if c.From != "" {
		return openWarehouse(ctx, warehousePath(c.From), t)
	}
	return openSource(ctx, &c.rowFlags, c.Files, t)
}

// pass runs the line from the first reading to the last. An interrupt commits what was read.
func pass(ctx context.Context, cfg platform.Config, from given) error {
	cfg.From = from
	p, err := start(ctx, func() (*platform.Platform, error) { return platform.Start(cfg) })
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-p.Ended():
	}
	if err := stop(p); err != nil {
		return err
	}
	return from.failed()
}

// gather counts what is in the database, and proves it.
func (c *backtestCmd) gather(ctx context.Context, from given) (*backtested, error) {
	sum := &backtested{Database: filepath.Join(c.Data, platform.DatabaseName)}
	counts := from.counts()
	sum.Rows, sum.Malformed = counts.Rows, counts.Malformed
	report, err := store.Verify(ctx, sum.Database, nil)
	if err != nil {
		return nil, err
	}
	if !report.OK {
		return nil, fmt.Errorf("the database does not hold: %s: %s; cidp verify %s tells all", report.Breaches[0].Check, report.Breaches[0].Detail, sum.Database)
	}
	n, totals := report.Counts, store.Sum(report.Ledger)
	sum.Received, sum.Stored, sum.Duplicate, sum.Late, sum.Refused = totals.Received, totals.Stored, totals.Duplicate, totals.Late, totals.Refused
	sum.Windows, sum.Quarantined, sum.ByReason = n.Windows, n.Quarantined, totals.QuarantinedByReason
	sum.Predictions, sum.Alerts, sum.LedgerHolds = n.Predictions, n.Alerts, totals.Holds()
	return sum, nil
}

func (s *backtested) print(t *terminal) error {
	_, err := fmt.Fprintf(t.out, `backtest
  rows:         %d, %d malformed
  received:     %d
  stored:       %d
  duplicate:    %d
  late:         %d
  refused:      %d
  windows:      %d
  quarantined:  %d%s
  predictions:  %d
  alerts:       %d
  database:     %s, and everything in it holds
`, s.Rows, s.Malformed, s.Received, s.Stored, s.Duplicate, s.Late, s.Refused, s.Windows, s.Quarantined, reasonList(s.ByReason), s.Predictions, s.Alerts, s.Database)
	return err
}
